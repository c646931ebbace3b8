"""Prompts made richer by a language model that the operator names: camera, light, mood, style.

Any endpoint that speaks OpenAI's chat completions will do, such as an Ollama beside the bot. Only
that address is ever asked; it is told the words alone, and nothing of the person. People see what
it answers before anything is drawn, and nothing of this costs credits.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

import httpcore2

from bot import refused_words
from bot.database import Database
from bot.judging import Judging
from bot.origins import Origin
from bot.rates import Rate
from bot.refusals import NotAccepting, NotFound, Screened
from bot.screens import Action
from bot.sections import ExpansionSettings
from bot.sentences import Sentence
from generation.checks import MAX_PROMPT_LENGTH, check_text
from generation.errors import InvalidRequest

logger = logging.getLogger(__name__)

#: What words may be added about.
AXES = {
    "camera": "camera: the view, lens, distance and framing",
    "light": "light: its source, direction, colour and time of day",
    "mood": "mood: the atmosphere and feeling",
    "style": "style: the medium, technique and palette",
}
#: Longest answer, in bytes; and longest new prompt, in characters.
MAX_ANSWER, MAX_WORDS = 100_000, min(1500, MAX_PROMPT_LENGTH)
_TASK = (
    "You rewrite prompts for a text-to-image model. Keep the subject and every detail of the"
    " prompt. Add concrete, visible details about {axes}. Answer with the new prompt alone, in one"
    " paragraph of at most 60 words, in the language of the prompt, without quotes or explanations."
)


class Expansion:
    """The way to the operator's language model.

    Args:
        now: Unix seconds.

    Attributes:
        key: Brought as a bearer token; None without one.
    """

    def __init__(
        self,
        settings: ExpansionSettings,
        database: Database,
        judging: Judging,
        now: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._database = database
        self._judging = judging
        self._rate = Rate(settings.per_minute, now)
        self.key: str | None = None

    @property
    def is_on(self) -> bool:
        return bool(self._settings.url and self._settings.model)

    async def of(self, user: str, origin: Origin, prompt: str, axes: Sequence[str] = ()) -> str:
        """Richer words for *prompt* of *user*, with more about *axes*, or about all of them.

        Raises:
            NotFound: The operator names no model for that.
            TooOften: The person asks too often.
            Screened: A screen refuses the words, old or new.
            NotAccepting: The model cannot be reached, or its answer cannot be used.
        """
        if not self.is_on:
            raise NotFound(Sentence.NO_EXPANSION)
        check_text("prompt", prompt)
        self._rate.count(user, "expansions")
        await self._judge(prompt, origin)
        try:
            async with asyncio.timeout(self._settings.seconds):
                answer = await self._ask(prompt, axes or list(AXES))
        except TimeoutError:
            raise NotAccepting(Sentence.EXPANSION_IS_SLOW, retry_in=10.0) from None
        except (OSError, ValueError, KeyError, IndexError, TypeError, *_FAULTS) as error:
            logger.warning("the endpoint for expansions does not answer: %r", error)
            raise NotAccepting(Sentence.EXPANSION_FAILS, retry_in=10.0) from None
        words = _tidied(answer)
        if not words or len(words) > MAX_WORDS:
            raise NotAccepting(Sentence.EXPANSION_IS_NO_PROMPT)
        try:
            check_text("prompt", words)
        except InvalidRequest:
            raise NotAccepting(Sentence.EXPANSION_IS_NO_PROMPT) from None
        await self._judge(words, origin)
        return words

    async def _judge(self, words: str, origin: Origin) -> None:
        def of_server(db: Any) -> list[str]:
            return list(refused_words.of(db, server=origin.server))

        refused = await self._database.read(of_server)
        verdict = await self._judging.request((words,), (), origin, refused)
        if verdict.action is Action.REFUSE:
            raise Screened(verdict.reason, field="prompt")

    async def _ask(self, prompt: str, axes: Sequence[str]) -> str:
        about = "; ".join(AXES[axis] for axis in axes)
        body = {
            "model": self._settings.model,
            "messages": [
                {"role": "system", "content": _TASK.format(axes=about)},
                {"role": "user", "content": prompt},
            ],
            "max_tokens": 300,
            "stream": False,
        }
        headers = [("Content-Type", "application/json"), ("Accept", "application/json")]
        if self.key:
            headers.append(("Authorization", f"Bearer {self.key}"))
        url = f"{self._settings.url.rstrip('/')}/chat/completions"
        content = json.dumps(body).encode()
        # Redirects are not followed, and no proxy of the environment is asked.
        async with (
            httpcore2.AsyncConnectionPool() as pool,
            pool.stream("POST", url, headers=headers, content=content) as response,
        ):
            if response.status != 200:
                raise ValueError(f"HTTP {response.status}")
            data = b""
            async for piece in response.aiter_stream():
                data += piece
                if len(data) > MAX_ANSWER:
                    raise ValueError("its answer is too long")
        words = json.loads(data)["choices"][0]["message"]["content"]
        if not isinstance(words, str):
            raise TypeError("its answer is no text")
        return words


_FAULTS = (
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.TimeoutException,
    httpcore2.UnsupportedProtocol,
)


def _tidied(answer: str) -> str:
    """*answer* on one line, without what models put around their words: thoughts and quotes."""
    words = " ".join(answer.rpartition("</think>")[2].split())
    if len(words) > 1 and words[0] in "\"“'" and words[-1] in "\"”'":
        words = words[1:-1].strip()
    return words

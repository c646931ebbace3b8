"""The first answer to an interaction, which Discord takes once, within three seconds.

Discord may carry it out and report a fault all the same. discord.py then asks again, and hears that
the interaction was answered before; so does a bot that is told of one interaction twice. Which of
the two it is, shows in the requests: only the first has met a fault before.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import aiohttp
import discord

from adapters.discord_chat.faults import FAULTS, UNKNOWN_INTERACTION, Garbled, in_time, judged
from adapters.discord_chat.people import Interaction
from bot.windows import Meaning

logger = logging.getLogger(__name__)

#: Seconds in which a first answer may be tried; later ones come too late in any case.
SECONDS_TO_ANSWER = 5.0
#: Seconds before another attempt.
PAUSES = (0.0, 0.5, 1.0)
#: Seconds in which a lost answer is looked for.
SECONDS_TO_FIND = 2.0
#: Marks an interaction whose first answer may or may not have arrived.
PERHAPS_ANSWERED = "perhaps answered"
ALREADY_ANSWERED = 40060
#: Interactions that are remembered; each is of interest for some seconds.
MOST_REMEMBERED = 1000
T = TypeVar("T")


class Unanswerable(Exception):
    """An interaction whose person waits for no answer of this process: it came too late, or was
    answered when it was told of before."""


class FirstAnswers:
    """Gives first answers.

    Attributes:
        trace: Must watch the requests of the client, to learn of faults on the way.
    """

    def __init__(self) -> None:
        self.trace = aiohttp.TraceConfig()
        self.trace.on_request_end.append(self._see_end)
        self.trace.on_request_exception.append(self._see_exception)
        #: The status of the last fault by interaction; 0 for a cut line.
        self._faults: OrderedDict[int, int] = OrderedDict()

    async def give(self, interaction: Interaction, answer: Callable[[], Awaitable[T]]) -> T | None:
        """The result of *answer*, once Discord has taken it; None where that may be so without
        our knowing, which marks the interaction as `PERHAPS_ANSWERED`.

        Raises:
            Unanswerable: Nobody waits for the answer.
            discord.HTTPException: Discord does not take it.
        """
        try:
            async with asyncio.timeout(SECONDS_TO_ANSWER):
                return await self._tried(interaction, answer)
        except (aiohttp.ClientError, OSError, Garbled) as error:
            if self._faults.get(interaction.id) == 429:
                raise Unanswerable from error
            logger.warning("the answer to the first word was lost: %r", error)
        except discord.HTTPException as error:
            if error.code == UNKNOWN_INTERACTION or judged(error) is Meaning.PASSES:
                raise Unanswerable from error
            if error.code == ALREADY_ANSWERED and interaction.id not in self._faults:
                raise Unanswerable from error
            if error.code != ALREADY_ANSWERED and error.status < 500:
                raise
            logger.warning("the answer to the first word was reported lost: %s", error)
        interaction.extras[PERHAPS_ANSWERED] = True
        return None

    async def _tried(self, interaction: Interaction, answer: Callable[[], Awaitable[T]]) -> T:
        """The result of *answer*. It is given again where the line is cut, since the second tells
        whether the first was carried out, and where Discord or its edge takes nothing just now."""
        for pause in PAUSES:
            try:
                return await in_time(answer())
            except FAULTS as error:
                is_cut = isinstance(error, (aiohttp.ClientError, OSError))
                is_limited = self._faults.get(interaction.id) == 429
                if not (is_cut or is_limited or judged(error) is Meaning.PASSES):
                    raise
            await asyncio.sleep(pause)
        return await in_time(answer())

    async def message(self, interaction: Interaction) -> int | None:
        """The id of the message of an answer that was lost on the way; None where Discord does
        not tell in time."""
        with suppress(*FAULTS):
            async with asyncio.timeout(SECONDS_TO_FIND):
                return (await interaction.original_response()).id
        return None

    # Watching requests

    async def _see_end(
        self, _session: Any, _context: Any, about: aiohttp.TraceRequestEndParams
    ) -> None:
        if about.response.status >= 500 or about.response.status == 429:
            self._remember(about.url.path, about.response.status)

    async def _see_exception(
        self, _session: Any, _context: Any, about: aiohttp.TraceRequestExceptionParams
    ) -> None:
        self._remember(about.url.path, 0)

    def _remember(self, path: str, status: int) -> None:
        match path.split("/"):
            case [*_, "interactions", interaction, _, "callback"] if interaction.isdigit():
                self._faults[int(interaction)] = status
                if len(self._faults) > MOST_REMEMBERED:
                    self._faults.popitem(last=False)

"""Answers that take as long as their picture: they ask for it, wait, and tell of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from adapters.web_chat.errors import response_to
from adapters.web_chat.repeats import Asked
from adapters.web_chat.sharing import Web
from bot import sentences
from bot.commands import ImagineCommand
from bot.conversation import converse
from bot.jobs import Job
from bot.source import Picture, Source
from generation.errors import FluxbotError

#: The body of an answer about a job, in pieces. The first of them comes when the status of the
#: answer is certain; what is raised before it becomes the answer.
Telling = Callable[[Source, Job], AsyncIterator[bytes]]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client asks for.

    Attributes:
        source: The person.
        content: All that makes the request what it is; see `Repeats.asking`.
        key: The client's ``Idempotency-Key``; None without one.
        is_retry: Whether the client says that it has asked this before.
    """

    source: Source
    command: ImagineCommand
    pictures: Sequence[Picture]
    content: bytes
    key: str | None = None
    is_retry: bool = False


class Answer(Response):
    """The answer to a *wish*, told by *telling*.

    A client that goes before it has everything may come back for it; see
    `adapters.web_chat.repeats`.

    Args:
        places: Entered while the answer is under way; it may refuse one.
        last_words: The end of an answer that has begun and cannot go on.
    """

    def __init__(
        self,
        web: Web,
        wish: Wish,
        telling: Telling,
        media_type: str = "application/json",
        places: contextlib.AbstractContextManager[None] | None = None,
        last_words: Callable[[FluxbotError], bytes] = lambda error: b"",
    ) -> None:
        super().__init__(media_type=media_type, headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._web = web
        self._wish = wish
        self._telling = telling
        self._places = places or contextlib.nullcontext()
        self._last_words = last_words
        self._has_begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wish = self._wish
        try:
            with self._places:
                async with self._web.repeats.asking(
                    wish.source, wish.content, key=wish.key, is_retry=wish.is_retry
                ) as asked:
                    await self._answer(asked, receive, send)
        except FluxbotError as error:
            if not self._has_begun:
                await response_to(error)(scope, receive, send)
                return
            await send({"type": "http.response.body", "body": self._last_words(error)})

    async def _answer(self, asked: Asked, receive: Receive, send: Send) -> None:
        wish, source = self._wish, asked.source
        asked.job = (
            await converse(self._web.service, source, wish.command, wish.pictures)
        ).the_job()
        gone = asyncio.create_task(_gone(receive))
        telling = asyncio.create_task(self._tell(asked, send, gone))
        stopping = asyncio.create_task(self._web.stopping.wait())
        try:
            await asyncio.wait((telling, gone, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (telling, gone, stopping):
                task.cancel()
            outcome, *_ = await asyncio.gather(telling, gone, stopping, return_exceptions=True)
        if isinstance(outcome, Exception):
            raise outcome
        if self._web.stopping.is_set() and isinstance(outcome, asyncio.CancelledError):
            raise sentences.restarting(asked.job)

    async def _tell(self, asked: Asked, send: Send, gone: asyncio.Task[None]) -> None:
        assert asked.job is not None
        async for piece in self._telling(asked.source, asked.job):
            if not self._has_begun:
                self._has_begun = True
                await send(
                    {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
                )
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await asyncio.sleep(0)  # in which a client that has gone meanwhile is noticed
        if gone.done():
            return
        asked.is_answered = True
        await send({"type": "http.response.body", "body": b""})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

"""Requests that come again because their answer was late or lost, and are not drawn anew.

Other people's clients ask again by themselves: OpenAI's does so twice, and names no
``Idempotency-Key``. A request of the same person with the same content is the same one where

- the answer to the first was cut off: until a minute after that,
- or the client says that it asks again, even if it seems to have had its answer.

Two requests that are alike and both listen are two requests: somebody wants two pictures. A client
that goes and does not come back within `GRACE` wants nothing any more, and its job is cancelled.

What is known here is also kept in the table of `bot.idempotency`, so that a bot which was killed
knows it when it comes back.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

from bot.commands import CancelCommand
from bot.conversation import converse
from bot.jobs import Job, JobStatus
from bot.service import Service
from bot.source import Source
from generation.errors import FluxbotError

#: Seconds in which a client that has gone may come back before its job is cancelled. OpenAI's
#: comes back after half a second and then after one.
GRACE = 5.0
#: Seconds for which a request is known after its answer.
REMEMBERED = 60.0
#: Seconds for which a bot that was killed knows a request that it was working on.
KEPT = 900.0
#: The header in which OpenAI's clients count how often they have asked again.
RETRIES = "x-stainless-retry-count"


@dataclass(eq=False, slots=True)
class Asked:
    """A request, however often it came.

    Attributes:
        source: The person who asked first, with the event id that leads to the job.
        key: The key of the request in the table, which the client does not know.
        ends_with_client: Whether its job is cancelled when nobody waits for it any more.
        job: The job, once there is one.
        is_answered: Whether a client seems to have the whole answer.
        listening: Connections that wait for the answer.
    """

    source: Source
    key: str
    ends_with_client: bool = True
    job: Job | None = None
    is_answered: bool = False
    listening: int = 0
    event_id: asyncio.Future[str] | None = None
    leaving: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def has_failed(self) -> bool:
        """Whether asking again is right, since there is no picture and will be none."""
        job = self.job
        return job is None or (job.status.is_final and job.status is not JobStatus.SUCCEEDED)

    @property
    def is_under_way(self) -> bool:
        """Whether its job waits or is being drawn."""
        job = self.job
        return job is not None and not (job.status.is_final or job.status is JobStatus.HELD)


class Repeats:
    """The requests that are being answered, and those of the last minute.

    Args:
        stopping: Set when the bot ends, which cancels nobody's job.
    """

    def __init__(self, service: Service, stopping: asyncio.Event) -> None:
        self._service = service
        self._stopping = stopping
        self._asked: dict[tuple[str, str], list[Asked]] = {}

    @contextlib.asynccontextmanager
    async def asking(
        self, source: Source, request: bytes, *, key: str | None = None, is_retry: bool = False
    ) -> AsyncIterator[Asked]:
        """A block in which *source* waits for the answer to *request*. Its end says what becomes of
        the job, by `Asked.is_answered`.

        Args:
            request: All that makes the request what it is: its path and what was asked for.
            key: The client's own ``Idempotency-Key``, with which a job outlives its client.
            is_retry: Whether the client says that it has asked this before.

        Raises:
            KeyReused: *key* came with another request.
        """
        if key is not None:
            event_id = await self._service.idempotency.event_id(source.user, key, request)
            yield Asked(replace(source, event_id=event_id), key, ends_with_client=False)
            return
        name = source.user, hashlib.sha256(request).hexdigest()
        asked = self._find(name, source, is_retry)
        asked.listening += 1
        asked.is_answered = False
        if asked.leaving is not None:
            asked.leaving.cancel()
            asked.leaving = None
        try:
            if asked.event_id is None:
                known = self._service.idempotency.event_id(source.user, asked.key, request, KEPT)
                asked.event_id = asyncio.ensure_future(known)
            event_id = await asyncio.shield(asked.event_id)
            asked.source = replace(source, event_id=event_id)
            yield asked
        finally:
            asked.listening -= 1
            if not asked.listening:
                asked.leaving = asyncio.create_task(self._leave(name, asked))

    def _find(self, name: tuple[str, str], source: Source, is_retry: bool) -> Asked:
        known = self._asked.setdefault(name, [])
        for asked in known:
            if is_retry or not (asked.listening or asked.is_answered):
                return asked
        taken = {asked.key for asked in known}
        key = next(
            key
            for number in range(len(known) + 1)
            if (key := f"repeat:{name[1]}:{number}") not in taken
        )
        asked = Asked(source, key)
        known.append(asked)
        return asked

    async def _leave(self, name: tuple[str, str], asked: Asked) -> None:
        """What becomes of *asked*, for which nobody waits."""
        if self._stopping.is_set():
            return
        if not asked.has_failed:
            if asked.is_answered:
                await self._forget(asked)
            elif not await self._passes(GRACE):
                return
            if not asked.is_under_way and not await self._passes(REMEMBERED):
                return
        await self._forget(asked)
        # From here on nobody comes back to it.
        self._asked[name].remove(asked)
        if not self._asked[name]:
            del self._asked[name]
        if asked.is_under_way and asked.job is not None:
            # If it has ended at that very moment, nobody is left to be told.
            await converse(self._service, asked.source, CancelCommand(asked.job.id))

    async def _passes(self, seconds: float) -> bool:
        """Whether *seconds* pass before the bot ends."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return True
        return False

    async def _forget(self, asked: Asked) -> None:
        with contextlib.suppress(FluxbotError):  # the row goes by itself before long
            await self._service.idempotency.forget(asked.source.user, asked.key)

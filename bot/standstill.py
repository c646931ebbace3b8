"""Reasons for which no job is begun, and waiting until something that has failed works again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from bot.jobs import FairQueue
from bot.views import EngineState

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: Seconds between attempts while the storage refuses.
RETRY_EVERY = 2.0

CANNOT_WRITE = "something is wrong with the bot's storage; an admin must look at the log"
CANNOT_SAVE = "the bot cannot save anything right now; waiting jobs are kept"
NO_ROOM_FOR_PICTURES = "the bot's disk is full; waiting jobs are kept until there is room"
CRASHED = "the bot has crashed again and again: it draws again in {time}; jobs are kept"
STOPPING = "the bot is restarting; waiting jobs are kept and drawn afterwards"
SENTENCES = (CANNOT_WRITE, CANNOT_SAVE, NO_ROOM_FOR_PICTURES, CRASHED, STOPPING)


class Standstill:
    """The reasons against drawing; *queue* hands out nothing while there is one.

    Args:
        on_change: Called when there are other reasons than before.

    Attributes:
        is_stopping: Whether the bot stops.
    """

    def __init__(self, queue: FairQueue, on_change: Callable[[], None] = lambda: None) -> None:
        self._queue = queue
        self._on_change = on_change
        self._damage: str | None = None  # only a restart ends it
        self._pause: str | None = None  # an admin says when it is over
        #: By what has failed; over as soon as that works.
        self._troubles: dict[str, EngineState] = {}
        self._try_again = asyncio.Event()
        self.is_stopping = False

    @property
    def state(self) -> EngineState | None:
        """The state of drawing; None where nothing is against it."""
        if self.is_stopping:
            return EngineState("stopping", STOPPING)
        if self._damage is not None:
            return EngineState("failed", self._damage)
        if self._pause is not None:
            return EngineState("paused", self._pause)
        return next(iter(self._troubles.values()), None)

    def fail(self, reason: str) -> None:
        """Begin no job until the bot is started anew."""
        self._damage = reason
        self._hold()

    def pause(self, reason: str) -> None:
        """Begin no job until `resume`."""
        self._pause = reason
        self._hold()

    def resume(self) -> None:
        """End a pause, and try again at once what has failed."""
        self._pause = None
        self._try_again.set()
        self._release()

    def stop(self) -> None:
        """Begin no job any more, and wait for nothing."""
        self.is_stopping = True
        self._try_again.set()
        self._hold()

    async def until_done(
        self,
        what: str,
        attempt: Callable[[], Awaitable[T]],
        trouble_of: Callable[[Exception], str | None],
    ) -> T:
        """The outcome of *attempt*, which is made again until it succeeds; no job is begun
        meanwhile.

        Args:
            what: A word for what is tried: as long as it fails, its trouble stands.
            trouble_of: A sentence about an error that may pass, for people; None for another.

        Raises:
            Exception: An error that does not pass, or any where the bot is stopping.
        """
        while True:
            self._try_again.clear()
            try:
                outcome = await attempt()
            except Exception as error:
                trouble = trouble_of(error)
                if trouble is None or self.is_stopping:
                    raise
                logger.error("%s: trying again in %g s: %s", what, RETRY_EVERY, error)
                self._troubles[what] = EngineState("paused", trouble)
                self._hold()
            else:
                if self._troubles.pop(what, None) is not None:
                    self._release()
                return outcome
            await self.told_to_try_again(RETRY_EVERY)

    async def rest(self, seconds: float) -> None:
        """Begin no job for *seconds*, after crash upon crash; `resume` ends that earlier."""
        self._troubles["rest"] = EngineState("paused", CRASHED, seconds)
        self._hold()
        self._try_again.clear()
        try:
            await self.told_to_try_again(seconds)
        finally:
            del self._troubles["rest"]
            self._release()

    async def told_to_try_again(self, seconds: float) -> None:
        """Return when `resume` or the stop says so, or after *seconds*."""
        # Not wait_for, which loses a cancellation that comes together with the word (3.11).
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._try_again.wait()

    def begin_attempt(self) -> None:
        """Forget an earlier word to try again."""
        self._try_again.clear()

    def _hold(self) -> None:
        self._queue.hold()
        self._on_change()

    def _release(self) -> None:
        if self.state is None:
            self._queue.release()
        self._on_change()

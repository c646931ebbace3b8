"""The pace of messages, about one a second in a channel: answers wait their turn, and progress
is shown only when no answer waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

#: Seconds between two messages, or edits, in one channel.
INTERVAL = 1.1
#: Seconds between two edits that only show progress, in a whole workspace: `chat.update` may
#: be called 50 times a minute, and pictures need some of those.
PROGRESS_INTERVAL = 1.6


class Pace:
    """Turns to speak in the channels of one workspace.

    *now* (seconds) and *sleep* are the clock.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.now = now
        self.sleep = sleep
        self._next: dict[str, float] = {}
        self._next_progress = 0.0

    async def turn(self, channel: str) -> None:
        """Wait for the next turn in *channel*; turns are given in the order of the calls."""
        now = self.now()
        mine = max(now, self._next.get(channel, 0.0))
        self._take(channel, mine)
        if mine > now:
            await self.sleep(mine - now)

    async def spare(self, channel: str) -> None:
        """Wait for a turn in *channel* that nobody has taken."""
        while (wait := max(self._next.get(channel, 0.0), self._next_progress) - self.now()) > 1e-6:
            await self.sleep(wait)
        self._take(channel, self.now())
        self._next_progress = self.now() + PROGRESS_INTERVAL

    def hold(self, channel: str, seconds: float) -> None:
        """Give no turn in *channel*, and none for progress anywhere, for *seconds*."""
        until = self.now() + seconds
        self._next[channel] = max(self._next.get(channel, 0.0), until)
        self._next_progress = max(self._next_progress, until)

    def _take(self, channel: str, at: float) -> None:
        if len(self._next) > 1000:
            now = self.now()
            self._next = {each: time for each, time in self._next.items() if time > now}
        self._next[channel] = at + INTERVAL

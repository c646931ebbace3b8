"""Messages in which a picture is shown, brought up to date when it is hidden or shown again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from bot.jobs import Job

logger = logging.getLogger(__name__)

#: Seconds after which an update is given up.
SECONDS = 60.0

Refresh = Callable[[Job], Awaitable[None]]


class Shown:
    """The messages of all platforms.

    Attributes:
        refresh: For each platform that can, the way to show a job in its message as it is now;
            adapters add theirs.
    """

    def __init__(self) -> None:
        self.refresh: dict[str, Refresh] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def tell(self, job: Job) -> None:
        """Have the message of *job* brought up to date; nobody waits for it."""
        refresh = self.refresh.get(job.user.partition(":")[0])
        if refresh is not None and job.reply_to is not None:
            task = asyncio.create_task(_in_time(refresh, job))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _in_time(refresh: Refresh, job: Job) -> None:
    try:
        async with asyncio.timeout(SECONDS):
            await refresh(job)
    except Exception as error:
        logger.warning("the message of %s stays as it is: %r", job.id, error)

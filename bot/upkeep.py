"""Upkeep of the gallery: old pictures, and leftovers of a killed process, are deleted."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial

from bot import later_times
from bot.config import Config
from bot.database import Database
from bot.gallery import Gallery
from bot.job_store import JobStore
from bot.review import Reviewing

logger = logging.getLogger(__name__)

PRUNE_EVERY = 3600.0
#: Seconds after which an attached picture without a job will never have one.
ORPHANED_FOR = 3600.0
#: Jobs that are pruned together, and rows that are read together.
JOBS_AT_ONCE, ROWS_AT_ONCE = 500, 1000


class Upkeep:
    """The deletion of files that the configuration does not want to keep.

    Attributes:
        sweep_before: Unix seconds of the start: files that belong to no job and are older are
            leftovers of an earlier process.
    """

    def __init__(
        self,
        config: Config,
        database: Database,
        store: JobStore,
        gallery: Gallery,
        review: Reviewing,
        now: Callable[[], float],
    ) -> None:
        self._config = config
        self._database = database
        self._store = store
        self._gallery = gallery
        self._review = review
        self._now = now
        self.sweep_before = 0.0

    async def run(self) -> None:
        """Sweep up what an earlier process left, and prune every hour until cancelled."""
        before: float | None = self.sweep_before
        while True:
            try:
                if before is not None:
                    await self.sweep(before)
                    before = None
                await self.prune()
            except Exception:
                logger.exception("old pictures cannot be deleted")
            await asyncio.sleep(PRUNE_EVERY)

    async def prune(self) -> int:
        """Number of jobs whose files were older than ``gallery.keep_days``. These are deleted, and
        files that belong to no job as well."""
        now = self._now()
        if await self._database.read(partial(later_times.exist, now=now)):
            changed = await self._database.write(partial(later_times.bring_back, now=now))
            logger.warning(
                "%d rows were of a time that has not come yet; it is now theirs", changed
            )
        count = 0
        if self._config.gallery.keep_days:
            before = self._now() - self._config.gallery.keep_days * 86400
            await self._review.expire(before)
            prunable = partial(self._store.prunable, before=before, limit=JOBS_AT_ONCE)
            while old := await self._database.read(prunable):
                await asyncio.to_thread(self._gallery.prune_pictures, old)
                # Rows are marked afterwards: a crash in between repeats the deletion.
                await self._database.write(partial(self._store.prune, job_ids=old))
                count += len(old)
        # Files whose job is still being written are newer.
        # Files have the system's time, which may be another.
        await self.sweep(min(now, time.time()) - ORPHANED_FOR)
        return count

    async def sweep(self, before: float) -> None:
        """Delete pictures of jobs that ended without one, and attached pictures older than *before*
        (unix seconds) that no job refers to: leftovers of a killed process."""
        kept = await kept_control_images(self._database, self._store)
        await asyncio.to_thread(self._gallery.prune_control_images, kept, before)
        found = sorted(await asyncio.to_thread(self._gallery.job_ids))
        for begin in range(0, len(found), JOBS_AT_ONCE):
            some = found[begin : begin + JOBS_AT_ONCE]
            look = partial(self._store.without_pictures, job_ids=some)
            orphans = await self._database.read(look)
            await asyncio.to_thread(self._gallery.prune_pictures, orphans)


async def kept_control_images(database: Database, store: JobStore) -> set[str]:
    """File names of attached pictures that jobs with files refer to.

    They are read in slices, so that nobody who reads something else waits for all of them; what
    is written meanwhile comes after the last slice, or was seen by `Admission.watching`.
    """
    found: set[str] = set()
    last: int | None = -1
    while last is not None:
        look = partial(store.control_images, after=last, count=ROWS_AT_ONCE)
        names, last = await database.read(look)
        found |= names
    return found

"""Pictures that whoever has their link may see, in the table ``shared_jobs``.

A link says nothing but the id. Until its person shares a job, and from the moment on at which they
take that back, it leads nobody else anywhere; deleting and hiding a picture end it too, and showing
it again does not begin it anew.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from functools import partial

from bot import deletion_record, people, sentences
from bot.backups import DAY
from bot.config import Config
from bot.database import Database
from bot.job_store import JobStore
from bot.jobs import Job
from bot.lookups import Lookups
from bot.refusals import NotFound
from bot.source import Source

logger = logging.getLogger(__name__)

#: Begin of the path of a picture's page.
PAGES = "/p/"


class Sharing:
    """What is shared by its link.

    Args:
        now: Unix seconds.
    """

    def __init__(
        self,
        config: Config,
        database: Database,
        store: JobStore,
        lookups: Lookups,
        now: Callable[[], float],
    ) -> None:
        self._storage = config.storage
        self._database = database
        self._store = store
        self._lookups = lookups
        self._public_url = config.web.public_url
        self._now = now
        self._turn = asyncio.Lock()

    def address(self, job: Job) -> str:
        """The link of *job*; its path alone where the page has no address for others."""
        return f"{self._public_url}{PAGES}{job.id}"

    async def share(self, source: Source, job_id: str) -> Job:
        """The job, whose pictures whoever has the link may see from now on.

        Raises:
            NotFound: There is no such job, or its pictures were deleted.
            NotAllowed: It is somebody else's.
            Conflict: It has not ended, has no picture, or is hidden; or there is no page that
                the link could lead to.
        """
        if not self._public_url and source.platform != "web":
            raise sentences.no_page()
        job = await self._lookups.drawn(source, job_id)
        if not self._lookups.is_own(source, job):
            raise sentences.not_yours()
        if not job.available:
            raise sentences.no_longer_kept()
        if not await self._database.write(partial(_add, job_id=job.id, now=self._now())):
            raise sentences.hidden()
        return job

    async def take_back(self, source: Source, job_id: str) -> Job:
        """The job, whose link leads nobody else anywhere from now on.

        Raises:
            NotFound: There is no such job.
            NotAllowed: It is somebody else's, and *source* is no admin.
        """
        job = await self._lookups.own_job(source, job_id)
        if await self._database.write(partial(_remove, job_id=job.id)):
            async with self._turn:
                await asyncio.to_thread(self._note, job.id)
        return job

    async def is_shared(self, source: Source, job_id: str) -> bool:
        """Whether others may see a job of *source* by its link.

        Raises:
            NotFound: There is no such job.
        """
        job = await self._lookups.job(source, job_id)
        return await self._database.read(partial(_is_shared, job_id=job.id))

    async def behind(self, job_id: str, source: Source | None) -> tuple[Job, bool] | None:
        """The job behind a link, and whether it is shared, for *source*, None for a stranger; None
        where there is nothing for them, whatever the reason."""
        if source is not None:
            try:
                own = await self._lookups.job(source, job_id)
            except NotFound:
                pass
            else:
                is_shared = await self._database.read(partial(_is_shared, job_id=own.id))
                return (own, is_shared) if own.available else None
        job = await self._database.read(partial(self._shared, job_id=job_id))
        return None if job is None else (job, True)

    def _note(self, job_id: str) -> None:
        """Write down that a link was taken back, for a backup that may be restored."""
        if not (keep := self._storage.keep_backups):
            return
        path = self._storage.data_dir / "backups" / deletion_record.TAKEN_BACK
        try:
            deletion_record.note(path, job_id, None, self._now(), (keep + 2) * DAY)
        except OSError as error:
            logger.error("a backup may bring a link back that was taken back: %s", error)

    def _shared(self, db: sqlite3.Connection, job_id: str) -> Job | None:
        if not _is_shared(db, job_id):
            return None
        job = self._store.find(db, job_id)
        if job is None or not job.available or job.is_spoiler or not job.status.is_final:
            return None
        return None if people.is_banned(db, job.user) else job


def _add(db: sqlite3.Connection, job_id: str, now: float) -> bool:
    """Whether the job is shared now: one that is hidden is not, also where that was at this very
    moment."""
    cursor = db.execute(
        "INSERT OR REPLACE INTO shared_jobs (job_id, user, shared_at)"
        " SELECT id, user, ? FROM jobs WHERE id = ? AND NOT is_spoiler AND NOT is_pruned",
        (now, job_id),
    )
    return cursor.rowcount == 1


def _remove(db: sqlite3.Connection, job_id: str) -> bool:
    """Whether the job was shared."""
    cursor = db.execute("DELETE FROM shared_jobs WHERE job_id = ?", (job_id,))
    return cursor.rowcount == 1


def _is_shared(db: sqlite3.Connection, job_id: str) -> bool:
    found = "SELECT 1 FROM shared_jobs WHERE job_id = ?"
    return db.execute(found, (job_id,)).fetchone() is not None

"""Ids for new jobs: random, and nobody else's."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial

from bot.database import Database
from bot.gallery import Gallery
from bot.job_store import JobStore
from bot.jobs import Job


class JobIds:
    """The ids that are taken, and those that are given out.

    Of a million ids of 8 of 31 characters, two are the same with a chance of 48 % (the birthday
    problem), and a picture that is overwritten, or shown to somebody else, is one too many.

    Args:
        unfinished: Jobs that are not on disk yet, or still move, by id.
        new_id: The dice.
    """

    def __init__(
        self,
        database: Database,
        store: JobStore,
        gallery: Gallery,
        unfinished: dict[str, Job],
        new_id: Callable[[], str],
    ) -> None:
        self._database = database
        self._store = store
        self._gallery = gallery
        self._unfinished = unfinished
        self._new_id = new_id

    async def give(self, job: Job) -> None:
        """Give *job* an id that no other job and no file in the gallery has, drawn anew as often as
        it takes, and put it among the unfinished jobs, so that nobody else is given it.

        Raises:
            StorageTrouble: The database cannot be asked now.
        """
        while True:
            id = self._new_id()
            is_taken = await self._database.read(partial(self._is_taken, id=id))
            if not is_taken and self._unfinished.setdefault(id, job) is job:
                job.id = id
                return

    def _is_taken(self, db: sqlite3.Connection, id: str) -> bool:
        return self._store.exists(db, id) or self._gallery.has_files_of(id)

"""Favourites: pictures that people want to find again, in the table ``favourites``."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

from bot import selves
from bot.database import Database
from bot.job_store import HistoryPage, JobStore
from bot.jobs import Job
from bot.lookups import Lookups
from bot.refusals import Conflict
from bot.source import Source
from bot.word_search import match_expression

#: Favourites of one person.
MOST = 5000


class Favourites:
    """The favourites of people.

    Args:
        unfinished: Jobs that have not ended, by id; these objects are handed out, since they
            move on.
        now: Unix seconds.
    """

    def __init__(
        self,
        database: Database,
        store: JobStore,
        lookups: Lookups,
        unfinished: Mapping[str, Job],
        now: Callable[[], float],
    ) -> None:
        self._database = database
        self._store = store
        self._lookups = lookups
        self._unfinished = unfinished
        self._now = now

    async def add(self, source: Source, job_id: str) -> Job:
        """The job, which is a favourite of *source* from now on.

        Raises:
            NotFound: There is no such job, or it is somebody else's.
            Conflict: The person has as many as there may be.
        """
        job = await self._lookups.job(source, job_id)
        add = partial(_add, user=source.user, job_id=job.id, now=self._now())
        await self._database.write(add)
        return job

    async def remove(self, source: Source, job_id: str) -> Job:
        """The job, which is no favourite of *source* any more.

        Raises:
            NotFound: There is no such job, or it is somebody else's.
        """
        job = await self._lookups.job(source, job_id)
        await self._database.write(partial(_remove, user=source.user, job_id=job.id))
        return job

    async def among(self, user: str, jobs: Iterable[Job]) -> list[str]:
        """Ids of those of *jobs* that are favourites of *user*, in their order."""
        ids = [job.id for job in jobs]
        return await self._database.read(partial(_among, user=user, job_ids=ids))

    async def page(
        self, user: str, words: str = "", *, before: int | None = None, limit: int = 20
    ) -> HistoryPage:
        """Favourites of *user*, newest job first; see `bot.lookups.Lookups.history`."""

        def read(db: sqlite3.Connection) -> HistoryPage:
            match = match_expression(words)
            if words.strip() and match is None:
                return HistoryPage([], None)  # asked for punctuation alone
            numbers = _numbers(db, user, 2**62 if before is None else before)
            if match is not None:
                numbers = [each for each in numbers if _has_words(db, each, match)]
            return self._store.page(db, numbers, limit)

        page = await self._database.read(read)
        return replace(page, jobs=[self._unfinished.get(job.id, job) for job in page.jobs])


def _add(db: sqlite3.Connection, user: str, job_id: str, now: float) -> None:
    (count,) = db.execute("SELECT count(*) FROM favourites WHERE user = ?", (user,)).fetchone()
    if count >= MOST:
        raise Conflict(f"you have {count} favourites, the most one person may have: remove one")
    db.execute(
        "INSERT OR IGNORE INTO favourites (user, job_id, made_at) VALUES (?, ?, ?)",
        (user, job_id, now),
    )


def part(db: sqlite3.Connection, account: str, others: Iterable[str]) -> None:
    """Take the pictures of the other side out of the favourites of *account* and of *others*,
    which are one person's no longer."""
    for other in others:
        db.executemany(
            "DELETE FROM favourites WHERE user = ?"
            " AND (SELECT user FROM jobs WHERE id = favourites.job_id) = ?",
            [(account, other), (other, account)],
        )


def _remove(db: sqlite3.Connection, user: str, job_id: str) -> None:
    db.executemany(
        "DELETE FROM favourites WHERE user = ? AND job_id = ?",
        [(each, job_id) for each in selves.of(db, user)],
    )


def _among(db: sqlite3.Connection, user: str, job_ids: list[str]) -> list[str]:
    found = "SELECT 1 FROM favourites WHERE user IN (SELECT value FROM json_each(?)) AND job_id = ?"
    mine = json.dumps(selves.of(db, user))
    return [each for each in job_ids if db.execute(found, (mine, each)).fetchone()]


def _numbers(db: sqlite3.Connection, user: str, before: int) -> list[int]:
    """Numbers of the favourites of *user* before *before*, newest first."""
    rows = db.execute(
        "SELECT DISTINCT number FROM favourites JOIN jobs ON jobs.id = favourites.job_id"
        " WHERE favourites.user IN (SELECT value FROM json_each(?)) AND number < ?"
        " ORDER BY number DESC",
        (json.dumps(selves.of(db, user)), before),
    )
    return [row["number"] for row in rows]


def _has_words(db: sqlite3.Connection, number: int, match: str) -> bool:
    found = "SELECT 1 FROM jobs_words WHERE jobs_words MATCH ? AND rowid = ?"
    return db.execute(found, (match, number)).fetchone() is not None

"""Favourites: pictures that people want to find again, in the table ``favourites``."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from functools import partial

from bot import finding, selves
from bot.database import Database
from bot.jobs import Job
from bot.lookups import Lookups
from bot.refusals import Conflict
from bot.source import Source

#: Favourites of one person.
MOST = 5000


class Favourites:
    """The favourites of people. *now* returns unix seconds."""

    def __init__(self, database: Database, lookups: Lookups, now: Callable[[], float]) -> None:
        self._database = database
        self._lookups = lookups
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

    async def mark(self, source: Source, job_id: str, is_on: bool | None) -> tuple[Job, bool]:
        """The job, and whether it is a favourite of *source* now: as *is_on* says, or with None the
        other of what it was.

        Raises:
            NotFound, Conflict: As for `add`.
        """
        if is_on is None:
            is_on = not await self._database.read(
                partial(finding.is_favourite, user=source.user, job_id=job_id)
            )
        return await (self.add if is_on else self.remove)(source, job_id), is_on

    async def among(self, user: str, jobs: Iterable[Job]) -> list[str]:
        """Ids of those of *jobs* that are favourites of *user*, in their order."""
        ids = [job.id for job in jobs]
        return await self._database.read(partial(_among, user=user, job_ids=ids))


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
    return [each for each in job_ids if finding.is_favourite(db, user, each)]

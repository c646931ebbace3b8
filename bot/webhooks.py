"""Webhooks: addresses that are told of the ends of jobs, kept in the table ``webhooks``.

A row is written in the transaction that admits its job, and stays until the address has taken the
news or its time is over, so that it is told at least once, whatever dies in between. An adapter
sends.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bot import departed
from bot.database import Database
from bot.job_store import JobStore
from bot.jobs import Job

#: Seconds until the next attempt after each that failed; after the last there is none. A receiver
#: may be away for a day.
PAUSES = (10.0, 60.0, 300.0, 1800.0, 7200.0, 21_600.0, 43_200.0)
#: Rows that are looked at, and those of one person and of all that are sent at once.
LOOKED_AT, OF_ONE, AT_ONCE = 200, 4, 20


@dataclass(frozen=True, slots=True)
class Notice:
    """News of a job, to be sent to *url*. *attempts* failed before."""

    job: Job
    url: str
    attempts: int


class Webhooks:
    """The news that are owed to addresses.

    Args:
        now: Unix seconds.

    Attributes:
        changed: Set when a job with a webhook has ended.
    """

    def __init__(self, database: Database, store: JobStore, now: Callable[[], float]) -> None:
        self._database = database
        self._store = store
        self._now = now
        self._watching: set[asyncio.Task[None]] = set()
        self.changed = asyncio.Event()

    def watch(self, job: Job) -> None:
        """Set `changed` once *job* has ended."""

        async def ended() -> None:
            await job.finished()
            self.changed.set()

        task = asyncio.create_task(ended(), name=f"webhook of {job.id}")
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)

    def close(self) -> None:
        """Watch nothing more."""
        for task in self._watching:
            task.cancel()

    async def secret(self, user: str) -> str:
        """The key, in hexadecimal, with which news for *user* are signed; always the same one."""
        make = partial(departed.make_hash, text=f"webhook {user}")
        return await self._database.write(make)

    async def due(self) -> list[Notice]:
        """News to be sent now, a few of each person."""
        return await self._database.read(partial(self._due, now=self._now()))

    async def next_at(self) -> float | None:
        """Seconds until the next attempt; None where nothing is owed."""
        (when,) = await self._database.read(
            lambda db: db.execute("SELECT min(next_at) FROM webhooks").fetchone()
        )
        return None if when is None else max(0.0, when - self._now())

    async def close_notice(self, job_id: str) -> None:
        """Forget the webhook of a job: it was told, or never will be."""
        await self._database.write(
            lambda db: db.execute("DELETE FROM webhooks WHERE job_id = ?", (job_id,))
        )

    async def failed(self, notice: Notice) -> bool:
        """Whether another attempt is made later, after one that failed."""
        if notice.attempts >= len(PAUSES):
            await self.close_notice(notice.job.id)
            return False
        next_at = self._now() + PAUSES[notice.attempts]
        await self._database.write(
            lambda db: db.execute(
                "UPDATE webhooks SET attempts = attempts + 1, next_at = ? WHERE job_id = ?",
                (next_at, notice.job.id),
            )
        )
        return True

    def _due(self, db: sqlite3.Connection, now: float) -> list[Notice]:
        rows = db.execute(
            "SELECT job_id, webhooks.user, url, webhooks.attempts FROM webhooks"
            " JOIN jobs ON jobs.id = job_id WHERE next_at <= ?"
            " AND status IN ('succeeded', 'failed', 'cancelled') ORDER BY next_at LIMIT ?",
            (now, LOOKED_AT),
        ).fetchall()
        taken: Counter[str] = Counter()
        notices: list[Notice] = []
        for row in rows:
            job = self._store.find(db, row["job_id"])
            if job is None or taken[row["user"]] == OF_ONE or len(notices) == AT_ONCE:
                continue
            taken[row["user"]] += 1
            notices.append(Notice(job, row["url"], row["attempts"]))
        return notices


def add(db: sqlite3.Connection, job: Job) -> None:
    """Have the webhook of *job* told of its end."""
    db.execute(
        "INSERT INTO webhooks (job_id, user, url, next_at) VALUES (?, ?, ?, ?)",
        (job.id, job.user, job.webhook_url, job.submitted_at),
    )

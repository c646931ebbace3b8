"""Answers that are owed: the ends of jobs that a platform has still to show to their people."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any

from bot.database import Database
from bot.job_store import JobStore
from bot.jobs import Delivery, Job
from bot.outcomes import Outcomes
from bot.worker import Worker


class Answers:
    """The answers of all platforms. *now* returns unix seconds."""

    def __init__(
        self,
        database: Database,
        store: JobStore,
        outcomes: Outcomes,
        worker: Worker,
        now: Callable[[], float],
    ) -> None:
        self._database = database
        self._store = store
        self._outcomes = outcomes
        self._worker = worker
        self._now = now

    async def undelivered(self, platform: str) -> list[Job]:
        """Jobs whose answers are owed to people on *platform*, oldest first.

        An adapter asks once it can send, and follows them as it follows new ones.
        """
        return await self._worker.look_up(partial(self._store.undelivered, platform=platform))

    async def to_event(self, event_id: str) -> Job | None:
        """The job that the platform's event *event_id* has made; None if it has made none."""

        def find(db: sqlite3.Connection) -> list[Job]:
            job = self._store.find_event(db, event_id)
            return [] if job is None else [job]

        return next(iter(await self._worker.look_up(find)), None)

    async def redirect(self, job: Job, reply_to: dict[str, Any]) -> None:
        """Change the address of the answer to *job*."""
        await self._database.write(partial(self._store.redirect, job_id=job.id, reply_to=reply_to))
        job.reply_to = reply_to

    async def delivered(self, job: Job) -> None:
        """Write that the answer to *job*, which has ended, was delivered."""
        await self._database.write(
            partial(self._store.close_delivery, job_id=job.id, delivery=Delivery.DELIVERED)
        )
        job.delivery = Delivery.DELIVERED

    async def undeliverable(self, job: Job, reason: str) -> None:
        """Give up the answer to *job*, which has ended; its credits go back.

        The picture stays in the person's history, with *reason*, a sentence.
        """
        give_up = self._outcomes.give_up_delivery
        await self._database.write(partial(give_up, job_id=job.id, reason=reason, now=self._now()))
        job.delivery, job.error = Delivery.NONE, job.error or reason

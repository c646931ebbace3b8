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
from bot.series import Shown
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

    async def redirect(self, shown: Shown, reply_to: dict[str, Any]) -> None:
        """Change the address of the answer to *shown*."""

        def redirect(db: sqlite3.Connection) -> None:
            for job in shown.parts:
                self._store.redirect(db, job.id, reply_to)

        await self._database.write(redirect)
        for job in shown.parts:
            job.reply_to = dict(reply_to)

    async def delivered(self, shown: Shown) -> None:
        """Write that the answer to *shown*, which has ended, was delivered."""

        def deliver(db: sqlite3.Connection) -> None:
            for job in shown.parts:
                self._store.close_delivery(db, job.id, Delivery.DELIVERED)

        await self._database.write(deliver)
        for job in shown.parts:
            job.delivery = Delivery.DELIVERED

    async def undeliverable(self, shown: Shown, reason: str) -> None:
        """Give up the answer to *shown*, which has ended; its credits go back.

        The picture stays in the person's history, with *reason*, a sentence.
        """
        now = self._now()

        def give_up(db: sqlite3.Connection) -> None:
            for job in shown.parts:
                self._outcomes.give_up_delivery(db, job_id=job.id, reason=reason, now=now)

        await self._database.write(give_up)
        for job in shown.parts:
            job.delivery, job.error = Delivery.NONE, job.error or reason

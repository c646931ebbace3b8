"""Review: pictures that a screen holds back, until a moderator has decided.

A held job is drawn, stored and unfinished: whoever asked still waits, and nobody but moderators
sees its files, but for those of its pictures that no screen has held (`Job.ready`). Moderators are
the bot's admins and, for pictures that were asked for in a server, the people who manage it.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bot import refused_words, strikes
from bot.administration import Administration
from bot.database import Database
from bot.gallery import Gallery
from bot.job_store import JobStore
from bot.jobs import Job, JobStatus, Review
from bot.outcomes import Outcome, Outcomes
from bot.refusals import Conflict, NotFound
from bot.requests import check_picture_number
from bot.sections import ScreenSettings
from bot.shown import Shown
from bot.worker import Worker
from generation.checks import shortened

logger = logging.getLogger(__name__)

REJECTED = "a moderator decided not to show this picture"
EXPIRED = "no moderator looked at this picture in time; your credits were given back"


class Reviewing:
    """The acts of moderators on held pictures; the first argument of each is the moderator.

    Every act raises NotAllowed for anybody else, and is in the audit log.
    """

    def __init__(
        self,
        settings: ScreenSettings,
        database: Database,
        store: JobStore,
        outcomes: Outcomes,
        worker: Worker,
        gallery: Gallery,
        admin: Administration,
        shown: Shown,
        now: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._database = database
        self._store = store
        self._outcomes = outcomes
        self._worker = worker
        self._gallery = gallery
        self._admin = admin
        self._shown = shown
        self._now = now

    async def held(self, moderator: str, server: str | None = None) -> list[Job]:
        """Jobs that wait for a decision, oldest first; with *server* those from there alone."""
        self._admin.check(moderator, server)
        return await self._worker.look_up(partial(self._store.held, server=server))

    def waiting(self, user: str) -> int | None:
        """Number of jobs that wait for a decision; None for anybody but admins."""
        if not self._admin.is_admin(user):
            return None
        return len(self._worker.held)

    async def job(self, moderator: str, job_id: str) -> Job:
        """A held job.

        Raises:
            NotFound: There is no such job.
            Conflict: It is not held, or no longer.
            NotAllowed: It is another server's.
        """
        job = self._worker.unfinished.get(job_id) or await self._database.read(
            partial(self._store.find, job_id=job_id)
        )
        if job is None:
            raise NotFound(f"there is no picture {shortened(job_id)}", field="id")
        self._admin.check(moderator, job.origin.server)
        if job.status is not JobStatus.HELD:
            raise Conflict(
                f"{job.id} was {job.review} already"
                if job.review in (Review.RELEASED, Review.REJECTED)
                else f"{job.id} is not held"
            )
        return job

    async def picture(self, moderator: str, job_id: str, number: int = 1) -> Path:
        """The PNG file of picture *number* (from 1) of a held job.

        Raises:
            NotFound, Conflict, NotAllowed: As for `job`.
        """
        job = await self.job(moderator, job_id)
        return await looked_at(self._admin, self._gallery, moderator, job, number)

    async def release(self, moderator: str, job_id: str) -> Job:
        """The job, whose picture goes to the person now.

        Raises:
            NotFound, Conflict, NotAllowed: As for `job`.
        """
        job = await self.job(moderator, job_id)
        end = Outcome(JobStatus.SUCCEEDED, self._now(), review=Review.RELEASED)
        return await self._decide(moderator, job, "release", None, end)

    async def reject(self, moderator: str, job_id: str, reason: str = "") -> Job:
        """The job, which has failed: its pictures that were not shown before are deleted, and the
        person gets a strike.

        *reason* is a sentence for them.

        Raises:
            NotFound, Conflict, NotAllowed: As for `job`.
        """
        job = await self.job(moderator, job_id)
        refund = self._settings.refund
        back = "; your credits were given back" if refund else ""
        because = f" ({reason})" if reason else ""
        end = Outcome(
            JobStatus.FAILED,
            self._now(),
            f"{REJECTED}{because}{back}",
            is_refunded=refund,
            strike=job.verdict or "rejected",
            review=Review.REJECTED,
        )
        return await self._decide(moderator, job, "reject", reason or None, end)

    async def expire(self, before: float) -> int:
        """Number of jobs that were begun before *before* (unix seconds) and are still held. They
        end without a strike, and are refunded."""
        count = 0
        for job in await self._database.read(self._store.held):
            if job.submitted_at >= before:
                continue
            end = Outcome(JobStatus.FAILED, self._now(), EXPIRED, review=Review.REJECTED)
            write = partial(self._outcomes.write, job_id=job.id, outcome=end)
            holds = await self._database.write(write)
            self._worker.end_held(job.id, holds)
            if holds is None or holds.status is JobStatus.SUCCEEDED:
                continue  # a moderator has released it meanwhile
            await asyncio.to_thread(self._gallery.finish, job, job.ready)
            count += 1
        return count

    async def reveal(self, moderator: str, job_id: str) -> Job:
        """The job, whose picture is no longer hidden behind a spoiler.

        Raises:
            NotFound: There is no such job.
            NotAllowed: It is another server's.
        """
        job = await self._database.read(partial(self._store.find, job_id=job_id))
        if job is None:
            raise NotFound(f"there is no picture {shortened(job_id)}", field="id")
        server = job.origin.server

        def act(db: sqlite3.Connection) -> None:
            self._store.set_spoiler(db, job_id, False)

        await self._admin.do(moderator, "reveal", job_id, None, act, server=server)
        job.is_spoiler = False
        self._shown.tell(job)
        return job

    async def strikes(self, moderator: str, user: str) -> list[float]:
        """Times (unix seconds) of the strikes of *user* that count now, newest first."""
        self._admin.check(moderator)
        count = partial(strikes.of, user=user, now=self._now(), settings=self._settings)
        return await self._database.read(count)

    async def lift(self, moderator: str, user: str) -> int:
        """Number of strikes of *user* that count no longer, so that they may draw again."""
        lift = partial(strikes.lift, user=user)
        return await self._admin.do(moderator, "lift strikes", user, None, lift)

    async def words(self, moderator: str, server: str) -> tuple[str, ...]:
        """Words that are refused in *server*, beside those of the screens."""
        self._admin.check(moderator, server)
        return await self._database.read(partial(refused_words.of, server=server))

    async def refuse_word(
        self, moderator: str, server: str, word: str, *, is_refused: bool
    ) -> tuple[str, ...]:
        """The words that are refused in *server*, now that *word* is, or no longer.

        Raises:
            NotFound: It was not refused.
            InvalidRequest, Conflict: It cannot be refused.
        """

        def act(db: sqlite3.Connection) -> tuple[str, ...]:
            if is_refused:
                refused_words.add(db, server, word)
            elif not refused_words.remove(db, server, word):
                raise NotFound(f"{shortened(word)} was not refused here")
            return refused_words.of(db, server)

        name = "refuse word" if is_refused else "allow word"
        return await self._admin.do(moderator, name, word, None, act, server=server)

    async def _decide(
        self, moderator: str, job: Job, act: str, reason: str | None, end: Outcome
    ) -> Job:
        def write(db: sqlite3.Connection) -> Outcome | None:
            still = self._store.find(db, job.id)
            if still is None or still.status is not JobStatus.HELD:
                raise Conflict(f"{job.id} is no longer held")
            return self._outcomes.write(db, job.id, end)

        holds = await self._admin.do(
            moderator, act, job.id, reason, write, server=job.origin.server
        )
        if end.status is not JobStatus.SUCCEEDED:
            try:
                await asyncio.to_thread(self._gallery.finish, job, job.ready)
            except OSError as error:
                logger.error("the pictures of %s cannot be deleted: %s", job.id, error)
        self._worker.end_held(job.id, holds)
        return job


async def looked_at(
    admin: Administration, gallery: Gallery, moderator: str, job: Job, number: int
) -> Path:
    """The PNG file of picture *number* of *job*, at which *moderator* looks: it goes into the
    audit log.

    Raises:
        NotFound: It was deleted.
        NotAllowed: It is another server's.
    """
    server = job.origin.server
    admin.check(moderator, server)
    check_picture_number(job, number)
    path = gallery.picture_path(job.id, number)
    if not await asyncio.to_thread(path.exists):
        raise NotFound(f"the picture of {job.id} is gone")
    which = f"picture {number}" if job.images > 1 else None
    await admin.do(moderator, "look", job.id, which, lambda db: None, server=server)
    return path

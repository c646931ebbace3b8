"""What belongs to one person: handed over, and deleted.

A deletion ends the person's jobs first, then deletes files, then words and names in the database,
each step in slices that hold up nobody for long. It is written down before it begins, so that
one which a crash has interrupted is carried out by the next start.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from bot import deletion_record, departed, due_deletions, forgetting, people, selves
from bot.admission import Admission
from bot.backups import DAY
from bot.config import Config
from bot.database import Database
from bot.exports import Export, Exports
from bot.gallery import Gallery
from bot.job_store import JobStore
from bot.jobs import Job, JobStatus, Review
from bot.linking import Linking
from bot.outcomes import Outcome, Outcomes
from bot.refusals import StorageTrouble
from bot.sessions import Sessions
from bot.upkeep import kept_control_images
from bot.worker import Worker

logger = logging.getLogger(__name__)

DELETED_HERE = "what was drawn here is being deleted; your credits were given back"
LATER = "nothing can be saved right now: your data is deleted as soon as that works again"
DELETED_WHILE_HELD = "the person deleted it before a moderator had decided"
#: Jobs that one transaction changes, and whose files are deleted together.
JOBS_AT_ONCE = 50
#: Seconds that messages which show deleted pictures may take to be deleted on their platform.
SECONDS_FOR_MESSAGES = 20.0
LOOK_EVERY = 3600.0

#: Deletes the bot's message at a ``reply_to``; False where that cannot be done.
EraseMessage = Callable[[Mapping[str, Any]], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Deletion:
    """What was deleted.

    Attributes:
        jobs: Jobs whose pictures and words are gone.
        messages_left: Messages on the platform that the bot could not delete.
        backups_until: Unix seconds at which the last backup that has them is deleted, if the bot
            runs; None where none is kept.
    """

    jobs: int
    messages_left: int
    backups_until: float | None

    @property
    def last_day_in_backups(self) -> str:
        """Day such as 2026-08-30, UTC; empty where no backup is kept."""
        if self.backups_until is None:
            return ""
        return datetime.fromtimestamp(self.backups_until, UTC).strftime("%Y-%m-%d")


class OwnData:
    """The data of people. *now* returns unix seconds.

    Attributes:
        erase_message: For each platform, the way to delete the bot's messages there; adapters add
            theirs.
    """

    def __init__(
        self,
        config: Config,
        database: Database,
        store: JobStore,
        outcomes: Outcomes,
        gallery: Gallery,
        worker: Worker,
        admission: Admission,
        sessions: Sessions,
        linking: Linking,
        now: Callable[[], float],
    ) -> None:
        self._config = config
        self._database = database
        self._store = store
        self._outcomes = outcomes
        self._gallery = gallery
        self._worker = worker
        self._admission = admission
        self._sessions = sessions
        self._linking = linking
        self._now = now
        self._turn = asyncio.Lock()
        self._exports = Exports(config, database, store, gallery, now)
        self.erase_message: dict[str, EraseMessage] = {}

    async def export(self, user: str, max_bytes: int | None = None) -> Export:
        """Everything that is kept about *user*, in files that `Export.close` deletes.

        Args:
            max_bytes: Size of the largest file that the person can be sent; None for any.

        Raises:
            TooOften: They had enough of them for today.
            Conflict: One is being made for them.
            StorageTrouble: The disk is full.
        """
        others = sorted(self._linking.known.of(user) - {user})
        return await self._exports.make(user, others, max_bytes)

    async def delete(self, user: str, server: str | None = None) -> Deletion:
        """Delete everything of *user*, by all of their accounts, and return once it is gone; with
        *server* (``platform-server:id``) pictures and words of the jobs that were asked for there
        by that account alone.

        Jobs that wait or are drawn are cancelled first: by the person, who pays for the steps that
        were drawn, or with *server* by others, who give the credits back. What somebody else has
        made of a picture stays theirs. Credits that were spent, bans, strikes and own quotas hold
        on for a person who comes back; see `bot.departed`.

        Raises:
            StorageTrouble: The database cannot be written now. It is carried out later.
        """
        if server is not None or not user:
            await self._write_down([user], server)
            return await self._carry_out(user, server)
        accounts = [user, *sorted(self._linking.known.of(user) - {user})]
        await self._write_down(accounts, None)
        await self._linking.known.refresh(accounts)
        parts = [await self._carry_out(each, None) for each in accounts]
        jobs, left = sum(each.jobs for each in parts), sum(each.messages_left for each in parts)
        return Deletion(jobs, left, parts[-1].backups_until)

    async def _write_down(self, users: list[str], server: str | None) -> None:
        """Write down that *users* are to be deleted; accounts of one person part at the same time,
        so that what counts for them is settled while all of it is there."""
        now = self._now()

        def write(db: sqlite3.Connection) -> None:
            for user in users:
                if server is None:
                    self._linking.part(db, user)
                due_deletions.add(db, user=user, server=server, due_at=now)

        await self._database.write(write)

    async def person_left(self, user: str, server: str) -> None:
        """Have what *user* asked for in *server* deleted in ``retention.grace_days``, where
        ``retention.when_person_leaves`` says so, unless they are `back` before."""
        if self._config.retention.when_person_leaves == "delete":
            await self._delete_later(user, server)

    async def bot_removed(self, server: str) -> None:
        """Have what anybody asked for in *server* deleted in ``retention.grace_days``, where
        ``retention.when_bot_is_removed`` says so, unless the bot is `back` before.

        An outage is no removal, and no reason to call this.
        """
        if self._config.retention.when_bot_is_removed == "delete":
            await self._delete_later("", server)

    async def back(self, server: str, user: str = "") -> None:
        """Take back what is still to be deleted because *user*, or the bot, was gone from
        *server*."""
        now = self._now()
        is_announced = partial(due_deletions.is_announced, user=user, server=server, now=now)
        if await self._database.read(is_announced):
            back = partial(due_deletions.take_back, user=user, server=server, now=now)
            await self._database.write(back)

    async def _delete_later(self, user: str, server: str) -> None:
        due_at = self._now() + self._config.retention.grace_days * DAY
        await self._database.write(
            partial(due_deletions.add, user=user, server=server, due_at=due_at)
        )

    async def run(self) -> None:
        """Carry out what is due, every hour until cancelled."""
        while True:
            try:
                await self.carry_out_due()
                await self.forget_old()
            except Exception:
                logger.exception("data that is due cannot be deleted")
            await asyncio.sleep(LOOK_EVERY)

    async def carry_out_due(self) -> int:
        """Number of deletions that were due, and are carried out now."""
        found = await self._database.read(partial(due_deletions.due, now=self._now()))
        for user, server in found:
            await self._carry_out(user, server)
        return len(found)

    async def forget_old(self) -> int:
        """Number of jobs whose words are older than ``retention.prompts_days``, and are forgotten
        now; acts of admins and exports that are too old are deleted too."""
        now, settings = self._now(), self._config.retention
        count = 0
        if settings.prompts_days:
            before = now - settings.prompts_days * DAY
            old = partial(forgetting.old_words, before=before, limit=JOBS_AT_ONCE)
            while found := await self._database.read(old):
                await self._database.write(partial(forgetting.forget_words, job_ids=found, now=now))
                count += len(found)
        if settings.audit_days:
            before = now - settings.audit_days * DAY
            await self._database.write(partial(due_deletions.forget_acts, before=before))
        parted_before = now - self._hours * 3600
        if await self._database.read(partial(selves.has_expired, before=parted_before)):
            await self._database.write(partial(selves.expire, before=parted_before))
        if await self._database.read(partial(departed.has_expired, now=now)):
            await self._database.write(partial(departed.expire, now=now))
        await asyncio.to_thread(self._exports.tidy)
        if count:
            await self._leave_no_trace()
        return count

    async def _carry_out(self, user: str, server: str | None) -> Deletion:
        async with self._turn:
            is_everything = server is None
            if is_everything:
                self._admission.leaving.add(user)
            try:
                return await self._delete(user, server)
            finally:
                self._admission.leaving.discard(user)

    async def _delete(self, user: str, server: str | None) -> Deletion:
        await self._note(user, server)
        if server is None:
            await self._sessions.end_all(user)
        await self._end_jobs(user, server)
        ids = await self._database.read(partial(forgetting.jobs_of, user=user, server=server))
        messages = await self._database.read(partial(forgetting.addresses, job_ids=ids))
        attached = await self._database.read(partial(forgetting.control_images_of, job_ids=ids))
        for begin in range(0, len(ids), JOBS_AT_ONCE):
            some = ids[begin : begin + JOBS_AT_ONCE]
            # Files first: a crash in between repeats this, and forgets nothing.
            await asyncio.to_thread(self._gallery.prune_pictures, some)
            erase = partial(forgetting.erase_jobs, job_ids=some, now=self._now())
            await self._database.write(erase)
        await self._delete_attached(attached)
        await self._database.write(partial(self._forget_person, user=user, server=server))
        await self._leave_no_trace()
        left = await self.erase_messages(messages)
        keep = self._config.storage.keep_backups
        until = self._now() + (keep + 1) * DAY if keep else None
        logger.info("the data of %d jobs was deleted for a person", len(ids))
        return Deletion(len(ids), left, until)

    async def _note(self, user: str, server: str | None) -> None:
        """Write the deletion down for a backup that may be restored."""
        storage = self._config.storage
        if not storage.keep_backups:
            return
        path = storage.data_dir / "backups" / deletion_record.NAME
        keep_for = (storage.keep_backups + 2) * DAY
        note = partial(deletion_record.note, path, user, server, self._now(), keep_for)
        try:
            await asyncio.to_thread(note)
        except OSError as error:
            logger.error("a deletion waits, since it cannot be written down: %s", error)
            raise StorageTrouble(LATER) from error

    async def _end_jobs(self, user: str, server: str | None) -> None:
        """End all jobs of *user*, whatever state they are in."""
        await self._admission.settled(user)
        reason = None if server is None else DELETED_HERE
        unfinished = self._worker.unfinished
        while mine := [job for job in unfinished.values() if _is_of(job, user, server)]:
            # Those that wait first, or the next of them would be begun meanwhile.
            for job in sorted(mine, key=lambda job: job.status is not JobStatus.QUEUED):
                if job.status is JobStatus.HELD:
                    await self._end_held(job)
                else:
                    await self._worker.cancel(job, reason)
            await self._worker.settled()
            await asyncio.sleep(0)

    async def _end_held(self, job: Job) -> None:
        """End a job that waits for moderators, without a refund: nobody has judged it."""
        end = Outcome(
            JobStatus.FAILED,
            self._now(),
            DELETED_WHILE_HELD,
            is_refunded=False,
            review=Review.REJECTED,
        )
        write = partial(self._outcomes.write, job_id=job.id, outcome=end)
        self._worker.end_held(job.id, await self._database.write(write))

    async def _delete_attached(self, names: Iterable[str]) -> None:
        """Delete the attached pictures *names* that no other job needs."""
        with self._admission.watching() as in_use:
            kept = await kept_control_images(self._database, self._store)
            for name in names:
                # Nothing may come between this look and the deletion, so no thread does it.
                if name not in kept and name not in in_use:
                    (self._gallery.control_images / Path(name).name).unlink(missing_ok=True)

    def _forget_person(self, db: sqlite3.Connection, user: str, server: str | None) -> None:
        if server is None:
            until = self._now() + self._hours * 3600
            stand_in = people.forget(db, user, until)
            forgetting.replace_person(db, user, stand_in)
        elif not user:
            due_deletions.forget_server(db, server)
        due_deletions.remove(db, user, server)

    @property
    def _hours(self) -> float:
        """Hours after which nothing counts any more that a person has done."""
        return max(self._config.quota.window_hours, self._config.screens.strike_hours)

    async def _leave_no_trace(self) -> None:
        """Rewrite the search index and the log of the database without what was deleted."""
        while await self._database.write(forgetting.tidy_search):
            pass
        await self._database.checkpoint()

    async def erase_messages(self, messages: list[tuple[str, dict[str, Any]]]) -> int:
        """Number of *messages*, each a platform and a job's ``reply_to`` there, that could not be
        deleted."""
        left = len(messages)
        with suppress(TimeoutError):
            async with asyncio.timeout(SECONDS_FOR_MESSAGES):
                for platform, reply_to in messages:
                    erase = self.erase_message.get(platform)
                    if erase is not None and await erase(reply_to):
                        left -= 1
        return left


def _is_of(job: Job, user: str, server: str | None) -> bool:
    return user in ("", job.user) and server in (None, job.origin.server)

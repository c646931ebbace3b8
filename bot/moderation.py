"""Moderation: reports of people, and the acts of moderators on pictures and people.

Moderators are the bot's admins and, for what was asked for in a server, the people who manage it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bot import incidents, people, reports, strikes, votes
from bot.administration import Administration
from bot.config import Config
from bot.database import Database
from bot.gallery import Gallery
from bot.incidents import Kind
from bot.job_store import JobStore
from bot.jobs import Delivery, Job, JobStatus
from bot.moderation_log import ModerationLog, Tell
from bot.own_data import OwnData
from bot.refusals import Conflict, NotFound
from bot.reports import Reported
from bot.review import looked_at
from bot.shown import Shown
from bot.worker import Worker
from generation.checks import check_text, shortened


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asked for a picture, for moderators.

    Attributes:
        parent: The job that it was made from, where it is still known.
        pictures: Number of all their jobs that succeeded, in the places the moderator may see.
        strikes: Number of their strikes that count now.
        is_banned: Whether they are banned everywhere.
    """

    job: Job
    parent: Job | None
    pictures: int
    strikes: int
    is_banned: bool


class Moderation:
    """Reports, and the acts of moderators; every act is in the audit log."""

    def __init__(
        self,
        config: Config,
        database: Database,
        store: JobStore,
        worker: Worker,
        gallery: Gallery,
        admin: Administration,
        own_data: OwnData,
        shown: Shown,
        now: Callable[[], float],
    ) -> None:
        self._settings = config.moderation
        self._screens = config.screens
        self._database = database
        self._store = store
        self._worker = worker
        self._gallery = gallery
        self._admin = admin
        self._own_data = own_data
        self._shown = shown
        self._now = now

    # People

    async def report(self, user: str, job_id: str, reason: str = "") -> Job:
        """The job, which *user* has reported. After ``moderation.reports_to_hide`` reports its
        picture is hidden, also where it was shown before as far as the platform can.

        Raises:
            NotFound: There is no such picture.
            Conflict: They have reported it before.
            TooOften: They have reported too much.
        """
        check_text("reason", reason)
        job = await self._job(job_id)
        if job.status is not JobStatus.SUCCEEDED or job.is_pruned:
            raise NotFound(f"there is no picture {shortened(job_id)} any more", field="id")
        now = self._now()

        def act(db: sqlite3.Connection) -> bool:
            count = reports.add(db, job_id, user, reason, now)
            most = self._settings.reports_to_hide
            is_hidden = bool(most) and count >= most
            if is_hidden:
                self._store.set_spoiler(db, job_id, True)
            number = "1 report" if count == 1 else f"{count} reports"
            note = f"{number}: {reason}" if reason else number
            server = job.origin.server
            incidents.add(db, Kind.REPORTED, now, note, user=job.user, server=server, job_id=job_id)
            return is_hidden

        if await self._database.write(act) and not job.is_spoiler:
            job.is_spoiler = True
            self._shown.tell(job)
        return job

    # Moderators

    async def who(self, moderator: str, job_id: str) -> Asker:
        """Who asked for a picture.

        Raises:
            NotFound: There is no such job.
            NotAllowed: It is another server's.
        """
        job = await self._job(job_id)
        server = job.origin.server
        scope = None if self._admin.is_admin(moderator) else server
        now = self._now()

        def look(db: sqlite3.Connection) -> Asker:
            return Asker(
                job,
                None if job.parent is None else self._store.find(db, job.parent),
                self._store.count(db, job.user, scope),
                len(strikes.of(db, job.user, now, self._screens)),
                people.is_banned(db, job.user),
            )

        return await self._admin.do(moderator, "who", job_id, None, look, server=server)

    async def reported(self, moderator: str, server: str | None = None) -> list[Reported]:
        """Jobs with open reports; with *server* of jobs from there."""
        self._admin.check(moderator, server)
        return await self._database.read(partial(reports.open_ones, server=server))

    async def dismiss(self, moderator: str, job_id: str) -> int:
        """Number of reports about a job that were closed, without any other consequence.

        Raises:
            NotFound: There is no such job, or nobody has reported it.
            NotAllowed: It is another server's.
        """
        job = await self._job(job_id)

        def act(db: sqlite3.Connection) -> int:
            if not (count := reports.close(db, job_id)):
                raise NotFound(f"nobody has reported {shortened(job_id)}", field="id")
            return count

        server = job.origin.server
        return await self._admin.do(moderator, "dismiss", job_id, None, act, server=server)

    async def remove(self, moderator: str, job_id: str, reason: str = "") -> tuple[Job, int]:
        """The job, whose pictures are deleted, with the message that shows them; its line in the
        person's history stays. Beside it, the number of messages (0 or 1) that are still there.

        Raises:
            NotFound: There is no such job.
            Conflict: It has not ended.
            NotAllowed: It is another server's.
        """
        job = await self._job(job_id)
        self._admin.check(moderator, job.origin.server)
        if not job.status.is_final:
            raise Conflict(f"{job.id} is {job.status}: cancel or reject it instead")
        await asyncio.to_thread(self._gallery.delete, job.id)

        def act(db: sqlite3.Connection) -> None:
            reports.close(db, job_id)
            votes.withdraw(db, [job_id])
            self._store.prune(db, [job_id])
            self._store.close_delivery(db, job_id, Delivery.NONE)

        server = job.origin.server
        await self._admin.do(moderator, "remove", job_id, reason or None, act, server=server)
        job.is_pruned = True
        if job.reply_to is None:
            return job, 0
        platform = job.user.partition(":")[0]
        return job, await self._own_data.erase_messages([(platform, job.reply_to)])

    async def erase(self, moderator: str, user: str, server: str) -> int:
        """Number of jobs of *user* in *server* whose pictures and words are deleted, and the bot's
        messages with them, where the platform lets the bot do that.

        Raises:
            NotAllowed: *moderator* does not manage that server.
            Conflict: *user* manages it too.
        """
        self._admin.check(moderator, server)
        if self._admin.manages(user, server) and not self._admin.is_admin(moderator):
            raise Conflict(f"{user} manages this server too: ask an admin of the bot")
        await self._admin.do(moderator, "erase", user, None, lambda db: None, server=server)
        deletion = await self._own_data.delete(user, server)
        return deletion.jobs

    async def figures(
        self, moderator: str, days: float, server: str | None = None
    ) -> dict[str, int]:
        """Number of refused, held and reported requests of the last *days*."""
        self._admin.check(moderator, server)
        since = self._now() - days * 86400
        return await self._database.read(partial(incidents.counts, since=since, server=server))

    # The log channel

    async def set_log_channel(self, moderator: str, server: str, channel: str | None) -> None:
        """Tell *channel*, the platform's own id, of incidents in *server*; None ends that."""
        act = partial(incidents.set_channel, server=server, channel=channel)
        await self._admin.do(moderator, "log channel", channel or "off", server, act, server=server)

    async def log_channel(self, server: str | None) -> str | None:
        """Id of the channel that is told of incidents in *server*; None without one."""
        return await self._database.read(partial(incidents.channel_of, server=server))

    def log(self, platform: str, everywhere: str, tell: Tell) -> ModerationLog:
        """The log channels of *platform*; see `bot.moderation_log`."""
        return ModerationLog(self._database, platform, everywhere, tell)

    async def picture(self, moderator: str, job_id: str, number: int = 1) -> Path:
        """The PNG file of picture *number* (from 1) of a job, whether it is held or not.

        Raises:
            NotFound: There is no such picture, or it was deleted.
            NotAllowed: It is another server's.
        """
        job = await self._job(job_id)
        return await looked_at(self._admin, self._gallery, moderator, job, number)

    async def _job(self, job_id: str) -> Job:
        job = self._worker.unfinished.get(job_id) or await self._database.read(
            partial(self._store.find, job_id=job_id)
        )
        if job is None:
            raise NotFound(f"there is no picture {shortened(job_id)}", field="id")
        return job

"""The acts of admins: quotas, bans, pausing, presets, the queue of everybody.

Every act is written into the audit log in the same transaction that carries it out.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from bot import audit_log, incidents, people, statistics, switches
from bot.audit_log import Act
from bot.database import Database
from bot.gallery import Gallery
from bot.job_ids import JobIds
from bot.job_store import JobStore
from bot.jobs import Job
from bot.ledger import Ledger, QuotaStatus
from bot.origins import Origin
from bot.presets import Presets
from bot.refusals import Conflict, NotAllowed, NotFound
from bot.selves import Selves
from bot.worker import Worker
from generation.checks import check_text, shortened
from generation.types import Preset

T = TypeVar("T")

#: Begin of the name of the switch that disables a preset.
_DISABLED = "preset off: "

#: Acts that a log channel is told of.
TOLD = frozenset(
    {"ban", "unban", "release", "reject", "remove", "dismiss", "erase", "lift strikes", "reveal"}
)

PAUSED = "an admin has paused drawing; waiting jobs are kept"
DRAINING = "an admin is emptying the queue: waiting jobs are drawn, no new ones are accepted"

CANCELLED = "an admin cancelled this job; your credits were given back"


@dataclass(frozen=True, slots=True)
class _Recognised:
    is_admin: bool
    manages: str | None


class Administration:
    """The acts of the people in *admins*; the first argument of each method is the admin.

    Every method raises NotAllowed for anybody else. People who manage a server may carry out the
    acts that concern that server alone.

    Attributes:
        is_paused: Whether an admin has paused drawing.
        is_draining: Whether waiting jobs are drawn, but no new ones accepted.
    """

    def __init__(
        self,
        admins: tuple[str, ...],
        database: Database,
        ledger: Ledger,
        worker: Worker,
        presets: Presets,
        default_preset: str,
        model: str,
        store: JobStore,
        gallery: Gallery,
        ids: JobIds,
        cancel: Callable[[Job, str], Any],
        selves: Selves,
        now: Callable[[], float],
    ) -> None:
        self._admins = admins
        self._database = database
        self._ledger = ledger
        self._worker = worker
        self._presets = presets
        self._default_preset = default_preset
        self._model = model
        self._store = store
        self._gallery = gallery
        self._ids = ids
        self._cancel = cancel
        self._selves = selves
        self._now = now
        self._recognised: dict[str, _Recognised] = {}
        self.is_paused = self.is_draining = False  # until `start` has looked

    async def start(self) -> None:
        """Restore the switches from before the restart."""
        known = await self._database.read(switches.everything)
        self.is_paused = "paused" in known
        if self.is_paused:
            self._worker.pause(known["paused"])
        self.is_draining = "draining" in known
        self._presets.disabled = frozenset(
            name.removeprefix(_DISABLED) for name in known if name.startswith(_DISABLED)
        )

    def recognise(self, user: str, *, is_admin: bool = False, manages: str | None = None) -> None:
        """Accept the platform's word for the rights of *user* in their present place.

        It holds until the platform's next word on them.

        Args:
            is_admin: Whether they count as an admin of the configuration.
            manages: The server (``platform-server:id``) that they manage.
        """
        if is_admin or manages:
            self._recognised[user] = _Recognised(is_admin, manages)
        else:
            self._recognised.pop(user, None)

    def is_recognised(self, user: str) -> bool:
        """Whether *user* has rights by the platform's last word on them."""
        return user in self._recognised

    def is_admin(self, user: str) -> bool:
        recognised = self._recognised.get(user)
        return user in self._admins or (recognised is not None and recognised.is_admin)

    def manages(self, user: str, server: str | None) -> bool:
        """Whether *user* may decide about *server*."""
        recognised = self._recognised.get(user)
        return self.is_admin(user) or (
            server is not None and recognised is not None and recognised.manages == server
        )

    async def quota(self, admin: str, user: str, roles: tuple[str, ...] = ()) -> QuotaStatus:
        """Credits of *user*, who has these *roles*."""
        self.check(admin)
        status = partial(
            self._ledger.status, user=user, now=self._now(), origin=Origin(roles=roles)
        )
        return await self._database.read(status)

    async def grant(self, admin: str, user: str, credits: int) -> None:
        """Give *user* extra credits, which never expire."""
        act = partial(self._ledger.grant, user=user, credits=credits, now=self._now(), admin=admin)
        await self.do(admin, "grant", user, str(credits), act)

    async def reset_quota(self, admin: str, user: str) -> None:
        """Reset the credits that *user* has spent in the current window."""
        act = partial(self._ledger.reset, user=user, now=self._now(), admin=admin)
        await self.do(admin, "reset quota", user, None, act)

    async def set_quota(self, admin: str, user: str, credits: int | None) -> None:
        """Set the credits per window of *user*; None restores the configured number."""
        act = partial(people.set_own_quota, user=user, credits=credits)
        detail = "default" if credits is None else str(credits)
        await self.do(admin, "set quota", user, detail, act)

    async def group_quota(self, admin: str, group: str) -> int | None:
        """Credits per window of each member of a role, or of all people of a server together; None
        without a limit."""
        self.check(admin)
        return await self._database.read(partial(self._ledger.group_quota, group=group))

    async def set_group_quota(self, admin: str, group: str, credits: int | None) -> None:
        """Set the quota of a role or a server; None lifts the limit."""
        act = partial(self._ledger.set_group_quota, group=group, credits=credits)
        detail = "default" if credits is None else str(credits)
        await self.do(admin, "set quota", group, detail, act)

    async def ban(self, admin: str, user: str, reason: str = "") -> None:
        """Accept no more jobs from *user*, by whichever account, and cancel their waiting ones.

        Raises:
            Conflict: *user* is an admin, who could be the last one or oneself.
        """
        self.check(admin)
        accounts = self._selves.of(user)
        for each in accounts:
            self._check_no_admin(each)
        act = partial(people.ban, user=user, now=self._now(), reason=reason)
        await self.do(admin, "ban", user, reason or None, act)
        for job in [job for job in self._worker.unfinished.values() if job.user in accounts]:
            with suppress(Conflict, NotFound):
                await self._cancel(job, CANCELLED)

    def _check_no_admin(self, user: str) -> None:
        """Raise Conflict where *user* is an admin."""
        if user in self._admins:
            raise Conflict(
                f"an admin is not banned: take {user} out of admins.users in config.toml first"
            )
        if self.is_admin(user):
            platform = user.partition(":")[0].capitalize()
            raise Conflict(
                f"an admin is not banned: {platform} says that {user} is one; take that away"
                " there first"
            )

    async def unban(self, admin: str, user: str) -> None:
        """Accept jobs from *user* again."""
        await self.do(admin, "unban", user, None, partial(people.unban, user=user))

    async def pause(self, admin: str) -> None:
        """Begin no job until `resume`, across restarts; waiting jobs are kept."""

        def act(db: sqlite3.Connection) -> None:
            switches.write(db, "paused", PAUSED)

        await self.do(admin, "pause", None, None, act)
        self.is_paused = True
        self._worker.pause(PAUSED)

    async def drain(self, admin: str) -> None:
        """Accept no new job until `resume`, across restarts; waiting jobs are drawn."""
        await self.do(
            admin, "drain", None, None, partial(switches.write, name="draining", value="yes")
        )
        self.is_draining = True

    async def resume(self, admin: str) -> None:
        """Accept and draw again; also retries to load a model that could not be loaded."""

        def act(db: sqlite3.Connection) -> None:
            switches.write(db, "paused", None)
            switches.write(db, "draining", None)

        await self.do(admin, "resume", None, None, act)
        self.is_paused = self.is_draining = False
        self._worker.resume()

    async def reload_presets(self, admin: str) -> None:
        """Read the presets anew from ``config.toml``.

        Raises:
            ConfigError: The configuration cannot be used; the old presets stay.
        """
        self.check(admin)
        await asyncio.to_thread(self._presets.reload)
        names = ", ".join(self._presets.by_name)
        await self.do(admin, "reload presets", None, names, lambda db: None)

    async def enable_preset(self, admin: str, name: str, *, is_enabled: bool) -> None:
        """Enable or disable the preset *name*, across restarts.

        Raises:
            NotFound: There is no such preset.
            Conflict: The preset is the default, which people must always be able to draw with.
        """
        self.check(admin)
        if name not in self._presets.by_name:
            known = ", ".join(self._presets.by_name)
            raise NotFound(f"there is no preset {shortened(name)}: there are {known}")
        if name == self._default_preset and not is_enabled:
            raise Conflict(
                f"{name} is the default preset and stays on: name another one in config.toml first"
            )
        value = None if is_enabled else "off"
        act = partial(switches.write, name=_DISABLED + name, value=value)
        await self.do(admin, "enable" if is_enabled else "disable", name, None, act)
        self._presets.disabled = self._presets.disabled - {name} | (
            frozenset() if is_enabled else {name}
        )

    def presets(self, admin: str) -> tuple[dict[str, Preset], frozenset[str], dict[str, int]]:
        """All presets by name, names of the disabled ones, and bytes in memory of each loaded
        repository."""
        self.check(admin)
        return self._presets.by_name, self._presets.disabled, self._worker.loaded

    async def move(self, admin: str, job_id: str, *, to_front: bool) -> None:
        """Move a waiting job to the front or the end of the queue, across restarts.

        Raises:
            NotFound: No such job waits.
        """
        self.check(admin)
        job = self._worker.unfinished.get(job_id)
        if job is None or not self._worker.move(job, to_front=to_front):
            raise NotFound(f"there is no job {shortened(job_id)} that waits")
        act = "move to the front" if to_front else "move to the back"
        moved = partial(self._store.move, job_id=job_id, to_front=to_front)
        await self.do(admin, act, job_id, None, moved)

    async def cancel(self, admin: str, job_id: str) -> Job:
        """Somebody's job, cancelled, its credits given back.

        Raises:
            NotFound: There is no such unfinished job.
            Conflict: Its picture is just being stored.
        """
        self.check(admin)
        job = self._worker.unfinished.get(job_id)
        if job is None:
            raise NotFound(f"there is no job {shortened(job_id)} that waits or is drawn")
        await self._cancel(job, CANCELLED)
        await self.do(admin, "cancel", job_id, job.user, lambda db: None)
        return job

    async def refund(self, admin: str, job_id: str) -> Job:
        """A job that has ended, its credits given back; the picture stays.

        Raises:
            NotFound: There is no such job.
            Conflict: The job has not ended, or its credits were given back already.
        """
        self.check(admin)

        def act(db: sqlite3.Connection) -> Job:
            job = self._store.find(db, job_id)
            if job is None:
                raise NotFound(f"there is no job {shortened(job_id)}")
            if not job.status.is_final:
                raise Conflict(f"{job_id} is {job.status}: cancel it instead")
            if not self._ledger.refund(db, job_id, now):
                raise Conflict(f"the credits of {job_id} were given back already")
            return job

        now = self._now()
        return await self.do(admin, "refund", job_id, None, act)

    async def dead_letters(self, admin: str) -> list[Job]:
        """Jobs that were given up after too many attempts, oldest first."""
        self.check(admin)
        return await self._database.read(self._store.dead_letters)

    async def replay(self, admin: str, job_id: str) -> Job:
        """The new job that draws a given-up one again, free of charge.

        Raises:
            NotFound: There is no such job, or it cannot be drawn any more.
        """
        self.check(admin)
        letters = await self._database.read(self._store.dead_letters)
        old = next((job for job in letters if job.id == job_id), None)
        if old is None:
            raise NotFound(f"there is no job {shortened(job_id)} that was given up")
        if not await asyncio.to_thread(self._gallery.still_keeps_pictures_of, old.request):
            raise NotFound(f"the control image of {job_id} was deleted for its age")
        job = Job(
            user=old.user,
            request=replace(old.request, model=self._model),
            images=old.images,
            submitted_at=self._now(),
            origin=old.origin,
            reply_to=old.reply_to,
            parent=old.id,
            remarks=old.remarks,
            # Nothing is judged twice, so that what the screens said of the words holds on.
            review=old.review,
            verdict=old.verdict,
            is_spoiler=old.is_spoiler,
        )

        def act(db: sqlite3.Connection) -> None:
            if not self._store.take_dead_letter(db, job_id):
                raise NotFound(f"{job_id} was replayed already")
            self._store.insert(db, job)

        await self._ids.give(job)
        try:
            await self.do(admin, "replay", job_id, job.id, act)
        except BaseException:
            del self._worker.unfinished[job.id]
            raise
        self._worker.enqueue(job)
        return job

    async def audit(
        self,
        admin: str,
        *,
        limit: int = 20,
        server: str | None = None,
        words: str = "",
        days: float | None = None,
        skip: int = 0,
    ) -> list[Act]:
        """The latest acts, newest first; with *server* only acts that concern it.

        Args:
            words: Text that admin, act, subject or detail has in it, in any case.
            days: Only acts of so many days.
            skip: Acts to leave out, for further pages.
        """
        self.check(admin, server)
        check_text("text", words)
        since = 0.0 if days is None else self._now() - days * 86400
        return await self._database.read(
            partial(audit_log.acts, limit=limit, server=server, words=words, since=since, skip=skip)
        )

    def queue(self, admin: str) -> tuple[Job, ...]:
        """Everybody's unfinished jobs, in the order in which they will be drawn."""
        self.check(admin)
        return tuple(self._worker.in_order())

    async def stats(
        self, admin: str, server: str | None = None, *, days: float = 1
    ) -> dict[str, float]:
        """Figures of the last *days*: jobs, people, ends, credits spent, seconds on the engine;
        with *server* only of jobs asked for there."""
        self.check(admin, server)
        since = self._now() - days * 86400
        return await statistics.figures(self._database, since, server)

    def check(self, user: str, server: str | None = None) -> None:
        """Raise NotAllowed unless *user* is an admin, or manages *server*."""
        if not self.manages(user, server):
            raise NotAllowed("only admins may do that; config.toml names them under [admins]")

    async def do(
        self,
        admin: str,
        act: str,
        subject: str | None,
        detail: str | None,
        work: Callable[[sqlite3.Connection], T],
        *,
        server: str | None = None,
    ) -> T:
        """Do *work* and write it into the audit log, in one transaction."""
        self.check(admin, server)
        for text in (subject, detail):
            check_text("text", text or "")
        now = self._now()

        def both(db: sqlite3.Connection) -> T:
            outcome = work(db)
            audit_log.write_down(db, now, admin, act, subject, detail, server)
            if act in TOLD:
                note = " ".join(filter(None, [admin, act, subject, detail]))
                incidents.add(db, incidents.Kind.ACT, now, note, server=server)
            return outcome

        return await self._database.write(both)

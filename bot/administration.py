"""What admins may do: quotas, bans, pausing, presets, a look at everybody's queue.

Every act is written into the audit log in the same transaction that carries it out.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from bot.database import Database
from bot.jobs import Job
from bot.ledger import Ledger, QuotaStatus
from bot.refusals import Conflict, NotAllowed, NotFound
from bot.requests import Presets
from bot.worker import Worker
from generation.types import check_text

PAUSED = "an admin has paused drawing; what waits is kept"


class Administration:
    """The acts of the people in *admins*; each method's first argument is who asks.

    Every method raises NotAllowed where that is no admin.
    """

    def __init__(
        self,
        admins: tuple[str, ...],
        database: Database,
        ledger: Ledger,
        worker: Worker,
        presets: Presets,
        cancel: Callable[[Job], Any],
        now: Callable[[], float],
    ) -> None:
        self._admins = admins
        self._database = database
        self._ledger = ledger
        self._worker = worker
        self._presets = presets
        self._cancel = cancel
        self._now = now

    def is_admin(self, user: str) -> bool:
        return user in self._admins

    async def quota(self, admin: str, user: str) -> QuotaStatus:
        """What *user* may still spend."""
        self.check(admin)
        return await self._database.read(partial(self._ledger.status, user=user, now=self._now()))

    async def grant(self, admin: str, user: str, credits: int) -> QuotaStatus:
        """Give *user* extra credits, which stay until they are spent."""
        act = partial(self._ledger.grant, user=user, credits=credits, now=self._now(), admin=admin)
        await self._do(admin, "grant", user, str(credits), act)
        return await self.quota(admin, user)

    async def reset_quota(self, admin: str, user: str) -> QuotaStatus:
        """Forgive what *user* spent in the current window."""
        act = partial(self._ledger.reset, user=user, now=self._now(), admin=admin)
        await self._do(admin, "reset quota", user, None, act)
        return await self.quota(admin, user)

    async def set_quota(self, admin: str, user: str, credits: int | None) -> QuotaStatus:
        """Give *user* a quota of their own for each window; None takes the configured one."""
        act = partial(self._ledger.set_allowance, user=user, credits=credits)
        detail = "default" if credits is None else str(credits)
        await self._do(admin, "set quota", user, detail, act)
        return await self.quota(admin, user)

    async def ban(self, admin: str, user: str, reason: str = "") -> None:
        """Accept nothing more from *user*, and cancel what waits."""
        now = self._now()

        def act(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT INTO people (user, banned_at, ban_reason) VALUES (?, ?, ?)"
                " ON CONFLICT (user) DO UPDATE"
                " SET banned_at = excluded.banned_at, ban_reason = excluded.ban_reason",
                (user, now, reason),
            )

        await self._do(admin, "ban", user, reason or None, act)
        for job in [job for job in self._worker.unfinished.values() if job.user == user]:
            with suppress(Conflict, NotFound):
                await self._cancel(job)

    async def unban(self, admin: str, user: str) -> None:
        """Accept jobs from *user* again."""

        def act(db: sqlite3.Connection) -> None:
            db.execute(
                "UPDATE people SET banned_at = NULL, ban_reason = NULL WHERE user = ?", (user,)
            )

        await self._do(admin, "unban", user, None, act)

    async def pause(self, admin: str) -> None:
        """Draw nothing more until `resume`, across restarts; what waits is kept."""

        def act(db: sqlite3.Connection) -> None:
            db.execute("INSERT OR REPLACE INTO switches VALUES ('paused', ?)", (PAUSED,))

        await self._do(admin, "pause", None, None, act)
        self._worker.pause(PAUSED)

    async def resume(self, admin: str) -> None:
        """Draw again; also tries again to load a model that could not be loaded."""

        def act(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM switches WHERE name = 'paused'")

        await self._do(admin, "resume", None, None, act)
        self._worker.resume()

    async def reload_presets(self, admin: str) -> None:
        """Read the presets anew from ``config.toml``.

        Raises:
            ConfigError: They cannot be used; the old ones stay.
        """
        self.check(admin)
        await asyncio.to_thread(self._presets.reload)
        names = ", ".join(self._presets.by_name)
        await self._do(admin, "reload presets", None, names, lambda db: None)

    def queue(self, admin: str) -> tuple[Job, ...]:
        """Everybody's unfinished jobs, in the order in which they will be drawn."""
        self.check(admin)
        return tuple(self._worker.in_order())

    async def stats(self, admin: str) -> dict[str, float]:
        """Jobs of the last 24 hours: how many, of how many people, how they ended, the
        credits that were spent and the seconds that the engine drew."""
        self.check(admin)
        return await self._database.read(partial(_stats, since=self._now() - 86400))

    def check(self, user: str) -> None:
        """Raise NotAllowed unless *user* is an admin."""
        if not self.is_admin(user):
            raise NotAllowed("only admins may do that; config.toml names them under [admins]")

    async def _do(
        self,
        admin: str,
        act: str,
        subject: str | None,
        detail: str | None,
        work: Callable[[sqlite3.Connection], None],
    ) -> None:
        """Do *work* and write it into the audit log, in one transaction."""
        self.check(admin)
        for text in (subject, detail):
            check_text("text", text or "")
        now = self._now()

        def both(db: sqlite3.Connection) -> None:
            work(db)
            db.execute(
                "INSERT INTO audit (made_at, admin, act, subject, detail) VALUES (?, ?, ?, ?, ?)",
                (now, admin, act, subject, detail),
            )

        await self._database.write(both)


def pause_reason(db: sqlite3.Connection) -> str | None:
    """Why drawing was paused before the restart; None if it was not."""
    row = db.execute("SELECT value FROM switches WHERE name = 'paused'").fetchone()
    return None if row is None else row["value"]


def check_not_banned(db: sqlite3.Connection, user: str) -> None:
    """Raise NotAllowed where an admin has banned *user*."""
    row = db.execute(
        "SELECT ban_reason FROM people WHERE user = ? AND banned_at IS NOT NULL", (user,)
    ).fetchone()
    if row is not None:
        reason = f": {row['ban_reason']}" if row["ban_reason"] else ""
        raise NotAllowed(f"an admin has banned you from drawing{reason}")


def _stats(db: sqlite3.Connection, since: float) -> dict[str, float]:
    return dict(
        db.execute(
            "SELECT count(*) AS jobs, count(DISTINCT user) AS people,"
            " coalesce(sum(status = 'succeeded'), 0) AS succeeded,"
            " coalesce(sum(status = 'failed'), 0) AS failed,"
            " coalesce(sum(status = 'cancelled'), 0) AS cancelled,"
            " coalesce(sum(iif(status = 'succeeded', cost, 0)), 0) AS credits,"
            " coalesce(sum(seconds), 0) AS seconds"
            " FROM jobs WHERE submitted_at > ?",
            (since,),
        ).fetchone()
    )

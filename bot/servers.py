"""The acts of people who manage a server, which hold there alone.

Whoever manages a server on a platform decides about its channels, its roles and its people, and
nothing about the GPU, which is somebody else's: a quota that they set can only be lower than what
the person has anyway. The bot's admins may do the same in every server.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from bot import access, votes
from bot.administration import Administration
from bot.database import Database
from bot.jobs import Job
from bot.origins import kind_of_group
from bot.refusals import Conflict, NotFound
from bot.worker import Worker
from generation.errors import InvalidRequest

CANCELLED = "a manager of the server has banned you; your credits were given back"


class Servers:
    """Acts on one server, ``platform-server:id``; the first argument is the manager.

    Every method raises NotAllowed for people who do not manage it, and is in the audit log.
    """

    def __init__(
        self,
        database: Database,
        worker: Worker,
        admin: Administration,
        cancel: Callable[[Job, str], Any],
        now: Callable[[], float],
    ) -> None:
        self._database = database
        self._worker = worker
        self._admin = admin
        self._cancel = cancel
        self._now = now

    async def channels(self, manager: str, server: str) -> tuple[str, ...]:
        """Ids of the only channels of *server* in which people may draw; empty for all."""
        self._admin.check(manager, server)
        return await self._database.read(partial(access.channels_of, server=server))

    async def set_channel(
        self, manager: str, server: str, channel: str, *, is_allowed: bool
    ) -> tuple[str, ...]:
        """The only channels of *server* in which people may draw, with *channel* added or
        removed."""

        def act(db: sqlite3.Connection) -> tuple[str, ...]:
            access.set_channel(db, server, channel, is_allowed=is_allowed)
            return access.channels_of(db, server)

        word = "allow channel" if is_allowed else "disallow channel"
        return await self._admin.do(manager, word, channel, server, act, server=server)

    async def set_showcase(self, manager: str, server: str, channel: str | None) -> None:
        """Show the best pictures of *server* in *channel*; None ends that."""
        act = partial(votes.set_channel, server=server, channel=channel)
        await self._admin.do(manager, "showcase", channel, server, act, server=server)

    async def roles(self, manager: str, server: str) -> tuple[str, ...]:
        """The roles whose members alone may draw in *server*; empty for everybody."""
        self._admin.check(manager, server)
        return await self._database.read(partial(access.roles_of, server=server))

    async def set_role(
        self, manager: str, server: str, role: str, *, is_allowed: bool
    ) -> tuple[str, ...]:
        """The roles whose members alone may draw in *server*, with *role* added or removed.

        Raises:
            InvalidRequest: *role* is not a role.
        """
        if kind_of_group(role) != "role":
            raise InvalidRequest(f"{role} is not a role: roles look like discord-role:5678")

        def act(db: sqlite3.Connection) -> tuple[str, ...]:
            access.set_role(db, server, role, is_allowed=is_allowed)
            return access.roles_of(db, server)

        word = "allow role" if is_allowed else "disallow role"
        return await self._admin.do(manager, word, role, server, act, server=server)

    async def ban(self, manager: str, server: str, user: str, reason: str = "") -> None:
        """Accept no more jobs from *user* in *server*, and cancel their waiting ones there.

        Raises:
            Conflict: *user* is an admin of the bot, or manages the server too.
        """
        self._admin.check(manager, server)
        if self._admin.manages(user, server):
            raise Conflict(f"{user} manages this server, and cannot be banned in it")
        act = partial(access.ban, server=server, user=user, now=self._now(), reason=reason)
        await self._admin.do(manager, "ban", user, reason or None, act, server=server)
        theirs = [job for job in self._worker.unfinished.values() if job.user == user]
        for job in theirs:
            if job.origin.server == server:
                with suppress(Conflict, NotFound):
                    await self._cancel(job, CANCELLED)

    async def unban(self, manager: str, server: str, user: str) -> None:
        """Accept jobs from *user* in *server* again."""
        act = partial(access.unban, server=server, user=user)
        await self._admin.do(manager, "unban", user, None, act, server=server)

    async def banned(self, manager: str, server: str) -> tuple[str, ...]:
        """The people who are banned in *server*."""
        self._admin.check(manager, server)
        return await self._database.read(partial(access.banned, server=server))

    async def quota(self, manager: str, server: str, user: str) -> int | None:
        """Credits per window that *user* may spend in *server*; None without such a limit."""
        self._admin.check(manager, server)
        return await self._database.read(partial(access.quota, server=server, user=user))

    async def set_quota(self, manager: str, server: str, user: str, credits: int | None) -> None:
        """Let *user* spend *credits* per window in *server* at most; None lifts the limit. It
        gives nobody more than they have anyway."""
        act = partial(access.set_quota, server=server, user=user, credits=credits)
        detail = "default" if credits is None else str(credits)
        await self._admin.do(manager, "set quota", user, detail, act, server=server)

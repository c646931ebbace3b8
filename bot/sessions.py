"""Sign-ins on the page: kept in the database, ended at sign-out, and looked up in memory.

A browser holds a random secret. What is kept of it is a keyed hash, the key being the person's
token, which is kept nowhere: nobody gets from the database into a session, and a session whose
token is no longer in the configuration is found by nobody. For people without a token the key is
the same for all; the secret has 256 bits, so that nobody finds it by its hash either.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from bot.database import Database
from generation.errors import FluxbotError

logger = logging.getLogger(__name__)

DAY = 86_400.0
#: Seconds between looks for sessions that another process has ended.
LOOK_EVERY = 20.0
#: Sessions of one person; a further one ends the oldest.
MOST = 20


@dataclass(frozen=True, slots=True)
class _Session:
    user: str
    began_at: float
    ends_at: float


class Sessions:
    """All sessions that are open.

    Args:
        days: How long a session lasts.
        now: Unix seconds.
    """

    def __init__(self, database: Database, days: float, now: Callable[[], float]) -> None:
        self._database = database
        self._seconds = days * DAY
        self._now = now
        self._open: dict[str, _Session] = {}

    async def start(self) -> None:
        """Take up the sessions of earlier runs."""
        now = self._now()

        def unended(db: sqlite3.Connection) -> list[tuple[str, _Session]]:
            db.execute("DELETE FROM web_sessions WHERE ends_at <= ?", (now,))
            rows = db.execute("SELECT hash, user, began_at, ends_at FROM web_sessions").fetchall()
            return [(row[0], _Session(row[1], row[2], row[3])) for row in rows]

        self._open = dict(await self._database.write(unended))

    async def run(self) -> None:
        """End the sessions that another process has ended, as ``people remove`` does, until
        cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self.look()
            except FluxbotError as error:
                logger.warning("sessions cannot be looked up: %s", error)

    async def look(self) -> None:
        """End the sessions that are in the database no more."""
        known = list(self._open)
        if not known:
            return

        def there(db: sqlite3.Connection) -> set[str]:
            return {row["hash"] for row in db.execute("SELECT hash FROM web_sessions")}

        found = await self._database.read(there)
        for each in known:
            if each not in found:
                self._open.pop(each, None)

    async def begin(self, hash: str, user: str) -> float:
        """Open a session of *user*; returns how many seconds it lasts."""
        now = self._now()
        session = _Session(user, now, now + self._seconds)
        own = [each for each, other in self._open.items() if other.user == user]
        own.sort(key=lambda each: self._open[each].began_at)
        await self._end(own[: max(0, len(own) + 1 - MOST)])
        await self._database.write(
            lambda db: db.execute(
                "INSERT INTO web_sessions (hash, user, began_at, ends_at) VALUES (?, ?, ?, ?)",
                (hash, user, session.began_at, session.ends_at),
            )
        )
        self._open[hash] = session
        return self._seconds

    def user(self, hash: str) -> str | None:
        """The person of an open session; None where there is none."""
        session = self._open.get(hash)
        return None if session is None or session.ends_at <= self._now() else session.user

    async def end(self, hash: str) -> None:
        """End one session, if it is open."""
        await self._end([hash])

    async def end_all(self, user: str) -> int:
        """End all sessions of *user*, and return how many there were."""
        own = [each for each, session in self._open.items() if session.user == user]
        await self._end(own)
        return len(own)

    async def _end(self, hashes: list[str]) -> None:
        if not hashes:
            return
        # In memory first: it has ended even where the disk is full.
        for each in hashes:
            self._open.pop(each, None)
        await self._database.write(
            lambda db: db.executemany(
                "DELETE FROM web_sessions WHERE hash = ?", [(each,) for each in hashes]
            )
        )

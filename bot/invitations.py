"""People who sign in on the page without a token, and links that sign them in, once.

The tables ``web_people`` and ``sign_in_links``. A link's secret is kept by nobody: the table has
its hash, and nobody gets from there to the secret, which has 256 bits.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bot.database import Database
from bot.refusals import Conflict
from generation.checks import shortened
from generation.errors import InvalidRequest

#: Seconds for which a link serves that invites somebody, or that people ask for themselves.
INVITED, ASKED = 7 * 86400.0, 600.0
#: Links of one person that serve at the same time; a further one ends the oldest.
MOST = 5

#: Characters of a link's secret.
LENGTH = 43

NAME = re.compile(r"[\w.-]{1,64}")
PLATFORM = "web"


@dataclass(frozen=True, slots=True)
class WebPerson:
    """Somebody who was added.

    Attributes:
        made_at: Unix seconds.
        sessions: Number of browsers in which they are signed in.
    """

    user: str
    made_at: float
    sessions: int


def user_named(name: str) -> str:
    """``web:name``.

    Raises:
        InvalidRequest: *name* is none that somebody may have.
    """
    if not NAME.fullmatch(name):
        raise InvalidRequest(
            f"{shortened(name)} is not a name: use up to 64 letters, digits, dots, hyphens and"
            " underscores"
        )
    return f"{PLATFORM}:{name}"


def add(db: sqlite3.Connection, user: str, now: float) -> None:
    """Let *user* (``web:name``) sign in from *now* (unix seconds) on."""
    db.execute("INSERT OR IGNORE INTO web_people (user, made_at) VALUES (?, ?)", (user, now))


def remove(db: sqlite3.Connection, user: str) -> bool:
    """Whether *user* was added, who signs in no more, and whose sessions end; the running bot
    notices soon."""
    if db.execute("DELETE FROM web_people WHERE user = ?", (user,)).rowcount == 0:
        return False
    db.execute("DELETE FROM sign_in_links WHERE user = ?", (user,))
    db.execute("DELETE FROM web_sessions WHERE user = ?", (user,))
    return True


def people(db: sqlite3.Connection) -> list[WebPerson]:
    """Everybody who was added, in the order of their names."""
    rows = db.execute(
        "SELECT user, made_at,"
        " (SELECT count(*) FROM web_sessions WHERE web_sessions.user = web_people.user) AS sessions"
        " FROM web_people ORDER BY user"
    )
    return [WebPerson(row["user"], row["made_at"], row["sessions"]) for row in rows]


def make_link(db: sqlite3.Connection, user: str, now: float, seconds: float) -> str:
    """The secret of a new link that signs *user* in, once, within *seconds*."""
    db.execute("DELETE FROM sign_in_links WHERE ends_at <= ?", (now,))
    db.execute(
        "DELETE FROM sign_in_links WHERE user = ? AND hash NOT IN"
        " (SELECT hash FROM sign_in_links WHERE user = ? ORDER BY ends_at DESC LIMIT ?)",
        (user, user, MOST - 1),
    )
    secret = secrets.token_urlsafe(32)
    db.execute(
        "INSERT INTO sign_in_links (hash, user, ends_at) VALUES (?, ?, ?)",
        (_hash(secret), user, now + seconds),
    )
    return secret


def take(db: sqlite3.Connection, secret: str, now: float) -> str | None:
    """The user whom the link with *secret* signs in, which serves no second time; None where it
    serves nobody."""
    row = db.execute(
        "DELETE FROM sign_in_links WHERE hash = ? RETURNING user, ends_at", (_hash(secret),)
    ).fetchone()
    return None if row is None or row["ends_at"] <= now else str(row["user"])


def address(public_url: str, secret: str) -> str:
    """The address of the link with *secret*. Browsers send nobody what stands behind the #."""
    return f"{public_url}/#sign-in={secret}"


class Invitations:
    """Links that sign in, for the running bot.

    Args:
        public_url: Address of the page for others; empty where there is none, and then there are
            no links.
        now: Unix seconds.
    """

    def __init__(self, database: Database, public_url: str, now: Callable[[], float]) -> None:
        self._database = database
        self._public_url = public_url
        self._now = now

    @property
    def are_possible(self) -> bool:
        """Whether people can be given links."""
        return bool(self._public_url)

    async def link(self, user: str) -> str:
        """Address of a link that signs *user* in, once, within minutes; empty without links."""
        if not self.are_possible:
            return ""
        make = partial(make_link, user=user, now=self._now(), seconds=ASKED)
        return address(self._public_url, await self._database.write(make))

    def inviting(self, user: str) -> Callable[[sqlite3.Connection], str]:
        """What adds *user* within a transaction, and returns the address of a link for them.

        Raises:
            Conflict: The page has no address for others.
        """
        if not self.are_possible:
            raise Conflict("the page has no address for others: set web.public_url in config.toml")

        def act(db: sqlite3.Connection) -> str:
            now = self._now()
            add(db, user, now)
            return address(self._public_url, make_link(db, user, now, INVITED))

        return act

    async def take(self, secret: str) -> str | None:
        """See `take`."""
        if len(secret) != LENGTH:
            return None  # a token, which is not worth a look at the disk
        return await self._database.write(partial(take, secret=secret, now=self._now()))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()

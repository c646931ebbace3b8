"""Who may draw in a server: its channels, its roles, and what its managers decide about people.

The tables ``channels``, ``drawing_roles`` and ``members``. All functions run inside a transaction
of `bot.database.Database.write` (or a read). A server is ``platform-server:id``. Managers decide
about their own server alone, and nothing that they decide gives anybody more than the bot's admins
allow.
"""

from __future__ import annotations

import sqlite3

from bot import selves
from bot.origins import Origin
from bot.refusals import NotAllowed


def channels_of(db: sqlite3.Connection, server: str) -> tuple[str, ...]:
    """Ids of the only channels of *server* in which people may draw; empty for all."""
    rows = db.execute("SELECT channel FROM channels WHERE server = ? ORDER BY channel", (server,))
    return tuple(row["channel"] for row in rows)


def set_channel(db: sqlite3.Connection, server: str, channel: str, *, is_allowed: bool) -> None:
    """Add *channel* to the only ones of *server* in which people may draw, or remove it."""
    if is_allowed:
        db.execute("INSERT OR IGNORE INTO channels VALUES (?, ?)", (server, channel))
    else:
        db.execute("DELETE FROM channels WHERE server = ? AND channel = ?", (server, channel))


def roles_of(db: sqlite3.Connection, server: str) -> tuple[str, ...]:
    """The roles whose members alone may draw in *server*; empty for everybody."""
    rows = db.execute("SELECT role FROM drawing_roles WHERE server = ? ORDER BY role", (server,))
    return tuple(row["role"] for row in rows)


def set_role(db: sqlite3.Connection, server: str, role: str, *, is_allowed: bool) -> None:
    """Add *role* to those whose members alone may draw in *server*, or remove it."""
    if is_allowed:
        db.execute("INSERT OR IGNORE INTO drawing_roles VALUES (?, ?)", (server, role))
    else:
        db.execute("DELETE FROM drawing_roles WHERE server = ? AND role = ?", (server, role))


def ban(db: sqlite3.Connection, server: str, user: str, now: float, reason: str) -> None:
    """Ban *user* in *server* from *now* (unix seconds) on; *reason* is a sentence for them."""
    db.executemany(
        "INSERT INTO members (server, user, banned_at, ban_reason) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (server, user) DO UPDATE"
        " SET banned_at = excluded.banned_at, ban_reason = excluded.ban_reason",
        [(server, each, now, reason) for each in selves.of(db, user)],
    )


def unban(db: sqlite3.Connection, server: str, user: str) -> None:
    """Lift the ban of *user* in *server*, if there is one."""
    db.execute(
        "UPDATE members SET banned_at = NULL, ban_reason = NULL"
        " WHERE server = ? AND user IN (SELECT value FROM json_each(?))",
        (server, selves.names_json(db, user)),
    )


def banned(db: sqlite3.Connection, server: str) -> tuple[str, ...]:
    """The people who are banned in *server*."""
    rows = db.execute(
        "SELECT user FROM members WHERE server = ? AND banned_at IS NOT NULL ORDER BY user",
        (server,),
    )
    return tuple(row["user"] for row in rows)


def quota(db: sqlite3.Connection, server: str, user: str) -> int | None:
    """Credits per window that *user* may spend in *server*; None without such a limit."""
    row = db.execute(
        "SELECT min(credits) AS credits FROM members"
        " WHERE server = ? AND user IN (SELECT value FROM json_each(?))",
        (server, selves.names_json(db, user)),
    ).fetchone()
    return None if row is None else row["credits"]


def set_quota(db: sqlite3.Connection, server: str, user: str, credits: int | None) -> None:
    """Let *user* spend *credits* per window in *server* at most; None lifts the limit."""
    db.executemany(
        "INSERT INTO members (server, user, credits) VALUES (?, ?, ?)"
        " ON CONFLICT (server, user) DO UPDATE SET credits = excluded.credits",
        [(server, each, credits) for each in selves.of(db, user)],
    )


def check_may_draw(
    db: sqlite3.Connection, user: str, origin: Origin, *, is_manager: bool = False
) -> None:
    """Raise NotAllowed where the channel, the person's roles or a ban keep *user* from drawing.

    Args:
        is_manager: Whether the person decides about that server, and so needs no role there.
    """
    server = origin.server
    if server is None:
        return
    row = db.execute(
        "SELECT ban_reason FROM members"
        " WHERE server = ? AND user IN (SELECT value FROM json_each(?)) AND banned_at IS NOT NULL",
        (server, selves.names_json(db, user)),
    ).fetchone()
    if row is not None:
        reason = f": {row['ban_reason']}" if row["ban_reason"] else ""
        raise NotAllowed(f"you are banned from drawing in this server{reason}")
    channels = channels_of(db, server)
    if channels and not set(channels) & set(origin.channels):
        raise NotAllowed("this is no channel for drawing: the admins here have chosen others")
    roles = roles_of(db, server)
    if roles and not is_manager and not set(roles) & set(origin.roles):
        raise NotAllowed("drawing needs a role here that you do not have: ask the admins for it")

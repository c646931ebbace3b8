"""The table ``people``: own defaults, own quotas and bans. No other module names it in SQL.

All functions run inside a transaction of `bot.database.Database.write` (or a read).
A person is ``platform:id``, such as ``discord:1234``; one without a row has no defaults, no
quota of their own and no ban. Accounts that are joined (`bot.selves`) are one person: each has
a row, and what is decided about one is decided about all of them, so that it holds when they part.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping
from typing import Any

from bot import departed, selves
from bot.refusals import NotAllowed


def settings(db: sqlite3.Connection, user: str) -> dict[str, Any]:
    """Own defaults of *user*: fields of `ImagineCommand`, and ``private``."""
    row = db.execute("SELECT settings FROM people WHERE user = ?", (user,)).fetchone()
    return {} if row is None else json.loads(row["settings"])


def keep_settings(db: sqlite3.Connection, user: str, user_defaults: Mapping[str, Any]) -> None:
    """Replace all own defaults of *user* by *user_defaults*."""
    db.executemany(
        "INSERT INTO people (user, settings) VALUES (?, ?)"
        " ON CONFLICT (user) DO UPDATE SET settings = excluded.settings",
        [(each, json.dumps(dict(user_defaults))) for each in selves.of(db, user)],
    )


def own_quota(db: sqlite3.Connection, user: str) -> int | None:
    """Credits per window that an admin has set for *user*, of several accounts the least; None
    where the general rule holds."""
    found = [_own_quota(db, each) for each in selves.of(db, user)]
    return min((each for each in found if each is not None), default=None)


def _own_quota(db: sqlite3.Connection, user: str) -> int | None:
    row = db.execute("SELECT credits FROM people WHERE user = ?", (user,)).fetchone()
    if row is None or row["credits"] is None:
        row = departed.limits(db, user)
    return None if row is None else row["credits"]


def set_own_quota(db: sqlite3.Connection, user: str, credits: int | None) -> None:
    """Give *user* a quota of *credits* for each window; None restores the general rule."""
    for each in selves.of(db, user):
        db.execute(
            "INSERT INTO people (user, credits) VALUES (?, ?)"
            " ON CONFLICT (user) DO UPDATE SET credits = excluded.credits",
            (each, credits),
        )
        departed.set_credits(db, each, credits)


def banned(db: sqlite3.Connection, users: Collection[str]) -> set[str]:
    """Those of *users* who are banned everywhere."""
    rows = db.execute(
        "SELECT user FROM people"
        " WHERE banned_at IS NOT NULL AND user IN (SELECT value FROM json_each(?))",
        (json.dumps(list(users)),),
    )
    return {row["user"] for row in rows}


def ban(db: sqlite3.Connection, user: str, now: float, reason: str) -> None:
    """Ban *user* from *now* (unix seconds) on; *reason* is a sentence for them, perhaps empty."""
    db.executemany(
        "INSERT INTO people (user, banned_at, ban_reason) VALUES (?, ?, ?)"
        " ON CONFLICT (user) DO UPDATE"
        " SET banned_at = excluded.banned_at, ban_reason = excluded.ban_reason",
        [(each, now, reason) for each in selves.of(db, user)],
    )


def unban(db: sqlite3.Connection, user: str) -> None:
    """Lift the ban of *user*, if there is one."""
    for each in selves.of(db, user):
        db.execute("UPDATE people SET banned_at = NULL, ban_reason = NULL WHERE user = ?", (each,))
        departed.lift_ban(db, each)


def everything(db: sqlite3.Connection, user: str) -> dict[str, Any]:
    """All columns of the row of *user*, and their settings as they are said."""
    row = db.execute("SELECT * FROM people WHERE user = ?", (user,)).fetchone()
    return {"user": user, **({} if row is None else dict(row)), "settings": settings(db, user)}


def known(db: sqlite3.Connection) -> list[str]:
    """Everybody who has a row."""
    return [user for (user,) in db.execute("SELECT user FROM people")]


def forget(db: sqlite3.Connection, user: str, until: float) -> str:
    """The stand-in of *user*, whose row is deleted; a ban and an own quota hold on, and credits
    until *until* (unix seconds), for a person who comes back."""
    row = db.execute("DELETE FROM people WHERE user = ? RETURNING *", (user,)).fetchone()
    if row is None:
        return departed.depart(db, user, until, None, None, None)
    return departed.depart(db, user, until, row["banned_at"], row["ban_reason"], row["credits"])


def is_banned(db: sqlite3.Connection, user: str) -> bool:
    """Whether an admin has banned *user*."""
    try:
        check_not_banned(db, user)
    except NotAllowed:
        return True
    return False


def check_not_banned(db: sqlite3.Connection, user: str) -> None:
    """Raise NotAllowed, with the reason, where an admin has banned *user*."""
    row = db.execute(
        "SELECT ban_reason FROM people WHERE user = ? AND banned_at IS NOT NULL", (user,)
    ).fetchone()
    if row is None:
        before = departed.limits(db, user)
        row = before if before is not None and before["banned_at"] is not None else None
    if row is not None:
        reason = f": {row['ban_reason']}" if row["ban_reason"] else ""
        raise NotAllowed(f"an admin has banned you from drawing{reason}")

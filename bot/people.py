"""The table ``people``: own defaults, own quotas and bans. No other module names it in SQL.

All functions run inside a transaction of `bot.database.Database.write` (or a read).
A person is ``platform:id``, such as ``discord:1234``; one without a row has no defaults, no
quota of their own and no ban.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from bot.refusals import NotAllowed


def settings(db: sqlite3.Connection, user: str) -> dict[str, Any]:
    """Own defaults of *user*: fields of `ImagineCommand`, and ``private``."""
    row = db.execute("SELECT settings FROM people WHERE user = ?", (user,)).fetchone()
    return {} if row is None else json.loads(row["settings"])


def keep_settings(db: sqlite3.Connection, user: str, user_defaults: Mapping[str, Any]) -> None:
    """Replace all own defaults of *user* by *user_defaults*."""
    db.execute(
        "INSERT INTO people (user, settings) VALUES (?, ?)"
        " ON CONFLICT (user) DO UPDATE SET settings = excluded.settings",
        (user, json.dumps(dict(user_defaults))),
    )


def own_quota(db: sqlite3.Connection, user: str) -> int | None:
    """Credits per window that an admin has set for *user*; None where the general rule holds."""
    row = db.execute("SELECT credits FROM people WHERE user = ?", (user,)).fetchone()
    return None if row is None else row["credits"]


def set_own_quota(db: sqlite3.Connection, user: str, credits: int | None) -> None:
    """Give *user* a quota of *credits* for each window; None restores the general rule."""
    db.execute(
        "INSERT INTO people (user, credits) VALUES (?, ?)"
        " ON CONFLICT (user) DO UPDATE SET credits = excluded.credits",
        (user, credits),
    )


def ban(db: sqlite3.Connection, user: str, now: float, reason: str) -> None:
    """Ban *user* from *now* (unix seconds) on; *reason* is a sentence for them, perhaps empty."""
    db.execute(
        "INSERT INTO people (user, banned_at, ban_reason) VALUES (?, ?, ?)"
        " ON CONFLICT (user) DO UPDATE"
        " SET banned_at = excluded.banned_at, ban_reason = excluded.ban_reason",
        (user, now, reason),
    )


def unban(db: sqlite3.Connection, user: str) -> None:
    """Lift the ban of *user*, if there is one."""
    db.execute("UPDATE people SET banned_at = NULL, ban_reason = NULL WHERE user = ?", (user,))


def check_not_banned(db: sqlite3.Connection, user: str) -> None:
    """Raise NotAllowed, with the reason, where an admin has banned *user*."""
    row = db.execute(
        "SELECT ban_reason FROM people WHERE user = ? AND banned_at IS NOT NULL", (user,)
    ).fetchone()
    if row is not None:
        reason = f": {row['ban_reason']}" if row["ban_reason"] else ""
        raise NotAllowed(f"an admin has banned you from drawing{reason}")

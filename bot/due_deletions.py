"""The table ``due_deletions``, and old acts and servers that are forgotten.

All functions run inside a transaction of `bot.database.Database.write` (or a read). An empty user
means everybody in the server, an absent server every place.
"""

from __future__ import annotations

import sqlite3


def add(db: sqlite3.Connection, user: str, server: str | None, due_at: float) -> None:
    """Write down that the data of *user* is to be deleted at *due_at* (unix seconds), or earlier
    where that was said before."""
    db.execute(
        "INSERT INTO due_deletions (user, server, due_at) VALUES (?, ?, ?)"
        " ON CONFLICT (user, server) DO UPDATE SET due_at = min(due_at, excluded.due_at)",
        (user, server or "", due_at),
    )


def remove(db: sqlite3.Connection, user: str, server: str | None) -> None:
    db.execute("DELETE FROM due_deletions WHERE user = ? AND server = ?", (user, server or ""))
    if server is None and user:
        db.execute("DELETE FROM due_deletions WHERE user = ?", (user,))


def is_announced(db: sqlite3.Connection, user: str, server: str, now: float) -> bool:
    """Whether a deletion is written down that is not due yet at *now* (unix seconds)."""
    announced = "SELECT 1 FROM due_deletions WHERE user = ? AND server = ? AND due_at > ?"
    return db.execute(announced, (user, server, now)).fetchone() is not None


def take_back(db: sqlite3.Connection, user: str, server: str, now: float) -> None:
    """Delete nothing of *user* in *server*, unless that is due already at *now* (unix seconds)."""
    db.execute(
        "DELETE FROM due_deletions WHERE user = ? AND server = ? AND due_at > ?",
        (user, server, now),
    )


def due(db: sqlite3.Connection, now: float) -> list[tuple[str, str | None]]:
    """User and server of each deletion that is due, the oldest first."""
    rows = db.execute("SELECT * FROM due_deletions WHERE due_at <= ? ORDER BY due_at", (now,))
    return [(row["user"], row["server"] or None) for row in rows]


def forget_acts(db: sqlite3.Connection, before: float) -> None:
    """Delete acts of admins that are older than *before* (unix seconds)."""
    for table in ("audit", "incidents", "reports"):
        db.execute(f"DELETE FROM {table} WHERE made_at < ?", (before,))


def forget_server(db: sqlite3.Connection, server: str) -> None:
    """Delete the settings of a server that the bot has left."""
    db.execute("DELETE FROM channels WHERE server = ?", (server,))
    db.execute("DELETE FROM refused_words WHERE server = ?", (server,))
    for table in ("drawing_roles", "members", "log_channels", "showcase_channels"):
        db.execute(f"DELETE FROM {table} WHERE server = ?", (server,))
    db.execute("DELETE FROM group_quotas WHERE name = ?", (server,))

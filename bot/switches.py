"""Named values that outlast the process: what admins have switched, and what the bot has noted."""

from __future__ import annotations

import sqlite3


def read(db: sqlite3.Connection, name: str) -> str | None:
    """The value of *name*; None without one."""
    row = db.execute("SELECT value FROM switches WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def everything(db: sqlite3.Connection) -> dict[str, str]:
    """All values, by their names."""
    return {row["name"]: row["value"] for row in db.execute("SELECT * FROM switches")}


def write(db: sqlite3.Connection, name: str, value: str | None) -> None:
    """Give *name* a value; None takes its value away."""
    if value is None:
        db.execute("DELETE FROM switches WHERE name = ?", (name,))
    else:
        db.execute("INSERT OR REPLACE INTO switches VALUES (?, ?)", (name, value))

"""Rows from a time that has not come yet, written while the clock was wrong, get the present time.

Else a charge would count, and a strike pause a person, until that time has come and gone.
All functions run inside a transaction of `bot.database.Database.write` (or a read).
"""

from __future__ import annotations

import sqlite3

#: Seconds by which clocks may differ.
SLACK = 300.0


def exist(db: sqlite3.Connection, now: float) -> bool:
    """Whether there is any such row at *now* (unix seconds)."""
    late = (now + SLACK,)
    found = (
        db.execute("SELECT 1 FROM entries WHERE counts_at > ? LIMIT 1", late).fetchone(),
        db.execute("SELECT 1 FROM strikes WHERE made_at > ? LIMIT 1", late).fetchone(),
        db.execute("SELECT 1 FROM jobs WHERE submitted_at > ? LIMIT 1", late).fetchone(),
    )
    return any(row is not None for row in found)


def bring_back(db: sqlite3.Connection, now: float) -> int:
    """Number of rows that got *now* (unix seconds) for their time."""
    times = (now, now + SLACK)
    changed = (
        db.execute("UPDATE entries SET counts_at = ? WHERE counts_at > ?", times),
        db.execute("UPDATE strikes SET made_at = ? WHERE made_at > ?", times),
        db.execute(
            "UPDATE jobs SET finished_at = min(finished_at, ?) WHERE submitted_at > ?", times
        ),
        db.execute("UPDATE jobs SET submitted_at = ? WHERE submitted_at > ?", times),
    )
    return sum(cursor.rowcount for cursor in changed)

"""Figures of a time, summed up over slices of the history, so that no other reader waits long."""

from __future__ import annotations

import sqlite3
from collections import Counter
from functools import partial

from bot.database import Database

#: Rows that are read at once.
ROWS_AT_ONCE = 2000
FIGURES = ("jobs", "succeeded", "failed", "cancelled", "credits", "seconds")


async def figures(database: Database, since: float, server: str | None = None) -> dict[str, float]:
    """Figures of the jobs that were asked for after *since* (unix seconds): their number, people,
    ends, credits spent and seconds on the engine; with *server* only of jobs from there."""
    sums: Counter[str] = Counter(dict.fromkeys(FIGURES, 0))
    people: set[str] = set()
    last: float | None = since
    while last is not None:
        look = partial(_slice, after=last, server=server)
        some, users, last = await database.read(look)
        sums.update(some)
        people |= users
    return {**sums, "people": len(people)}


def _slice(
    db: sqlite3.Connection, after: float, server: str | None
) -> tuple[dict[str, float], set[str], float | None]:
    """Sums and people of the next jobs after *after*, and the time of the last; None at the end."""
    where, place = ("", ()) if server is None else ("server = ? AND ", (server,))
    (until,) = db.execute(
        "SELECT max(submitted_at) FROM (SELECT submitted_at FROM jobs"
        f" WHERE {where}submitted_at > ? ORDER BY submitted_at LIMIT ?)",
        (*place, after, ROWS_AT_ONCE),
    ).fetchone()
    if until is None:
        return {}, set(), None
    rows = db.execute(
        "SELECT user, count(*) AS jobs,"
        " coalesce(sum(status = 'succeeded'), 0) AS succeeded,"
        " coalesce(sum(status = 'failed'), 0) AS failed,"
        " coalesce(sum(status = 'cancelled'), 0) AS cancelled,"
        " coalesce(sum(iif(status = 'succeeded', cost, 0)), 0) AS credits,"
        " coalesce(sum(seconds), 0) AS seconds"
        f" FROM jobs WHERE {where}submitted_at > ? AND submitted_at <= ? GROUP BY user",
        (*place, after, until),
    ).fetchall()
    sums = {name: sum(row[name] for row in rows) for name in FIGURES}
    return sums, {row["user"] for row in rows}, until

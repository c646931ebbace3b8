"""The table ``reports``: pictures that people have reported to moderators.

All functions run inside a transaction of `bot.database.Database.write` (or a read).
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from bot import selves
from bot.refusals import Conflict, TooOften

#: Reports that one person may make within an hour.
MOST_AN_HOUR = 10
MOST_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Reported:
    """A job that was reported, with the open reports about it.

    Attributes:
        reasons: What people wrote, oldest first; empty texts are left out.
    """

    job_id: str
    count: int
    reasons: tuple[str, ...]


def add(db: sqlite3.Connection, job_id: str, user: str, reason: str, now: float) -> int:
    """Number of open reports about the job, with that of *user* written. All accounts of a person
    are one.

    Raises:
        Conflict: They have reported it before.
        TooOften: They have reported too much within an hour.
    """
    names = selves.names_json(db, user)
    (count,) = db.execute(
        "SELECT count(*) FROM reports"
        " WHERE user IN (SELECT value FROM json_each(?)) AND made_at > ?",
        (names, now - 3600),
    ).fetchone()
    if count >= MOST_AN_HOUR:
        raise TooOften(
            f"you have reported {MOST_AN_HOUR} pictures within an hour, the most one person may:"
            " try again later",
            retry_in=3600.0,
        )
    if db.execute(
        "SELECT 1 FROM reports WHERE job_id = ? AND user IN (SELECT value FROM json_each(?))",
        (job_id, names),
    ).fetchone():
        raise Conflict("you have reported this picture already; moderators will look at it")
    db.execute(
        "INSERT INTO reports (job_id, user, reason, made_at) VALUES (?, ?, ?, ?)",
        (job_id, user, reason[:MOST_CHARACTERS], now),
    )
    return _open(db, job_id)


def close(db: sqlite3.Connection, job_id: str) -> int:
    """Number of open reports about the job, which are closed."""
    cursor = db.execute("UPDATE reports SET is_open = 0 WHERE job_id = ? AND is_open", (job_id,))
    return cursor.rowcount


def open_ones(db: sqlite3.Connection, server: str | None) -> list[Reported]:
    """Jobs with open reports, the first reported first; with *server* of jobs from there."""
    rows = db.execute(
        "SELECT reports.job_id, reason FROM reports JOIN jobs ON jobs.id = job_id"
        " WHERE is_open AND (? IS NULL OR server = ?) ORDER BY reports.number",
        (server, server),
    )
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["job_id"], []).append(row["reason"])
    return [
        Reported(job_id, len(reasons), tuple(filter(None, reasons)))
        for job_id, reasons in found.items()
    ]


def _open(db: sqlite3.Connection, job_id: str) -> int:
    (count,) = db.execute(
        "SELECT count(*) FROM reports WHERE job_id = ? AND is_open", (job_id,)
    ).fetchone()
    return int(count)

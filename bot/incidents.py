"""The tables ``incidents`` and ``log_channels``: what moderators are told of, and where.

All functions run inside a transaction of `bot.database.Database.write` (or a read).
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bot import switches


class Kind(StrEnum):
    REFUSED = "refused"  #: Words or a picture, by a screen.
    HELD = "held"  #: A picture that waits for moderators.
    REPORTED = "reported"  #: A picture, by a person.
    ACT = "act"  #: Of a moderator.


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that moderators are told of.

    Attributes:
        number: Grows with each.
        made_at: Unix seconds.
        user: The person it is about; None where there is none.
        server: ``platform-server:id``; None outside of servers.
        note: A sentence or a prompt, plain.
        reply_to: Address of the job's answer, which only the adapter understands; None without
            one.
    """

    number: int
    made_at: float
    kind: Kind
    user: str | None
    server: str | None
    job_id: str | None
    note: str
    reply_to: dict[str, Any] | None = None


def add(
    db: sqlite3.Connection,
    kind: Kind,
    now: float,
    note: str,
    *,
    user: str | None = None,
    server: str | None = None,
    job_id: str | None = None,
) -> None:
    """Write an incident of *now*, unix seconds."""
    db.execute(
        "INSERT INTO incidents (made_at, kind, user, server, job_id, note)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (now, kind, user, server, job_id, note),
    )


def after(db: sqlite3.Connection, number: int, limit: int) -> list[Incident]:
    """The first *limit* incidents behind *number*, in order."""
    rows = db.execute(
        "SELECT *, (SELECT reply_to FROM jobs WHERE jobs.id = job_id) AS reply_to"
        " FROM incidents WHERE number > ? ORDER BY number LIMIT ?",
        (number, limit),
    )
    found = []
    for row in rows:
        reply_to = None if row["reply_to"] is None else json.loads(row["reply_to"])
        found.append(Incident(**{**dict(row), "kind": Kind(row["kind"]), "reply_to": reply_to}))
    return found


def newest(db: sqlite3.Connection) -> int:
    """Number of the newest incident; 0 before any."""
    (number,) = db.execute("SELECT coalesce(max(number), 0) FROM incidents").fetchone()
    return int(number)


def counts(db: sqlite3.Connection, since: float, server: str | None) -> dict[str, int]:
    """Number of incidents of each kind since *since* (unix seconds); with *server* of those
    there."""
    rows = db.execute(
        "SELECT kind, count(*) AS count FROM incidents"
        " WHERE made_at > ? AND (? IS NULL OR server = ?) GROUP BY kind",
        (since, server, server),
    )
    return {str(kind): 0 for kind in Kind} | {row["kind"]: row["count"] for row in rows}


def channel_of(db: sqlite3.Connection, server: str | None) -> str | None:
    """Id of the channel of *server* that is told of incidents there; None without one."""
    row = db.execute("SELECT channel FROM log_channels WHERE server = ?", (server,)).fetchone()
    return None if row is None else row["channel"]


def set_channel(db: sqlite3.Connection, server: str, channel: str | None) -> None:
    """Tell *channel* of incidents in *server*; None ends that."""
    if channel is None:
        db.execute("DELETE FROM log_channels WHERE server = ?", (server,))
    else:
        db.execute("INSERT OR REPLACE INTO log_channels VALUES (?, ?)", (server, channel))


def told_until(db: sqlite3.Connection, platform: str) -> int:
    """Number of the last incident that moderators on *platform* were told of. The first time, it
    is the newest there is: nobody is told of what was before."""
    number = switches.read(db, f"log: {platform}")
    return newest(db) if number is None else int(number)


def set_told(db: sqlite3.Connection, platform: str, number: int) -> None:
    """Write that moderators on *platform* were told of incidents up to *number*."""
    switches.write(db, f"log: {platform}", str(number))

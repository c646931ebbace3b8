"""The tables ``votes``, ``showcase_channels`` and ``showcased``: votes for pictures, and what
becomes of those that have enough.

All functions run inside a transaction of `bot.database.Database.write` (or a read).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

State = Literal["owed", "shown", "withdrawn", "refused"]


@dataclass(frozen=True, slots=True)
class Showcased:
    """A picture that had enough votes.

    Attributes:
        number: Of the picture in its job, from 1.
        server: ``platform-server:id``.
        channel: The platform's own id of the channel where it is shown, or is to be.
        message: The platform's own id of the message there; None before, and where it is not known.
    """

    job_id: str
    number: int
    server: str
    channel: str
    message: str | None
    state: State


def toggle(
    db: sqlite3.Connection, job_id: str, number: int, accounts: Sequence[str], now: float
) -> bool:
    """Give a person's vote for a picture, or take it back where they had given it by any of their
    *accounts*, of which the first votes now. Returns whether it counts from now on."""
    taken = 0
    for account in accounts:
        cursor = db.execute(
            "DELETE FROM votes WHERE job_id = ? AND number = ? AND user = ?",
            (job_id, number, account),
        )
        taken += cursor.rowcount
    if taken:
        return False
    db.execute("INSERT INTO votes VALUES (?, ?, ?, ?)", (job_id, number, accounts[0], now))
    return True


def voters(db: sqlite3.Connection, job_id: str, number: int) -> list[str]:
    """The accounts that have voted for a picture."""
    rows = db.execute("SELECT user FROM votes WHERE job_id = ? AND number = ?", (job_id, number))
    return [row["user"] for row in rows]


def of_person(db: sqlite3.Connection, user: str) -> list[dict[str, object]]:
    """The votes of *user*, for their export."""
    rows = db.execute("SELECT job_id, number, voted_at FROM votes WHERE user = ?", (user,))
    return [dict(row) for row in rows]


def channel_of(db: sqlite3.Connection, server: str | None) -> str | None:
    """Id of the best-of channel of *server*; None without one."""
    row = db.execute("SELECT channel FROM showcase_channels WHERE server = ?", (server,)).fetchone()
    return None if row is None else row["channel"]


def set_channel(db: sqlite3.Connection, server: str, channel: str | None) -> None:
    """Show the best of *server* in *channel*; None ends that."""
    if channel is None:
        db.execute("DELETE FROM showcase_channels WHERE server = ?", (server,))
    else:
        db.execute("INSERT OR REPLACE INTO showcase_channels VALUES (?, ?)", (server, channel))


def owe(
    db: sqlite3.Connection, job_id: str, number: int, server: str, channel: str, now: float
) -> None:
    """Have a picture shown in *channel*, unless that was decided before, for good."""
    db.execute(
        "INSERT OR IGNORE INTO showcased VALUES (?, ?, ?, ?, NULL, 'owed', ?)",
        (job_id, number, server, channel, now),
    )


def open_ones(db: sqlite3.Connection, platform: str) -> list[Showcased]:
    """What is to be shown, or taken down, on *platform*."""
    rows = db.execute(
        "SELECT job_id, number, server, channel, message, state FROM showcased"
        " WHERE state IN ('owed', 'withdrawn') AND server GLOB ? ORDER BY decided_at",
        (f"{platform}-server:*",),
    )
    return [Showcased(**dict(row)) for row in rows]


def set_state(
    db: sqlite3.Connection,
    job_id: str,
    number: int,
    state: State,
    *,
    if_state: State,
) -> bool:
    """Give a picture that is *if_state* another *state*; False where it is that no longer."""
    cursor = db.execute(
        "UPDATE showcased SET state = ? WHERE job_id = ? AND number = ? AND state = ?",
        (state, job_id, number, if_state),
    )
    return cursor.rowcount == 1


def set_message(db: sqlite3.Connection, job_id: str, number: int, message: str) -> None:
    """Write which *message* shows a picture, whatever has become of it meanwhile."""
    db.execute(
        "UPDATE showcased SET message = ? WHERE job_id = ? AND number = ?",
        (message, job_id, number),
    )


def withdraw(db: sqlite3.Connection, job_ids: Iterable[str]) -> None:
    """Take the pictures of *job_ids* down, or never show them."""
    for job_id in job_ids:
        db.execute(
            "UPDATE showcased SET state = 'withdrawn' WHERE job_id = ? AND state != 'refused'",
            (job_id,),
        )


def withdraw_all(db: sqlite3.Connection, user: str) -> None:
    """Take all pictures of *user* down."""
    shown = db.execute(
        "SELECT DISTINCT showcased.job_id FROM jobs JOIN showcased ON showcased.job_id = jobs.id"
        " WHERE jobs.user = ?",
        (user,),
    )
    withdraw(db, [row["job_id"] for row in shown.fetchall()])


def forget(db: sqlite3.Connection, job_id: str) -> None:
    """Forget the votes for a job that is erased, and take its pictures down."""
    db.execute("DELETE FROM votes WHERE job_id = ?", (job_id,))
    withdraw(db, [job_id])

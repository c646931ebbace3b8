"""Figures of a time, summed up over slices of the history, so that no other reader waits long."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass
from functools import partial

from bot import people
from bot.database import Database

#: Rows that are read at once.
ROWS_AT_ONCE = 2000
FIGURES = ("jobs", "succeeded", "failed", "cancelled", "credits", "seconds")


#: The same, as columns.
_SUMS = (
    "count(*) AS jobs,"
    " coalesce(sum(status = 'succeeded'), 0) AS succeeded,"
    " coalesce(sum(status = 'failed'), 0) AS failed,"
    " coalesce(sum(status = 'cancelled'), 0) AS cancelled,"
    " coalesce(sum(iif(status = 'succeeded', cost, 0)), 0) AS credits,"
    " coalesce(sum(seconds), 0) AS seconds"
)
SECONDS_A_DAY = 86400
#: The people who asked for most, of those that `use` names.
MOST_PEOPLE = 200


@dataclass(frozen=True, slots=True)
class Figures:
    """Sums over jobs: ends, credits spent, and seconds on the engine."""

    jobs: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    credits: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Person:
    """The use that somebody made of the bot.

    Attributes:
        last_at: Time of their last job, in unix seconds.
        is_banned: Whether they are banned everywhere.
    """

    user: str
    figures: Figures
    last_at: float
    is_banned: bool


@dataclass(frozen=True, slots=True)
class Use:
    """The use of the bot.

    Attributes:
        days: Figures of each day, and its number of people, oldest first; the last ends now.
        people: Those who asked for most jobs first, `MOST_PEOPLE` at most.
    """

    days: list[tuple[Figures, int]]
    people: list[Person]


async def use(database: Database, now: float, days: int, words: str = "") -> Use:
    """The use of the last *days* (1 to 366), by the day and by the person.

    Args:
        now: Unix seconds.
        words: Only people whose ``platform:id`` has this text in it, and the days of those.
    """
    begin = now - days * SECONDS_A_DAY
    sums: list[Counter[str]] = [Counter() for _ in range(days)]
    users: list[set[str]] = [set() for _ in range(days)]
    of_user: dict[str, Counter[str]] = {}
    last_at: dict[str, float] = {}
    after: float | None = begin
    while after is not None:
        look = partial(_slice_of_days, begin=begin, after=after, words=words.lower())
        rows, after = await database.read(look)
        for row in rows:
            day, user = min(days - 1, int(row["day"])), row["user"]
            some = {name: row[name] for name in FIGURES}
            sums[day].update(some)
            users[day].add(user)
            of_user.setdefault(user, Counter()).update(some)
            last_at[user] = max(last_at.get(user, 0.0), row["last_at"])
    most = sorted(of_user, key=lambda user: (-of_user[user]["jobs"], user))[:MOST_PEOPLE]
    banned = await database.read(partial(people.banned, users=most))
    return Use(
        [(Figures(**each), len(some)) for each, some in zip(sums, users, strict=True)],
        [
            Person(user, Figures(**of_user[user]), last_at[user], is_banned=user in banned)
            for user in most
        ],
    )


async def figures(database: Database, since: float, server: str | None = None) -> dict[str, float]:
    """Figures of the jobs that were asked for after *since* (unix seconds): their number, people,
    ends, credits spent and seconds on the engine; with *server* only of jobs from there."""
    sums: Counter[str] = Counter(dict.fromkeys(FIGURES, 0))
    users: set[str] = set()
    last: float | None = since
    while last is not None:
        look = partial(_slice, after=last, server=server)
        some, more, last = await database.read(look)
        sums.update(some)
        users |= more
    return {**sums, "people": len(users)}


def _slice(
    db: sqlite3.Connection, after: float, server: str | None
) -> tuple[dict[str, float], set[str], float | None]:
    """Sums and people of the next jobs after *after*, and the time of the last; None at the end."""
    where, place = ("", ()) if server is None else ("server = ? AND ", (server,))
    until = _last_of_slice(db, after, where, place)
    if until is None:
        return {}, set(), None
    rows = db.execute(
        f"SELECT user, {_SUMS}"
        f" FROM jobs WHERE {where}submitted_at > ? AND submitted_at <= ? GROUP BY user",
        (*place, after, until),
    ).fetchall()
    sums = {name: sum(row[name] for row in rows) for name in FIGURES}
    return sums, {row["user"] for row in rows}, until


def _slice_of_days(
    db: sqlite3.Connection, begin: float, after: float, words: str
) -> tuple[list[sqlite3.Row], float | None]:
    """Sums of the next jobs after *after* for each day since *begin* and each person, and the time
    of the last; None at the end."""
    until = _last_of_slice(db, after)
    if until is None:
        return [], None
    rows = db.execute(
        f"SELECT CAST((submitted_at - ?) / ? AS INTEGER) AS day, user, {_SUMS},"
        " max(submitted_at) AS last_at"
        " FROM jobs WHERE submitted_at > ? AND submitted_at <= ? AND instr(lower(user), ?)"
        " GROUP BY day, user",
        (begin, SECONDS_A_DAY, after, until, words),
    ).fetchall()
    return rows, until


def _last_of_slice(
    db: sqlite3.Connection, after: float, where: str = "", place: tuple[str, ...] = ()
) -> float | None:
    """Time of the last of the next `ROWS_AT_ONCE` jobs after *after*; None without any."""
    (until,) = db.execute(
        "SELECT max(submitted_at) FROM (SELECT submitted_at FROM jobs"
        f" WHERE {where}submitted_at > ? ORDER BY submitted_at LIMIT ?)",
        (*place, after, ROWS_AT_ONCE),
    ).fetchone()
    return None if until is None else float(until)

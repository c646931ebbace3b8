"""Jobs of a person, found by words, preset and time, among all of them or their favourites.

All functions take the plain connection of a transaction (see `bot.database`).
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

from bot import selves
from bot.word_search import (
    FIRST_ROWS,
    MOST_ROWS,
    match_expression,
    numbers_of,
    numbers_with,
    those_with,
)

#: The preset of a row of ``jobs``, as its index has it.
_PRESET = "CASE WHEN json_valid(request) THEN json_extract(request, '$.preset') END"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for.

    Attributes:
        words: Words of the prompt, or beginnings of words.
        favourites: Whether favourites alone are wanted.
        preset: Name of the preset; empty for any.
        since, until: Unix seconds, the second excluded; None for any time.
    """

    words: str = ""
    favourites: bool = False
    preset: str = ""
    since: float | None = None
    until: float | None = None


def numbers(
    db: sqlite3.Connection, user: str, wanted: Wanted, before: int, limit: int
) -> list[int]:
    """Numbers of the newest jobs of *user* before *before* that are *wanted*, newest first, at
    most *limit*."""
    match = match_expression(wanted.words)
    if wanted.words.strip() and match is None:
        return []  # asked for punctuation alone
    # Numbers count up in the order of time.
    before = before if wanted.until is None else min(before, _first_since(db, wanted.until))
    first = 0 if wanted.since is None else _first_since(db, wanted.since)
    accounts = selves.of(db, user)
    found: list[int] = []
    if wanted.favourites or wanted.preset:
        found = _among_few(db, accounts, wanted, match, first, before, limit)
    else:
        for account in accounts:
            found += (
                numbers_of(db, account, before, limit)
                if match is None
                else numbers_with(db, account, match, before, limit)
            )
    return [each for each in sorted(found, reverse=True)[:limit] if each >= first]


def is_favourite(db: sqlite3.Connection, user: str, job_id: str) -> bool:
    """Whether a job is among the favourites of *user*."""
    found = "SELECT 1 FROM favourites WHERE user IN (SELECT value FROM json_each(?)) AND job_id = ?"
    return db.execute(found, (json.dumps(selves.of(db, user)), job_id)).fetchone() is not None


def _among_few(
    db: sqlite3.Connection,
    accounts: list[str],
    wanted: Wanted,
    match: str | None,
    first: int,
    before: int,
    limit: int,
) -> list[int]:
    found: list[int] = []
    count = limit if match is None else FIRST_ROWS
    while len(found) < limit and before > first:
        some = (
            _favourites(db, accounts, wanted.preset, before, count)
            if wanted.favourites
            else _by_preset(db, accounts, wanted.preset, before, count)
        )
        found += some if match is None else those_with(db, some, match)
        if len(some) < count:
            break
        before, count = some[-1], min(2 * count, MOST_ROWS)
    return found


def _favourites(
    db: sqlite3.Connection, accounts: list[str], preset: str, before: int, count: int
) -> list[int]:
    rows = db.execute(
        "SELECT DISTINCT number FROM favourites JOIN jobs ON jobs.id = favourites.job_id"
        " WHERE favourites.user IN (SELECT value FROM json_each(?)) AND number < ?"
        f" AND (? = '' OR {_PRESET} = ?) ORDER BY number DESC LIMIT ?",
        (json.dumps(accounts), before, preset, preset, count),
    )
    return [row["number"] for row in rows]


def _by_preset(
    db: sqlite3.Connection, accounts: list[str], preset: str, before: int, count: int
) -> list[int]:
    found: list[int] = []
    for account in accounts:
        rows = db.execute(
            f"SELECT number FROM jobs WHERE user = ? AND {_PRESET} = ? AND number < ?"
            " ORDER BY number DESC LIMIT ?",
            (account, preset, before, count),
        )
        found += [row["number"] for row in rows]
    return sorted(found, reverse=True)[:count]


def _first_since(db: sqlite3.Connection, time: float) -> int:
    """Number of the first job of anybody's that was asked for at *time* (unix seconds) or later;
    beyond all of them where there is none."""
    row = db.execute(
        "SELECT number FROM jobs WHERE submitted_at >= ? ORDER BY submitted_at LIMIT 1", (time,)
    ).fetchone()
    return 2**62 if row is None else int(row["number"])

"""Cuts and flips in copies of the database's log: what opens must be a committed prefix."""

from __future__ import annotations

import random
import shutil
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from bot.database import Database, DatabaseDamaged

COMMITS = 40
ROWS = 3


@dataclass
class Outcome:
    """Counts of copies that opened as a prefix, of commits lost in them and of refused copies,
    and the copies that were neither."""

    opened: int = 0
    lost_commits: int = 0
    refused: int = 0
    problems: list[str] = field(default_factory=list)


async def damaged_copies(folder: Path, count: int, dice: random.Random) -> Outcome:
    """Write commits, then open *count* copies whose logs were cut or had a bit flipped."""
    original = folder / "original"
    database = await Database.open(original / "bot.sqlite3")
    for commit in range(1, COMMITS + 1):
        await database.write(lambda db, commit=commit: _commit(db, commit))
    outcome = Outcome()
    try:
        for number in range(count):
            copy = folder / "copy"
            shutil.copytree(original, copy, ignore=shutil.ignore_patterns("*-shm"))
            how = _damage(copy / "bot.sqlite3-wal", dice)
            await _judge(copy / "bot.sqlite3", f"{number}: {how}", outcome)
            shutil.rmtree(copy)
    finally:
        await database.close()
    return outcome


def _commit(db: sqlite3.Connection, number: int) -> None:
    for _ in range(ROWS):
        db.execute("INSERT INTO audit (made_at, admin, act) VALUES (?, 'x', 'y')", (number,))
    db.execute("INSERT OR REPLACE INTO switches VALUES ('commits', ?)", (str(number),))


def _damage(log: Path, dice: random.Random) -> str:
    data = bytearray(log.read_bytes())
    at = dice.randrange(len(data))
    if dice.random() < 0.5:
        log.write_bytes(data[:at])
        return f"cut at {at}"
    data[at] ^= 1 << dice.randrange(8)
    log.write_bytes(data)
    return f"flipped a bit of byte {at}"


async def _judge(path: Path, what: str, outcome: Outcome) -> None:
    try:
        database = await Database.open(path, is_checked=True)
    except (DatabaseDamaged, sqlite3.DatabaseError):
        outcome.refused += 1
        return
    try:
        rows = await database.read(
            lambda db: [row[0] for row in db.execute("SELECT made_at FROM audit ORDER BY number")]
        )
        last = await database.read(
            lambda db: db.execute("SELECT value FROM switches WHERE name = 'commits'").fetchone()
        )
    finally:
        await database.close()
    commits = 0 if last is None else int(last[0])
    if rows != [number for number in range(1, commits + 1) for _ in range(ROWS)]:
        outcome.problems.append(f"{what}: {len(rows)} rows beside commit {commits}")
    outcome.opened += 1
    outcome.lost_commits += COMMITS - commits

"""The watch over the database while the bot runs: whether its file is there, and sound.

| what | how often |
| --- | --- |
| the file is the one that was opened | every `LOOK_EVERY` |
| SQLite's quick check, where the file is too large for one before the start | once |
| SQLite's full check, and the ledger held against the jobs | every `CHECK_EVERY` |

The checks read on a connection and a thread of their own. A database that fails ends drawing and
accepting; the message names the way out.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TypeVar

from bot.database import DatabaseDamaged, check_sound
from bot.threads import Thread

T = TypeVar("T")

logger = logging.getLogger(__name__)

LOOK_EVERY = 20.0
CHECK_EVERY = 7 * 86400.0
#: Bytes of a database that is checked before the start, at about 100 MB a second.
CHECKED_FIRST = 64 * 10**6

WAY_OUT = "stop the bot, and put back a backup: python -m bot restore"


def is_checked_first(path: Path) -> bool:
    """Whether the database at *path* is small enough to be checked before the start."""
    try:
        return path.stat().st_size <= CHECKED_FIRST
    except FileNotFoundError:
        return True


class Watch:
    """The watch over the database at *path*, which is open.

    Args:
        has_been_checked: Whether the start has done so.
        on_problem: Told once, in a sentence, that the database cannot be used any more.
    """

    def __init__(
        self, path: Path, *, has_been_checked: bool, on_problem: Callable[[str], None]
    ) -> None:
        self._path = path
        self._has_been_checked = has_been_checked
        self._on_problem = on_problem
        self._opened = os.stat(path)

    async def run(self) -> None:
        """Watch until cancelled, or until there is a problem."""
        looks = asyncio.create_task(self._look())
        checks = asyncio.create_task(self._check())
        try:
            done, _ = await asyncio.wait({looks, checks}, return_when=asyncio.FIRST_COMPLETED)
            problem = done.pop().result()
        finally:
            looks.cancel()
            checks.cancel()
        logger.critical("%s", problem)
        self._on_problem(problem)

    async def _look(self) -> str:
        """Return, with a sentence, once the file is another or gone."""
        while True:
            try:
                found = await asyncio.to_thread(os.stat, self._path)
            except FileNotFoundError:
                return f"the database {self._path} is gone: {WAY_OUT}"
            except OSError as error:
                # The folder may be back in a moment; whoever writes meanwhile is told.
                logger.error("the database cannot be looked at: %s", error)
            else:
                if (found.st_dev, found.st_ino) != (self._opened.st_dev, self._opened.st_ino):
                    return f"the database {self._path} was replaced while the bot ran: restart it"
            await asyncio.sleep(LOOK_EVERY)

    async def _check(self) -> str:
        """Return, with a sentence, once a check has failed."""
        check = check_sound
        if self._has_been_checked:
            await asyncio.sleep(CHECK_EVERY)
            check = check_all
        while True:
            try:
                await self._off_the_loop(check)
            except DatabaseDamaged as error:
                return f"{error}: {WAY_OUT}"
            except (sqlite3.Error, OSError) as error:
                logger.error("the database cannot be checked: %s", error)
            else:
                logger.info("the database was checked, and is sound")
            await asyncio.sleep(CHECK_EVERY)
            check = check_all

    async def _off_the_loop(self, check: Callable[[sqlite3.Connection], None]) -> None:
        thread = Thread("soundness")
        try:
            await thread.call(partial(_checked, self._path, check))
        finally:
            thread.end()


def check_all(db: sqlite3.Connection) -> None:
    """Raise DatabaseDamaged where *db* fails SQLite's full check, or the ledger does not fit the
    jobs."""
    try:
        (verdict,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        raise DatabaseDamaged(f"the database is damaged: {error}") from error
    if verdict != "ok":
        raise DatabaseDamaged(f"the database is damaged: {verdict}")
    if (job_id := misfit(db)) is not None:
        raise DatabaseDamaged(f"the ledger does not fit the jobs: see job {job_id}")


def misfit(db: sqlite3.Connection) -> str | None:
    """Id of a job whose entries do not fit it; None where all do.

    What a job was charged is its cost, and what it was given back is no more than that. An entry
    belongs to a job that there is.
    """
    row = db.execute(
        "SELECT jobs.id FROM jobs LEFT JOIN entries ON job_id = jobs.id GROUP BY jobs.id"
        " HAVING coalesce(-sum(iif(kind = 'charge', entries.credits, 0)), 0) != jobs.cost"
        " OR coalesce(sum(iif(kind = 'refund', entries.credits, 0)), 0) > jobs.cost"
        " UNION ALL SELECT job_id FROM entries WHERE job_id IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM jobs WHERE id = job_id) LIMIT 1"
    ).fetchone()
    return None if row is None else str(row[0])


def _checked(path: Path, check: Callable[[sqlite3.Connection], None]) -> None:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        check(db)

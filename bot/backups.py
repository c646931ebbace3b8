"""Copies of the database: made daily, verified, and put back when it is damaged.

All functions block; call them off the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bot.database import DatabaseDamaged, check_sound
from bot.permissions import make_file, make_folder
from bot.syncs import sync

logger = logging.getLogger(__name__)

DAY, HOUR = 86400.0, 3600.0
LOOK_EVERY = 3600.0
#: Name of a copy: the time (UTC) at which it was made.
NAME = "%Y-%m-%dT%H-%M-%S.sqlite3"

#: End of the name of a copy that is being made.
PART = ".part"

#: Bytes of a copy that are synced together, and a pause after them, for others who use the disk.
SYNCED_AT_ONCE, SECONDS_BETWEEN_SYNCS = 4 * 2**20, 0.01
#: Steps of SQLite's machine after which that is looked at.
STEPS_BETWEEN_LOOKS = 20_000


def back_up(database: Path, folder: Path, now: float) -> Path:
    """Copy *database* (which may be in use) into *folder*, and verify the copy.

    Raises:
        DatabaseDamaged: The copy is not sound, and was deleted.
        OSError, sqlite3.Error: The copy cannot be made.
    """
    make_folder(folder)
    copy = folder / datetime.fromtimestamp(now, UTC).strftime(NAME)
    part = copy.with_suffix(PART)
    # By a bot that was killed, with what lies beside it. Others have their own half files here.
    for old in folder.glob(f"????-??-??T??-??-??{PART}*"):
        old.unlink()
    try:
        make_file(part)  # which SQLite fills, where it is empty
        with closing(sqlite3.connect(database, isolation_level=None)) as db, _gently(db, part):
            db.execute("VACUUM INTO ?", (str(part),))
        verify(part)
        sync(part)
        os.replace(part, copy)
        sync(folder)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return copy


@contextmanager
def _gently(db: sqlite3.Connection, part: Path) -> Iterator[None]:
    """A block in which what *db* writes into *part* goes to the disk a little at a time, or the
    bot's own syncs would wait behind all of it."""
    handle = os.open(part, os.O_RDONLY)
    synced = 0

    def pause() -> None:
        nonlocal synced
        size = os.fstat(handle).st_size
        if size - synced >= SYNCED_AT_ONCE:
            os.fsync(handle)
            synced = size
            time.sleep(SECONDS_BETWEEN_SYNCS)

    db.set_progress_handler(pause, STEPS_BETWEEN_LOOKS)
    try:
        yield
    finally:
        db.set_progress_handler(None, 0)
        os.close(handle)


def clear_up(database: Path) -> None:
    """Delete the half copy that a restore has left beside *database*, which nobody may be using."""
    database.with_suffix(PART).unlink(missing_ok=True)


def verify(copy: Path) -> None:
    """Raise DatabaseDamaged unless *copy* is a sound database of the bot."""
    try:
        with closing(sqlite3.connect(f"file:{copy}?mode=ro", uri=True)) as db:
            check_sound(db)
            db.execute("SELECT count(*) FROM jobs, (SELECT 1 FROM entries LIMIT 1)").fetchone()
    except sqlite3.DatabaseError as error:
        raise DatabaseDamaged(f"{copy} is not a database of the bot: {error}") from error


def backups(folder: Path) -> list[Path]:
    """The copies in *folder*, newest first."""
    return sorted(folder.glob("????-??-??T??-??-??.sqlite3"), reverse=True)


def made_at(copy: Path) -> float:
    """Time at which *copy* was made, in unix seconds."""
    return datetime.strptime(copy.name, NAME).replace(tzinfo=UTC).timestamp()


def beside(path: Path) -> list[Path]:
    """The files that SQLite keeps beside the database at *path*, there or not."""
    return [path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal")]


def restore(database: Path, copy: Path, now: float) -> Path | None:
    """Replace *database*, which nobody may be using, by *copy*.

    Returns:
        The folder that the old files were moved to; None if there were none.

    Raises:
        DatabaseDamaged: *copy* is not sound; nothing was changed.
    """
    verify(copy)
    part = database.with_suffix(PART)
    part.unlink(missing_ok=True)
    make_file(part)
    shutil.copyfile(copy, part)
    sync(part)
    aside = database.parent / datetime.fromtimestamp(now, UTC).strftime("replaced-%Y%m%dT%H%M%S")
    old = [path for path in (database, *beside(database)) if path.exists()]
    if old:
        # All of it first, so that it lies together whenever this ends.
        make_folder(aside)
        for path in old:
            _put(path, aside / path.name)
        sync(aside)
    # Then the database, without which no bot starts, and no log is taken for another's. Each on
    # the disk before the next, or a power loss could turn that round.
    for path in old:
        path.unlink()
        sync(database.parent)
    os.replace(part, database)
    sync(database.parent)
    return aside if old else None


def _put(path: Path, place: Path) -> None:
    """Have the file at *path* at *place* too."""
    try:
        os.link(path, place)
    except FileExistsError:
        pass  # twice within a second
    except OSError:  # this file system knows no links
        shutil.copyfile(path, place)
        sync(place)


async def back_up_daily(
    database: Path, folder: Path, keep: int, now: Callable[[], float] = time.time
) -> None:
    """Until cancelled: make a copy whenever the newest is a day old, and keep *keep* of them."""
    while True:
        try:
            await asyncio.to_thread(back_up_if_due, database, folder, keep, now())
        except Exception:
            logger.exception("the database cannot be backed up")
        await asyncio.sleep(LOOK_EVERY)


def back_up_if_due(database: Path, folder: Path, keep: int, now: float) -> Path | None:
    """A new copy, if the newest is a day old, else None. All but *keep* copies are deleted."""
    copy = None
    # One from a time that has not come yet was made while the clock was wrong.
    if not any(-HOUR < now - made_at(each) < DAY for each in backups(folder)):
        copy = back_up(database, folder, now)
        logger.info("the database was backed up as %s", copy)
    for old in backups(folder)[keep:]:
        old.unlink(missing_ok=True)
    return copy

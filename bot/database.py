"""The SQLite database: opening it, bringing its schema up to date, reading and writing.

Two connections, each owned by a thread of aiosqlite's. One writes and checkpoints;
the other reads, so that reading a history never waits for a disk.

Writers are functions over a plain ``sqlite3.Connection``, run whole on the writing
thread. Writers that arrive while a commit is being synced to disk share the next one:
a hundred people who press Enter together cost one sync, not a hundred. Callers are
answered only after the sync.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from bot.permissions import make_file, make_folder
from bot.refusals import StorageTrouble
from bot.storage import Reserve
from bot.syncs import sync

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

logger = logging.getLogger(__name__)

#: Milliseconds to wait for another process (the command line) that is writing.
BUSY_TIMEOUT = 2000

FULL = "the bot's disk is full; nothing was charged, please try again later"


class SchemaTooNew(Exception):
    """The database was written by a newer version of the bot."""


class DatabaseDamaged(Exception):
    """The database fails SQLite's own check."""


class Database:
    """The open database, made by `open`."""

    def __init__(
        self,
        writer: aiosqlite.Connection,
        reader: aiosqlite.Connection,
        reserve: Reserve | None = None,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._reserve = reserve
        self._pending: list[tuple[Work[Any], asyncio.Future[Any]]] = []
        self._committing: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, path: Path, *, is_checked: bool = False, reserve: Reserve | None = None
    ) -> Database:
        """Open the database at *path*, creating or migrating it as needed.

        Args:
            is_checked: Whether to check the whole database for damage first.
            reserve: Disk space to give up when the disk is full.

        Raises:
            SchemaTooNew: A newer version of the bot wrote the database; nothing was changed.
            DatabaseDamaged: The database is damaged, or cannot be migrated; nothing was changed.
            sqlite3.DatabaseError: The file is not a database.
        """
        make_folder(path.parent)
        make_file(path)
        writer = await aiosqlite.connect(path, isolation_level=None)
        try:
            await _on_thread_of(writer, _prepare)
            if is_checked:
                await _on_thread_of(writer, check_sound)
            await _on_thread_of(writer, partial(_rehearse, path=path))
            await _on_thread_of(writer, migrate)
            reader = await aiosqlite.connect(path, isolation_level=None)
        except BaseException:
            await writer.close()
            raise
        database = cls(writer, reader, reserve)
        try:
            await _on_thread_of(reader, _prepare)
            await reader.execute("PRAGMA query_only = ON")
        except BaseException:
            await database.close()
            raise
        return database

    @property
    def is_full(self) -> bool:
        """Whether the disk was full and does not have twice the reserve free again."""
        return self._reserve is not None and not self._reserve.restore()

    async def read(self, work: Work[T]) -> T:
        """The result of *work*, run on the reading connection.

        Raises:
            StorageTrouble: The database is damaged, or cannot be read.
        """
        try:
            return await _on_thread_of(self._reader, work)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY:
                raise  # only we can have tried to write here
            explained = _explained(error)
            raise explained from (None if explained is error else error)

    async def write(self, work: Work[T]) -> T:
        """The result of *work*, run in a transaction, once that is on disk.

        *work* may run together with others in one transaction; if it raises, only its
        own changes are undone, and the exception is raised here.

        Raises:
            StorageTrouble: The disk is full, or the database locked or damaged; nothing
                changed.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._pending.append((work, done))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_pending())
        return await done

    async def checkpoint(self) -> None:
        """Write all changes into the database's file, and empty its log. Where a reader is just
        then in the way, that happens at the next checkpoint."""
        while self._committing is not None:
            await asyncio.wait([self._committing])
        await _on_thread_of(self._writer, _checkpoint)

    async def close(self) -> None:
        """Finish running transactions and close both connections."""
        if self._committing is not None:
            await asyncio.wait([self._committing])
        await self._reader.close()
        await self._writer.close()

    async def _commit_pending(self) -> None:
        try:
            while self._pending:
                batch, self._pending = self._pending, []
                together = partial(_together, works=[work for work, _ in batch])
                try:
                    outcomes = await _on_thread_of(self._writer, together)
                except Exception as error:  # the connection is closed
                    outcomes = [error] * len(batch)
                if self._reserve is not None and any(map(_is_full, outcomes)):
                    self._reserve.release()
                for (_, done), outcome in zip(batch, outcomes, strict=True):
                    if done.cancelled():
                        continue
                    if isinstance(outcome, BaseException):
                        done.set_exception(outcome)
                    else:
                        done.set_result(outcome)
        finally:
            self._committing = None


async def _on_thread_of(connection: aiosqlite.Connection, work: Work[T]) -> T:
    """Run *work* on the thread that owns *connection*, in one hop.

    aiosqlite's public calls hop once for each statement; a transaction of five would
    cross threads ten times, which under load costs more than the work itself.
    """
    outcome: T = await connection._execute(work, connection._conn)  # type: ignore[no-untyped-call]
    return outcome


def _together(db: sqlite3.Connection, works: list[Work[Any]]) -> list[Any]:
    """The results of *works*, each run in its own savepoint of one transaction; exceptions stand
    in the places of results."""
    outcomes: list[Any] = []
    try:
        db.execute("BEGIN IMMEDIATE")
        for work in works:
            db.execute("SAVEPOINT one")
            try:
                outcomes.append(work(db))
            except Exception as error:
                if not db.in_transaction:  # SQLite itself gave up the whole of it
                    raise
                db.execute("ROLLBACK TO one")
                outcomes.append(_explained(error))
            db.execute("RELEASE one")
        db.execute("COMMIT")
    except Exception as error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        return [_explained(error)] * len(works)
    return outcomes


def _is_full(outcome: Any) -> bool:
    return isinstance(outcome, StorageTrouble) and str(outcome) == FULL


def _explained(error: Exception) -> Exception:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        logger.critical("the database is damaged: %s", error)
        return StorageTrouble(
            "the bot's database is damaged; nothing was charged, an admin must restore a backup"
        )
    if not isinstance(error, sqlite3.OperationalError):
        return error
    logger.error("the database refused: %s", error)
    if code == sqlite3.SQLITE_FULL:
        return StorageTrouble(FULL)
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
        return StorageTrouble(
            "the bot cannot save anything right now; nothing was charged, please try again later"
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageTrouble(
            "the bot is busy; nothing was charged, please try again", retry_in=BUSY_TIMEOUT / 1000
        )
    return error


def _prepare(db: sqlite3.Connection) -> None:
    db.row_factory = sqlite3.Row
    db.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
    db.execute("PRAGMA journal_mode = WAL")
    # In WAL mode the default, NORMAL, may lose the last commits with the power;
    # a job that was reported as accepted must not be lost.
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    # What is deleted is overwritten, or it would stay in the file until its page is used again.
    db.execute("PRAGMA secure_delete = ON")


def _checkpoint(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def check_sound(db: sqlite3.Connection) -> None:
    """Raise DatabaseDamaged where *db* fails SQLite's check."""
    try:
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        raise DatabaseDamaged(f"the database is damaged: {error}") from error
    if verdict != "ok":
        raise DatabaseDamaged(f"the database is damaged: {verdict}")


def _rehearse(db: sqlite3.Connection, path: Path) -> None:
    """Migrate a copy of the database first, and leave one of its old schema behind.

    Raises:
        DatabaseDamaged: The migration fails; the database is unchanged.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if not 0 < version < len(migrations()):
        return
    copy = path.with_name(f"before-schema-{len(migrations())}.sqlite3")
    trial = copy.with_suffix(".trial")
    try:
        for each in (copy, trial):
            each.unlink(missing_ok=True)  # of a start that was killed; SQLite drops its journal
            make_file(each)  # which SQLite fills, where it is empty
            db.execute("VACUUM INTO ?", (str(each),))
        sync(copy)  # SQLite promises no sync of what it has made so
        sync(copy.parent)
        with closing(sqlite3.connect(trial, isolation_level=None)) as other:
            migrate(other)
            check_sound(other)
    except (sqlite3.Error, OSError) as error:
        raise DatabaseDamaged(
            f"the database has schema {version} and cannot be brought to"
            f" {len(migrations())}: {error}; nothing was changed"
        ) from error
    finally:
        trial.unlink(missing_ok=True)


def migrations() -> list[str]:
    """The migration scripts; number N brings ``user_version`` from N - 1 to N.

    A script that has been released is never edited.
    """
    folder = resources.files("bot") / "migrations"
    scripts = sorted((entry.name, entry) for entry in folder.iterdir() if ".sql" in entry.name)
    for number, (name, _) in enumerate(scripts, start=1):
        assert int(name[:3]) == number, f"migrations must be numbered without gaps: {name}"
    return [entry.read_text(encoding="utf-8") for _, entry in scripts]


def migrate(db: sqlite3.Connection) -> None:
    """Bring the schema up to date, in one transaction: it is the old one, or the newest."""
    scripts = migrations()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(scripts):
        raise SchemaTooNew(
            f"the database has schema {version}, this version of the bot knows {len(scripts)}:"
            " update the bot, or put back the copy that the update kept, before-schema-N.sqlite3 in"
            " the data folder, or an older backup: python -m bot restore FILE"
        )
    if version == len(scripts):
        return
    missing = "\n".join(scripts[version:])
    try:
        db.executescript(
            f"BEGIN IMMEDIATE; {missing} PRAGMA user_version = {len(scripts)}; COMMIT;"
        )
    except sqlite3.Error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise

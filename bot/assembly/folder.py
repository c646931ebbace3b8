"""The data folder: its paths, its lock, and the database for commands."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from bot.backups import backups
from bot.config import Config, ConfigError
from bot.database import Database, DatabaseDamaged, SchemaTooNew
from bot.permissions import make_folder, opener
from bot.storage import network_file_system
from generation.errors import FluxbotError

T = TypeVar("T")

LOCK = "bot.lock"


class FolderInUse(ConfigError):
    """Another bot is using the data folder; the message names its process."""


def database_path(config: Config) -> Path:
    return config.storage.data_dir / "bot.sqlite3"


#: Name of the file that keeps the time for the next start.
CLOCK = "clock.json"


def backups_dir(config: Config) -> Path:
    return config.storage.data_dir / "backups"


def check_database_is_there(config: Config) -> None:
    """Raise DatabaseDamaged where the database is gone, and something shows that there was one.

    An empty one in its place would have nobody's credits, history or bans.
    """
    path, folder = database_path(config), config.storage.data_dir
    if path.exists():
        return
    pictures, replaced = folder / "images", sorted(folder.glob("replaced-*"))
    if copies := backups(backups_dir(config)):
        found, way_out = f"there are backups of it ({copies[0].name})", "python -m bot restore"
    elif replaced:  # by a restore that did not get to its end
        found, way_out = f"its files are in {replaced[-1]}", "python -m bot restore BACKUP"
    elif pictures.is_dir() and any(pictures.glob("*-*")):
        found, way_out = f"there are pictures in {pictures}", f"move {pictures} elsewhere"
    else:
        return
    raise DatabaseDamaged(
        f"the database {path} is gone, while {found}: bring it back, or {way_out}; to begin anew,"
        f" move {folder} elsewhere"
    )


def lock(data_dir: Path) -> IO[str]:
    """The lock file of *data_dir*, made where it is missing; locked until it is closed.

    Raises:
        FolderInUse: Another process has locked it.
        ConfigError: The folder cannot be made, or lies on a network file system.
    """
    if kind := network_file_system(data_dir):
        raise ConfigError(
            f"storage.data_dir is {data_dir}, which lies on a network file system ({kind}), where"
            " SQLite's locks cannot be trusted: name a folder on a local disk"
        )
    try:
        make_folder(data_dir)
        file = open(data_dir / LOCK, "a+", opener=opener)  # noqa: SIM115
    except OSError as error:
        raise ConfigError(
            f"storage.data_dir is {data_dir}, which cannot be used: {error.strerror}"
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise FolderInUse(
            f"another bot (process {owner}) is using {data_dir}: stop it, or give this one"
            " another folder with storage.data_dir"
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def with_database(config: Config, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    """The result of *work* on the database, for a command beside the bot. Blocks.

    Raises:
        DatabaseDamaged: The database cannot be opened, read or written.
    """

    async def go() -> T:
        check_database_is_there(config)
        database = await Database.open(database_path(config))
        try:
            return await work(database)
        finally:
            await database.close()

    try:
        return asyncio.run(go())
    except (SchemaTooNew, DatabaseDamaged, FluxbotError, sqlite3.DatabaseError, OSError) as error:
        raise DatabaseDamaged(f"{database_path(config)} cannot be used: {error}") from error


def lock_owner(data_dir: Path) -> str | None:
    """The process id of the bot that is using *data_dir*; None where none is."""
    with suppress(OSError), (data_dir / LOCK).open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read().strip() or "unknown"
    return None

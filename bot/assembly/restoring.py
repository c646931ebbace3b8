"""``python -m bot restore``: which backups there are, and one put in the place of the database."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bot import deletion_record
from bot.assembly.folder import backups_dir, database_path, lock, with_database
from bot.backups import backups, made_at, restore, verify
from bot.config import Config, ConfigError
from bot.database import DatabaseDamaged

TIMES = "%Y-%m-%d %H:%M"


def backups_table(config: Config) -> Table | None:
    """The backups, newest first: when each was made, its size, and whether it is sound; None where
    there is none."""
    copies = backups(backups_dir(config))
    if not copies:
        return None
    table = Table("made at (UTC)", "size", "state", "file", box=None, padding=(0, 2, 0, 0))
    for copy in copies:
        table.add_row(
            _said_time(copy), f"{copy.stat().st_size / 1e6:.1f} MB", _state(copy), str(copy)
        )
    return table


def restore_from(
    config: Config,
    backup: Path | None,
    console: Console,
    is_wanted: Callable[[str], bool],
) -> None:
    """Put *backup*, or the newest that is sound, in the place of the database.

    Args:
        is_wanted: Asked a question before anything is changed.

    Raises:
        ConfigError: There is no backup, or none is sound; nothing was changed.
        FolderInUse: A bot is using the data folder.
    """
    database = database_path(config)
    candidates = backups(backups_dir(config)) if backup is None else [backup]
    if not candidates:
        raise ConfigError(f"there is no backup in {backups_dir(config)}")
    with lock(config.storage.data_dir):
        chosen = _first_sound(candidates, console)
        question = (
            f"Replace {database} by {chosen.name} ({_said_time(chosen)} UTC)? Everything written"
            " since then is lost; the old files are moved aside."
        )
        if not is_wanted(question):
            console.print("Nothing was changed.")
            return
        try:
            aside = restore(database, chosen, time.time())
        except OSError as error:
            raise ConfigError(f"{chosen} cannot be put back: {error}; try again") from error
        if aside is not None:
            console.print(f"The old files are in {aside}.")
    console.print(f"{database} is restored from {chosen.name}.")
    record = backups_dir(config) / deletion_record.NAME
    since = made_at(chosen) if chosen in backups(chosen.parent) else 0.0
    repeat = partial(deletion_record.repeat, path=record, since=since, now=time.time())
    count = with_database(config, lambda database: database.write(repeat))
    taken_back = record.with_name(deletion_record.TAKEN_BACK)
    end_links = partial(deletion_record.end_links, path=taken_back, since=since)
    with_database(config, lambda database: database.write(end_links))
    if count:
        console.print(f"Deletions asked for since, which the next start repeats: {count}.")


def _first_sound(candidates: list[Path], console: Console) -> Path:
    for candidate in candidates:
        try:
            verify(candidate)
        except (DatabaseDamaged, OSError) as error:
            console.print(f"{candidate} is skipped: {error}")
        else:
            return candidate
    raise ConfigError("no backup could be restored; the database is unchanged")


def _state(copy: Path) -> str:
    try:
        verify(copy)
    except (DatabaseDamaged, OSError):
        return "damaged"
    return "sound"


def _said_time(copy: Path) -> str:
    """When *copy* was made: by its name, else by its file."""
    try:
        made = made_at(copy)
    except ValueError:
        made = copy.stat().st_mtime
    return datetime.fromtimestamp(made, UTC).strftime(TIMES)

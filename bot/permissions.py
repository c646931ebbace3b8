"""Who may read the bot's files: the user that runs it, and nobody else on the machine.

Prompts, pictures, attached pictures and credits are other people's; ``.env`` holds the tokens.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bot.syncs import sync

logger = logging.getLogger(__name__)

#: Modes of the bot's folders and files.
FOLDER, FILE = 0o700, 0o600
#: Permissions of the group and of everybody.
OTHERS = 0o077

#: Names in the data folder that are the bot's own; whatever else lies there is left alone.
OURS = (
    "*.sqlite3*",
    "bot.lock",
    "reserve",
    "starts.json",
    "slack-installations.*",
    "backups",
    "images",
    "control-images",
    "exports",
    "samples",
    "replaced-*",
)


def make_folder(path: Path) -> None:
    """Make the folder *path*, for the bot alone, where it is missing; and its parents, for all.
    It is on the disk when this returns, or whatever is synced in it would be lost with it.

    Raises:
        OSError: It cannot be made.
    """
    made = [each for each in (path, *path.parents) if not each.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=FOLDER, exist_ok=True)
    for each in made:
        with suppress(PermissionError):  # a folder in which one may make others, and not look
            sync(each.parent)


def make_file(path: Path) -> None:
    """Make the empty file *path*, for the bot alone, where it is missing.

    SQLite gives the files that it puts beside a database the mode of the database.

    Raises:
        OSError: It cannot be made.
    """
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, FILE))


def opener(path: str, flags: int) -> int:
    """An ``opener`` of `open` that makes files for the bot alone."""
    return os.open(path, flags, FILE)


def tighten(data_dir: Path) -> None:
    """Take from others what they may do with *data_dir*, and with all in it that is the bot's.

    A file of another user's cannot be changed; it is logged. Blocks: a second for 100,000 files.
    """
    refused: list[Path] = []
    for path, mode in _open_to_others(data_dir):
        try:
            path.chmod(mode & ~OTHERS)
        except FileNotFoundError:
            continue
        except OSError:
            refused.append(path)
    if refused:
        logger.warning(
            "%s (%d files) can be read by others, and belongs to another user: give it to the one"
            " that runs the bot, or take the permissions away (chmod -R go= …)",
            refused[0],
            len(refused),
        )


def readable_by_others(data_dir: Path) -> Path | None:
    """The first of the bot's files in *data_dir* that others may read or write; None without
    one. Where the folder itself is closed, nobody gets to its files."""
    if not data_dir.exists() or not stat.S_IMODE(data_dir.stat().st_mode) & OTHERS:
        return None
    return next((path for path, _ in _open_to_others(data_dir) if path != data_dir), None)


def secrets_are_open(file: Path) -> str | None:
    """The sentence about a *file* of secrets that others can read, with the way out; else None.

    A group may read it where the owner is somebody else, as with ``root:fluxbot`` and 0640.
    """
    try:
        status = file.stat()
    except OSError:
        return None
    wrong = OTHERS if status.st_uid == os.geteuid() else 0o007
    if not stat.S_IMODE(status.st_mode) & wrong:
        return None
    return f"{file} holds tokens, and others on this machine can read it: chmod 600 {file}"


def _open_to_others(data_dir: Path) -> Iterator[tuple[Path, int]]:
    """Path and mode of everything of the bot's that is open to others, the folder first."""
    waiting = [data_dir]
    for pattern in OURS:
        waiting += sorted(data_dir.glob(pattern))
    # Where the data folder is that of the program, others may need to get through.
    if (data_dir / "config.toml").exists():
        waiting.remove(data_dir)
    while waiting:
        path = waiting.pop(0)
        try:
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode) and path != data_dir:
                waiting += sorted(path.iterdir())
        except OSError:
            continue
        if not stat.S_ISLNK(mode) and stat.S_IMODE(mode) & OTHERS:
            yield path, stat.S_IMODE(mode)

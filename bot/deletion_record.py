"""A record of deletions beside the backups, so that a restored one does not bring back what people
had deleted since.

It knows people and servers by a keyed hash alone, and forgets them once no backup is older.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import sqlite3
from pathlib import Path
from typing import TypedDict

from bot import due_deletions, people
from bot.permissions import make_folder, opener
from bot.syncs import sync

#: Name of the record, in the folder of backups; and of that of links that were taken back.
NAME, TAKEN_BACK = "deletions.json", "taken-back.json"


class _Entry(TypedDict):
    hash: str
    made_at: float  # unix seconds


class _Record(TypedDict):
    key: str  # hexadecimal
    deletions: list[_Entry]


def note(path: Path, user: str, server: str | None, now: float, keep_for: float) -> None:
    """Add to the record at *path* that the data of *user* (in *server*, or everywhere) is deleted,
    and take out what is older than *keep_for* seconds. Blocks until that is on the disk.

    Raises:
        OSError: It cannot be written.
    """
    record = _read(path)
    kept = [each for each in record["deletions"] if now - each["made_at"] <= keep_for]
    entry = _Entry(hash=_hash(record["key"], user, server), made_at=now)
    kept = [each for each in kept if each["hash"] != entry["hash"]]
    make_folder(path.parent)
    part = path.with_suffix(".part")
    with open(part, "w", encoding="utf-8", opener=opener) as file:
        json.dump(_Record(key=record["key"], deletions=[*kept, entry]), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    sync(path.parent)


def repeat(db: sqlite3.Connection, path: Path, since: float, now: float) -> int:
    """Number of deletions later than *since* (unix seconds) that concern people or servers in the
    database, and are due again from *now* on."""
    record = _read(path)
    wanted = {each["hash"] for each in record["deletions"] if each["made_at"] > since}
    if not wanted:
        return 0
    there = db.execute(
        "SELECT user, server FROM jobs UNION SELECT '', server FROM jobs"
        " UNION SELECT user, NULL FROM jobs UNION SELECT user, NULL FROM entries"
    ).fetchall()
    known = {*map(tuple, there), *((user, None) for user in people.known(db))}
    # A backup of before there were any has no such table.
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'selves'").fetchone():
        known |= {(row[0], None) for row in db.execute("SELECT account FROM selves")}
    found = [each for each in known if _hash(record["key"], *each) in wanted]
    for user, server in found:
        due_deletions.add(db, user, server, now)
    return len(found)


def end_links(db: sqlite3.Connection, path: Path, since: float) -> int:
    """Number of links to pictures that were taken back later than *since* (unix seconds), as the
    record at *path* has them by ids of jobs, and that are ended again."""
    record = _read(path)
    wanted = {each["hash"] for each in record["deletions"] if each["made_at"] > since}
    # A backup of before there were any has no such table.
    if (
        not wanted
        or not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'shared_jobs'").fetchone()
    ):
        return 0
    shared = [row[0] for row in db.execute("SELECT job_id FROM shared_jobs")]
    found = [(id,) for id in shared if _hash(record["key"], id, None) in wanted]
    db.executemany("DELETE FROM shared_jobs WHERE job_id = ?", found)
    return len(found)


def _read(path: Path) -> _Record:
    try:
        record: _Record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return _Record(key=secrets.token_hex(32), deletions=[])
    except ValueError as error:
        raise OSError(f"{path} is damaged: {error}") from error
    return record


def _hash(key: str, user: str, server: str | None) -> str:
    name = f"{user}\n{server or ''}".encode()
    return hmac.new(bytes.fromhex(key), name, hashlib.sha256).hexdigest()

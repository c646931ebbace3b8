"""Exports: everything that is kept about one person, in zip files.

Files are written one after the other by a thread, so that neither the event loop nor the memory
notices how many pictures there are. They lie beside the database until they are handed over.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import tempfile
import zipfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from bot import people, selves, votes
from bot.config import Config
from bot.database import FULL, Database
from bot.gallery import Gallery
from bot.job_store import JobStore
from bot.permissions import make_folder
from bot.refusals import Conflict, StorageTrouble, TooOften
from generation.kinds import picture_names

DAY = 86400.0
#: Exports of one person in a day.
EXPORTS_A_DAY = 3
#: Rows that are read at a time.
ROWS_AT_ONCE = 200
#: Bytes that a zip adds to each file: two headers, and the name twice.
OVERHEAD = 512

README = """\
Everything that this bot keeps about you.

about.json     your settings, your own quota, a ban, refused requests, your favourites,
               your votes, what you have shared, and acts of admins that were about you;
               and all that for each account that you have joined with this one
credits.json   every credit that was spent, given back or granted
history.jsonl  everything you asked for, one request a line, oldest first,
               one account after the other
pictures/      the pictures, as they are stored: ID-NUMBER.png
attached/      the pictures you attached
"""


@dataclass(frozen=True, slots=True)
class Export:
    """The files of an export, in *folder*.

    Attributes:
        files: Zip files; the first one has the words, all have pictures.
        left_out: Pictures that are too large to be sent.
    """

    folder: Path
    files: tuple[Path, ...]
    left_out: int = 0

    def at_most(self, parts: int) -> Export:
        """The first *parts* files; pictures of the others count as left out."""
        lost = 0
        for path in self.files[parts:]:
            with zipfile.ZipFile(path) as archive:
                lost += sum(name.startswith("pictures/") for name in archive.namelist())
        return replace(self, files=self.files[:parts], left_out=self.left_out + lost)

    async def close(self) -> None:
        """Delete the files."""
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)


class Exports:
    """Exports, a few a day for each person. *now* returns unix seconds."""

    def __init__(
        self,
        config: Config,
        database: Database,
        store: JobStore,
        gallery: Gallery,
        now: Callable[[], float],
    ) -> None:
        self._database = database
        self._gallery = gallery
        self._now = now
        self._folder = gallery.images.parent / "exports"
        self._made_at: dict[str, deque[float]] = {}
        self._making: set[str] = set()

    async def make(self, user: str, others: Sequence[str], max_bytes: int | None = None) -> Export:
        """See `bot.own_data.OwnData.export`; *others* are further accounts of the person."""
        self._count(user)
        self._making.add(user)
        try:
            make_folder(self._folder)
            folder = Path(tempfile.mkdtemp(dir=self._folder))
            try:
                return await self._write([user, *others], folder, max_bytes)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        except OSError as error:
            raise StorageTrouble(FULL) from error
        finally:
            self._making.discard(user)

    def tidy(self) -> None:
        """Delete exports that a killed process, or a person who hung up, has left; those that are
        less than an hour old may still be on their way."""
        if not self._folder.exists():
            return
        newest = max((each.stat().st_mtime for each in self._folder.iterdir()), default=0.0)
        for each in self._folder.iterdir():
            if each.stat().st_mtime < newest - 3600 or not self._making:
                shutil.rmtree(each, ignore_errors=True)

    def _count(self, user: str) -> None:
        if user in self._making:
            raise Conflict("your data is being put together already: one moment")
        now = self._now()
        made = self._made_at.setdefault(user, deque())
        while made and not now - DAY < made[0] <= now:
            made.popleft()
        if len(made) >= EXPORTS_A_DAY:
            raise TooOften(
                f"you can have your data {EXPORTS_A_DAY} times a day: try again tomorrow",
                retry_in=made[0] + DAY - now,
            )
        made.append(now)

    async def _write(self, accounts: Sequence[str], folder: Path, max_bytes: int | None) -> Export:
        user, *others = accounts
        about = await self._database.read(partial(_about, user=user))
        about["joined_accounts"] = [
            await self._database.read(partial(_about, user=each)) for each in others
        ]
        entries = await self._database.read(partial(_entries, user=user))
        history = folder / "history.jsonl"
        names: list[tuple[str, Path]] = []
        with history.open("w", encoding="utf-8") as file:
            for each in accounts:
                after = 0
                while rows := await self._database.read(partial(_jobs, user=each, after=after)):
                    after = rows[-1]["number"]
                    lines = await asyncio.to_thread(self._lines, rows, names)
                    await asyncio.to_thread(file.write, lines)
        texts = {
            "README.txt": README,
            "about.json": _json(about),
            "credits.json": _json(entries),
        }
        return await asyncio.to_thread(
            self._zip, folder, texts, history, list(dict.fromkeys(names)), max_bytes
        )

    def _lines(self, rows: list[dict[str, Any]], names: list[tuple[str, Path]]) -> str:
        """*rows* as lines of JSON; names and paths of their files are added to *names*."""
        lines = []
        for row in rows:
            del row["number"]
            request = row["request"] = json.loads(row["request"])
            names += [(f"pictures/{path.name}", path) for path in self._pictures(row)]
            for name in picture_names():
                if request.get(name):
                    path = self._gallery.control_images / Path(request[name]).name
                    names.append((f"attached/{path.name}", path))
            lines.append(json.dumps(row, ensure_ascii=False) + "\n")
        return "".join(lines)

    def _pictures(self, row: dict[str, Any]) -> Iterator[Path]:
        if row["status"] != "succeeded":
            return  # one that moderators hold is nobody's yet
        for number in range(1, row["images"] + 1):
            yield self._gallery.picture_path(row["id"], number)
        yield self._gallery.path(row["id"], "map")

    def _zip(
        self,
        folder: Path,
        texts: dict[str, str],
        history: Path,
        names: list[tuple[str, Path]],
        max_bytes: int | None,
    ) -> Export:
        day = datetime.fromtimestamp(self._now(), UTC).strftime("%Y-%m-%d")
        paths: list[Path] = []
        left_out = 0

        def begin() -> zipfile.ZipFile:
            number = f"-{len(paths) + 1}" if paths else ""
            paths.append(folder / f"fluxbot-{day}{number}.zip")
            return zipfile.ZipFile(paths[-1], "w", zipfile.ZIP_DEFLATED)

        archive = begin()
        try:
            for name, text in texts.items():
                archive.writestr(name, text)
            archive.write(history, history.name)
            for name, path in names:
                try:
                    size = path.stat().st_size
                    if max_bytes is not None and size + 2 * OVERHEAD > max_bytes:
                        left_out += 1
                        continue
                    if max_bytes is not None and _size(archive) + size + OVERHEAD > max_bytes:
                        archive.close()
                        archive = begin()
                    archive.write(path, name, zipfile.ZIP_STORED)
                except FileNotFoundError:
                    continue  # deleted for its age
        finally:
            archive.close()
        history.unlink()
        return Export(folder, tuple(paths), left_out)


def _size(archive: zipfile.ZipFile) -> int:
    """Bytes of *archive* once it is closed."""
    return (archive.fp.tell() if archive.fp else 0) + OVERHEAD * (len(archive.filelist) + 1)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _about(db: sqlite3.Connection, user: str) -> dict[str, Any]:
    about = people.everything(db, user)
    strikes = "SELECT made_at, reason, job_id, is_lifted FROM strikes WHERE user = ?"
    about["strikes"] = [dict(row) for row in db.execute(strikes, (user,))]
    members = "SELECT server, banned_at, ban_reason, credits FROM members WHERE user = ?"
    about["limits_in_servers"] = [dict(row) for row in db.execute(members, (user,))]
    liked = "SELECT job_id, made_at FROM favourites WHERE user = ?"
    about["favourites"] = [dict(row) for row in db.execute(liked, (user,))]
    shared = "SELECT job_id, shared_at FROM shared_jobs WHERE user = ?"
    about["shared"] = [dict(row) for row in db.execute(shared, (user,))]
    about["votes"] = votes.of_person(db, user)
    owed = "SELECT job_id, url, attempts, next_at FROM webhooks WHERE user = ?"
    about["webhooks"] = [dict(row) for row in db.execute(owed, (user,))]
    reports = "SELECT made_at, job_id, reason FROM reports WHERE user = ? ORDER BY number"
    about["own_reports"] = [dict(row) for row in db.execute(reports, (user,))]
    noted = "SELECT made_at, kind, job_id, note FROM incidents WHERE user = ? ORDER BY number"
    about["told_to_moderators"] = [dict(row) for row in db.execute(noted, (user,))]
    # The admin who acted is somebody else.
    acts = "SELECT made_at, act, detail FROM audit WHERE subject = ? ORDER BY number"
    about["acts_of_admins"] = [dict(row) for row in db.execute(acts, (user,))]
    own_acts = "SELECT made_at, act FROM audit WHERE admin = ? ORDER BY number"
    about["own_acts_as_admin"] = [dict(row) for row in db.execute(own_acts, (user,))]
    added = "SELECT made_at FROM web_people WHERE user = ?"
    about["added_to_the_page"] = [dict(row) for row in db.execute(added, (user,))]
    joined = "SELECT joined_at, left_at FROM selves WHERE account = ? ORDER BY joined_at"
    about["joined"] = [dict(row) for row in db.execute(joined, (user,))]
    return about


def _entries(db: sqlite3.Connection, user: str) -> list[dict[str, Any]]:
    rows = db.execute(
        "SELECT kind, pot, credits, counts_at, made_at, job_id FROM entries"
        " WHERE user IN (SELECT value FROM json_each(?)) ORDER BY number",
        (selves.names_json(db, user),),
    )
    return [dict(row) for row in rows]


def _jobs(db: sqlite3.Connection, user: str, after: int) -> list[dict[str, Any]]:
    rows = db.execute(
        "SELECT number, id, status, prompt, request, images, cost, submitted_at, started_at,"
        " finished_at, seconds, server, parent, remarks, error, is_pruned, review, is_spoiler,"
        " forgotten_at FROM jobs WHERE user = ? AND number > ? ORDER BY number LIMIT ?",
        (user, after, ROWS_AT_ONCE),
    )
    return [dict(row) for row in rows]

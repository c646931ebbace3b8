"""Acts of the bot that rewrite files, each killed before every one of its steps.

A step is what Python audits (a file that is opened, renamed, linked or removed, a folder that is
made) and every statement that SQLite runs, those within VACUUM included. After each kill the act is
done once more, as the next start or the next hour does, and an act says what is wrong then.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

import bot.backups
import bot.database
import bot.gallery
from bot.assembly.folder import check_database_is_there
from bot.backups import DAY, back_up_if_due, backups, beside, restore, verify
from bot.commands import ImagineCommand
from bot.config import Config
from bot.database import Database, DatabaseDamaged, migrations
from bot.gallery import Gallery
from bot.job_store import JobStore
from bot.service import Service
from bot.source import Source
from generation.executor import ThreadExecutor
from generation.stub import StubEngine
from tests.reliability.bot_process import new_service, processes
from tests.samples import opened, picture

NOW = 1_700_000_000.0
#: What is audited as a step, if it is about the folder.
FILES = ("open", "os.link", "os.mkdir", "os.rename", "os.remove", "shutil.copyfile")
ADA = "loop:ada"
PEOPLE = 300
#: More than any act has, so that none goes on for ever.
MOST_STEPS = 2000


class Steps:
    """Kills this process before its step of number *fatal*, counted from 1; never with None."""

    def __init__(self, folder: Path, fatal: int | None) -> None:
        self._folder = str(folder)
        self._fatal = fatal
        self._count = 0

    def install(self) -> None:
        connect = sqlite3.connect

        def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
            connection = connect(*arguments, **options)
            connection.set_trace_callback(self._step)
            return connection

        sqlite3.connect = traced
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in FILES and str(arguments[0]).startswith(self._folder):
            self._step()

    def _step(self, statement: str = "") -> None:
        self._count += 1
        if self._count == self._fatal:
            os.kill(os.getpid(), signal.SIGKILL)


class Act(ABC):
    """Something that the bot does with its files.

    Attributes:
        faults: What can be planted in it, with words of what is found then.
    """

    faults: ClassVar[dict[str, str]]

    @abstractmethod
    def prepare(self, folder: Path) -> None:
        """Lay out the files that there are before."""

    @abstractmethod
    def do(self, folder: Path, now: float) -> None: ...

    @abstractmethod
    def plant(self, fault: str) -> None:
        """Break this act in this process, as its writers might have."""

    def after_kill(self, folder: Path) -> Iterator[str]:
        """What is wrong in *folder* before anything is mended."""
        yield from ()

    @abstractmethod
    def after_all(self, folder: Path) -> Iterator[str]:
        """What is wrong in *folder* at the end."""


@dataclass
class Report:
    """Kills of an act, and what was wrong after any."""

    kills: int = 0
    problems: list[str] = field(default_factory=list)


def kill_at_every_step(act: Act, folder: Path, fault: str | None = None, every: int = 1) -> Report:
    """Kill *act* before each step (or *every* so manieth), one life each, in *folder*."""
    forked = processes("tests.reliability.acts")
    before, report = folder / "before", Report()
    before.mkdir()
    act.prepare(before)
    for fatal in range(1, MOST_STEPS, every):
        place = folder / str(fatal)
        shutil.copytree(before, place)
        status = _live(forked, act, place, NOW, fatal, fault)
        found = list(act.after_kill(place))
        if status == 0:
            break
        if status != -signal.SIGKILL:
            raise AssertionError(f"the act ended with status {status} before step {fatal}")
        report.kills += 1
        if _live(forked, act, place, NOW + 2, None, None) != 0:
            found.append("it cannot be done again")
        else:
            found += act.after_all(place)
        report.problems += [f"killed before step {fatal}: {each}" for each in found]
        shutil.rmtree(place)
    else:
        raise AssertionError(f"the act has more than {MOST_STEPS} steps")
    report.problems += act.after_all(place)
    return report


def _live(
    forked: Any, act: Act, folder: Path, now: float, fatal: int | None, fault: str | None
) -> int:
    process = forked.Process(target=_do, args=(act, folder, now, fatal, fault))
    process.start()
    process.join(60)
    if process.exitcode is None:
        process.kill()
        raise AssertionError("the act hangs")
    return int(process.exitcode)


def _do(act: Act, folder: Path, now: float, fatal: int | None, fault: str | None) -> None:
    if fault is not None:
        act.plant(fault)
    Steps(folder, fatal).install()
    act.do(folder, now)


class Migrating(Act):
    """The start after an update, with the database of an older version."""

    faults: ClassVar = {"statement by statement": "it cannot be done again"}
    version = 4

    def prepare(self, folder: Path) -> None:
        with closing(sqlite3.connect(folder / "bot.sqlite3")) as db:
            db.execute("PRAGMA journal_mode = WAL")
            for script in migrations()[: self.version]:
                db.executescript(script)
            db.execute(f"PRAGMA user_version = {self.version}")
            people = [(f"loop:{number}", number) for number in range(PEOPLE)]
            db.executemany("INSERT INTO people (user, credits) VALUES (?, ?)", people)
            db.commit()

    def do(self, folder: Path, now: float) -> None:
        async def start() -> None:
            database = await Database.open(folder / "bot.sqlite3", is_checked=True)
            await database.close()

        asyncio.run(start())

    def plant(self, fault: str) -> None:
        def migrate(db: sqlite3.Connection) -> None:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            for number, script in enumerate(migrations()[version:], start=version + 1):
                db.executescript(f"{script} PRAGMA user_version = {number};")

        bot.database.migrate = migrate

    def after_all(self, folder: Path) -> Iterator[str]:
        copy = f"before-schema-{len(migrations())}.sqlite3"
        for name, schema in (("bot.sqlite3", len(migrations())), (copy, self.version)):
            with closing(sqlite3.connect(folder / name)) as db:
                if db.execute("PRAGMA user_version").fetchone() != (schema,):
                    yield f"{name} has another schema than {schema}"
                if db.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                    yield f"{name} is damaged"
                query = "SELECT count(*), sum(credits) FROM people"
                if db.execute(query).fetchone() != (PEOPLE, sum(range(PEOPLE))):
                    yield f"{name} has lost people"
        expected = {"bot.sqlite3", copy, *(path.name for path in beside(folder / "bot.sqlite3"))}
        for name in {path.name for path in folder.iterdir()} - expected:
            yield f"{name} is left over"


class BackingUp(Act):
    """The daily copy, with older ones to delete."""

    faults: ClassVar = {"in its place": "counts as a backup, and"}
    keep = 2

    def prepare(self, folder: Path) -> None:
        database = folder / "bot.sqlite3"
        _make_database(database)
        for days in (3, 2, 1):
            back_up_if_due(database, folder / "backups", 9, NOW - days * DAY)

    def do(self, folder: Path, now: float) -> None:
        back_up_if_due(folder / "bot.sqlite3", folder / "backups", self.keep, now)

    def plant(self, fault: str) -> None:
        def replace(part: Any, copy: Any) -> None:
            with open(copy, "wb") as file:
                _in_two_parts(Path(part).read_bytes(), file)
            os.unlink(part)

        os.replace = replace

    def after_kill(self, folder: Path) -> Iterator[str]:
        copies = backups(folder / "backups")
        if len(copies) < self.keep:
            yield f"there are {len(copies)} backups"
        for copy in copies:
            try:
                verify(copy)
            except DatabaseDamaged as error:
                yield f"{copy.name} counts as a backup, and {error}"

    def after_all(self, folder: Path) -> Iterator[str]:
        yield from self.after_kill(folder)
        copies = backups(folder / "backups")
        if len(copies) > self.keep:
            yield f"{len(copies)} backups are kept"
        for path in (folder / "backups").iterdir():
            if path not in copies:
                yield f"{path.name} is left over"
        if _people(folder / "bot.sqlite3") != PEOPLE:
            yield "the database has lost people"


class Restoring(Act):
    """The command that puts a copy back; the database has a log that belongs to it."""

    faults: ClassVar = {
        "without what was there": "is gone",
        "the database last": "a bot would start without the log of its database",
    }
    old = b"the old database", b"its log", b"its index"

    def prepare(self, folder: Path) -> None:
        database = folder / "bot.sqlite3"
        _make_database(database)
        back_up_if_due(database, folder / "backups", 1, NOW - DAY)
        for path, content in zip(self._files(folder), self.old, strict=True):
            path.write_bytes(content)

    def _files(self, folder: Path) -> list[Path]:
        return [folder / f"bot.sqlite3{end}" for end in ("", "-wal", "-shm")]

    def do(self, folder: Path, now: float) -> None:
        restore(folder / "bot.sqlite3", backups(folder / "backups")[0], now)

    def plant(self, fault: str) -> None:
        if fault == "without what was there":
            bot.backups._put = lambda path, place: None
        else:
            Path.unlink = _unlink_all_but_the_database

    def after_kill(self, folder: Path) -> Iterator[str]:
        config = Config(storage={"data_dir": folder})
        database, *beside = self._files(folder)
        if not database.exists():
            with suppress(DatabaseDamaged):
                check_database_is_there(config)
                yield "a bot would start with an empty database"
        elif database.read_bytes() == self.old[0] and not all(each.exists() for each in beside):
            yield "a bot would start without the log of its database"
        elif database.read_bytes() != self.old[0] and any(each.exists() for each in beside):
            yield "a bot would start with the log of another database"
        for content in self.old:
            if not any(path.read_bytes() == content for path in self._everything(folder)):
                yield f"{content.decode()} is gone"

    def after_all(self, folder: Path) -> Iterator[str]:
        if _people(folder / "bot.sqlite3") != PEOPLE:
            yield "the database is not what the backup is"
        names = {path.name for path in folder.iterdir() if path.is_file()}
        for name in names - {path.name for path in self._files(folder)}:
            yield f"{name} is left over"
        for content in self.old:
            places = [p for p in self._everything(folder) if p.read_bytes() == content]
            if not places:
                yield f"{content.decode()} is gone"
            if not any((place.parent / "bot.sqlite3").exists() for place in places):
                yield f"{content.decode()} lies apart from the rest"

    def _everything(self, folder: Path) -> Iterator[Path]:
        return (path for path in folder.rglob("bot.sqlite3*") if path.is_file())


class Pruning(Act):
    """The hourly deletion of old pictures, and of what belongs to no job."""

    faults: ClassVar = {"rows first": "is pruned, and its picture is still there"}
    days = 30

    def prepare(self, folder: Path) -> None:
        async def draw() -> None:
            for age, seed in ((100 * DAY, 1), (DAY, 3)):
                database, service = await self._service(folder, NOW - age, keep_days=0)
                await service.start()
                working = asyncio.create_task(service.run())
                for number in range(2):
                    command = ImagineCommand("a fox", width=64, height=64, seed=seed + number)
                    if number == 1:
                        command = replace(command, preset="canny")
                    attached = (picture(64, 64 + seed),) if number == 1 else ()
                    job = await service.submit(Source(ADA), command, attached)
                    await job.finished()
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)
                await database.close()

        asyncio.run(draw())
        gallery = Gallery(folder)
        for path in gallery.control_images.iterdir():
            os.utime(path, (NOW, NOW))
        (gallery.control_images / "nobodys.png").write_bytes(picture(64, 64))
        os.utime(gallery.control_images / "nobodys.png", (NOW, NOW))

    async def _service(self, folder: Path, now: float, keep_days: int) -> tuple[Database, Service]:
        database = await Database.open(folder / "bot.sqlite3")
        gallery, executor = {"keep_days": keep_days}, ThreadExecutor(StubEngine)
        return database, new_service(folder, database, [executor], lambda: now, gallery=gallery)

    def do(self, folder: Path, now: float) -> None:
        async def prune() -> None:
            database, service = await self._service(folder, now + 2 * DAY, self.days)
            await service.prune()
            await database.close()

        asyncio.run(prune())

    def plant(self, fault: str) -> None:
        prunable = JobStore.prunable

        def marked(self: JobStore, db: sqlite3.Connection, before: float, limit: int) -> list[str]:
            with closing(sqlite3.connect(db.execute("PRAGMA database_list").fetchone()[2])) as own:
                own.row_factory = sqlite3.Row
                found = prunable(self, own, before, limit)
                self.prune(own, found)
                own.commit()
            return found

        JobStore.prunable = marked

    def after_all(self, folder: Path) -> Iterator[str]:
        gallery = Gallery(folder)
        with closing(sqlite3.connect(folder / "bot.sqlite3")) as db:
            jobs = db.execute("SELECT id, is_pruned, request FROM jobs ORDER BY number").fetchall()
        if [is_pruned for _, is_pruned, _ in jobs] != [1, 1, 0, 0]:
            yield "others are pruned than those that are old"
        attached = {path.name for path in gallery.control_images.iterdir()}
        for id, is_pruned, request in jobs:
            if is_pruned and gallery.has_files_of(id):
                yield f"{id} is pruned, and its picture is still there"
            if not is_pruned and not gallery.picture_path(id, 1).exists():
                yield f"{id} is not pruned, and its picture is gone"
            for name in [each for each in attached if each in request]:
                attached.remove(name)
                if is_pruned:
                    yield f"{id} is pruned, and what was attached to it is still there"
            if (
                not is_pruned
                and '"canny"' in request
                and not any(path.name in request for path in gallery.control_images.iterdir())
            ):
                yield f"{id} is not pruned, and what was attached to it is gone"
        for name in attached:
            yield f"{name} belongs to nobody, and is still there"


class Saving(Act):
    """A picture that is put into the gallery."""

    faults: ClassVar = {"in its place": "is not whole"}

    def prepare(self, folder: Path) -> None:
        Gallery(folder)

    def do(self, folder: Path, now: float) -> None:
        gallery = Gallery(folder)
        image = Image.effect_noise((64, 64), 90).convert("RGB")
        png = gallery.provenance.png(image, bot.gallery.MAP)
        for name in ("one-1.png", "two-1.png"):
            bot.gallery.write_aside(gallery.images / name, partial(_in_two_parts, png))

    def plant(self, fault: str) -> None:
        def write(path: Path, write: Callable[[Any], object]) -> None:
            with path.open("wb") as file:
                write(file)

        bot.gallery.write_aside = write

    def after_kill(self, folder: Path) -> Iterator[str]:
        for path in (folder / "images").iterdir():
            if not path.name.startswith("."):
                try:
                    opened(path.read_bytes())
                except (OSError, SyntaxError):
                    yield f"{path.name} is not whole"

    def after_all(self, folder: Path) -> Iterator[str]:
        yield from self.after_kill(folder)
        names = sorted(path.name for path in (folder / "images").iterdir())
        if names != ["one-1.png", "two-1.png"]:
            yield f"there are {', '.join(names)}"


def _unlink_all_but_the_database(path: Path, missing_ok: bool = False) -> None:
    if path.name != "bot.sqlite3":
        with suppress(FileNotFoundError):
            os.unlink(path)


def _in_two_parts(data: bytes, file: Any) -> None:
    """Write as a large file is written, with a step in between."""
    file.write(data[: len(data) // 2])
    file.flush()
    with suppress(FileNotFoundError):
        os.remove(f"{file.name}-nothing" if isinstance(file.name, str) else "/nothing")
    file.write(data[len(data) // 2 :])


def _make_database(path: Path) -> None:
    async def make() -> None:
        database = await Database.open(path)
        people = [(f"loop:{number}", number) for number in range(PEOPLE)]
        insert = "INSERT INTO people (user, credits) VALUES (?, ?)"
        await database.write(lambda db: db.executemany(insert, people))
        await database.close()

    asyncio.run(make())


def _people(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("SELECT count(*) FROM people").fetchone()[0])


ACTS: dict[str, Act] = {
    "migrating": Migrating(),
    "backing up": BackingUp(),
    "restoring": Restoring(),
    "pruning": Pruning(),
    "saving": Saving(),
}

"""Power losses at every moment of a bot's work, and what is left of its promises afterwards.

A scene is played once and recorded. From the record, disks are laid out as they may be after a
power loss at some moment (`tests.reliability.disk`); the bot starts on each, and everything
that somebody had been told by then is asked for.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

from PIL import Image

import bot.database
from bot import deletion_record
from bot.assembly.folder import check_database_is_there
from bot.backups import DAY, back_up, back_up_if_due, backups, clear_up, restore, verify
from bot.commands import ImagineCommand
from bot.config import Config
from bot.database import Database, DatabaseDamaged, migrations
from bot.job_ids import JobIds
from bot.jobs import Job
from bot.service import Service
from bot.soundness import check_all
from bot.source import Source
from tests.reliability import load
from tests.reliability.disk import Named, Said, lay_out, losses
from tests.reliability.moody import MoodyEngine
from tests.reliability.recording import Record
from tests.samples import picture

Say = Callable[[str, Any], None]

NOW = 1_700_000_000.0
#: Pages of the log after which SQLite empties it: a few jobs.
PAGES_OF_LOG = 40
#: The schema that is brought up to date.
OLD_SCHEMA = 3
PATIENCE = 20.0


@dataclass(frozen=True)
class Scene:
    """Something that a bot does in the folder ``data`` below a path, and whoever judges what is
    left of it after a power loss.

    Attributes:
        prepare: Makes what stood on the disk long before.
        is_vain: Whether SQLite's syncs of the file at a path count for nothing: it promises none
            of what ``VACUUM INTO`` makes (https://www.sqlite.org/lang_vacuum.html).
    """

    prepare: Callable[[Path], Awaitable[None]]
    play: Callable[[Path, Say], Awaitable[None]]
    judge: Callable[[Path, Sequence[Said]], Awaitable[list[str]]]
    is_vain: Callable[[str], bool] = lambda path: False


@dataclass
class Outcome:
    """Findings of many power losses in one scene."""

    operations: int = 0
    losses: int = 0
    promises: int = 0
    problems: Counter[str] = field(default_factory=Counter)


async def lose_power(
    name: str, folder: Path, count: int, seed: int, fault: str | None = None
) -> Outcome:
    """Play the scene *name* in *folder*, and lose the power *count* times in it: just after
    somebody was told something or a name has changed, or at any moment. With a planted *fault*,
    the first finding of it is enough."""
    scene, dice = SCENES[name], Random(seed)
    planted = Fault(name, "") if fault is None else FAULTS[fault]
    root = folder / "machine"
    root.mkdir()
    await scene.prepare(root)
    record = Record(root, planted.is_forgotten, scene.is_vain)
    with record.running(), planted.broken(record.say):
        await scene.play(root, record.say)
    if different := record.differences():
        raise AssertionError(f"the record is not true: {different}")
    outcome = Outcome(operations=len(record.operations) - record.begin)
    told = [number for number, each in enumerate(record.operations, 1) if isinstance(each, Said)]
    # A fault can break no promise before the first is made.
    begin = record.begin if fault is None else told[0]
    later = range(begin, len(record.operations))
    named = [number + 1 for number in later if isinstance(record.operations[number], Named)]
    moments = [dice.choice(dice.choice((told, named or told, later))) for _ in range(count)]
    for _, tree, said in losses(record.operations, moments, dice):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            lay_out(tree, Path(place))
            with _without_syncs():
                try:
                    found = await scene.judge(Path(place), said)
                except Exception as error:  # of the bot, on such a disk
                    found = [f"the bot fails: {type(error).__name__}: {error}"]
        outcome.losses += 1
        outcome.promises += len(said)
        outcome.problems.update(set(found))
        if fault is not None and any(planted.words in each for each in found):
            break
    return outcome


@contextmanager
def _without_syncs() -> Iterator[None]:
    """A block in which the power stays on, and nobody need wait for a disk."""
    with mock.patch("os.fsync"), _synchronous("OFF")(_nobody_hears):
        yield


def _nobody_hears(what: str, about: Any) -> None:
    """Nobody is told anything."""


async def _nobody(root: Path) -> None:
    """Nothing stood there before."""


# A bot at work


async def _work(root: Path, say: Say) -> None:
    """Two lives of a bot: pictures alone, in groups and from attached ones; failures, deletions."""
    data, photo = root / "data", picture(64, 64)
    async with _bot(data) as (service, database):
        await database._writer.execute(f"PRAGMA wal_autocheckpoint = {PAGES_OF_LOG}")
        ask = partial(_ask, data, service, say)
        first, *_ = await asyncio.gather(
            ask("ada", 1),
            ask("bob", 2, "a fox fails"),
            ask("ada", 3, preset="canny", attached=photo),
            ask("bob", 4, preset="canny", attached=photo),
            ask("cleo", 5, preset="canny", attached=picture(64, 64, "blue")),
        )
        await service.own_settings.change("loop:bob", ImagineCommand(width=128))
        say("settings", ("loop:bob", {"width": 128}))
        await asyncio.gather(ask("ada", 6, images=2), ask("cleo", 7))
        say("deleting", [first.id])
        await service.delete(Source("loop:ada"), first.id)
        say("deleted", [first.id])
    async with _bot(data) as (service, database):
        ask = partial(_ask, data, service, say)
        again = await service.again(Source("loop:ada"), first.id)
        say("queued", again.id)
        await asyncio.gather(ask("bob", 8), again.finished())
        hers = [job.id for job in (await service.lookups.history("loop:cleo")).jobs]
        say("deleting", hers)
        await service.own_data.delete("loop:cleo")
        say("deleted", hers)
        say("forgotten", "loop:cleo")
        await ask("dan", 9)


async def _draw(root: Path, say: Say) -> None:
    """The least work in which all of these faults can show."""
    data = root / "data"
    async with _bot(data) as (service, _):
        await _ask(data, service, say, "ada", 1, preset="canny", attached=picture(64, 64))


def _bot(data: Path) -> Any:
    return load.bot(data, MoodyEngine, storage={"data_dir": data})


async def _ask(
    data: Path,
    service: Service,
    say: Say,
    name: str,
    seed: int,
    prompt: str = "a fox",
    attached: bytes | None = None,
    **options: Any,
) -> Job:
    """The job of somebody who waits for the picture, and gets it."""
    command = ImagineCommand(
        prompt, seed=seed, width=64, height=64, num_inference_steps=2, **options
    )
    source = Source(f"loop:{name}", reply_to={"event": seed})
    job = await service.submit(source, command, () if attached is None else (attached,))
    say("queued", job.id)
    status = (await job.finished()).status
    files = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (data / "images").glob(f"{job.id}-*")
    }
    say("ended", (job.id, status, files))
    await service.answers.delivered(job)
    say("delivered", job.id)
    return job


async def _judge_work(root: Path, said: Sequence[Said]) -> list[str]:
    data = root / "data"
    if fault := _refusal(data):
        return [fault]
    about = {what: [each.about for each in said if each.what == what] for what in WORDS}
    deleting = {id for ids in about["deleting"] for id in ids}
    problems: list[str] = []
    async with _bot(data) as (service, _):
        rows = _rows(data)
        problems += _unkept(data, rows, about, deleting)
        problems += _unsound(data, rows, deleting)
        settings = [await service.own_settings.of(user) for user, _ in about["settings"]]
        if settings != [changed for _, changed in about["settings"]]:
            problems.append("somebody's settings are gone")
        # The start finishes what was begun, and clears away what is nobody's.
        for row in rows.values():
            if row["status"] not in ENDED:
                job = await service.lookups.job(Source(row["user"]), row["id"])
                await asyncio.wait_for(job.finished(), PATIENCE)
        await service.own_data.carry_out_due()
        await service.prune()
    rows = _rows(data)
    problems += _unsound(data, rows, deleting)
    for id in {id for ids in about["deleted"] for id in ids}:
        if list((data / "images").glob(f"{id}-*")):
            problems.append("a picture that was deleted is back")
    for user in about["forgotten"]:
        if any(row["user"] == user for row in rows.values()):
            problems.append("a person who was forgotten is back")
        record = data / "backups" / deletion_record.NAME
        if not record.exists() or not json.loads(record.read_bytes())["deletions"]:
            problems.append("no backup would know of a deletion")
    if any(row["status"] not in ENDED for row in rows.values()):
        problems.append("a job has never ended")
    return [*problems, *_left_over(data, rows)]


def _unkept(
    data: Path, rows: dict[str, sqlite3.Row], about: dict[str, list[Any]], deleting: set[str]
) -> Iterator[str]:
    """What people were told, and is not so."""
    for id in about["queued"]:
        if id not in rows:
            yield "a job that was told to be queued is gone"
    for id, status, files in about["ended"]:
        if id in deleting or id not in rows:
            continue
        if rows[id]["status"] != status:
            yield f"a job that was told to have {status} is {rows[id]['status']}"
        for name, sum in files.items():
            path = data / "images" / name
            if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != sum:
                yield "a picture that was shown is another, or gone"
    for id in about["delivered"]:
        if id in rows and rows[id]["delivery"] != "delivered" and id not in deleting:
            yield "an answer that was given is owed again"


def _unsound(data: Path, rows: dict[str, sqlite3.Row], deleting: set[str]) -> Iterator[str]:
    """What cannot be, whatever anybody was told."""
    try:
        with closing(sqlite3.connect(data / "bot.sqlite3")) as db:
            check_all(db)
    except DatabaseDamaged as error:
        yield str(error)
    for id, row in rows.items():
        if row["is_pruned"] or id in deleting:
            continue
        attached = json.loads(row["request"]).get("control_image")
        if attached is not None:
            path = data / "control-images" / Path(attached).name
            if not path.exists():
                yield "an attached picture is missing"
            elif hashlib.sha256(path.read_bytes()).hexdigest() != path.stem:
                yield "an attached picture is cut"
        if row["status"] == "succeeded":
            numbers = range(1, row["images"] + 1)
            names = [*map(str, numbers), *(["grid"] if row["images"] > 1 else [])]
            for name in (*(f"{id}-{each}.png" for each in names), f"{id}-thumbnail.webp"):
                if fault := _fault_of(data / "images" / name):
                    yield fault


def _fault_of(path: Path) -> str | None:
    if not path.exists():
        return "a picture is missing"
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError):
        return "a picture is cut"
    return None


def _left_over(data: Path, rows: dict[str, sqlite3.Row]) -> Iterator[str]:
    drawn = {id for id, row in rows.items() if row["status"] == "succeeded"}
    attached = {json.loads(row["request"]).get("control_image") for row in rows.values()}
    for path in (data / "images").iterdir():
        if path.name.partition("-")[0] not in drawn:
            yield "a picture is nobody's"
    for path in (data / "control-images").iterdir():
        if path.name not in attached:
            yield "an attached picture is nobody's"


def _refusal(data: Path) -> str | None:
    """The sentence with which a start would be refused; None where it is not."""
    try:
        check_database_is_there(_config(data))
        if (data / "bot.sqlite3").exists():
            with closing(sqlite3.connect(data / "bot.sqlite3")) as db:
                bot.database.check_sound(db)
    except DatabaseDamaged as error:
        return f"the start is refused: {str(error).replace(str(data), 'data')}"
    return None


def _config(data: Path) -> Config:
    return Config(storage={"data_dir": data})


def _rows(data: Path) -> dict[str, sqlite3.Row]:
    with closing(sqlite3.connect(data / "bot.sqlite3")) as db:
        db.row_factory = sqlite3.Row
        return {row["id"]: row for row in db.execute("SELECT * FROM jobs")}


# A migration


async def _old(root: Path) -> None:
    """A database of an old schema, whose log the last bot has left."""
    (root / "data").mkdir()
    with closing(sqlite3.connect(root / "data/bot.sqlite3", isolation_level=None)) as db:
        for script in migrations()[:OLD_SCHEMA]:
            db.executescript(script)
        db.execute(f"PRAGMA user_version = {OLD_SCHEMA}")
        _write_rows(db, 1)


def _write_rows(db: sqlite3.Connection, credits: int) -> None:
    for number in range(50):
        db.execute(
            "INSERT INTO entries (user, kind, pot, credits, counts_at, made_at)"
            " VALUES (?, 'grant', 'grant', ?, 0, 0)",
            (f"loop:{number}", credits),
        )


async def _migrate(root: Path, say: Say) -> None:
    database = await Database.open(root / "data/bot.sqlite3", is_checked=True)
    say("migrated", None)
    await database.close()


async def _judge_migration(root: Path, said: Sequence[Said]) -> list[str]:
    data, problems = root / "data", []
    path, newest = data / "bot.sqlite3", len(migrations())
    if fault := _refusal(data):
        return [fault]
    version, found = _contents(path)
    if said and version != newest:
        problems.append("the database has its old schema again")
    copy = data / f"before-schema-{newest}.sqlite3"
    if version != OLD_SCHEMA and (not copy.exists() or _contents(copy) != (OLD_SCHEMA, [1] * 50)):
        problems.append("there is no copy with the old schema")
    await (await Database.open(path, is_checked=True)).close()
    if found != [1] * 50 or _contents(path) != (newest, found):
        problems.append("rows were lost")
    left = {each.name for each in data.iterdir()} - {path.name, copy.name}
    return problems + [f"{name} is left over" for name in sorted(left)]


def _contents(path: Path) -> tuple[int, list[int]]:
    """Schema and credits of a database; -1 where it is none."""
    try:
        with closing(sqlite3.connect(path)) as db:
            bot.database.check_sound(db)
            (version,) = db.execute("PRAGMA user_version").fetchone()
            query = "SELECT credits FROM entries ORDER BY number"
            return version, [row[0] for row in db.execute(query)]
    except (sqlite3.DatabaseError, DatabaseDamaged):
        return -1, []


# Backups


async def _new(root: Path) -> None:
    database = await Database.open(root / "data/bot.sqlite3")
    await database.write(partial(_write_rows, credits=1))
    await database.close()


async def _back_up(root: Path, say: Say) -> None:
    """Four days, of which the last two copies are kept, while somebody writes."""
    data = root / "data"
    database = await Database.open(data / "bot.sqlite3")
    for day in range(4):
        await database.write(partial(_write_rows, credits=day + 2))
        due = (data / "bot.sqlite3", data / "backups", 2, NOW + day * DAY)
        copy = await asyncio.to_thread(back_up_if_due, *due)
        assert copy is not None
        say(
            "backed up",
            (copy.name, [1] * 50 + [each for each in range(2, day + 3) for _ in range(50)]),
        )
    await database.close()


async def _judge_backups(root: Path, said: Sequence[Said]) -> list[str]:
    data, problems = root / "data", []
    if fault := _refusal(data):
        return [fault]
    for copy in backups(data / "backups"):
        try:
            verify(copy)
        except DatabaseDamaged:
            problems.append("a backup is not sound")
    if said:
        name, rows = said[-1].about
        if _contents(data / "backups" / name)[1] != rows:
            problems.append("a backup is gone")
    await asyncio.to_thread(back_up, data / "bot.sqlite3", data / "backups", NOW + 9 * DAY)
    left = {each.name for each in (data / "backups").iterdir() if each.suffix != ".sqlite3"}
    return problems + ["half a backup is left over"] * bool(left)


# A backup that takes the database's place


async def _backed_up(root: Path) -> None:
    """A database with a backup, and with a log that a killed bot has left."""
    await _new(root)
    data = root / "data"
    back_up(data / "bot.sqlite3", data / "backups", NOW)
    database = await Database.open(data / "bot.sqlite3")
    await database.write(partial(_write_rows, credits=2))
    await database.checkpoint()
    await database.write(partial(_write_rows, credits=4))
    shutil.copytree(data, root / "killed", ignore=shutil.ignore_patterns("*-shm"))
    await database.close()
    shutil.rmtree(data)
    (root / "killed").rename(data)


async def _restore(root: Path, say: Say) -> None:
    data = root / "data"
    (copy,) = backups(data / "backups")
    aside = restore(data / "bot.sqlite3", copy, NOW + DAY)
    assert aside is not None
    say("restored", aside.name)
    database = await Database.open(data / "bot.sqlite3")
    await database.write(partial(_write_rows, credits=3))
    say("written", None)
    await database.close()


async def _judge_restore(root: Path, said: Sequence[Said]) -> list[str]:
    data, problems = root / "data", []
    path, what = data / "bot.sqlite3", [each.what for each in said]
    old, new = [1] * 50 + [2] * 50 + [4] * 50, [1] * 50
    everything = [*data.glob("replaced-*/bot.sqlite3"), *([path] if path.exists() else [])]
    # Looking at a database changes what lies beside it.
    looked = shutil.copytree(data, root / "looked")
    if all(_contents(looked / each.relative_to(data))[1] != old for each in everything):
        problems.append("what was there before is gone")
    shutil.rmtree(looked)
    if not path.exists():
        if not (_refusal(data) or "").endswith("elsewhere"):
            problems.append("a start would begin anew, beside what was there")
        restore(path, backups(data / "backups")[0], NOW + 2 * DAY)
        what.append("restored")
    if fault := _refusal(data):
        return [*problems, fault]
    await (await Database.open(path, is_checked=True)).close()
    found = _contents(path)[1]
    if "restored" in what and found[:51] not in (new, [*new, 3]):
        problems.append("what was restored is not there")
    if "written" in what and found != new + [3] * 50:
        problems.append("what was written since is gone")
    if found not in (old, new, new + [3] * 50):
        problems.append("the database is neither what it was nor the backup")
    clear_up(path)
    if list(data.glob("*.part")):
        problems.append("half a database is left over")
    return problems


WORDS = ("queued", "ended", "delivered", "settings", "deleting", "deleted", "forgotten")
ENDED = ("succeeded", "failed", "cancelled")
SCENES = {
    "work": Scene(_nobody, _work, _judge_work),
    "picture": Scene(_nobody, _draw, _judge_work),
    "migration": Scene(_old, _migrate, _judge_migration, lambda path: "before-schema" in path),
    "backup": Scene(_new, _back_up, _judge_backups, lambda path: "backups/" in path),
    "restore": Scene(_backed_up, _restore, _judge_restore),
}


# Faults


@dataclass(frozen=True)
class Fault:
    """A bot that is wrong in a scene.

    Attributes:
        words: Words of the finding that must come of it.
        is_forgotten: Whether it does not sync the file or folder at a path.
        broken: A block in which it is wrong otherwise.
    """

    scene: str
    words: str
    is_forgotten: Callable[[str], bool] = lambda path: False
    broken: Callable[[Say], AbstractContextManager[Any]] = nullcontext


def _synchronous(word: str) -> Callable[[Say], AbstractContextManager[Any]]:
    prepare = bot.database._prepare

    def less(db: sqlite3.Connection) -> None:
        prepare(db)
        db.execute(f"PRAGMA synchronous = {word}")

    return lambda say: mock.patch("bot.database._prepare", less)


def _told_early(say: Say) -> AbstractContextManager[Any]:
    give = JobIds.give

    async def told(self: JobIds, job: Job) -> None:
        await give(self, job)
        say("queued", job.id)

    return mock.patch.object(JobIds, "give", told)


FAULTS = {
    "synchronous = NORMAL": Fault("picture", "queued is gone", broken=_synchronous("NORMAL")),
    "synchronous = OFF": Fault("picture", "queued is gone", broken=_synchronous("OFF")),
    "told before the commit": Fault("picture", "queued is gone", broken=_told_early),
    "pictures not synced": Fault("picture", "picture is cut", lambda path: "images/." in path),
    "folders of pictures not synced": Fault(
        "picture", "picture is missing", lambda path: path.endswith("images")
    ),
    "new folders not synced": Fault("picture", "queued is gone", lambda path: path == ""),
    "new folders in the data folder not synced": Fault(
        "picture", "picture is missing", lambda path: path == "data"
    ),
    "copy of the old schema not synced": Fault(
        "migration", "no copy with the old schema", lambda path: "before-schema" in path
    ),
    "backups not synced": Fault("backup", "is not sound", lambda path: path.endswith(".part")),
    "folder of backups not synced": Fault(
        "backup", "a backup is gone", lambda path: path.endswith("backups")
    ),
    "old files not synced where they are put": Fault(
        "restore", "there before is gone", lambda path: "replaced-" in path
    ),
    "old files not taken away before the new one comes": Fault(
        "restore", "restored is not there", lambda path: path == "data"
    ),
}

"""Times of the bot over a long history, at 1,000 to 1,000,000 jobs.

    python -m benchmarks.history                      1k, 10k, 100k and 1M: ten minutes
    python -m benchmarks.history --jobs 1000,100000   these alone

Each line but the start is measured in a running bot without a platform: the median of several,
and the longest that anybody else who reads (or writes) meanwhile had to wait. The history is one
of a year, of which the person has every tenth job, in one server with a quota.
"""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bot.backups import back_up
from bot.commands import ImagineCommand
from bot.config import Config
from bot.database import Database, migrate
from bot.gallery import Gallery
from bot.job_store import JobStore
from bot.jobs import ID_ALPHABET, ID_LENGTH
from bot.origins import Origin
from bot.screens import Screens
from bot.service import Service
from bot.soundness import is_checked_first
from bot.source import Source
from bot.upkeep import kept_control_images
from bot.views import About
from generation.control_images import PillowControlImages
from generation.executor import ThreadExecutor
from generation.stub import StubEngine
from generation.types import Preset

ADA, ADMIN, SERVER = "web:ada", "web:local", "discord-server:1"
YEAR = 365 * 86400.0
COLOURS = ["red", "blue", "green", "yellow", "black", "white", "purple", "orange", "pink", "brown"]
SHAPES = ["circle", "square", "star", "heart", "triangle", "house", "boat", "tree", "moon", "sun"]


@dataclass(frozen=True)
class Line:
    """One line of the table: milliseconds, and milliseconds that others waited at most."""

    name: str
    median: float
    waited: float | None = None


def make_history(path: Path, count: int) -> None:
    """A database of *count* jobs at *path*."""
    chance = random.Random(1)
    now = time.time()
    users = [f"discord:{10**17 + number}" for number in range(max(10, count // 200))]

    def jobs() -> Iterator[tuple[object, ...]]:
        for number in range(count):
            user = ADA if number % 10 == 0 else chance.choice(users)
            at = now - YEAR * (1 - number / count) - 3600
            prompt = (
                f"a {chance.choice(COLOURS)} {chance.choice(SHAPES)} beside a"
                f" {chance.choice(COLOURS)} {chance.choice(SHAPES)}, number {number}"
            )
            attached = f"{number:064x}.png" if number % 5 == 0 else None
            request = {
                "prompt": prompt,
                "negative_prompt": "",
                "num_inference_steps": 12,
                "guidance_scale": 3.5,
                "true_cfg_scale": 1.0,
                "strength": 0.7 if attached else None,
                "width": 256,
                "height": 256,
                "seed": number,
                "preset": "plain",
                "model": "demo",
                "control_image": attached,
            }
            id = "".join(chance.choices(ID_ALPHABET, k=ID_LENGTH - 4)) + f"{number:x}"[-4:].zfill(4)
            status = "succeeded" if number % 20 else "failed"
            reply_to = json.dumps({"channel": f"c{number % 500}", "message": str(number)})
            yield (
                number + 1, f"{id}{number}", user, status, prompt, json.dumps(request), 1, 12, at,
                at + 1, at + 5, 2.0, 1, 1, SERVER, reply_to, "delivered", number,
            )  # fmt: skip

    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = OFF")
        migrate(db)
        db.execute("BEGIN")
        db.executemany(
            "INSERT INTO jobs (number, id, user, status, prompt, request, images, cost,"
            " submitted_at, started_at, finished_at, seconds, attempts, fence, server, reply_to,"
            " delivery, turn) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            jobs(),
        )
        db.execute(
            "INSERT INTO entries (user, kind, pot, credits, counts_at, made_at, job_id)"
            " SELECT user, 'charge', 'allowance', -cost, submitted_at, submitted_at, id FROM jobs"
        )
        db.execute(
            "INSERT INTO entries (user, kind, pot, credits, counts_at, made_at, job_id)"
            " SELECT user, 'refund', 'allowance', cost, submitted_at, finished_at, id FROM jobs"
            " WHERE status = 'failed'"
        )
        db.execute("INSERT INTO group_quotas VALUES (?, ?)", (SERVER, 10**9))
        db.execute("COMMIT")


async def waiting(ask: Callable[[], Awaitable[object]], longest: list[float]) -> None:
    """Ask again and again, and note the longest that an answer took, in milliseconds."""
    while True:
        began = time.perf_counter()
        await ask()
        longest[0] = max(longest[0], 1e3 * (time.perf_counter() - began))
        await asyncio.sleep(0.002)


async def timed(
    name: str,
    work: Callable[[], Awaitable[object]],
    others: Callable[[], Awaitable[object]] | None = None,
    times: int = 5,
) -> Line:
    """The line of *work*, while *others* are asked for all the time."""
    longest = [0.0]
    asking = None if others is None else asyncio.create_task(waiting(others, longest))
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        await work()
        taken.append(1e3 * (time.perf_counter() - began))
    if asking is not None:
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
    return Line(name, statistics.median(taken), None if others is None else longest[0])


async def measure(folder: Path) -> list[Line]:
    """The lines of the database in *folder*."""
    path = folder / "bot.sqlite3"
    config = Config(
        presets={"plain": Preset(name="plain")},
        storage={"data_dir": folder},
        quota={"credits": 10**9},
        queue={"max_waiting": 10**6, "max_waiting_per_user": 10**6},
        admins={"users": (ADMIN,)},
    )
    began = time.perf_counter()
    database = await Database.open(path, is_checked=is_checked_first(path))
    service = Service(
        config,
        [ThreadExecutor(StubEngine)],
        database,
        Gallery(folder),
        PillowControlImages(),
        about=About("A benchmark."),
        screens=Screens({}),
        read_presets=lambda: config.presets,
    )
    await service.start()
    lines = [Line("start until the page could answer", 1e3 * (time.perf_counter() - began))]
    store, now = JobStore(folder / "control-images"), time.time

    def look() -> Awaitable[object]:
        return service.lookups.history(ADA, limit=12)

    async def note() -> None:
        await database.write(lambda db: db.execute("INSERT INTO keys VALUES (?, x'')", (now(),)))

    command = ImagineCommand("a red fox", num_inference_steps=1, width=64, height=64)
    source = Source(ADA, Origin(SERVER))
    taken = []
    for _ in range(100):
        began = time.perf_counter()
        await service.submit(source, command)
        taken.append(1e3 * (time.perf_counter() - began))
    lines.append(Line("submit in a server with a quota, p99 of 100", sorted(taken)[98]))
    owed = partial(store.undelivered, platform="discord")
    prunable = partial(store.prunable, before=now() - 30 * 86400, limit=500)
    for line in (
        timed("answers that are owed", lambda: database.read(owed), look),
        timed("prunable jobs, 500 of them", lambda: database.read(prunable), look),
        timed("attached pictures in use", lambda: kept_control_images(database, store), look, 1),
        timed("history, newest page", lambda: service.lookups.history(ADA)),
        timed(
            "search, a word in every prompt", lambda: service.lookups.history(ADA, "beside"), look
        ),
        timed("search, a word in a tenth", lambda: service.lookups.history(ADA, "purple"), look),
        timed("search, a word in one", lambda: service.lookups.history(ADA, "777"), look),
        timed("search, a word in none", lambda: service.lookups.history(ADA, "zebra beside"), look),
        timed("statistics of a day", lambda: service.admin.stats(ADMIN), look),
        timed("statistics of a year", lambda: service.admin.stats(ADMIN, days=366), look, 1),
        timed(
            "daily backup (others write)",
            lambda: asyncio.to_thread(back_up, path, folder / "backups", now()),
            note,
            1,
        ),
    ):
        lines.append(await line)
    await database.close()
    return lines


def main(
    jobs: Annotated[str, typer.Option(help="Numbers of jobs.")] = "1000,10000,100000,1000000",
) -> None:
    counts = [int(count) for count in jobs.split(",")]
    found = []
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            make_history(Path(name) / "bot.sqlite3", count)
            found.append(asyncio.run(measure(Path(name))))
    table = Table("ms (in brackets: the longest that others waited)", *(f"{n:,}" for n in counts))
    for lines in zip(*found, strict=True):
        shown = [
            f"{line.median:.1f}" + ("" if line.waited is None else f" ({line.waited:.0f})")
            for line in lines
        ]
        table.add_row(lines[0].name, *shown)
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)

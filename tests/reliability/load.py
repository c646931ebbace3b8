"""Many people at once, hostile input, and thousands of jobs in a row."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import random
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from bot.commands import OPTIONS, VERBS, ImagineCommand
from bot.conversation import converse
from bot.database import Database
from bot.refusals import QueueFull, QuotaExceeded, TooManyJobs
from bot.service import Service
from bot.source import Source
from generation.checks import shortened
from generation.control_images import PillowControlImages
from generation.errors import FluxbotError, InvalidImage
from generation.executor import ThreadExecutor
from generation.stub import StubEngine
from tests.reliability.bot_process import new_service
from tests.samples import file

#: Costs one credit.
DRAFT = ImagineCommand("a fox", num_inference_steps=2, width=64, height=64, seed=1)
#: Values that are tried in one go.
BATCH = 250
SLOWEST = 0.25
MOST_MEMORY = 50e6


class BusyEngine(StubEngine):
    """Is at its first picture until it is told that this is over."""

    def __init__(self, is_over: threading.Event) -> None:
        super().__init__()
        self._is_over = is_over

    def generate(self, request, on_step):
        self._is_over.wait()
        return super().generate(request, on_step)


@contextlib.asynccontextmanager
async def bot(
    folder: Path, engine: Callable[[], StubEngine] = StubEngine, **config: Any
) -> AsyncIterator[tuple[Service, Database]]:
    """The bot, running, without any adapter."""
    database = await Database.open(folder / "bot.sqlite3")
    service = new_service(folder, database, [ThreadExecutor(engine)], **config)
    await service.start()
    working = asyncio.create_task(service.run())
    try:
        yield service, database
    finally:
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
        await database.close()


@contextlib.asynccontextmanager
async def busy_bot(folder: Path, **config: Any) -> AsyncIterator[tuple[Service, Database]]:
    is_over = threading.Event()
    async with bot(folder, partial(BusyEngine, is_over), **config) as (service, database):
        try:
            yield service, database
        finally:
            is_over.set()


@dataclass
class Rush:
    """Answers to requests that came together.

    Attributes:
        spent: Credits, by what each of the people has spent.
        seconds: Until each was answered.
    """

    answers: Counter[str] = field(default_factory=Counter)
    spent: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


def answers(found: Rush) -> str:
    return ", ".join(f"{count} {answer}" for answer, count in sorted(found.answers.items()))


async def rush(
    folder: Path, people: int, each: int, quota: int, *, rate: float | None = None, **config: Any
) -> Rush:
    """*people* ask *each* times while the engine is busy: all at once, or *rate* a second."""
    found = Rush()
    settings = {"quota": {"credits": quota}, **config}
    async with busy_bot(folder, **settings) as (service, database):

        async def ask(user: str) -> None:
            began = time.perf_counter()
            try:
                await service.submit(Source(user), DRAFT)
            except (QuotaExceeded, QueueFull, TooManyJobs) as refusal:
                found.answers[type(refusal).__name__] += 1
            else:
                found.answers["accepted"] += 1
            found.seconds.append(time.perf_counter() - began)

        asking = []
        began = time.perf_counter()
        for number in range(people * each):
            if rate is not None:
                await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            asking.append(asyncio.create_task(ask(f"loop:{number % people}")))
        await asyncio.gather(*asking)
        rows = await database.read(
            lambda db: db.execute(
                "SELECT -sum(credits) AS spent FROM entries GROUP BY user"
            ).fetchall()
        )
        found.spent = Counter(row["spent"] for row in rows)
    return found


@dataclass
class Siege:
    """Effects of hostile input.

    Attributes:
        slowest: Seconds that the slowest of those took that were refused.
        slowest_carried_out: Likewise of those that turned out to be sound.
    """

    tried: int = 0
    refused: int = 0
    slowest: float = 0.0
    slowest_carried_out: float = 0.0
    memory: float = 0.0
    problems: list[str] = field(default_factory=list)


def besiege(
    count: int,
    strategy: st.SearchStrategy[Any],
    attack: Callable[[Any], bool],
    clean_up: Callable[[], None] = lambda: None,
) -> Siege:
    """Have *attack* try *count* values; it returns whether the value was refused. What
    *clean_up* does after each is not timed."""
    siege = Siege()
    process = psutil.Process()
    before: list[float] = []

    @settings(
        max_examples=min(count, BATCH),
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def one(value: Any) -> None:
        is_refused = True
        began = time.perf_counter()
        try:
            is_refused = attack(value)
        except Exception as error:
            siege.problems.append(f"{shortened(value)}: {error!r:.300}")
        seconds = time.perf_counter() - began
        clean_up()
        siege.tried += 1
        siege.refused += is_refused
        if is_refused:
            siege.slowest = max(siege.slowest, seconds)
        else:
            siege.slowest_carried_out = max(siege.slowest_carried_out, seconds)

    # Hypothesis remembers all that it has tried in one go, which would be counted as ours.
    for batch in range(math.ceil(count / BATCH)):
        seed(batch)(one)()
        if siege.tried >= count // 10 and not before:  # caches and code are there by then
            gc.collect()
            before.append(process.memory_info().rss)
    gc.collect()
    siege.memory = process.memory_info().rss - (before or [process.memory_info().rss])[0]
    return siege


def hostile_prompts() -> st.SearchStrategy[str]:
    """Any text, and what comes near to commands, markup, code and other people's scripts."""
    words = st.sampled_from(
        [
            *(f"--{option.name}" for option in OPTIONS),
            *(verb.name for verb in VERBS),
            *(
                "@everyone",
                "<@&1>",
                "<!channel>",
                "`" * 3,
                "||",
                "\u202e",
                "\u2066",
                "\0",
                "\ud800",
            ),
            *("'; DROP TABLE jobs; --", "%s%n", "{prompt}", "{0.__class__}", "../../etc/passwd"),
            *("<script>alert(1)</script>", "\u200b", "a" * 3000, "e\u0301" * 500, "𒐫" * 200),
            *("-1", "0", "1e999", "nan", "inf", "True", "99999999999999999999", "0x10", "٣", "½"),
            *(
                "64x64",
                "1x1",
                "999999x999999",
                "16:9",
                "—",
                "–",
                "“",
                "”",
                '"',
                "'",
                "\\",
                "=",
                "/",
            ),
        ]
    )
    pieces = st.lists(st.one_of(words, st.text(max_size=30)), max_size=12)
    return st.one_of(
        st.text(max_size=200),
        st.text(st.characters(), max_size=60),  # half pairs, too
        pieces.map(" ".join),
        pieces.map("".join),
    )


def besiege_with_prompts(folder: Path, count: int) -> Siege:
    """Have the whole bot answer *count* hostile texts; whatever is accepted is cancelled."""
    with asyncio.Runner() as runner:
        context = bot(folder)
        service, _ = runner.run(context.__aenter__())

        async def say(text: str) -> bool:
            reply = await converse(service, Source("loop:eve"), text)
            assert reply.text or reply.job, "an answer that says nothing"
            reply.text.encode()
            return reply.error is not None

        try:
            return besiege(
                count,
                hostile_prompts(),
                lambda text: runner.run(say(text)),
                lambda: runner.run(_cancel_all(service)),
            )
        finally:
            runner.run(context.__aexit__(None, None, None))


async def _cancel_all(service: Service) -> None:
    for job in service.queue("loop:eve").mine:
        with contextlib.suppress(FluxbotError):
            await service.cancel(Source("loop:eve"), job.id)


def besiege_with_parameters(folder: Path, count: int) -> Siege:
    """Have the service refuse or carry out *count* commands of any types and numbers."""
    anything = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=20),
        st.sampled_from([0, 1, 16, 64, 128, 2048, 2**32, 10**5000, -1, "canny", (16, 9), (0, 0)]),
    )
    sides = st.integers(4, 20).map(lambda side: 16 * side)
    sound = {
        "prompt": st.text(st.characters(categories=["L", "P", "Zs"]), min_size=1, max_size=40),
        "preset": st.sampled_from([None, "plain"]),
        "width": sides,
        "height": sides,
        "num_inference_steps": st.integers(1, 50),
        "guidance_scale": st.floats(0, 30),
        "seed": st.integers(0, 2**32 - 1),
        "images": st.integers(1, 4),
        "strength": st.none(),
        "negative_prompt": st.none() | st.text(st.characters(categories=["L"]), max_size=20),
    }
    # One or two values of a sound command are something else; then the others matter, too.
    changes = st.dictionaries(st.sampled_from(list(sound)), anything, min_size=1, max_size=2)
    commands = st.builds(
        lambda values, changes: ImagineCommand(**{**values, **changes}),
        st.fixed_dictionaries(sound),
        changes,
    )
    with asyncio.Runner() as runner:
        context = bot(folder)
        service, _ = runner.run(context.__aenter__())

        async def ask(command: ImagineCommand) -> bool:
            try:
                await service.submit(Source("loop:eve"), command)
            except FluxbotError as refusal:
                return bool(str(refusal))
            return False

        try:
            return besiege(
                count,
                commands,
                lambda command: runner.run(ask(command)),
                lambda: runner.run(_cancel_all(service)),
            )
        finally:
            runner.run(context.__aexit__(None, None, None))


def seeds() -> list[bytes]:
    """Files of all kinds that a picture may be, or pretend to be."""
    found = []
    gradient = Image.linear_gradient("L").resize((96, 64))
    for mode, kind in (
        *(("RGB", kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "ICO", "PPM")),
        *(("RGBA", "PNG"), ("P", "PNG"), ("L", "PNG"), ("1", "PNG"), ("I;16", "PNG")),
        *(("CMYK", "JPEG"), ("L", "JPEG"), ("RGBA", "WEBP")),
    ):
        found.append(file(gradient.convert("I" if mode == "I;16" else mode).convert(mode), kind))
    for kind in ("WEBP", "GIF", "PNG"):
        frames = [gradient.rotate(turn).convert("RGB") for turn in (0, 90)]
        found.append(file(frames[0], kind, save_all=True, append_images=frames[1:]))
    for size in ((1, 1), (20000, 1), (1, 20000), (4096, 4096)):
        found.append(file(Image.new("L", size)))
    for size in ((60000, 60000), (2**31 - 1, 2**31 - 1), (0, 0), (4097, 4097)):
        found.append(bomb(*size))
    png = found[0]
    found += [
        png + b"PK\x03\x04" + b"x" * 100,
        b"<svg xmlns='http://www.w3.org/2000/svg'><image href='http://127.0.0.1/'/></svg>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"%PDF-1.7",
        b"<!DOCTYPE html><title>Sign in</title>",
        b"",
    ]
    return found


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(10**6))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def hostile_images() -> st.SearchStrategy[bytes]:
    """Files, whole and cut, with bytes changed, doubled and left out, and plain noise."""
    files = seeds()

    def hurt(file: bytes, seed: int, how: str) -> bytes:
        dice = random.Random(seed)
        data = bytearray(file)
        if not data or how == "whole":
            return file
        if how == "cut":
            return bytes(data[: dice.randrange(len(data))])
        if how == "grow":
            at = dice.randrange(len(data))
            return bytes(data[:at] + data[at : at + 200] * dice.randint(2, 50) + data[at:])
        for _ in range(dice.randint(1, 8)):
            # Near the beginning, where headers are.
            data[int(len(data) * dice.random() ** 3)] = dice.randrange(256)
        return bytes(data)

    return st.one_of(
        st.builds(
            hurt,
            st.sampled_from(files),
            st.integers(0, 2**32),
            st.sampled_from(["whole", "cut", "grow", "change", "change", "change"]),
        ),
        st.binary(max_size=400),
    )


def besiege_with_images(count: int) -> Siege:
    """Have *count* hostile files cleaned, or refused in a sentence."""
    images = PillowControlImages()

    def attach(data: bytes) -> bool:
        try:
            clean = images.clean(data)
        except InvalidImage as refusal:
            return bool(str(refusal))
        assert clean.png.startswith(b"\x89PNG")
        return False

    return besiege(count, hostile_images(), attach)


@dataclass
class Growth:
    """Things that many jobs have left behind: bytes, tasks and descriptors."""

    jobs: int
    memory: int
    tasks: int
    descriptors: int


async def soak(folder: Path, jobs: int, warm_up: int) -> Growth:
    """Draw *jobs* after *warm_up*, twenty at a time."""
    process = psutil.Process()
    async with bot(folder) as (service, _):

        async def draw(count: int) -> None:
            for _ in range(0, count, 20):
                asked = [await service.submit(Source("loop:ada"), DRAFT) for _ in range(20)]
                await asyncio.gather(*(job.finished() for job in asked))

        def now() -> tuple[int, int, int]:
            gc.collect()
            return process.memory_info().rss, len(asyncio.all_tasks()), process.num_fds()

        await draw(warm_up)
        before = now()
        await draw(jobs)
        after = now()
    return Growth(jobs, *(late - early for late, early in zip(after, before, strict=True)))

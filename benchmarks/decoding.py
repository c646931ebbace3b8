"""Costs of decoding strangers' pictures: for others while bombs are in the air, and for oneself.

    python -m benchmarks.decoding                all of it
    python -m benchmarks.decoding --seconds 3    shorter

A *bomb* is a picture of 4096 × 4096 pixels that takes a decoder as long as any that is let
through: a small one of zeros, in 0.1 MB, or a large one of noise and 100 scans, in 10 MB. Another
process sends so many of them at once, and a new one for each answer. Meanwhile somebody else
fetches thumbnails, twenty a second.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import logging
import multiprocessing
import struct
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated
from zlib import compress, crc32

import httpx
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table

from adapters.web_chat.server import WebChat
from bot.assembly.decoding import decoders
from bot.commands import ImagineCommand
from bot.config import Config, Secrets
from bot.database import Database
from bot.gallery import Gallery
from bot.screens import Screens
from bot.service import Service
from bot.source import Source
from bot.views import About
from generation.cleaning import clean
from generation.control_images import PillowControlImages
from generation.decoders import IsolatedControlImages
from generation.executor import ThreadExecutor
from generation.kinds import ControlNet
from generation.protocols import ControlImages
from generation.stub import StubEngine
from generation.types import Preset

PRESETS = {
    "plain": Preset(name="plain"),
    "canny": Preset(name="canny", kind=ControlNet(controlnet="a/b", preprocessor="canny")),
}
BOMBS = (0, 4, 16)
THUMBNAILS_PER_SECOND = 20
TARGET = 50.0


@dataclass
class Siege:
    """Latencies of thumbnails in milliseconds, and answers to bombs by status."""

    latencies: list[float] = field(default_factory=list)
    answers: dict[int, int] = field(default_factory=dict)

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def small_bomb() -> bytes:
    """A PNG of zeros: 16 bits of four channels, which are 134 MB of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))

    header = struct.pack(">IIBBBBB", 4096, 4096, 16, 6, 0, 0, 0)
    pixels = compress(bytes((1 + 4096 * 8) * 4096), 9)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def large_bomb() -> bytes:
    """A progressive JPEG of noise, and of as many scans as there is room for."""
    file = io.BytesIO()
    Image.effect_noise((4096, 4096), 90).save(file, "JPEG", progressive=True, quality=50)
    data = file.getvalue()
    scan = data[data.rindex(b"\xff\xc4", 0, data.rindex(b"\xff\xda")) : -2]
    room = min(85, (9_900_000 - len(data)) // len(scan))
    return data[:-2] + scan * room + b"\xff\xd9"


def photograph() -> bytes:
    """A JPEG of about 1 MB and 2048 × 1536 pixels, with as much detail as a photograph has."""
    soft = Image.effect_noise((256, 192), 120).resize((2048, 1536), Image.Resampling.BICUBIC)
    grain = Image.effect_noise((2048, 1536), 30)
    file = io.BytesIO()
    bands = [Image.blend(soft.rotate(90 * turn), grain, 0.3) for turn in (0, 2, 0)]
    Image.merge("RGB", bands).save(file, "JPEG", quality=82)
    return file.getvalue()


@contextlib.asynccontextmanager
async def serving(config: Config, images: ControlImages) -> AsyncIterator[tuple[str, str]]:
    """The address of a web chat, and the id of a picture that it has drawn."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = await Database.open(folder / "bot.sqlite3")
        service = Service(
            config,
            [ThreadExecutor(StubEngine)],
            database,
            Gallery(folder),
            images,
            about=About("A benchmark."),
            screens=Screens({}),
            read_presets=lambda: PRESETS,
        )
        await service.start()
        working = asyncio.create_task(service.run())
        chat = WebChat(service, config, Secrets())
        await chat.start()
        try:
            job = await service.submit(Source("web:local"), ImagineCommand("a fox", seed=1))
            await job.finished()
            yield chat.address, job.id
        finally:
            await chat.close()
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            await database.close()


async def besieged(
    config: Config, images: ControlImages, bomb: bytes, bombs: int, seconds: float
) -> Siege:
    """Thumbnails while *bombs* are in the air."""
    found = Siege()
    here, there = multiprocessing.get_context("spawn").Pipe()
    async with (
        serving(config, images) as (address, id),
        httpx.AsyncClient(base_url=address, timeout=600) as web,
    ):
        sender = multiprocessing.get_context("spawn").Process(
            target=send, args=(address, bomb, bombs, there)
        )
        sender.start()
        await asyncio.to_thread(here.recv)
        await asyncio.sleep(1.0)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            began = time.perf_counter()
            (await web.get(f"/api/jobs/{id}/thumbnail")).raise_for_status()
            found.latencies.append(1e3 * (time.perf_counter() - began))
            await asyncio.sleep(1 / THUMBNAILS_PER_SECOND)
        here.send("stop")
        found.answers = await asyncio.to_thread(here.recv)
        sender.join()
    return found


def send(address: str, bomb: bytes, bombs: int, parent: Connection) -> None:
    """Send *bombs* at a time until *parent* says something, and tell it of the answers."""
    data = base64.b64encode(bomb).decode()
    body = json.dumps({"image": f"data:image/jpeg;base64,{data}", "preset": "canny"})
    answers: Counter[int] = Counter()

    async def keep_sending(web: httpx.AsyncClient) -> None:
        headers = {"Content-Type": "application/json"}
        while True:
            answer = await web.post("/api/control-map", content=body, headers=headers)
            answers[answer.status_code] += 1
            await asyncio.sleep(0.5)

    async def run() -> None:
        async with httpx.AsyncClient(base_url=address, timeout=600) as web:
            tasks = [asyncio.create_task(keep_sending(web)) for _ in range(bombs)]
            parent.send("ready")
            await asyncio.to_thread(parent.recv)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run())
    parent.send(dict(answers))


def milliseconds(work: Callable[[], object]) -> float:
    """The time of *work*."""
    began = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - began)


def costs(table: Table, config: Config, times: int) -> None:
    """A line for decoding in this process, and one for a process with limits: the best of *times*,
    in turns, since the machine may be busy with other things."""
    data = photograph()
    decoding = decoders(config.control_images)
    try:
        first = milliseconds(lambda: decoding.clean(data))
        pairs = [
            (milliseconds(lambda: clean(data)), milliseconds(lambda: decoding.clean(data)))
            for _ in range(times)
        ]
    finally:
        decoding.close()
    here, apart = (min(taken) for taken in zip(*pairs, strict=True))
    title = f"a photograph of {len(data) / 1e6:.1f} MB"
    table.add_row(f"{title}, in this process", f"{here:.0f} ms", "")
    table.add_row(f"{title}, apart", f"{apart:.0f} ms ({apart - here:+.0f})", "")
    table.add_row(f"{title}, apart, the very first one", f"{first:.0f} ms", "")


def main(
    seconds: Annotated[float, typer.Option(help="of thumbnails for each line")] = 10.0,
    times: Annotated[int, typer.Option(help="that the photograph is decoded")] = 15,
    in_process: Annotated[bool, typer.Option(help="decode as it was done before")] = False,
) -> None:
    config = Config(
        presets=PRESETS,
        web={"port": 0},
        control_images={"previews_per_minute": 100_000},
    )
    table = Table("measured", "p50 / p99", "answers to bombs")
    logging.disable(logging.CRITICAL)  # who is cut off is no news here
    small, large = small_bomb(), large_bomb()
    for name, bomb, bombs in (
        *(("small", small, bombs) for bombs in BOMBS),
        *(("large", large, bombs) for bombs in BOMBS[1:]),
    ):
        decoding = decoders(config.control_images)
        images: ControlImages = IsolatedControlImages(decoding)
        if in_process:
            images = PillowControlImages()
        try:
            found = asyncio.run(besieged(config, images, bomb, bombs, seconds))
        finally:
            decoding.close()
        p50, p99 = found.percentile(0.5), found.percentile(0.99)
        mark = "[green]" if p99 < TARGET else "[red]"
        answers = ", ".join(f"{count} × {status}" for status, count in found.answers.items())
        table.add_row(
            f"thumbnails, {bombs} {name} bombs in the air",
            f"{mark}{p50:.1f} / {p99:.1f} ms",
            answers,
        )
    costs(table, config, times)
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)

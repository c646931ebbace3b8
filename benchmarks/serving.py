"""The bot's own costs around the engine: answers, event-loop lag, throughput, memory.

    python -m benchmarks.serving                 all four, on the demo engine
    python -m benchmarks.serving --engine stub   without torch
    python -m benchmarks.serving --only answers,lag

Each figure is measured in this one run, on this machine, while the engine draws all the
time. The throughput compares the bot with a bare loop over the same engine, in turns,
and tells the ratio: machines are noisy, ratios less so.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.console import Console
from rich.table import Table

from adapters.web_chat.server import WebChat
from bot.commands import ImagineCommand
from bot.config import Config, Secrets
from bot.database import Database
from bot.gallery import Gallery
from bot.screens import Screens
from bot.service import Service
from bot.source import Source
from bot.views import About
from generation import weights
from generation.control_images import PillowControlImages
from generation.executor import ThreadExecutor
from generation.protocols import Engine, Executor
from generation.types import GenerationRequest

RATE = 160
SECONDS = 10
CONNECTIONS = 64
PICTURES = 30
ROUNDS = 5
JOBS = 2000
WARM_UP = 400

#: What the engine draws while others ask.
BACKGROUND = ImagineCommand("a red circle on a blue ground", seed=1)
#: What is asked for by the hundred: a draft that would take the engine a moment.
DRAFT = replace(BACKGROUND, num_inference_steps=4, width=128, height=128)

#: Nobody is refused here: the point is how fast everybody is accepted.
GENEROUS = {
    "quota": {"credits": 10**9},
    "queue": {"max_waiting": 10**6, "max_waiting_per_user": 10**6},
    "web": {"port": 0},
}


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    what: str
    measured: str
    target: str
    is_met: bool


def make_engine(name: str) -> Callable[[], Engine]:
    """The engine, made by `ThreadExecutor` on its thread."""

    def demo() -> Engine:
        weights.prepare_environment(Path("download"), os.environ)
        from generation.diffusion.engine import DiffusionEngine

        return DiffusionEngine("demo", max_sequence_length=64)

    def stub() -> Engine:
        from generation.stub import StubEngine

        return StubEngine(seconds_per_step=0.002)

    return {"demo": demo, "stub": stub}[name]


@contextlib.asynccontextmanager
async def running_bot(engine: str) -> AsyncIterator[tuple[Service, ThreadExecutor]]:
    """The bot with that engine; and what owns it."""
    executor = ThreadExecutor(make_engine(engine))
    async with running_on([executor], BACKGROUND) as service:
        yield service, executor


@contextlib.asynccontextmanager
async def running_on(
    executors: Sequence[Executor], warm_up: ImagineCommand
) -> AsyncIterator[Service]:
    """The bot on a folder of its own, once it has drawn *warm_up*."""
    with tempfile.TemporaryDirectory() as folder:
        database = await Database.open(Path(folder) / "bot.sqlite3")
        service = Service(
            Config(**GENEROUS),
            executors,
            database,
            Gallery(Path(folder)),
            PillowControlImages(),
            about=About("A benchmark."),
            screens=Screens({}),
            read_presets=dict,
        )
        await service.start()
        working = asyncio.create_task(service.run())
        try:
            await (await service.submit(Source("web:warm-up"), warm_up)).finished()
            yield service
        finally:
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await working
            await database.close()


@contextlib.asynccontextmanager
async def busy_engine(service: Service) -> AsyncIterator[None]:
    """Somebody always has a picture waiting, so that the engine never rests."""

    async def ask() -> None:
        while True:
            await (await service.submit(Source("web:busy"), BACKGROUND)).finished()

    asking = [asyncio.create_task(ask()) for _ in range(2)]
    try:
        yield
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


@contextlib.asynccontextmanager
async def http_client(address: str) -> AsyncIterator[Callable[[], Awaitable[bytes]]]:
    """Asks for a draft over kept connections, and returns the head of the answer.

    A client library would take longer over a request than the bot does, on the same
    two cores, and its time would be counted as the bot's.
    """
    host, port = address.removeprefix("http://").split(":")
    body = json.dumps(
        {
            "prompt": DRAFT.prompt,
            "num_inference_steps": DRAFT.num_inference_steps,
            "width": DRAFT.width,
            "height": DRAFT.height,
        }
    )
    request = (
        f"POST /api/jobs HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
    idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        idle.put_nowait(await asyncio.open_connection(host, int(port)))

    async def ask() -> bytes:
        reader, writer = await idle.get()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        idle.put_nowait((reader, writer))
        return head

    try:
        yield ask
    finally:
        while not idle.empty():
            _, writer = idle.get_nowait()
            writer.close()
            await writer.wait_closed()


async def lags(every: float = 0.005) -> list[float]:
    """Until cancelled: how much later than asked for the event loop came back, in seconds."""
    found: list[float] = []
    try:
        while True:
            asked = time.perf_counter()
            await asyncio.sleep(every)
            found.append(time.perf_counter() - asked - every)
    except asyncio.CancelledError:
        return found


async def at_rate(rate: int, seconds: int, ask: Callable[[int], object]) -> None:
    """Call *ask* *rate* times a second, whatever the earlier calls are doing."""
    started = time.perf_counter()
    for number in range(rate * seconds):
        due = started + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        ask(number)


def percentile(values: list[float], share: int) -> float:
    return statistics.quantiles(values, n=100)[share - 1]


async def measure_answers(engine: str, over_http: bool) -> list[Figure]:
    """Time from asking to being told "accepted" (on disk, queued), and event-loop lag."""
    seconds: list[float] = []
    async with contextlib.AsyncExitStack() as stack:
        service, _ = await stack.enter_async_context(running_bot(engine))
        await stack.enter_async_context(busy_engine(service))
        if over_http:
            web = WebChat(service, service.config, Secrets())
            await web.start()
            stack.push_async_callback(web.close)
            client = await stack.enter_async_context(http_client(web.address))

        async def ask(number: int) -> None:
            started = time.perf_counter()
            if over_http:
                answer = await client()
                assert answer.startswith(b"HTTP/1.1 202"), answer
            else:
                await service.submit(Source(f"web:{number % 50}"), DRAFT)
            seconds.append(time.perf_counter() - started)

        for number in range(CONNECTIONS):  # first calls import, compile and allocate
            await ask(number)
        seconds.clear()
        asking: list[asyncio.Task[None]] = []
        lagging = asyncio.create_task(lags())
        await at_rate(RATE, SECONDS, lambda number: asking.append(asyncio.create_task(ask(number))))
        await asyncio.gather(*asking)
        lagging.cancel()
        lag = await lagging
    p50, p99 = percentile(seconds, 50), percentile(seconds, 99)
    lag99 = percentile(lag, 99)
    way = "over HTTP" if over_http else "by the service"
    return [
        Figure(
            f"accepted {way}, {RATE} a second: p50, p99",
            f"{p50 * 1e3:.1f} ms, {p99 * 1e3:.1f} ms",
            "p99 < 100 ms",
            p99 < 0.1,
        ),
        Figure(
            f"event-loop lag meanwhile, {way}: p99",
            f"{lag99 * 1e3:.1f} ms",
            "< 20 ms",
            lag99 < 0.02,
        ),
    ]


async def measure_throughput(engine: str) -> list[Figure]:
    """Pictures a minute through the bot, against a bare loop over the same engine."""
    bare: list[float] = []
    through: list[float] = []
    async with running_bot(engine) as (service, executor):
        request = (await service.lookups.history("web:warm-up")).jobs[0].request

        async def by_loop() -> float:
            def draw() -> float:
                drawing: Engine = executor._engine  # type: ignore[assignment]
                started = time.perf_counter()
                for _ in range(PICTURES):
                    drawing.generate(request, lambda step: None)
                return time.perf_counter() - started

            return await asyncio.wrap_future(executor._submit(draw))

        async def by_bot() -> float:
            started = time.perf_counter()
            jobs = [
                await service.submit(Source("web:many"), _command(request)) for _ in range(PICTURES)
            ]
            await asyncio.gather(*(job.finished() for job in jobs))
            return time.perf_counter() - started

        for turn in range(ROUNDS):
            for way in (by_loop, by_bot) if turn % 2 else (by_bot, by_loop):
                (bare if way is by_loop else through).append(PICTURES / await way() * 60)
    ratio = statistics.median(b / a for a, b in zip(bare, through, strict=True))
    return [
        Figure(
            "pictures a minute: bare loop, bot, ratio",
            f"{statistics.median(bare):.0f}, {statistics.median(through):.0f}, {ratio:.1%}",
            ">= 95 %",
            ratio >= 0.95,
        )
    ]


def _command(request: GenerationRequest) -> ImagineCommand:
    return ImagineCommand(request.prompt, seed=request.seed)


async def measure_memory(engine: str) -> list[Figure]:
    """Memory that 2,000 jobs leave behind."""
    process = psutil.Process()
    async with running_bot(engine) as (service, _):

        async def draw(count: int) -> None:
            for _ in range(0, count, 20):
                jobs = [await service.submit(Source("web:many"), DRAFT) for _ in range(20)]
                await asyncio.gather(*(job.finished() for job in jobs))

        def now() -> tuple[float, int, int]:
            gc.collect()
            return process.memory_info().rss / 1e6, len(asyncio.all_tasks()), process.num_fds()

        await draw(WARM_UP)
        before = now()
        await draw(JOBS)
        after = now()
    growth = after[0] - before[0]
    return [
        Figure(
            f"memory after {JOBS} jobs (and {WARM_UP} before)",
            f"{growth:+.1f} MB",
            "< 5 MB",
            growth < 5,
        ),
        Figure(
            "tasks and file descriptors, before and after",
            f"{before[1]}, {before[2]} and {after[1]}, {after[2]}",
            "the same",
            before[1:] == after[1:],
        ),
    ]


def main(
    engine: Annotated[str, typer.Option(help="demo or stub")] = "demo",
    only: Annotated[str, typer.Option(help="answers, http, throughput, memory")] = (
        "answers,http,throughput,memory"
    ),
) -> None:
    """Measure, and print a table."""
    measures = {
        "answers": lambda: measure_answers(engine, over_http=False),
        "http": lambda: measure_answers(engine, over_http=True),
        "throughput": lambda: measure_throughput(engine),
        "memory": lambda: measure_memory(engine),
    }
    table = Table("measured", "figure", "target", "", title=f"Serving, {engine} engine")
    for name in only.split(","):
        for figure in asyncio.run(measures[name]()):
            mark = "[green]met[/]" if figure.is_met else "[red]missed[/]"
            table.add_row(figure.what, figure.measured, figure.target, mark)
    Console(width=110).print(table)


if __name__ == "__main__":
    typer.run(main)

"""One bot process and many engines: what a picture, a death and a long queue cost.

    python -m benchmarks.fleet                   all of it, five minutes or so
    python -m benchmarks.fleet --only queue      one of: scaling, overhead, deaths, capacity, queue

Engines sleep instead of drawing, so that what is measured is everything around them: on threads
of the bot, in children, and on a Ray cluster whose nodes are processes on loopback. Compare
within one run: machines are noisy.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Annotated, Any

import psutil
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.serving import Figure, percentile, running_on
from benchmarks.sleeping import SleepingEngine
from bot.commands import ImagineCommand
from bot.jobs import Job
from bot.source import Source
from generation.child import ChildEngine
from generation.errors import EngineLost, GenerationError
from generation.executor import ThreadExecutor
from generation.protocols import Engine, Executor
from generation.ray_executor import SILENCE, RayExecutor
from generation.types import GenerationRequest, Step
from tests.generation.ray.cluster import STOP, Cluster

SLEEPING = "benchmarks.sleeping:SleepingEngine"
SMALL = ImagineCommand("a red circle", num_inference_steps=4, width=64, height=64, seed=1)
#: What FLUX.1-dev is asked for, with a preview of each step.
LARGE = ImagineCommand("a red circle", num_inference_steps=28, width=1024, height=1024, seed=1)
PREVIEW = 6000
PEOPLE = 500

#: Shares of N times one engine's pictures that N engines must come to.
GOALS = {"thread": 0.99, "child": 0.98, "ray": 0.95}
COUNTS = (1, 2, 4, 8)

#: Seconds for such a picture on an H200, measured elsewhere (November 2026, torch 2.11+cu130,
#: diffusers 0.42.1, random weights of full size, words alone, bfloat16): by the engine as it is,
#: and with its blocks compiled by hand.
H200 = {"as it is": 5.22, "compiled": 3.95}

#: Seconds after which a step counts as hung, for the child that falls silent.
PATIENCE = 1.0


def executors(
    kind: str, count: int, arguments: dict[str, Any], address: str = ""
) -> list[Executor]:
    """So many engines that sleep, of a *kind* of `GOALS`."""
    names = [f"engine-{number}" for number in range(1, count + 1)]
    if kind == "ray":
        return [RayExecutor(address, name, SLEEPING, arguments) for name in names]
    makers: dict[str, Callable[[], Engine]] = {
        "thread": partial(SleepingEngine, **arguments),
        "child": partial(ChildEngine, SLEEPING, arguments),
    }
    return [ThreadExecutor(makers[kind], name=name) for name in names]


@contextlib.contextmanager
def cluster(gpus: int) -> Iterator[Cluster]:
    """A head and a node with so many GPUs, which this process can join."""
    made = Cluster()
    before = {name: os.environ.get(name) for name in made.environment}
    os.environ |= made.environment
    try:
        made.start_node(gpus).wait_until_it_runs()
        yield made
    finally:
        made.close()
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def cpu_of(process: psutil.Process) -> float:
    """Seconds of CPU that *process* has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


async def share(engines: Sequence[Executor], seconds: float, rounds: int = 8) -> float:
    """Pictures a second of the whole bot with *engines* that sleep for so long, as a share of what
    they could draw at most."""
    count = len(engines)
    await asyncio.gather(*(each.start() for each in engines))
    ends: list[float] = []

    async def ended(job: Job) -> None:
        await job.finished()
        ends.append(time.perf_counter())

    async with running_on(engines, SMALL) as service:
        jobs = [
            await service.submit(Source(f"web:{number}"), LARGE)
            for number in range(count * (rounds + 1))
        ]
        await asyncio.gather(*map(ended, jobs))
    # From the end of each engine's first picture to the end of its last.
    return rounds * seconds / (ends[-1] - ends[count - 1])


def measure_scaling() -> Iterator[Figure]:
    """1, 2, 4 and 8 engines that sleep for a second, and the whole bot around them."""
    arguments = {"seconds": 1.0, "preview": PREVIEW}
    with cluster(max(COUNTS)) as on_ray:
        for kind, goal in GOALS.items():
            found = [
                asyncio.run(share(executors(kind, count, arguments, on_ray.address), 1.0))
                for count in COUNTS
            ]
            yield Figure(
                f"{', '.join(map(str, COUNTS))} engines ({kind}) that sleep for 1 s, 1024², 28"
                " steps with previews: pictures a second, as a share of so many",
                ", ".join(f"{each:.3f}" for each in found),
                f">= {goal}",
                min(found) >= goal,
            )


async def overhead(engine: Executor, size: int, steps: int, seconds: float = 3.0) -> str:
    """Milliseconds of a picture that takes no time (median), and of CPU of this process."""
    request = GenerationRequest(
        prompt="a", num_inference_steps=steps, guidance_scale=3.5, width=size, height=size, seed=1
    )

    async def draw() -> float:
        began = time.perf_counter()
        result = await engine.generate(request, lambda step: None)
        await asyncio.to_thread(result.files)
        return time.perf_counter() - began

    await engine.start()
    await draw()
    taken: list[float] = []
    bot, ends = psutil.Process(), time.perf_counter() + seconds
    used = cpu_of(bot)
    while time.perf_counter() < ends:
        taken.append(await draw())
    used = cpu_of(bot) - used
    await engine.close()
    return f"{statistics.median(taken) * 1e3:.1f} ({used / len(taken) * 1e3:.1f})"


def measure_overhead() -> Iterator[Figure]:
    """Bare executors, and engines that take no time and encode nothing."""
    with cluster(1) as on_ray:
        for size, steps, preview in ((256, 1, 0), (1024, 28, PREVIEW)):
            arguments = {"preview": preview, "encodes": False}
            found = [
                asyncio.run(overhead(executors(kind, 1, arguments, on_ray.address)[0], size, steps))
                for kind in GOALS
            ]
            yield Figure(
                f"a picture that takes no time, {size}², {steps} steps: ms, and of CPU of the bot"
                f" ({', '.join(GOALS)})",
                ", ".join(found),
                "",
                True,
            )


async def noticed(engine: Executor, end: Callable[[], Any], *, is_idle: bool = False) -> str:
    """Seconds from *end*, which ends something, to the loss of *engine*; and until it draws again
    where it can."""
    request = GenerationRequest(
        prompt="a", num_inference_steps=50, guidance_scale=3.5, width=64, height=64, seed=1
    )
    await engine.start()
    await engine.generate(request, lambda step: None)
    steps: asyncio.Queue[Step] = asyncio.Queue()
    waiting: Awaitable[Any]
    if is_idle:
        waiting = engine.died()
    else:
        waiting = asyncio.create_task(engine.generate(request, steps.put_nowait))
        await steps.get()
    began = time.perf_counter()
    end()
    with contextlib.suppress(EngineLost):
        await asyncio.wait_for(waiting, 120)
    lost = time.perf_counter() - began
    again = "–"
    with contextlib.suppress(GenerationError, TimeoutError):
        await asyncio.wait_for(engine.start(), 5 if is_idle else 60)
        began_again = asyncio.Queue[Step]()
        drawing = asyncio.create_task(engine.generate(request, began_again.put_nowait))
        await began_again.get()
        again = f"{time.perf_counter() - began - lost:.1f}"
        await drawing
    await engine.close()
    return f"{lost:.2f}, {again}"


def measure_deaths() -> Iterator[Figure]:
    """Everything that an engine needs, ended while it draws."""
    arguments = {"seconds": 5.0}

    def signalled(number: int) -> None:
        for child in psutil.Process().children():
            if "generation.engine_process" in child.cmdline():
                child.send_signal(number)

    def child() -> Executor:
        make = partial(ChildEngine, SLEEPING, arguments, seconds_per_step=PATIENCE)
        return ThreadExecutor(make)

    def figure(what: str, found: str, most: float, target: str) -> Figure:
        seconds = float(found.partition(",")[0])
        return Figure(
            f"{what}: s until the bot knows, and from there until it draws again",
            found,
            target,
            seconds <= most,
        )

    found = asyncio.run(noticed(child(), partial(signalled, signal.SIGKILL)))
    yield figure("a child is killed", found, 1, "<= 1")
    found = asyncio.run(noticed(child(), partial(signalled, STOP)))
    yield figure("a child is silent, of whose step 1 s is expected", found, PATIENCE + 2, "<= 3")
    with cluster(1) as on_ray:

        def actor(silence: float = SILENCE) -> Executor:
            return RayExecutor(on_ray.address, "engine-1", SLEEPING, arguments, silence=silence)

        node = on_ray.nodes[-1]
        found = asyncio.run(noticed(actor(), partial(node.signal, signal.SIGKILL, "EngineActor")))
        yield figure("an actor is killed", found, 1, "<= 1")
        found = asyncio.run(noticed(actor(), partial(node.signal, STOP, "EngineActor")))
        yield figure("an actor is silent", found, SILENCE + 1, f"<= {SILENCE + 1:g}")

        def replace_node() -> None:
            node.signal(signal.SIGKILL)
            on_ray.start_node()

        found = asyncio.run(noticed(actor(), replace_node))
        yield figure("a node is killed, and another one joins", found, 15, "<= 15")
        found = asyncio.run(noticed(actor(), on_ray.head.kill, is_idle=True))
        yield figure(
            "the head is killed, which Ray bears for 4 s (60 by itself)", found, 15, "<= 15"
        )


async def capacity(
    engines: Sequence[Executor], seconds: float = 10.0
) -> tuple[float, float, float]:
    """Pictures a second of one bot with engines that take no time, milliseconds of its CPU for
    each, and the share of a core that it used, while somebody watches every job."""
    await asyncio.gather(*(each.start() for each in engines))
    bot, ended, is_over = psutil.Process(), 0, False
    async with running_on(engines, SMALL) as service:

        async def ask(number: int) -> None:
            nonlocal ended
            while not is_over:
                job = await service.submit(Source(f"web:{number}"), LARGE)
                async for _ in job.watch():
                    pass
                ended += 1

        asking = [asyncio.create_task(ask(number)) for number in range(4 * len(engines))]
        await asyncio.sleep(2)
        before, used, began = ended, cpu_of(bot), time.perf_counter()
        await asyncio.sleep(seconds)
        passed, pictures = time.perf_counter() - began, ended - before
        used = cpu_of(bot) - used
        is_over = True
        await asyncio.gather(*asking)
    return pictures / passed, used / pictures * 1e3, used / passed


def measure_capacity() -> Iterator[Figure]:
    """What ends one bot process, when its cards do not; pictures arrive encoded, as from nodes."""
    arguments = {"preview": PREVIEW, "encodes": False}
    rate, cpu, cores = asyncio.run(capacity(executors("child", 2, arguments)))
    yield Figure(
        "1024², 28 steps with previews, children that take no time and share the cores: pictures a"
        " second, the bot's CPU for one, cores that it used",
        f"{rate:.0f}, {cpu:.1f} ms, {cores:.2f}",
        "",
        True,
    )
    for name, seconds in H200.items():
        yield Figure(
            f"H200s ({name}: {seconds} s a picture, measured elsewhere) that it keeps drawing: by"
            " that rate, and by one core of its own",
            f"{rate * seconds:.0f}, {1e3 / cpu * seconds:.0f}",
            "",
            True,
        )


async def queue(engines: int, waiting: int, seconds: float) -> tuple[float, float, float]:
    """Jobs a second, milliseconds of the CPU a job, and the p99 of the event loop's lag in
    seconds, with so many jobs *waiting* all the time."""
    async with running_on(executors("thread", engines, {}), SMALL) as service:
        ended, is_over = 0, False

        async def ask(number: int) -> None:
            nonlocal ended
            while not is_over:
                source = Source(f"web:{number % PEOPLE}")
                await (await service.submit(source, SMALL)).finished()
                ended += 1

        asking = [asyncio.create_task(ask(number)) for number in range(waiting + engines)]
        while service.queue("web:nobody").waiting < 0.9 * waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        lags: list[float] = []
        looking = asyncio.create_task(_look_at_lag(lags))
        process = psutil.Process()
        before, used, began = ended, cpu_of(process), time.perf_counter()
        await asyncio.sleep(seconds)
        passed, jobs = time.perf_counter() - began, ended - before
        used = cpu_of(process) - used
        looking.cancel()
        is_over = True
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        return jobs / passed, used / max(jobs, 1) * 1e3, percentile(lags, 99)


async def _look_at_lag(lags: list[float]) -> None:
    while True:
        before = time.perf_counter()
        await asyncio.sleep(0.005)
        lags.append(time.perf_counter() - before - 0.005)


def measure_queue() -> Iterator[Figure]:
    """Instant engines, and queues of two lengths."""
    for engines, waiting in ((1, 100), (4, 100), (4, 5000)):
        rate, cpu, lag = asyncio.run(queue(engines, waiting, 8.0))
        yield Figure(
            f"{engines} instant engines, {waiting} jobs waiting: jobs a second, CPU a job, p99 of"
            " the loop's lag",
            f"{rate:.0f}, {cpu:.1f} ms, {lag * 1e3:.0f} ms",
            ">= 200, , <= 50 ms" if engines > 1 else "",
            engines == 1 or (rate >= 200 and lag <= 0.05),
        )


MEASURES: dict[str, Callable[[], Iterator[Figure]]] = {
    "scaling": measure_scaling,
    "overhead": measure_overhead,
    "deaths": measure_deaths,
    "capacity": measure_capacity,
    "queue": measure_queue,
}


def main(
    only: Annotated[str, typer.Option(help=", ".join(MEASURES))] = ",".join(MEASURES),
) -> None:
    """Measure, and print a table."""
    table = Table("measured", "found", "target", "", title="One bot, many engines")
    for name in only.split(","):
        for figure in MEASURES[name]():
            mark = "[green]met[/]" if figure.is_met else "[red]missed[/]"
            table.add_row(figure.what, figure.measured, figure.target, mark)
    load = f"load of this machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    console = Console(width=110)
    console.print(table)
    console.print(load)


if __name__ == "__main__":
    typer.run(main)

"""One bot process and many engines: what a picture costs, and what a long queue costs.

    python -m benchmarks.fleet                   all of it
    python -m benchmarks.fleet --only queue

Engines sleep instead of drawing, so that what is measured is everything around them. Compare
within one run: machines are noisy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Annotated

import psutil
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.serving import Figure, percentile, running_on
from bot.commands import ImagineCommand
from bot.source import Source
from generation.executor import ThreadExecutor
from generation.protocols import OnStep
from generation.results import GenerationResult
from generation.types import GenerationRequest, Step

SMALL = ImagineCommand("a red circle", num_inference_steps=4, width=64, height=64, seed=1)
PEOPLE = 500


class SleepingEngine:
    """Takes *seconds* for a picture, and next to no CPU."""

    is_alive = True

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds = seconds
        self._images: dict[tuple[int, int], Image.Image] = {}

    def load(self) -> None:
        """There is nothing to load."""

    def generate(self, request: GenerationRequest, on_step: OnStep) -> GenerationResult:
        began, size = time.monotonic(), (request.width, request.height)
        if size not in self._images:
            noise = Image.effect_noise(size, 60).convert("RGB")
            self._images[size] = Image.blend(noise, Image.new("RGB", size, "orange"), 0.8)
        for number in range(1, request.steps_taken + 1):
            left = began + self._seconds * number / request.steps_taken - time.monotonic()
            if left > 0:
                time.sleep(left)
            on_step(Step(number, None))
        return GenerationResult(self._images[size].copy(), time.monotonic() - began)

    def close(self) -> None:
        """There is nothing to give back."""

    @property
    def device(self) -> str:
        return "cpu"

    @property
    def loaded(self) -> dict[str, int]:
        return {}


async def queue(engines: int, waiting: int, seconds: float) -> tuple[float, float, float]:
    """Jobs a second, milliseconds of the CPU a job, and the p99 of the event loop's lag in
    seconds, with so many jobs *waiting* all the time."""
    executors = [
        ThreadExecutor(SleepingEngine, name=f"engine-{number + 1}") for number in range(engines)
    ]
    async with running_on(executors, SMALL) as service:
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
        before, used, began = ended, sum(process.cpu_times()[:2]), time.perf_counter()
        await asyncio.sleep(seconds)
        passed, jobs = time.perf_counter() - began, ended - before
        used = sum(process.cpu_times()[:2]) - used
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


MEASURES: dict[str, Callable[[], Iterator[Figure]]] = {"queue": measure_queue}


def main(
    only: Annotated[str, typer.Option(help=", ".join(MEASURES))] = ",".join(MEASURES),
) -> None:
    """Measure, and print a table."""
    table = Table("measured", "found", "target", "", title="One bot, many engines")
    for name in only.split(","):
        for figure in MEASURES[name]():
            mark = "[green]met[/]" if figure.is_met else "[red]missed[/]"
            table.add_row(figure.what, figure.measured, figure.target, mark)
    Console(width=110).print(table)


if __name__ == "__main__":
    typer.run(main)

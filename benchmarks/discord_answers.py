"""From Discord's INTERACTION_CREATE to our first answer on the wire.

    python -m benchmarks.discord_answers                  500 commands at 50 a second
    python -m benchmarks.discord_answers --engine stub    without torch

The engine draws all the time. Discord is the one of the tests, on loopback and in the same
process, so that its own work, TLS included, counts as ours: the figures are upper bounds.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from adapters.discord_chat import DiscordChat
from benchmarks.serving import GENEROUS, at_rate, busy_engine, percentile, running_bot
from bot.config import Config
from tests.fakes.discord import FakeDiscord

COMMANDS = 500
RATE = 50
PEOPLE = 50
TARGET = 150.0  # milliseconds, for 99 of 100
WARM_UP = 20


async def measure(engine: str, commands: int, rate: int) -> list[float]:
    """Milliseconds from each command to its first answer."""
    async with FakeDiscord(clock=time.time) as fake:
        fake.truth = None  # the tests hold it to Discord's schemas; here that would be our time
        async with running_bot(engine) as (service, _), busy_engine(service):
            chat = DiscordChat(service, Config(**GENEROUS), fake.token, connector=fake.connector())
            running = asyncio.create_task(chat.run())
            try:
                await fake.connected()
                await fake.registered()
                return await _command(fake, commands, rate)
            finally:
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running


async def _command(fake: FakeDiscord, commands: int, rate: int) -> list[float]:
    people = [fake.person(f"p{number}") for number in range(PEOPLE)]

    async def one(number: int) -> float:
        person = people[number % PEOPLE]
        asked = await person.command(
            fake.channel, "flux imagine", prompt="a red circle", steps=4, seed=number
        )
        return (await asked.answered()).seconds * 1000

    for number in range(WARM_UP):
        await one(number)
    asking: list[asyncio.Task[float]] = []
    await at_rate(
        rate,
        commands // rate,
        lambda number: asking.append(asyncio.create_task(one(number))),
    )
    return list(await asyncio.gather(*asking))


def main(
    engine: Annotated[str, typer.Option(help="demo or stub")] = "demo",
    commands: Annotated[int, typer.Option(min=100)] = COMMANDS,
    rate: Annotated[int, typer.Option(help="Commands a second.")] = RATE,
) -> None:
    """Measure, and print a table."""
    took = asyncio.run(measure(engine, commands, rate))
    title = f"Discord, {len(took)} commands at {rate} a second, {engine} engine busy"
    table = Table("INTERACTION_CREATE to first answer", "ms", "target", "", title=title)
    table.add_row("p50", f"{statistics.median(took):.1f}", "", "")
    p99 = percentile(took, 99)
    mark = "[green]met[/]" if p99 < TARGET else "[red]missed[/]"
    table.add_row("p99", f"{p99:.1f}", f"< {TARGET:g}", mark)
    table.add_row("longest", f"{max(took):.1f}", "", "")
    Console(width=90).print(table)


if __name__ == "__main__":
    typer.run(main)

"""From Slack's envelope to our acknowledgement, which comes once the job is on disk.

    python -m benchmarks.slack_ack                    500 mentions at 20 a second
    python -m benchmarks.slack_ack --engine stub      without torch

The engine draws all the time. Slack is the one of the tests, on loopback and in the same
process, so that its own work counts as ours: the figures are upper bounds.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from adapters.slack_chat.chat import SlackChat
from benchmarks.serving import busy_engine, running_bot
from bot.config import Secrets
from bot.sections import Slack
from tests.fakes.slack import FakeSlack, Person

MENTIONS = 500
RATE = 20.0
CHANNELS = 50
TARGET = 150.0  # milliseconds, for 99 of 100


class WallClock:
    """Real time, where tests have time of their own."""

    @property
    def now(self) -> float:
        return time.time()


async def measure(engine: str, mentions: int, rate: float) -> list[float]:
    """Milliseconds from each envelope to its acknowledgement."""
    slack = await FakeSlack(WallClock()).start()
    people = [slack.person(f"p{number}") for number in range(CHANNELS)]
    channels = [slack.channel(f"c{number}") for number in range(CHANNELS)]
    slack.enforces_rates = False  # what is measured is how fast we hear, not how fast we speak
    try:
        async with running_bot(engine) as (service, _), busy_engine(service):
            settings = Slack(api_base=slack.api_base, file_hosts=(slack.host,))
            secrets = Secrets(slack_bot_tokens=(slack.team.token,), slack_app_token=slack.app_token)
            chat = SlackChat(service, settings, secrets)
            await chat.start()
            try:
                return await _mention(people, channels, mentions, rate)
            finally:
                await chat.close()
    finally:
        await slack.close()


async def _mention(
    people: list[Person], channels: list[Any], mentions: int, rate: float
) -> list[float]:
    async def one(number: int) -> float:
        person, channel = people[number % CHANNELS], channels[number % CHANNELS]
        text = f"<@{person.team.bot_user}> a red circle --steps 4 --seed {number}"
        begun = time.perf_counter()
        envelope = await person.send_mention(channel, text)
        await envelope.acked
        return (time.perf_counter() - begun) * 1000

    begun, asking = time.perf_counter(), []
    for number in range(mentions):
        await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
        asking.append(asyncio.create_task(one(number)))
    return await asyncio.gather(*asking)


def main(
    engine: Annotated[str, typer.Option(help="demo or stub")] = "demo",
    mentions: Annotated[int, typer.Option(min=100)] = MENTIONS,
    rate: Annotated[float, typer.Option(help="Mentions a second.")] = RATE,
) -> None:
    """Measure, and print a table."""
    took = sorted(asyncio.run(measure(engine, mentions, rate)))
    p99 = statistics.quantiles(took, n=100)[98]
    title = f"Slack, {mentions} mentions at {rate:g} a second, {engine} engine busy"
    table = Table("envelope to ack", "ms", "target", "", title=title)
    table.add_row("p50", f"{statistics.median(took):.1f}", "", "")
    mark = "[green]met[/]" if p99 < TARGET else "[red]missed[/]"
    table.add_row("p99", f"{p99:.1f}", f"< {TARGET:g}", mark)
    table.add_row("longest", f"{took[-1]:.1f}", "", "")
    Console(width=90).print(table)


if __name__ == "__main__":
    typer.run(main)

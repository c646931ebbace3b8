"""The bot killed again and again while its engines live on a cluster, which loses a node."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from pathlib import Path

from tests.generation.ray.cluster import Cluster, Node
from tests.reliability.harness import (
    Harness,
    Report,
    kills_at_points,
    kills_while_drawing,
    stops_at_random,
)

ACTOR = "ray::EngineActor"
#: Answers of the bot after which a node is killed.
ANSWERS = 10
POINTS = ("commit begin: after", "commit draw_again: after", "file: after", "send: before")


@dataclass(frozen=True)
class Warmth:
    """The cluster's actors when all is over.

    Attributes:
        that_outlived_the_bots: Those that the first bot has had made.
        on_a_node_that_joined: Those on the node that came for the one that was killed, where some
            bot lived for long enough to have one made.
    """

    that_outlived_the_bots: int
    on_a_node_that_joined: int


async def kill_on_a_cluster(
    folder: Path, dice: random.Random, kills: int, most_events: int
) -> tuple[Report, Warmth]:
    """Kill the bot so often, and one of its two nodes in the middle of it."""
    cluster = Cluster()
    try:
        staying = cluster.start_node()
        await asyncio.to_thread(staying.wait_until_it_runs)
        leaving = cluster.start_node()
        await asyncio.to_thread(leaving.wait_until_it_runs)
        harness = Harness(
            folder, 12, engine="ray", cluster=cluster.address, environment=cluster.environment
        )
        lives = [
            *kills_at_points(dice, points=[dice.choice(POINTS) for _ in range(kills - 2)]),
            *kills_while_drawing(dice, 1, kills_engine=True),
            *stops_at_random(dice, 1),
        ]
        dice.shuffle(lives)
        running = asyncio.create_task(harness.run(lives, most_events))
        first = await _actors_of(staying)
        await _actors_of(leaving)
        while harness.answered < ANSWERS and not running.done():
            await asyncio.sleep(0.05)
        await asyncio.to_thread(leaving.kill)
        joined = cluster.start_node()
        report = await running
        last = {each.pid for node in (staying, joined) for each in node.processes(ACTOR)}
        return report, Warmth(len(last & first), len(last - first))
    finally:
        await asyncio.to_thread(cluster.close)


async def _actors_of(node: Node) -> set[int]:
    """Numbers of the node's actors, as soon as there is one."""
    async with asyncio.timeout(90):
        while not (found := await asyncio.to_thread(node.processes, ACTOR)):
            await asyncio.sleep(0.1)
    return {process.pid for process in found}

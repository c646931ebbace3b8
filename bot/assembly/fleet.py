"""The executors of a cluster that are as many as it has GPUs, and come and go with its nodes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from itertools import count

from bot.assembly.engine import EXECUTORS, Plan
from bot.config import Config, Secrets
from generation.errors import ModelUnavailable
from generation.preprocessors import Preprocessors
from generation.protocols import Executor, Members
from generation.ray_executor import Place
from generation.ray_watch import RayNode, watched

#: Nodes as they come and go, or why they cannot be told.
Nodes = AsyncGenerator[tuple[RayNode, ...] | ModelUnavailable, None]


class RayFleet:
    """The `Fleet` of a cluster: an executor for each GPU of each node.

    A number that has become free is the next one's, so that there are never more names than GPUs.

    Args:
        nodes: Tells the nodes.
        make: Makes the executor of that number for a GPU.
    """

    def __init__(self, nodes: Callable[[], Nodes], make: Callable[[int, Place], Executor]) -> None:
        self._nodes = nodes
        self._make = make
        self._there: dict[Place, Executor] = {}
        self._numbers: dict[Executor, int] = {}

    async def members(self) -> AsyncGenerator[Members, None]:
        """See `Fleet`."""
        async with aclosing(self._nodes()) as told:
            async for found in told:
                problem = str(found) if isinstance(found, ModelUnavailable) else ""
                if not isinstance(found, ModelUnavailable):
                    self._take(found)
                yield Members(tuple(self._there.values()), problem)

    def has_left(self, executor: Executor) -> None:
        """See `Fleet`."""
        self._numbers.pop(executor, None)

    def _take(self, nodes: tuple[RayNode, ...]) -> None:
        places = [
            Place(node.id, node.name, number)
            for node in nodes
            for number in range(1, node.gpus + 1)
        ]
        there = {place: self._there.get(place) or self._new(place) for place in places}
        self._there = there

    def _new(self, place: Place) -> Executor:
        taken = set(self._numbers.values())
        number = next(each for each in count(1) if each not in taken)
        executor = self._make(number, place)
        self._numbers[executor] = number
        return executor


def fleet(config: Config, secrets: Secrets, preprocessors: Preprocessors) -> RayFleet | None:
    """The fleet that the configuration asks for; None where all executors stay."""
    address = config.engine.ray
    if address is None or config.engine.workers != "auto":
        return None

    def make(number: int, gpu: Place) -> Executor:
        plan = Plan(config, secrets, preprocessors, config.model.device, number, gpu)
        return EXECUTORS["ray"](plan)

    return RayFleet(partial(watched, address), make)

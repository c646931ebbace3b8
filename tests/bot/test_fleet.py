"""Engines that join and leave while the bot draws."""

import asyncio
from functools import partial

import pytest

from bot.engines import NO_ENGINE, lost_engines
from bot.jobs import JobStatus
from bot.source import Source
from generation.errors import EngineLost
from generation.executor import ThreadExecutor
from generation.protocols import Members
from tests.bot.conftest import CIRCLE
from tests.conftest import ADA, BOB, EVE, Gate, finished, until


class Guests:
    """A fleet of executors, which a test has come and go."""

    def __init__(self):
        self.closed = []
        self._told = asyncio.Queue()

    def tell(self, *executors, problem=""):
        self._told.put_nowait(Members(executors, problem))

    async def members(self):
        while True:
            yield await self._told.get()

    def has_left(self, executor):
        self.closed.append(executor.name)


class Stuck(ThreadExecutor):
    """An executor that loads for ever, as one does whose machine has gone."""

    def __init__(self, name):
        super().__init__(Gate, name=name)

    async def start(self):
        await asyncio.Event().wait()


@pytest.fixture
async def guests(bot):
    bot.engines, bot.fleet = [], Guests()
    await bot.restart()
    return bot.fleet


@pytest.fixture
def make():
    """Makes executors, each with the gate of its engine."""
    gates = []

    def make(name):
        gates.append(Gate())
        executor = ThreadExecutor(partial(lambda gate: gate, gates[-1]), name=name)
        return executor, gates[-1]

    yield make
    for gate in gates:
        gate.open()


def seen(bot):
    return {each.name: each.status for each in bot.service.engines()}


async def test_an_engine_that_joins_draws_and_one_that_leaves_ends_its_job_first(
    bot, guests, make, caplog
):
    caplog.set_level("INFO")
    (first, one), (second, two) = make("engine-1"), make("engine-2")
    assert bot.service.state.status == "loading", "nobody has told yet whether there are engines"
    guests.tell()
    await until(lambda: bot.service.state.message == NO_ENGINE)
    assert bot.service.state.status == "failed"

    guests.tell(first)
    await until(lambda: bot.service.state.status == "ready")
    job = await bot.service.submit(Source(ADA), CIRCLE)
    await until(lambda: seen(bot) == {"engine-1": "drawing"})
    guests.tell(first, second)
    await until(lambda: seen(bot).get("engine-2") == "ready")
    guests.tell(second)
    await until(lambda: seen(bot).get("engine-1") == "leaving")
    others = [await bot.service.submit(Source(user), CIRCLE) for user in (BOB, EVE)]
    two.open()
    for other in others:
        assert await finished(other) is JobStatus.SUCCEEDED
    one.open()

    assert await finished(job) is JobStatus.SUCCEEDED
    await until(lambda: guests.closed == ["engine-1"])
    assert (len(one.drawn), len(two.drawn), one.is_closed) == (1, 2, True)
    assert seen(bot) == {"engine-2": "ready"}
    assert "engine-1 (cpu) has left" in caplog.text
    guests.tell()
    await until(lambda: guests.closed == ["engine-1", "engine-2"])
    assert bot.service.state.message == NO_ENGINE
    assert "lost" not in caplog.text


async def test_an_engine_that_dies_as_it_leaves_gives_its_job_to_the_others(
    bot, guests, make, caplog
):
    (first, one), (second, two) = make("engine-1"), make("engine-2")
    guests.tell(first)
    await until(lambda: bot.service.state.status == "ready")
    job = await bot.service.submit(Source(ADA), CIRCLE)
    await until(one.waits.is_set)
    guests.tell(second)
    await until(lambda: seen(bot).get("engine-2") == "ready")

    one.fault = EngineLost("its node has died", is_unrelated=True)
    one.open()
    two.open()

    assert await finished(job) is JobStatus.SUCCEEDED
    assert (job.attempts, job.engine_losses) == (1, 0)
    await until(lambda: guests.closed == ["engine-1"])
    assert one.loads == 1, "it is not loaded again"
    assert "engine-1 (cpu) is lost" not in caplog.text
    assert await bot.database.read(lost_engines) == []


async def test_an_engine_that_leaves_while_it_loads_keeps_nobody_waiting(bot, guests, make):
    first, one = make("engine-1")
    stuck = Stuck("engine-2")
    guests.tell(first, stuck)
    await until(lambda: seen(bot) == {"engine-1": "ready", "engine-2": "loading"})

    guests.tell(first)

    await until(lambda: guests.closed == ["engine-2"])
    assert seen(bot) == {"engine-1": "ready"}
    one.open()
    assert await finished(await bot.service.submit(Source(ADA), CIRCLE)) is JobStatus.SUCCEEDED


async def test_engines_that_nobody_can_tell_are_told_to_the_operator(bot, guests, make):
    first, _ = make("engine-1")
    guests.tell(problem="the head cannot be reached")
    await until(lambda: bot.service.state.message == "the head cannot be reached")
    while await bot.database.read(lost_engines) != ["the head cannot be reached"]:
        await asyncio.sleep(0)

    guests.tell(first)
    await until(lambda: bot.service.state.status == "ready")
    guests.tell(first, problem="the head cannot be reached")
    while await bot.database.read(lost_engines) != ["the head cannot be reached"]:
        await asyncio.sleep(0)
    assert bot.service.state.status == "ready", "it draws all the same"

    guests.tell(first)
    while await bot.database.read(lost_engines):
        await asyncio.sleep(0)

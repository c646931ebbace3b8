"""Engines that load, fail and are lost, and what people and operators are told of that."""

import asyncio
from functools import partial

import pytest

from bot import switches
from bot.database import Database
from bot.engines import Engines, lost_engines
from bot.jobs import JobStatus
from bot.languages import language_of
from bot.source import Source
from bot.views import EngineState
from generation.errors import EngineLost, GenerationError, ModelUnavailable
from tests.bot.conftest import CIRCLE
from tests.conftest import ADA, ADMIN, BOB, EVE, Gate, finished, stepping, until


class Loading:
    """An executor that loads when a test says so."""

    device, loaded = "cuda:0", {}

    def __init__(self, name="engine-1"):
        self.name = name
        self.ends = asyncio.Queue()
        self.is_begun = False

    async def start(self):
        self.is_begun = True
        end = await self.ends.get()
        if end is not None:
            raise end

    async def close(self):
        """Nothing is held."""


class Always:
    """Nothing but engines stands against drawing."""

    is_stopping = False

    def begin_attempt(self):
        """Nobody says when to try again."""

    async def told_to_try_again(self, seconds):
        await asyncio.sleep(0)


class Seconds:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
async def database(tmp_path):
    database = await Database.open(tmp_path / "bot.sqlite3")
    yield database
    await database.close()


@pytest.fixture
def seconds():
    return Seconds()


@pytest.fixture
async def make_engines(database, seconds):
    """Engines that are all being loaded."""
    tasks = []

    async def make(*executors, model="flux"):
        engines = Engines(executors, Always(), database, model, lambda: None, seconds)
        await engines.recall()
        tasks.extend(asyncio.create_task(engines.load(each)) for each in executors)
        await until(lambda: all(each.is_begun for each in executors))
        return engines

    yield make
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_how_long_loading_takes_is_known_from_the_last_time(make_engines, database, seconds):
    first = Loading()
    engines = await make_engines(first)
    assert engines.state == EngineState("loading", "loading the model")

    seconds.now += 17
    first.ends.put_nowait(None)
    await until(lambda: engines.state is None)
    while not await database.read(partial(switches.read, name="seconds to load: flux")):
        await asyncio.sleep(0)
    engines = await make_engines(Loading())
    seconds.now += 1

    assert engines.state.message == "loading the model, about 20 seconds"
    said = engines.state.said(language_of("de"))
    assert said == "das Modell wird geladen, noch etwa 20 Sekunden"
    assert engines.seconds_until_one_draws == 16
    seconds.now += 16
    assert engines.state.message == "loading the model"


async def test_another_model_and_a_download_say_nothing_of_the_time(
    make_engines, database, seconds
):
    for model, passed in (("flux", 3600), ("flux-schnell", 17)):
        executor = Loading()
        engines = await make_engines(executor, model=model)
        seconds.now += passed
        executor.ends.put_nowait(None)
        await until(lambda engines=engines: engines.state is None)
        await database.checkpoint()  # after whatever was written

    engines = await make_engines(Loading())

    assert engines.state.message == "loading the model"


async def test_a_lost_engine_of_several_is_named_and_counts_no_more(make_engines, database, caplog):
    """I11"""
    caplog.set_level("INFO")
    one, two = Loading(), Loading("engine-2")
    engines = await make_engines(one, two)
    one.ends.put_nowait(None)
    await until(lambda: engines.state is None)
    assert engines.drawing == 1
    two.ends.put_nowait(None)
    await until(lambda: engines.drawing == 2)

    engines.lose(two)
    assert "engine-2 (cuda:0) is lost" in caplog.text
    assert (engines.drawing, engines.state) == (1, None)
    loading = asyncio.create_task(engines.load(two))
    two.ends.put_nowait(ModelUnavailable("no such device:\ncuda:1"))
    lost = ["engine-2 (cuda:0): no such device: cuda:1"]
    await until(lambda: "engine-2 (cuda:0) cannot be loaded: no such device" in caplog.text)
    while await database.read(lost_engines) != lost:
        await asyncio.sleep(0)
    assert engines.state is None, "the other one draws"

    two.ends.put_nowait(None)
    await loading
    assert engines.drawing == 2
    assert await database.read(lost_engines) == []


async def test_an_engine_that_is_lost_on_the_way_is_tried_again_at_once(make_engines, monkeypatch):
    waits = []

    async def told_to_try_again(self, seconds):
        waits.append(seconds)

    monkeypatch.setattr(Always, "told_to_try_again", told_to_try_again)
    one = Loading()
    engines = await make_engines(one)
    for end in (EngineLost("it died"), EngineLost("again"), ModelUnavailable("gone"), None):
        one.ends.put_nowait(end)

    await until(lambda: engines.state is None)

    assert waits == [30.0, 60.0], "after the second and third time"


async def test_one_engine_that_fails_hides_no_other_that_loads(make_engines):
    one, two = Loading(), Loading()
    engines = await make_engines(one, two)

    one.ends.put_nowait(ModelUnavailable("the first has gone"))
    await until(lambda: one.ends.empty())
    assert engines.state == EngineState("loading", "loading the model")
    two.ends.put_nowait(ModelUnavailable("the second, too"))
    await until(lambda: engines.state.status == "failed")
    assert engines.state.message == "the second, too"


async def test_what_an_earlier_run_has_lost_is_forgotten_at_the_start(make_engines, database):
    one = Loading()
    await make_engines(one)
    one.ends.put_nowait(ModelUnavailable("gone"))
    while not await database.read(lost_engines):
        await asyncio.sleep(0)

    await make_engines(Loading())

    assert await database.read(lost_engines) == []


@pytest.fixture
async def two_engines(bot):
    """A bot with two engines, and the gates of these."""
    bot.engines = [Gate(), Gate()]
    yield await bot.restart(), bot.engines
    for gate in bot.engines:
        gate.open()


async def test_told_times_count_the_engines_that_draw(two_engines, monkeypatch):
    """I11"""
    monkeypatch.setattr("generation.executor.LOOK_EVERY", 0.0)
    service, (one, two) = two_engines
    for gate in (one, two):
        gate.seconds = 12.0
        gate.open()
    assert await finished(await service.submit(Source(ADA), CIRCLE)) is JobStatus.SUCCEEDED
    for gate in (one, two):
        gate.close_again()
    await until(lambda: one.loads == two.loads == 1)
    jobs = [await service.submit(Source(user), CIRCLE) for user in (ADA, BOB)]
    await until(lambda: one.waits.is_set() and two.waits.is_set())
    third, fourth = [await service.submit(Source(EVE), CIRCLE) for _ in range(2)]
    assert (third.progress.wait, fourth.progress.wait) == (12.0, 18.0)

    def gone():
        raise ModelUnavailable("the device has gone")

    two.load = gone
    two.is_alive = False
    two.open()
    await until(lambda: JobStatus.SUCCEEDED in [job.status for job in jobs])
    await until(lambda: fourth.progress.wait is not None and fourth.progress.wait >= 24.0)
    assert service.state.status == "ready"


async def test_what_ends_is_counted_for_the_engine_that_drew_it(two_engines, monkeypatch):
    service, (one, two) = two_engines
    statuses = lambda: [each.status for each in service.engines()]  # noqa: E731
    await until(lambda: statuses() == ["ready", "ready"])
    first = await service.submit(Source(ADA), CIRCLE)
    await until(lambda: bool(one.drawn or two.drawn))
    busy, idle = (one, two) if one.drawn else (two, one)
    assert sorted(statuses()) == ["drawing", "ready"]

    def generate(request, on_step):
        raise faults.pop(0)

    faults = [EngineLost("it died"), GenerationError("no picture"), ValueError("odd")]
    with monkeypatch.context() as faulty:
        faulty.setattr(idle, "generate", generate)
        for _ in range(2):
            await finished(await service.submit(Source(BOB), CIRCLE))
    cancelled = await service.submit(Source(EVE), CIRCLE)
    await until(lambda: cancelled.status is JobStatus.RUNNING)
    await stepping(idle, service.cancel(Source(EVE), cancelled.id))
    busy.open()
    await finished(first)
    await until(lambda: statuses() == ["ready", "ready"])

    seen = {each.name: (each.succeeded, each.failed, each.lost) for each in service.engines()}
    names = ("engine-1", "engine-2") if busy is one else ("engine-2", "engine-1")
    assert seen == dict(zip(names, [(1, 0, 0), (0, 2, 1)], strict=True))


async def test_a_job_that_waits_already_is_told_of_a_pause_and_of_its_end(bot, gate):
    told = []
    running = await bot.service.submit(Source(ADA), CIRCLE)
    waiting = await bot.service.submit(Source(BOB), CIRCLE)

    async def watch():
        async for _ in waiting.watch():
            told.append(bot.service.state.status)

    watching = asyncio.create_task(watch())
    await until(lambda: told == ["ready"])
    pausing = asyncio.create_task(bot.service.admin.pause(ADMIN))
    await until(lambda: told == ["ready", "paused"])
    await pausing
    await bot.service.admin.resume(ADMIN)
    await until(lambda: told == ["ready", "paused", "ready"])

    gate.open()
    assert await finished(running) is await finished(waiting) is JobStatus.SUCCEEDED
    await watching

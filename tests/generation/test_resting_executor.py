"""Promises of an executor that shares its card with other programs."""

import asyncio

import pytest

from generation.errors import EngineLost, ModelUnavailable
from generation.executor import ThreadExecutor
from generation.resting_executor import LOADING, RestingExecutor
from tests.conftest import until


class Naps:
    """Waiting, until a test says that the time has passed."""

    def __init__(self):
        self.asked = []
        self._over = asyncio.Event()

    async def __call__(self, seconds):
        self.asked.append(seconds)
        self._over.clear()
        await self._over.wait()

    def pass_by(self):
        self._over.set()


@pytest.fixture
async def naps():
    return Naps()


@pytest.fixture
def told():
    return []


@pytest.fixture
async def executor(gate, naps, told):
    async def before():
        told.append(("before", dict(gate.loaded)))

    async def after():
        told.append(("after", gate.is_closed))

    gate.open()
    executor = RestingExecutor(
        ThreadExecutor(lambda: gate),
        600.0,
        before_loading=before,
        after_unloading=after,
        sleep=naps,
    )
    yield executor
    await executor.close()


async def rested(executor, naps, told):
    count = len(told)
    await until(lambda: naps.asked)
    naps.pass_by()
    await until(lambda: len(told) > count)
    naps.asked.clear()


async def test_an_idle_engine_gives_its_memory_back_and_is_loaded_for_the_next_picture(
    executor, gate, fox, naps, told
):
    notes = []
    await executor.start()
    await executor.generate(fox, lambda step: notes.append(step.note))
    assert LOADING not in notes

    await rested(executor, naps, told)

    assert gate.is_closed
    assert executor.loaded == {}
    assert told == [("before", {}), ("after", True)]
    gate.is_closed = False

    await executor.generate(fox, lambda step: notes.append(step.note))

    assert notes.count(LOADING) == 1
    assert gate.loads == 2
    assert told[-1][0] == "before"
    assert not gate.is_closed


async def test_a_picture_begins_the_wait_anew(executor, gate, fox, naps):
    await executor.start()
    await until(lambda: naps.asked)

    await executor.generate(fox, lambda step: None)

    await until(lambda: len(naps.asked) == 2)
    assert naps.asked == [600.0, 600.0]
    assert gate.loads == 1
    assert not gate.is_closed


async def test_what_cannot_be_loaded_again_is_no_fault_of_the_picture(
    executor, gate, fox, naps, told, monkeypatch
):
    await executor.start()
    await rested(executor, naps, told)

    def refuse():
        raise ModelUnavailable("the card is full")

    monkeypatch.setattr(gate, "load", refuse)
    with pytest.raises(EngineLost, match="cannot be loaded again: the card is full") as lost:
        await executor.generate(fox, lambda step: None)
    assert lost.value.is_unrelated

    monkeypatch.undo()
    await executor.start()
    await executor.generate(fox, lambda step: None)


async def test_a_card_is_given_back_at_the_end_once(executor, told):
    await executor.start()

    await executor.close()
    await executor.close()

    assert told == [("before", {}), ("after", True)]


async def test_without_a_time_the_engine_stays(gate, fox, naps, told):
    gate.open()

    async def nobody():
        told.append("told")

    executor = RestingExecutor(
        ThreadExecutor(lambda: gate),
        None,
        before_loading=nobody,
        after_unloading=nobody,
        sleep=naps,
    )
    await executor.start()
    await executor.generate(fox, lambda step: None)
    await executor.close()

    assert not naps.asked
    assert told == ["told", "told"]

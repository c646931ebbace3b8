"""Promises of the thread that owns an engine."""

import asyncio
import contextlib
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from generation.errors import EngineLost, GenerationCancelled, ModelUnavailable
from generation.executor import ThreadExecutor
from generation.stub import StubEngine
from tests.conftest import PRESETS, until
from tests.samples import picture


def ignore(step):
    pass


@pytest.fixture
async def executor(gate):
    executor = ThreadExecutor(lambda: gate)
    await executor.start()
    yield executor
    gate.open()
    await executor.close()


async def test_everything_that_touches_the_engine_happens_on_one_thread(gate, fox):
    makers = []
    executor = ThreadExecutor(lambda: makers.append(threading.current_thread()) or gate)
    gate.open()

    await executor.start()
    await asyncio.gather(*(executor.generate(fox, ignore) for _ in range(3)))
    await executor.close()

    assert len(gate.threads) == 5
    assert {*makers, *gate.threads} == {makers[0]}
    assert makers[0] is not threading.current_thread()


async def test_steps_are_reported_on_the_event_loops_thread_in_order(executor, gate, fox):
    seen = []
    gate.open()

    await executor.generate(
        fox, lambda step: seen.append((step.number, asyncio.get_running_loop()))
    )

    assert seen == [(number, asyncio.get_running_loop()) for number in (1, 2, 3)]


async def test_what_lies_in_memory_is_told_once_there_is_an_engine(gate, fox, tmp_path):
    sketch = tmp_path / "sketch.png"
    sketch.write_bytes(picture())
    controlled = replace(fox, kind=PRESETS["canny"].kind, pictures={"control_image": sketch})
    executor = ThreadExecutor(lambda: gate)
    assert executor.loaded == {}
    gate.open()

    await executor.start()
    await executor.generate(controlled, ignore)

    assert executor.loaded == {"demo/controlnet-canny": 0}
    await executor.close()


async def test_what_the_engine_raises_is_raised_to_who_asked_and_the_next_one_works(
    executor, gate, fox
):
    gate.close()
    with pytest.raises(ModelUnavailable):
        await executor.generate(fox, ignore)
    gate.load()
    gate.open()

    result = await executor.generate(fox, ignore)

    assert result.image.size == (64, 64)


async def test_a_cancelled_generation_ends_when_the_engine_is_free(executor, gate, fox):
    """Ending earlier would let the next job queue up behind a busy device;
    ending later would finish a picture that nobody wants any more."""
    steps = []
    gate.allow(2)
    generation = asyncio.create_task(
        executor.generate(replace(fox, num_inference_steps=50), steps.append)
    )
    await until(lambda: len(steps) == 2)

    generation.cancel()
    done, _ = await asyncio.wait([generation], timeout=0.05)
    assert not done, "the engine was still in a step"
    gate.allow(1)
    with pytest.raises(asyncio.CancelledError):
        await generation

    assert not gate.is_busy
    assert len(steps) == 2


async def test_a_second_cancellation_does_not_end_the_wait_for_the_engine(executor, gate, fox):
    generation = asyncio.create_task(executor.generate(fox, ignore))
    await until(gate.waits.is_set)

    for _ in range(3):
        generation.cancel()
        done, _ = await asyncio.wait([generation], timeout=0.02)
        assert not done
    gate.allow(1)
    with pytest.raises(asyncio.CancelledError):
        await generation

    assert not gate.is_busy


async def test_a_generation_cancelled_while_another_runs_ends_at_once_and_never_runs(
    executor, gate, fox
):
    first = asyncio.create_task(executor.generate(fox, ignore))
    second = asyncio.create_task(executor.generate(replace(fox, prompt="a cat"), ignore))
    await until(gate.waits.is_set)

    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second

    assert gate.is_busy, "the first one goes on"
    gate.open()
    await first
    await executor.generate(replace(fox, prompt="a dog"), ignore)
    assert [each.prompt for each in gate.drawn] == ["a red fox", "a dog"]


async def test_a_generation_cancelled_after_its_last_step_still_counts_as_cancelled(gate, fox):
    class Late(type(gate)):
        def generate(self, request, on_step):
            result = super().generate(request, on_step)
            assert self._allowed.acquire(timeout=20)
            return result

    late = Late()
    executor = ThreadExecutor(lambda: late)
    await executor.start()
    steps = []
    late.allow(3)
    generation = asyncio.create_task(executor.generate(fox, steps.append))
    await until(lambda: len(steps) == 3)

    generation.cancel()
    await asyncio.sleep(0)
    late.allow(1)

    with pytest.raises(asyncio.CancelledError):
        await generation
    await executor.close()


async def test_a_step_that_reaches_the_loop_after_the_cancellation_is_dropped(executor, gate, fox):
    steps = []
    generation = asyncio.create_task(executor.generate(fox, steps.append))
    await until(gate.waits.is_set)
    gate.waits.clear()

    generation.cancel()
    gate.allow(1)
    assert gate.waits.wait(20), "step 1 is done, and the loop has not run since"
    await asyncio.wait([generation], timeout=0.02)
    gate.allow(1)
    with pytest.raises(asyncio.CancelledError):
        await generation

    assert steps == []


async def test_a_timeout_around_a_generation_reads_as_a_timeout(executor, gate, fox):
    asyncio.get_running_loop().call_later(0.05, gate.open)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(executor.generate(fox, ignore), timeout=0.02)

    assert not gate.is_busy


async def test_a_model_that_cannot_load_is_told_to_who_starts_and_may_be_tried_again(gate, fox):
    class Gated(StubEngine):
        def load(self):
            if not attempts:
                attempts.append(1)
                raise ModelUnavailable("black-forest-labs/FLUX.1-dev is gated")
            super().load()

        def close(self):
            closed.append(self)

    attempts, closed = [], []
    executor = ThreadExecutor(Gated)

    with pytest.raises(ModelUnavailable, match="gated"):
        await executor.start()
    assert len(closed) == 1, "what was half loaded must give its memory back"
    with pytest.raises(ModelUnavailable, match="not loaded"):
        await executor.generate(fox, ignore)
    await executor.start()

    assert (await executor.generate(fox, ignore)).image.size == (64, 64)
    await executor.close()


async def test_an_engine_that_died_gives_its_memory_back_before_the_next_is_loaded(fox):
    class Mortal(StubEngine):
        is_alive = True

        def load(self):
            happened.append("load")
            super().load()

        def close(self):
            happened.append("close")
            super().close()

    happened, made = [], []
    executor = ThreadExecutor(lambda: made.append(Mortal()) or made[-1])
    await executor.start()

    made[0].is_alive = False
    await executor.generate(fox, ignore)

    assert happened == ["load", "close", "load"]
    await executor.close()


async def test_starting_twice_loads_once(gate):
    executor = ThreadExecutor(lambda: gate)

    await executor.start()
    await executor.start()

    assert len(gate.threads) == 1
    await executor.close()


async def test_closing_ends_running_and_waiting_generations_and_the_thread(gate, fox):
    executor = ThreadExecutor(lambda: gate)
    await executor.start()
    generations = [asyncio.create_task(executor.generate(fox, ignore)) for _ in range(3)]
    await until(gate.waits.is_set)

    closing = asyncio.create_task(executor.close())
    await asyncio.sleep(0)
    gate.allow(1)
    await closing

    outcomes = await asyncio.gather(*generations, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [GenerationCancelled] * 3
    assert [each.prompt for each in gate.drawn] == ["a red fox"]
    assert gate.is_closed
    gate.threads[0].join(20)
    assert not gate.threads[0].is_alive()


async def test_closing_may_be_asked_for_at_any_time_and_any_number_of_times(gate, fox):
    executor = ThreadExecutor(lambda: gate)
    await executor.start()

    await asyncio.gather(executor.close(), executor.close())
    await executor.close()

    assert len(gate.threads) == 2, "loaded once, closed once"
    with pytest.raises(ModelUnavailable, match="stopping"):
        await executor.generate(fox, ignore)
    with pytest.raises(ModelUnavailable, match="stopping"):
        await executor.start()
    await ThreadExecutor(lambda: gate).close()


async def test_an_engine_that_died_and_cannot_be_loaded_again_is_lost(executor, gate, fox):
    """I5: its job is drawn by another, and does not fail for it."""
    gate.open()

    def gone():
        raise ModelUnavailable("the device has gone")

    gate.is_alive, load, gate.load = False, gate.load, gone
    with pytest.raises(EngineLost, match=r"while idle.*: the device has gone"):
        await executor.generate(fox, ignore)

    gate.load = load
    await executor.start()
    assert (await executor.generate(fox, ignore)).image.size == (fox.width, fox.height)


async def test_closing_does_not_wait_for_a_hung_engine_beyond_the_deadline(gate, fox, caplog):
    executor = ThreadExecutor(lambda: gate, seconds_to_close=0.02)
    await executor.start()
    generation = asyncio.create_task(executor.generate(fox, ignore))
    await until(gate.waits.is_set)

    await executor.close()

    assert "still busy after 0.02 s" in caplog.text
    gate.open()
    with pytest.raises(GenerationCancelled):
        await generation
    await executor.close()
    assert gate.is_closed


async def test_an_engine_that_fails_to_close_does_not_keep_the_bot_from_stopping(caplog):
    class Stuck(StubEngine):
        def close(self):
            raise RuntimeError("the driver is gone")

    executor = ThreadExecutor(Stuck)
    await executor.start()

    await executor.close()

    assert "the driver is gone" in caplog.text


async def test_closing_does_not_wait_for_an_engine_that_is_being_loaded(gate, caplog):
    class Slow(StubEngine):
        def load(self):
            gate.waits.set()
            assert gate._allowed.acquire(timeout=20)

    executor = ThreadExecutor(Slow, seconds_to_close=20)
    starting = asyncio.create_task(executor.start())
    await until(gate.waits.is_set)

    async with asyncio.timeout(10):
        await executor.close()

    assert not starting.done()
    assert caplog.text == ""
    gate.open()
    await starting


async def test_a_start_that_is_given_up_loses_no_exception(gate):
    class Slow(StubEngine):
        def load(self):
            gate.waits.set()
            assert gate._allowed.acquire(timeout=20)
            raise ModelUnavailable("no such repository")

    executor = ThreadExecutor(Slow)
    starting = asyncio.create_task(executor.start())
    await until(gate.waits.is_set)

    starting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await starting
    gate.open()

    await executor.close()


def test_the_executor_and_the_stub_engine_need_neither_torch_nor_diffusers():
    code = (
        "import sys; sys.modules.update(torch=None, diffusers=None, transformers=None);"
        "import generation.executor, generation.stub, generation.weights"
    )

    subprocess.run([sys.executable, "-c", code], check=True)

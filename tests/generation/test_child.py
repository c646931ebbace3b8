"""Promises of an engine in a child process."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from generation import frames
from generation.child import FIRST_STEP, ChildEngine
from generation.engine_process import is_poisoning
from generation.errors import (
    DegenerateResult,
    EngineLost,
    GenerationCancelled,
    InvalidRequest,
    ModelUnavailable,
    OutOfMemory,
)
from generation.executor import ThreadExecutor
from generation.growth import Growth, resident_bytes
from generation.kinds import ControlNet
from generation.stub import StubEngine
from generation.types import Lora
from tests.conftest import Clock

FAULTY = "tests.generation.faulty:FaultyEngine"
STUB = "generation.stub:StubEngine"
ROOT = Path(__file__).parent.parent.parent


def ignore(step):
    pass


def is_alive(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def wait_until(is_true, seconds=10):
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def make(tmp_path):
    engines = []

    def make(kind=FAULTY, arguments=None, **options):
        arguments = {"folder": tmp_path} if arguments is None and kind == FAULTY else arguments
        engine = ChildEngine(kind, arguments, **options)
        engines.append(engine)
        engine.load()
        return engine

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture
def child(make):
    """One of its own for a test that ends it."""
    return make()


@pytest.fixture(scope="module")
def steady():
    """One for all tests that leave it as it was."""
    engine = ChildEngine(FAULTY)
    engine.load()
    yield engine
    engine.close()


def test_a_child_draws_the_very_picture_that_a_thread_draws(steady, fox, tmp_path):
    control = tmp_path / "control.png"
    stub = StubEngine()
    stub.load()
    stub.generate(fox, ignore).image.save(control)
    request = replace(
        fox,
        kind=ControlNet(controlnet="demo/canny", preprocessor="canny"),
        pictures={"control_image": control},
    )
    here, there = [], []

    expected = stub.generate(request, here.append)
    result = steady.generate(request, there.append)

    assert result.files().opened().tobytes() == expected.image.tobytes()
    assert result.files().control_map == expected.files().control_map
    assert there[1:] == here
    assert there[0].note == "downloading the ControlNet, 43 %"
    assert steady.loaded == {"demo/canny": 0}


def test_a_child_has_the_variables_that_it_was_given_beside_ours(monkeypatch):
    monkeypatch.setenv("FLUXBOT_OURS", "1")
    engine = ChildEngine(FAULTY, environment={"CUDA_VISIBLE_DEVICES": "GPU-b"})
    engine.load()
    try:
        seen = psutil.Process(engine.pid).environ()
    finally:
        engine.close()

    assert (seen["CUDA_VISIBLE_DEVICES"], seen["FLUXBOT_OURS"]) == ("GPU-b", "1")


def test_what_a_step_raises_ends_the_picture_there_and_is_raised_here(steady, fox):
    seen = []

    def stop(step):
        seen.append(step.number)
        if step.number == 1:
            raise GenerationCancelled

    with pytest.raises(GenerationCancelled):
        steady.generate(replace(fox, num_inference_steps=50, model="another"), stop)

    assert seen == [0, 1]
    assert "another" in steady.loaded
    assert steady.generate(fox, ignore).files().opened().size == (64, 64)


@pytest.mark.parametrize(
    ("fault", "error", "sentence"),
    [
        ("memory", OutOfMemory, "ask for a smaller picture"),
        ("blank", DegenerateResult, "came out blank"),
        ("bug", RuntimeError, "division by zero"),
    ],
)
def test_what_the_engine_raises_is_raised_here_and_the_child_lives_on(
    steady, fox, fault, error, sentence
):
    pid = steady.pid

    with pytest.raises(error, match=sentence):
        steady.generate(replace(fox, prompt=fault, model=fault), ignore)

    assert fault in steady.loaded, "what it has in memory has changed all the same"
    assert steady.generate(fox, ignore).files().opened().size == (64, 64)
    assert steady.pid == pid


def test_what_a_library_prints_does_not_get_between_the_frames(steady, fox):
    assert steady.generate(replace(fox, prompt="noise"), ignore).files().opened().size == (64, 64)


@pytest.mark.parametrize("fault", ["die", "poison"])
def test_a_child_that_dies_or_whose_device_is_poisoned_is_told_from_a_failed_picture(
    child, fox, fault
):
    pid = child.pid
    child._child.loaded = {"demo/canny": 1}

    with pytest.raises(EngineLost, match=r"has died|beyond repair: CUDA error"):
        child.generate(replace(fox, prompt=fault), ignore)

    assert not is_alive(pid)
    assert child.loaded == {}


def test_what_the_engine_in_a_child_has_lost_is_told_in_its_own_words(child, fox):
    pid = child.pid

    with pytest.raises(EngineLost, match=r"^its node has died$") as caught:
        child.generate(replace(fox, prompt="lose"), ignore)

    assert caught.value.is_unrelated
    assert not is_alive(pid)


@pytest.mark.parametrize("draws_elsewhere", [False, True])
def test_the_death_of_a_child_that_draws_elsewhere_is_not_its_pictures(make, fox, draws_elsewhere):
    child = make(draws_elsewhere=draws_elsewhere)

    with pytest.raises(EngineLost, match="has died") as caught:
        child.generate(replace(fox, prompt="die"), ignore)

    assert caught.value.is_unrelated is draws_elsewhere


def test_a_poisoned_child_ends_with_the_status_of_broken_software(child, fox):
    with pytest.raises(EngineLost):
        child.generate(replace(fox, prompt="poison"), ignore)

    assert child._child.process.returncode == 70


@pytest.mark.parametrize("fault", ["stop", "hang"])
def test_a_child_that_hangs_is_ended_within_a_second_of_its_deadline(make, fox, fault):
    child = make(clock=lambda: 100 * time.monotonic())  # so that half a minute takes 0.3 s
    child.generate(fox, ignore)
    pid, steps = child.pid, []

    with pytest.raises(EngineLost, match="no sign of life in time"):
        child.generate(replace(fox, prompt=fault), lambda step: steps.append(time.monotonic()))

    assert 0.3 <= time.monotonic() - steps[-1] < 0.3 + 1
    assert not is_alive(pid)


def test_how_long_a_step_may_take_follows_what_steps_have_taken(make, fox):
    clock = Clock()
    child = make(clock=clock, seconds_to_load=7000)
    controlled = replace(
        fox,
        preset="canny",
        kind=ControlNet(controlnet="demo/canny", preprocessor="canny"),
        pictures={"control_image": Path("x.png")},
    )
    assert child._patience(fox, 0) == FIRST_STEP
    child.generate(replace(fox, num_inference_steps=9), lambda step: clock.advance(8))

    assert child._patience(fox, 0) == child._patience(fox, 5) == pytest.approx(80)
    assert child._patience(replace(fox, width=128), 5) == pytest.approx(160)
    assert child._patience(controlled, 0) == 7000, "its ControlNet is still to be loaded"
    assert child._patience(controlled, 1) == pytest.approx(80)
    assert child._patience(replace(fox, model="a larger one"), 5) == FIRST_STEP
    assert child._patience(fox, 0, "loading a model") == 7000
    child._child.loaded = {"demo/canny": 1}
    assert child._patience(controlled, 0) == 7000, "it was never drawn with"
    child._drawn.add((controlled.preset,))
    assert child._patience(controlled, 0) == pytest.approx(80)
    assert child._patience(replace(fox, lora="demo/ink"), 0) == 7000
    ink = Lora(name="ink", lora="demo/ink")
    assert child._patience(replace(fox, loras=(ink,)), 0) == 7000
    child._drawn.add((fox.preset, ink.lora))
    assert child._patience(replace(fox, loras=(ink,)), 0) == pytest.approx(80)


def test_a_quick_step_has_half_a_minute(steady, fox):
    steady.generate(fox, ignore)

    assert steady._patience(fox, 1) == 30


def test_loading_that_hangs_or_fails_is_told_apart(make, tmp_path):
    (tmp_path / "linger").touch()
    with pytest.raises(EngineLost, match="no sign of life"):
        make(seconds_to_load=0.3)
    (tmp_path / "linger").unlink()
    (tmp_path / "refuse").touch()
    with pytest.raises(OutOfMemory, match="the model does not fit"):
        make()
    with pytest.raises(RuntimeError, match="No module named"):
        make(kind="tests.generation.nowhere:Engine")


def test_a_child_that_cannot_be_ended_is_said(child, fox, monkeypatch):
    """The kernel's driver may hold on to a child."""
    monkeypatch.setattr("generation.child.SECONDS_TO_DIE", 0.01)
    monkeypatch.setattr("generation.child.SECONDS_TO_TERMINATE", 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(os, "killpg", lambda pid, number: None)
        os.kill(child.pid, signal.SIGSTOP)
        wait_until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_STOPPED)

        with pytest.raises(ModelUnavailable, match="cannot be ended, and holds the GPU"):
            child.close()


def test_a_child_ends_by_itself_when_nobody_holds_the_other_end_of_its_pipe(child):
    process = child._child.process

    child.close()

    assert process.returncode == 0, "no signal was needed"


def test_closing_ends_the_child_even_while_it_is_stopped(make):
    child = make()
    pid = child.pid
    os.kill(pid, signal.SIGSTOP)

    child.close()
    child.close()

    assert not is_alive(pid)
    with pytest.raises(ModelUnavailable, match="not loaded"):
        child.generate(None, ignore)


@pytest.mark.parametrize("is_busy", [True, False])
def test_no_child_outlives_its_parent(tmp_path, is_busy):
    code = (
        "import sys; from pathlib import Path\n"
        "from generation.child import ChildEngine\n"
        "from tests.generation.conftest import FOX\n"
        "from dataclasses import replace\n"
        f"engine = ChildEngine({FAULTY!r}); engine.load()\n"
        "said = lambda step: step.number == 2 and print(engine.pid, flush=True)\n"
        + (
            "engine.generate(replace(FOX, prompt='hang'), said)"
            if is_busy
            else "print(engine.pid, flush=True); sys.stdin.read()"
        )
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with parent:
        pid = int(parent.stdout.readline())
        assert is_alive(pid)

        parent.kill()

        wait_until(lambda: not is_alive(pid))


async def test_a_fresh_child_takes_the_place_of_a_lost_one(fox, tmp_path):
    engines = []

    def make():
        engines.append(ChildEngine(FAULTY, {"folder": tmp_path}))
        return engines[-1]

    executor = ThreadExecutor(make)
    await executor.start()
    with pytest.raises(EngineLost):
        await executor.generate(replace(fox, prompt="die once"), ignore)
    with pytest.raises(ModelUnavailable, match="not loaded"):
        await executor.generate(fox, ignore)

    await executor.start()

    assert (await executor.generate(replace(fox, prompt="die once"), ignore)).files()
    assert len(engines) == 2
    assert executor.loaded == {}
    await executor.close()
    assert [engine.pid for engine in engines] == [None, None]


async def test_a_lost_engine_that_still_holds_the_device_keeps_a_fresh_one_from_starting(fox):
    class Held(StubEngine):
        def generate(self, request, on_step):
            raise EngineLost("gone")

        def close(self):
            if not is_free:
                raise ModelUnavailable("holds the GPU")

    is_free, made = [], []
    executor = ThreadExecutor(lambda: made.append(Held()) or made[-1])
    await executor.start()
    with pytest.raises(EngineLost):
        await executor.generate(fox, ignore)

    with pytest.raises(ModelUnavailable, match="holds the GPU"):
        await executor.start()
    is_free.append(True)
    await executor.start()

    assert len(made) == 2
    await executor.close()


def test_what_the_child_logs_is_logged_here(steady, fox, caplog):
    with caplog.at_level(logging.ERROR), pytest.raises(RuntimeError):
        steady.generate(replace(fox, prompt="bug"), ignore)

    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (RuntimeError("CUDA error: device-side assert triggered"), True),
        (RuntimeError("CUDA error: unspecified launch failure"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), False),
        (InvalidRequest("an illegal size"), False),
        (type("AcceleratorError", (RuntimeError,), {"error_code": 719})("?"), True),
        (type("AcceleratorError", (RuntimeError,), {"error_code": 2})("?"), False),
    ],
)
def test_errors_that_poison_the_device_are_known(error, is_one):
    assert is_poisoning(error) is is_one
    wrapped = ModelUnavailable("it cannot be loaded")
    wrapped.__cause__ = error
    assert is_poisoning(wrapped) is is_one


def test_a_frame_is_read_whole_or_not_at_all_and_nothing_huge_is_waited_for(tmp_path):
    with (tmp_path / "frame").open("wb") as file:
        frames.write(file, {"is": "step", "folder": tmp_path}, b"abc", b"")
    whole = (tmp_path / "frame").read_bytes()

    for length in range(len(whole)):
        assert frames.take(bytearray(whole[:length])) is None
    received = bytearray(whole + b"more")
    header, blobs = frames.take(received)
    assert (header["folder"], blobs, received) == (tmp_path, [b"abc", b""], b"more")
    for broken in (
        frames.SIZES.pack(frames.MAX_HEADER + 1, 0),
        frames.SIZES.pack(2, 1) + b"{}x",
        frames.SIZES.pack(13, 1) + b'{"blobs":[9]}x',
        frames.SIZES.pack(2, 0) + b"x ",
    ):
        with pytest.raises((ValueError, KeyError)):
            frames.take(bytearray(broken))


async def test_a_child_that_is_killed_while_idle_is_found_dead(fox, monkeypatch):
    """I5"""
    monkeypatch.setattr("generation.executor.LOOK_EVERY", 0.01)
    engines = []

    def make_engine():
        engines.append(ChildEngine(FAULTY))
        return engines[-1]

    executor = ThreadExecutor(make_engine)
    await executor.start()
    os.kill(engines[0].pid, signal.SIGKILL)

    async with asyncio.timeout(20):
        await executor.died()
    result = await executor.generate(fox, lambda step: None)

    assert result.files().opened().size == (fox.width, fox.height)
    assert len(engines) == 2
    await executor.close()


def test_a_child_whose_memory_grows_from_picture_to_picture_is_replaced_before_the_next(make, fox):
    """The job is not to blame, and nothing of it was drawn."""
    child, steps = make(growth=Growth(allowance=2 * 10**9, pictures=2)), []
    leaking = replace(fox, prompt="leak")
    for _ in range(6):  # two to settle, two within what is allowed, two beyond it
        child.generate(leaking, ignore).files()

    with pytest.raises(EngineLost, match="grows from picture to picture") as caught:
        child.generate(leaking, steps.append)

    assert caught.value.is_unrelated
    assert (steps, child.is_alive, child.loaded) == ([], False, {})


def test_memory_that_weights_take_or_that_settles_is_no_leak():
    growth = Growth(allowance=100, pictures=3)

    def take(weights, *held):
        for each in held:
            growth.take([each, 0], weights)
        return growth.is_a_leak

    assert not take("a", 0, 50, 90, 190, 190, 190, 190)
    assert not take("b", 1000, 1000, 1000), "weights were loaded"
    assert not take("b", 1200, 1200, 1000, 1200, 1200), "some of it came back"
    assert take("b", 1200)


def test_main_memory_is_counted_without_pages_of_files(tmp_path):
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmRSS:\t  900 kB\nRssAnon:\t    700 kB\n")

    assert resident_bytes(status) == 700 * 1024
    assert resident_bytes(tmp_path / "none") == 0

"""The main memory, which all engines of a machine share."""

import logging
import subprocess
import sys

import pytest

from generation.diffusion.engine import DiffusionEngine
from generation.diffusion.main_memory import RESERVE, MainMemory, _limits, room
from generation.diffusion.memory import Sizes, all_bytes, make, waiting_bytes
from generation.errors import OutOfMemory
from tests.generation.engines import SmallDevice, new_engine

GB = 10**9
DEV = Sizes(24 * GB, 10 * GB, GB // 5, controlnet=4 * GB, controlnets=11 * GB, block=GB // 4)


@pytest.fixture
def memory(tmp_path):
    """Makes an engine's part of 60 GB."""
    made = []

    def memory():
        made.append(MainMemory(tmp_path / "notes", 60 * GB))
        return made[-1]

    yield memory
    for each in made:
        each.release()


@pytest.mark.parametrize(
    ("card", "level", "waiting"),
    [
        (80, "resident", 0),
        (40, "text-offload", 10),
        (31, "model-offload", 45),
        (24, "group-offload", 45),
        (3, "sequential-offload", 45),
    ],
)
def test_the_plan_tells_how_much_waits_in_main_memory(card, level, waiting):
    plan = make(DEV, card * GB, 1024 * 1024, 512)

    assert (plan.level, plan.waiting[plan.level]) == (level, waiting * GB)
    assert max(plan.waiting.values()) < all_bytes(DEV)


def test_of_two_engines_that_there_is_room_for_once_one_draws(memory):
    size = waiting_bytes("group-offload", DEV)
    first, second, third = memory(), memory(), memory()

    first.claim(size)
    with pytest.raises(OutOfMemory) as refused:
        second.claim(size)

    assert "45.0 GB of weights wait in main memory, which has 60.0 GB" in str(refused.value)
    assert "other engines keep 45.0 GB of it: let fewer cards" in str(refused.value)
    third.claim(0)
    second.claim(10 * GB)
    first.release()
    third.claim(50 * GB)


def test_an_engine_that_is_alone_is_warned_and_draws(memory, caplog):
    alone = memory()

    alone.claim(90 * GB)
    alone.claim(95 * GB)

    assert "95.0 GB of weights wait in main memory, which has 60.0 GB" in caplog.text
    with pytest.raises(OutOfMemory, match=r"keep 95\.0 GB"):
        memory().claim(1)


def test_what_a_killed_engine_has_kept_is_free_again(memory, tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from generation.diffusion.main_memory import MainMemory\n"
        f"memory = MainMemory(Path(sys.argv[1]), {60 * GB}); memory.claim({50 * GB})\n"
        "print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "notes")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as other:
        other.stdout.readline()
        with pytest.raises(OutOfMemory):
            memory().claim(20 * GB)
        other.kill()

    memory().claim(20 * GB)

    assert len(list((tmp_path / "notes").glob("*.note"))) == 1


def test_where_nothing_can_be_noted_every_engine_counts_as_alone(tmp_path, caplog):
    (tmp_path / "file").touch()

    for _ in range(2):
        MainMemory(tmp_path / "file", 60 * GB).claim(50 * GB)

    assert "cannot be told" in caplog.text


def test_a_container_or_a_unit_has_the_memory_that_it_is_given(tmp_path):
    group = tmp_path / "cgroup" / "system.slice" / "fluxbot.service"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    (group.parent / "memory.max").write_text("64000000000\n")
    own = tmp_path / "own"
    own.write_text("0::/system.slice/fluxbot.service\n")

    assert _limits(tmp_path / "cgroup", own) == [64 * GB]
    assert _limits(tmp_path / "none", tmp_path / "none") == []
    assert 0 <= room() <= 2**63 - RESERVE


def test_engines_with_weights_in_main_memory_count_each_other(tiny, memory, caplog):
    caplog.set_level(logging.INFO)
    devices = [SmallDevice(free=1 * GB), SmallDevice(free=1 * GB), SmallDevice(free=40 * GB)]
    first, second, resident = (
        new_engine(
            tiny,
            choose_device=lambda *asked, device=device: device,
            pixels=64 * 64,
            main_memory=memory(),
        )
        for device in devices
    )
    plan = first.planned()
    others = memory()
    others.claim(60 * GB - plan.waiting[plan.level])

    first.load()
    with pytest.raises(OutOfMemory, match="other engines keep 60"):
        second.load()
    resident.load()

    assert first.current_offload_level == "sequential-offload"
    assert resident.current_offload_level == "resident"
    first.close()
    second.load()
    others.release()
    resident._current.step_down()
    memory().claim(60 * GB - 2 * plan.waiting["text-offload"] - plan.waiting[plan.level])
    second.close()
    resident.close()


def test_on_a_cpu_all_weights_lie_in_main_memory(tiny, memory):
    engine = new_engine(tiny, main_memory=memory())
    size = engine.planned().waiting["resident"]
    memory().claim(60 * GB - size + 1)

    with pytest.raises(OutOfMemory):
        engine.load()


def test_nothing_is_planned_before_the_weights_are_here(tmp_path):
    assert DiffusionEngine("owner/absent", device="cpu", download_dir=tmp_path).planned() is None

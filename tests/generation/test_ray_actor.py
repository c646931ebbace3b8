"""Promises of an engine on a node, as its actor keeps them: no cluster is needed."""

import asyncio
import os
from dataclasses import replace

import psutil
import pytest

from generation import ray_actor
from generation.kinds import ControlNet
from generation.ray_actor import TAKEN_OVER, EngineActor
from generation.ray_executor import _digest
from generation.stub import StubEngine

STUB = "generation.stub:StubEngine"
FAULTY = "tests.generation.faulty:FaultyEngine"


async def answers(stream):
    return [answer async for answer in stream]


async def begun(actor):
    """The epoch of a bot that begins now."""
    kind, epoch, _ = (await answers(actor.begin()))[-1]
    assert kind == "ready"
    return epoch


def engines():
    """Processes of engines, also those that other tests have left for later ones."""
    found = psutil.Process().children()
    return [each for each in found if "generation.engine_process" in each.cmdline()]


@pytest.fixture
async def make():
    actors = []

    def make(kind=STUB, arguments=None, options=None):
        actors.append(EngineActor("this", kind, arguments or {}, options))
        return actors[-1]

    yield make
    for actor in actors:
        await actor._executor.close()


async def test_a_picture_comes_as_bytes_with_its_steps_before_it(make, fox, square):
    actor = make()
    canny = replace(
        fox,
        kind=ControlNet(controlnet="demo/canny", preprocessor="canny"),
        pictures={"control_image": square},
    )
    stub = StubEngine()
    stub.load()
    steps = []
    expected = stub.generate(canny, steps.append)
    epoch = await begun(actor)

    *told, result, files = await answers(
        actor.generate(epoch, canny.to_dict(), {square.name: square.read_bytes()})
    )

    assert told == [("step", step.number, step.preview, step.note) for step in steps]
    assert (result[0], result[3:]) == ("result", ({"demo/canny": 0},))
    png, thumbnail, control_map = expected.files().png, expected.image, expected.files().control_map
    assert files == ("files", png, thumbnail.size, thumbnail.tobytes(), control_map, {})


async def test_a_bot_that_begins_anew_ends_what_the_last_one_had_begun(make, fox):
    actor = make(arguments={"seconds_per_step": 0.02})
    first = await begun(actor)
    engine = engines()
    stream = actor.generate(first, replace(fox, num_inference_steps=50).to_dict(), {})
    seen = [await anext(stream)]
    rest = asyncio.create_task(answers(stream))

    second = await begun(actor)

    seen += await rest
    assert second == first + 1
    assert seen[-1] == ("lost", TAKEN_OVER, True)
    assert len(seen) < 40
    assert engines() == engine, "its weights are still in memory"


async def test_a_bot_of_an_earlier_epoch_draws_nothing_and_cancels_nothing(make, fox):
    actor = make(arguments={"seconds_per_step": 0.01})
    late, current = await begun(actor), await begun(actor)
    stream = actor.generate(current, replace(fox, num_inference_steps=10).to_dict(), {})
    await anext(stream)

    refused = await answers(actor.generate(late, fox.to_dict(), {}))
    await actor.cancel(late)

    assert refused == [("lost", TAKEN_OVER, True)]
    assert (await answers(stream))[-1][0] == "files"
    assert await actor.watch(late, 0) is False
    assert await actor.watch(current, 0) is True


async def test_a_cancelled_picture_ends_within_a_step(make, fox):
    actor = make(arguments={"seconds_per_step": 0.02})
    epoch = await begun(actor)
    long = replace(fox, num_inference_steps=50, model="another")
    stream = actor.generate(epoch, long.to_dict(), {})
    await anext(stream)

    await actor.cancel(epoch)

    assert (await answers(stream))[-2:] == [("loaded", {"another": 0}), ("cancelled",)]
    assert (await answers(actor.generate(epoch, fox.to_dict(), {})))[-1][0] == "files"


async def test_an_engine_that_takes_long_gives_signs_of_life_meanwhile(make, fox, monkeypatch):
    monkeypatch.setattr(ray_actor, "BEAT", 0.005)
    actor = make(arguments={"seconds_per_step": 0.05})
    epoch = await begun(actor)

    told = await answers(actor.generate(epoch, replace(fox, num_inference_steps=1).to_dict(), {}))

    assert ("alive",) in told


@pytest.mark.parametrize(
    ("fault", "code"),
    [("memory", "out_of_memory"), ("bug", "generation_failed")],
)
async def test_errors_are_told_as_values(make, fox, tmp_path, fault, code):
    actor = make(FAULTY, {"folder": tmp_path})
    epoch = await begun(actor)

    request = replace(fox, prompt=fault, model="another")
    told = await answers(actor.generate(epoch, request.to_dict(), {}))

    assert told[-2] == ("loaded", {"another": 0})
    assert told[-1][:2] == ("error", code)


async def test_an_engine_that_dies_of_its_picture_is_told_as_that(make, fox, tmp_path):
    actor = make(FAULTY, {"folder": tmp_path})
    epoch = await begun(actor)

    told = await answers(actor.generate(epoch, replace(fox, prompt="die").to_dict(), {}))

    kind, sentence, is_unrelated = told[-1]
    assert (kind, is_unrelated) == ("lost", False)
    assert "has died" in sentence


async def test_a_watched_engine_that_dies_is_told_at_once_and_loaded_by_the_next_begin(make, fox):
    actor, before = make(), engines()
    epoch = await begun(actor)
    (engine,) = [each for each in engines() if each not in before]
    engine.kill()

    assert await actor.watch(epoch, 60) is False
    epoch = await begun(actor)
    assert (await answers(actor.generate(epoch, fox.to_dict(), {})))[-1][0] == "files"


async def test_weights_are_looked_for_in_the_folder_of_the_node(make, monkeypatch, tmp_path):
    monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"]})

    make(arguments={"download_dir": tmp_path})

    assert os.environ["HF_HOME"] == str(tmp_path / "hf-cache")


def test_an_engine_with_another_main_model_is_made_of_something_else():
    of = [{"models": {name: {} for name in names}} for names in (("a", "b"), ("b", "a"))]

    assert len({_digest("kind", arguments, {}) for arguments in of}) == 2

"""The engine without a model must behave as the one with one does."""

from dataclasses import replace

import pytest
from PIL import Image

from generation.errors import GenerationCancelled, ModelUnavailable
from generation.kinds import ControlNet, ImageToImage
from generation.stub import StubEngine
from tests.samples import opened


def ignore(step):
    pass


@pytest.fixture
def stub():
    stub = StubEngine()
    stub.load()
    return stub


@pytest.fixture
def striped(tmp_path):
    image = Image.new("RGB", (64, 64))
    image.paste((255, 255, 255), (0, 0, 32, 64))
    image.save(tmp_path / "striped.png")
    return tmp_path / "striped.png"


def test_the_same_request_draws_the_same_pixels_and_another_one_others(stub, fox):
    first = stub.generate(fox, ignore).image

    assert first.tobytes() == stub.generate(fox, ignore).image.tobytes()
    for change in ({"seed": 8}, {"prompt": "a cat"}, {"negative_prompt": "red"}):
        assert stub.generate(replace(fox, **change), ignore).image.tobytes() != first.tobytes()


def test_each_step_is_told_with_a_preview_of_an_eighth_of_the_size(stub, fox):
    steps = []

    result = stub.generate(replace(fox, width=128), steps.append)

    assert (result.image.mode, result.image.size) == ("RGB", (128, 64))
    assert [step.number for step in steps] == [1, 2, 3]
    assert {opened(step.preview).size for step in steps} == {(16, 8)}


def test_what_a_step_raises_ends_it(stub, fox):
    def stop(step):
        raise GenerationCancelled

    with pytest.raises(GenerationCancelled):
        stub.generate(fox, stop)


def test_a_step_takes_the_time_that_was_asked_for(fox):
    slept = []
    stub = StubEngine(0.25, sleep=slept.append)
    stub.load()

    stub.generate(fox, ignore)

    assert slept == [0.25] * 3


def test_control_images_take_part(stub, fox, striped):
    controlled = replace(
        fox,
        kind=ControlNet(controlnet="any", preprocessor="canny"),
        pictures={"control_image": striped},
    )
    redrawn = replace(
        fox,
        kind=ImageToImage(strength=0.5),
        num_inference_steps=4,
        pictures={"control_image": striped},
    )
    steps = []

    result = stub.generate(controlled, ignore)
    image = stub.generate(redrawn, steps.append).image

    assert result.control_map.size == (64, 64)
    assert result.image.getpixel((31, 30)) == (255, 255, 255), "the edge shows"
    assert image.getpixel((5, 5)) > image.getpixel((60, 5)), "the stripe shows"
    assert len(steps) == 2


def test_it_draws_only_while_it_is_loaded(fox):
    stub = StubEngine()

    for unload in (lambda: None, stub.close):
        unload()
        with pytest.raises(ModelUnavailable):
            stub.generate(fox, ignore)
        stub.load()

"""Masks: what stays is bit for bit what it was."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from generation import masks
from generation.control_images import finished, shown_to_model
from generation.kinds import Inpaint
from generation.stub import StubEngine
from tests.conftest import examples
from tests.samples import noise

BLUE = Image.new("RGB", (96, 64), "blue")


def painted(width, height, *boxes):
    mask = Image.new("L", (width, height))
    for box in boxes:
        mask.paste(255, box)
    return mask


@settings(max_examples=examples(20))
@given(
    st.lists(st.tuples(*[st.integers(0, 64)] * 4), min_size=1, max_size=3), st.integers(0, 64)
)  # fmt: skip
def test_outside_of_the_mask_the_pixels_are_those_of_the_original(boxes, feather):
    boxes = [(*sorted((a, c)), *sorted((b, d))) for a, b, c, d in boxes]
    mask = painted(96, 64, *((left, top, right, low) for left, right, top, low in boxes))
    original = noise(96, 64)

    mixed = np.asarray(masks.composited(BLUE, original, mask, feather))

    outside = np.asarray(mask) == 0
    assert (mixed[outside] == np.asarray(original)[outside]).all()


def test_old_and_new_blend_inside_of_the_mask_and_not_at_the_edge_of_the_picture():
    mask = painted(96, 64, (40, 0, 96, 64))
    white = Image.new("RGB", (96, 64), "white")

    row = np.asarray(masks.composited(Image.new("RGB", (96, 64)), white, mask, 4))[0, :, 0]

    assert list(row[39:46]) == [255, 204, 153, 102, 51, 0, 0]
    assert (row[46:] == 0).all(), "the picture's own edge is none of the mask"


def test_the_engine_keeps_what_is_outside_and_draws_what_is_inside(masked):
    engine = StubEngine()
    engine.load()

    drawn = np.asarray(engine.generate(masked, lambda step: None).image)

    original, outside = np.asarray(noise(96, 64)), np.ones((64, 96), bool)
    outside[10:50, 20:70] = False
    assert (drawn[outside] == original[outside]).all()
    assert (drawn[15:35, 25:45] != original[15:35, 25:45]).any()


def test_a_picture_of_odd_size_loses_a_few_pixels_and_none_is_blurred(masked):
    large = noise(109, 71)
    masked.pictures["control_image"].write_bytes(masks.encoded(large))
    masked.pictures["mask_image"].write_bytes(masks.encoded(painted(109, 71, (0, 0, 30, 71))))

    result = np.asarray(finished(BLUE, masked))

    assert (result[:, 24:] == np.asarray(large)[3:67, 30:102]).all()
    assert tuple(result[30, 5]) == (0, 0, 255)


def test_the_model_is_shown_whole_tokens_and_the_control_map_beside_the_picture(masked):
    shown = shown_to_model(masked)

    assert shown["mask_image"].getbbox() == (16, 0, 80, 64), "as tokens of 16 pixels cover it"
    assert set(np.unique(np.asarray(shown["mask_image"]))) == {0, 255}
    canny = replace(masked, kind=Inpaint(controlnet="a/b", preprocessor="canny"))
    with_map = shown_to_model(canny)
    assert list(with_map) == ["control_image", "mask_image", "image"]
    assert with_map["image"] == shown["control_image"] != with_map["control_image"]


def test_parts_of_a_picture_have_names_and_the_nine_of_them_cover_it():
    parts = {name: masks.region(name, 64, 48) for name in masks.REGIONS}

    assert parts["left"].getbbox() == (0, 0, 32, 48)
    assert parts["bottom"].getbbox() == (0, 24, 64, 48)
    assert parts["top-right"].getbbox() == (32, 0, 64, 24)
    assert parts["center"].getbbox() == (16, 12, 48, 36)
    assert len(parts) == 9
    assert [masks.is_empty(parts["left"]), masks.is_empty(Image.new("L", (64, 48)))] == [0, 1]


@given(st.sets(st.integers(1, 9), min_size=1), st.integers(3, 200), st.integers(3, 200))
def test_fields_are_thirds_of_the_sides_and_all_of_them_the_whole(numbers, width, height):
    mask = np.asarray(masks.region(",".join(map(str, sorted(numbers))), width, height))

    for number in range(1, 10):
        down, across = divmod(number - 1, 3)
        middle = mask[(2 * down + 1) * height // 6, (2 * across + 1) * width // 6]
        assert middle == (255 if number in numbers else 0)
    assert mask.mean() / 255 == pytest.approx(len(numbers) / 9, abs=0.25)
    assert masks.region("1,2,3,4,5,6,7,8,9", width, height).getextrema() == (255, 255)


def test_a_widened_picture_keeps_its_pixels_and_masks_the_rest():
    original = noise(48, 32)

    canvas, mask = masks.widened(original, 16, 0, 8, 24)

    assert canvas.size == mask.size == (72, 56)
    assert canvas.crop((16, 0, 64, 32)) == original
    assert masks.inverted(mask).getbbox() == (16, 0, 64, 32)
    assert canvas.getpixel((3, 5)) == original.getpixel((0, 5)), "its edge is drawn out"

from dataclasses import replace
from random import Random

import pytest
from PIL import Image, ImageFilter

from generation.demo import checker, drawings


@pytest.mark.parametrize("size", [(128, 128), (192, 128), (256, 256)])
def test_the_checker_is_right_on_400_of_400_originals(size):
    """A judge that errs on perfect pictures cannot judge the model's."""
    random = Random(0)
    asked = [drawings.sample(random) for _ in range(400)]

    right = [
        checker.judge(drawings.render(drawing, *size), drawing).everything for drawing in asked
    ]

    assert sum(right) == 400


def change_colour(drawing):
    first, *others = drawing.things
    taken = {drawing.ground, *(thing.colour for thing in drawing.things)}
    colour = next(c for c in ("red", "green", "blue", "pink", "cyan") if c not in taken)
    return replace(drawing, things=(replace(first, colour=colour), *others))


def change_shape(drawing):
    first, *others = drawing.things
    noun = "star" if first.noun != "star" else "square"
    return replace(drawing, things=(replace(first, noun=noun), *others))


def leave_one_out(drawing):
    return replace(drawing, things=drawing.things[1:])


def swap_places(drawing):
    first, second = drawing.things
    moved = replace(first, x=second.x, y=second.y), replace(second, x=first.x, y=first.y)
    return replace(drawing, things=moved)


@pytest.mark.parametrize("spoil", [change_colour, change_shape, leave_one_out, swap_places])
def test_a_picture_with_one_thing_wrong_is_not_right(spoil):
    random = Random(1)
    asked = [drawings.sample(random, "pair") for _ in range(100)]

    right = [
        checker.judge(drawings.render(spoil(drawing)), drawing).everything for drawing in asked
    ]

    assert not any(right)


def test_another_ground_is_noticed():
    drawing = drawings.sample(Random(2), "single")
    ground = "cyan" if "cyan" not in (drawing.ground, drawing.things[0].colour) else "pink"

    verdict = checker.judge(drawings.render(replace(drawing, ground=ground)), drawing)

    assert not verdict.ground
    assert verdict.objects


def test_another_sky_is_noticed():
    drawing = drawings.sample(Random(4), "scene")
    sky = "day" if drawing.ground != "day" else "night"

    verdict = checker.judge(drawings.render(replace(drawing, ground=sky)), drawing)

    assert not verdict.ground


def test_noise_is_no_shape():
    drawing = drawings.sample(Random(3), "single")
    noise = Image.effect_noise((128, 128), 120).convert("RGB")
    noise = noise.filter(ImageFilter.GaussianBlur(4))

    assert not checker.judge(noise, drawing).objects

"""A shape becomes a size that a request takes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.commands import fit_size, parse
from tests.bot.commands.conftest import FOX


@pytest.mark.parametrize(
    ("ratio", "pixels", "size"),
    [
        ((1, 1), 256 * 256, (256, 256)),
        ((1, 1), 1024 * 1024, (1024, 1024)),
        ((16, 9), 1024 * 1024, (1360, 768)),
        ((9, 16), 1024 * 1024, (768, 1360)),
        ((16, 9), 256 * 256, (336, 192)),
        ((4, 3), 256 * 256, (304, 224)),
        ((32, 1), 1024 * 1024, (2048, 64)),
        ((1, 1), 1, (64, 64)),
        ((1, 1), 10**12, (2048, 2048)),
    ],
)
def test_a_shape_becomes_a_size(ratio, pixels, size):
    assert fit_size(ratio, pixels) == size


RATIOS = st.tuples(st.integers(1, 9999), st.integers(1, 9999))


@given(RATIOS, st.integers(1, 10**8))
def test_every_size_is_one_that_a_request_takes(ratio, pixels):
    width, height = fit_size(ratio, pixels)

    replace(FOX, width=width, height=height)
    assert fit_size(ratio[::-1], pixels) == (height, width)


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)).filter(
        lambda ratio: max(ratio) <= 3 * min(ratio)
    ),
    st.integers(256**2, 1024**2),
)
def test_a_size_is_near_the_shape_and_the_number_of_pixels(ratio, pixels):
    width, height = fit_size(ratio, pixels)

    # Half a step of 16 on the shorter side, which has at least 147 pixels.
    assert width / height == pytest.approx(ratio[0] / ratio[1], rel=0.06)
    assert width * height == pytest.approx(pixels, rel=0.25)


@given(RATIOS, st.integers(1, 10**7))
def test_no_other_size_is_nearer(ratio, pixels):
    def distance(width: int, height: int) -> float:
        shape = abs(math.log(width * ratio[1] / (height * ratio[0])))
        return 4 * shape + abs(math.log(width * height / pixels))

    found = distance(*fit_size(ratio, pixels))

    for width in range(64, 2049, 208):
        for height in range(64, 2049, 16):
            assert found <= distance(width, height) + 1e-9


@pytest.mark.parametrize(("ratio", "pixels"), [((0, 1), 9), ((1, 0), 9), ((1, 1), 0)])
def test_nothing_has_no_size(ratio, pixels):
    with pytest.raises(ValueError, match="no shape"):
        fit_size(ratio, pixels)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("square", (1024, 1024)),
        ("portrait", (880, 1168)),
        ("landscape", (1168, 880)),
        ("wide", (1360, 768)),
        ("tall", (768, 1360)),
    ],
)
def test_a_shape_has_a_name(name, size):
    command = parse(f"a fox --ar {name}")

    assert fit_size(command.aspect_ratio, 1024 * 1024) == size

"""Sizes of pictures that are drawn in part, or continued over their edges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.commands import ImagineCommand
from bot.drafts import ToBeAttached
from bot.masking import MOST, placed
from bot.sections import Limits

NATIVE = 1024 * 1024
SIDES = st.integers(16, 2048)
WISHES = st.one_of(
    st.just({}),
    st.sampled_from(["25%", "1%", "200%", "left:25%", "top:10%,right:100%"]).map(
        lambda sides: {"outpaint": sides}
    ),
    st.tuples(st.integers(1, 16), st.integers(1, 16)).map(lambda shape: {"aspect_ratio": shape}),
)


@given(SIDES, SIDES, WISHES)
def test_every_picture_finds_a_place_in_a_size_that_can_be_drawn(width, height, wish):
    if max(width, height) > 8 * min(width, height):
        return  # no such picture is taken

    found = placed(ToBeAttached(width, height), ImagineCommand(**wish), NATIVE, Limits())

    assert min(found.width, found.height) >= 64
    assert max(found.width, found.height) <= 2048
    assert found.width % 16 == found.height % 16 == 0
    assert found.width * found.height <= Limits().pixels or min(found.width, found.height) == 64
    if (canvas := found.canvas) is not None:
        assert (canvas.width, canvas.height) == (found.width, found.height)
        assert 0 <= canvas.left <= canvas.left + canvas.inner_width <= canvas.width
        assert 0 <= canvas.top <= canvas.top + canvas.inner_height <= canvas.height
        assert canvas.inner_width < canvas.width or canvas.inner_height < canvas.height


@pytest.mark.parametrize(
    ("size", "native", "drawn"),
    [
        ((1000, 750), NATIVE, (992, 736)),  # its own, but for less than 16 pixels of a side
        ((512, 512), NATIVE, (512, 512)),
        ((400, 400), NATIVE, (1024, 1024)),  # too few pixels for the model
        ((1024, 1024), 256 * 256, (384, 384)),  # and too many
        ((1600, 1200), NATIVE, (1168, 880)),  # more than the operator allows
    ],
)
def test_a_picture_keeps_its_size_where_the_model_can_draw_it(size, native, drawn):
    found = placed(ToBeAttached(*size), ImagineCommand(), native, Limits())

    assert ((found.width, found.height), found.canvas) == (drawn, None)
    assert found.width * found.height <= MOST * native

"""Copies that people painted on: what they meant is found, through JPEG too, and nothing else."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from generation.errors import InvalidRequest
from generation.marking import difference, is_mask
from generation.masks import masked
from generation.types import CleanImage
from tests.conftest import examples
from tests.samples import file, noise, square

GREEN = (30, 240, 40)


def photograph(width=240, height=180, seed=0):
    """Something of all sizes and colours, as in a photograph: its spectrum falls with 1/f."""
    dice = np.random.default_rng(seed)
    across, down = np.fft.rfftfreq(width)[None, :], np.fft.fftfreq(height)[:, None]
    falling = 1 / np.maximum(np.hypot(across, down), 1 / max(width, height))
    channels = [
        np.fft.irfft2(falling * np.exp(2j * np.pi * dice.random(falling.shape)), (height, width))
        for _ in range(3)
    ]
    shades = np.stack(channels, axis=-1)
    shades = (shades - shades.min()) / (shades.max() - shades.min())
    return Image.fromarray((255 * shades).astype(np.uint8))


def as_jpeg(image, quality):
    with Image.open(io.BytesIO(file(image, "JPEG", quality=quality))) as saved:
        return saved.convert("RGB")


def overlap(mask, meant):
    one, other = np.asarray(mask) > 0, np.asarray(meant) > 0
    return (one & other).sum() / (one | other).sum()


def painted(picture, shape, box, colour=GREEN):
    """A copy of *picture* with something painted on it, and what is meant by that."""
    copy, meant = picture.copy(), Image.new("L", picture.size)
    brush, pen = ImageDraw.Draw(copy), ImageDraw.Draw(meant)
    left, top, right, bottom = box
    width = max(3, max(picture.size) // 80)
    if shape == "blob":
        brush.ellipse(box, fill=colour)
    elif shape == "outline":
        brush.ellipse(box, outline=colour, width=width)
    else:
        rows = np.linspace(top, bottom, 10)
        brush.line([((left, right)[n % 2], y) for n, y in enumerate(rows)], colour, width)
    (pen.rectangle if shape == "scribble" else pen.ellipse)(box, fill=255)
    return copy, meant


def clean(image):
    return CleanImage(file(image.convert("RGB")), *image.size)


@settings(max_examples=examples(25), deadline=None)
@given(
    st.sampled_from(["blob", "outline", "scribble"]),
    st.tuples(st.integers(10, 110), st.integers(10, 80)),
    st.tuples(st.integers(70, 110), st.integers(50, 80)),
    st.integers(30, 95),
    st.integers(0, 9),
    st.booleans(),
)
def test_what_was_painted_is_found_after_it_was_saved_as_jpeg(
    shape, corner, size, quality, seed, is_smaller
):
    picture = photograph(seed=seed)
    copy, meant = painted(picture, shape, (*corner, corner[0] + size[0], corner[1] + size[1]))
    if is_smaller:
        copy = copy.resize((200, 150), Image.Resampling.LANCZOS)

    mask = difference(picture, as_jpeg(copy, quality))

    assert mask.size == picture.size
    assert set(np.unique(np.asarray(mask))) == {0, 255}
    assert overlap(mask, meant) > 0.7
    left_out = (np.asarray(meant) > 0) & ~(np.asarray(mask) > 0)
    # A scribble leaves corners free at its turns.
    most = 0.3 if shape == "scribble" else 0
    assert left_out.sum() <= most * (np.asarray(meant) > 0).sum(), "what is meant is drawn"


@settings(max_examples=examples(10), deadline=None)
@given(st.integers(30, 95), st.integers(0, 9))
def test_saving_as_jpeg_is_no_difference(quality, seed):
    for picture in (photograph(seed=seed), square(200, 120), noise(160, 120)):
        assert difference(picture, as_jpeg(picture, quality)).getbbox() is None


@settings(max_examples=examples(25), deadline=None)
@given(*[st.integers(1, 400)] * 4)
def test_no_size_is_too_small_or_too_odd(width, height, other_width, other_height):
    one = Image.new("RGB", (width, height), "white")
    other = Image.new("RGB", (other_width, other_height), "black")

    mask = difference(one, other)

    assert mask.size == one.size
    assert np.asarray(mask).all(), "they differ everywhere"
    assert not np.asarray(difference(one, one)).any()
    assert is_mask(other, one)


def test_an_outline_means_its_inside_and_a_painted_background_leaves_what_is_free():
    picture = photograph()
    around = picture.copy()
    ImageDraw.Draw(around).ellipse((-60, -60, 80, 80), outline=GREEN, width=5)
    background = Image.new("RGB", picture.size, GREEN)
    kept = (80, 50, 160, 130)
    background.paste(picture.crop(kept), kept)

    corner, all_but = difference(picture, around), difference(picture, background)

    assert corner.getpixel((10, 10)) == 255
    assert corner.getpixel((120, 90)) == 0
    assert all_but.getpixel((5, 5)) == all_but.getpixel((230, 170)) == 255
    assert all_but.getpixel((120, 90)) == 0
    across = picture.copy()
    ImageDraw.Draw(across).line((0, 90, 240, 90), GREEN, 5)
    line = np.asarray(difference(picture, across))
    assert line[90].all()
    assert not line[:60].any(), "a line across has no inside"


def test_a_mask_is_told_from_a_copy():
    photo, drawing = photograph(), Image.new("RGB", (240, 180), "white")
    ImageDraw.Draw(drawing).ellipse((40, 40, 140, 140), outline="black", width=6)
    soft = Image.new("L", (240, 180))
    ImageDraw.Draw(soft).ellipse((60, 40, 160, 120), fill=255)
    scribbled, _ = painted(drawing, "scribble", (100, 60, 170, 120), "black")
    grey, _ = painted(photo.convert("L").convert("RGB"), "blob", (60, 40, 160, 120), "black")
    pencil = Image.new("RGB", (240, 180), "white")
    ImageDraw.Draw(pencil).ellipse((40, 40, 140, 140), outline=(120, 120, 120), width=6)
    circled = pencil.copy()
    ImageDraw.Draw(circled).ellipse((180, 60, 220, 100), outline="red", width=2)

    assert is_mask(soft, pencil)
    assert not is_mask(circled, pencil), "its lines are no mask's"
    sheet = Image.new("RGB", (240, 180), "white")
    assert not is_mask(painted(sheet, "blob", (60, 40, 120, 90))[0], sheet), "colours are no mask's"
    assert is_mask(soft, photo)
    assert is_mask(as_jpeg(soft.convert("RGB"), 60), photo)
    assert is_mask(soft, drawing)
    assert is_mask(Image.new("RGB", (240, 180), "white"), drawing)
    assert not is_mask(scribbled, drawing), "most of its lines are still there"
    assert not is_mask(painted(photo, "blob", (60, 40, 160, 120))[0], photo)
    assert not is_mask(grey, photo.convert("L"))


def test_the_answer_says_what_share_was_painted_over():
    picture = photograph()
    copy, meant = painted(picture, "blob", (60, 40, 160, 120))

    same, mask = masked(clean(picture), clean(copy), None, None)

    assert same.png == clean(picture).png
    (said,) = mask.remarks
    share = np.asarray(Image.open(io.BytesIO(mask.png)).convert("L")).mean() / 255
    assert said == f"Drawn anew where your two pictures differ: {round(100 * share)} % of them."
    assert share == pytest.approx((np.asarray(meant) > 0).mean(), abs=0.05)


@pytest.mark.parametrize(
    ("copy", "sentence"),
    [
        (photograph(), "differ nowhere, so there is nothing to draw: paint over what"),
        (photograph(seed=5), "differ in 9[5-9] %|differ in 100 % of their area, which leaves"),
        (photograph(180, 240), "second picture is 180 × 240 pixels and the first 240 × 180"),
    ],
)
def test_copies_that_say_nothing_are_refused(copy, sentence):
    with pytest.raises(InvalidRequest, match=sentence):
        masked(clean(photograph()), clean(copy), None, None)


def test_a_copy_of_a_cut_out_picture_is_painted_on_and_one_that_is_cut_out_is_a_mask():
    hole = Image.new("L", (240, 180))
    hole.paste(255, (0, 0, 40, 180))
    copy, _ = painted(photograph(), "blob", (100, 40, 200, 120))
    first = CleanImage(file(photograph()), 240, 180, (), file(hole.convert("RGB")))
    second = CleanImage(file(copy), 240, 180, (), file(hole.convert("RGB")))

    _, marked = masked(first, second, None, None)
    _, cut = masked(clean(photograph()), second, None, None)

    assert Image.open(io.BytesIO(marked.png)).getbbox()[0] > 80
    assert Image.open(io.BytesIO(cut.png)).getbbox() == (0, 0, 40, 180)
    assert marked.remarks
    assert not cut.remarks

"""Pictures in the size that is drawn: cropped or padded, never distorted."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from generation.control_images import control_map, fitted, shown_to_model
from generation.kinds import ImageToImage
from tests.samples import file

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)
FLAG = Image.new("RGB", (96, 32), WHITE)
FLAG.paste(RED, (0, 0, 32, 32))
FLAG.paste(BLUE, (64, 0, 96, 32))


def test_crop_fills_the_size_and_cuts_both_sides_evenly():
    image = fitted(file(FLAG), 64, 64, "crop")

    assert image.size == (64, 64)
    assert image.getpixel((32, 32)) == WHITE
    assert RED not in set(image.get_flattened_data())


@pytest.mark.parametrize(
    ("centering", "colour"), [((0, 1), RED), ((0.5, 0), WHITE), ((1, 0), BLUE)]
)
def test_crop_keeps_the_part_that_was_chosen(centering, colour):
    image = control_map(file(FLAG), "none", 64, 64, "crop", centering=centering)

    assert image.getpixel((32, 32)) == colour


def test_the_model_is_shown_the_part_that_the_request_keeps(tmp_path, fox):
    path = tmp_path / "flag.png"
    path.write_bytes(file(FLAG))
    kind, pictures = ImageToImage(strength=0.5), {"control_image": path}
    request = replace(fox, kind=kind, pictures=pictures, width=64, height=64, crop_x=1.0)

    assert shown_to_model(request)["control_image"].getpixel((32, 32)) == BLUE


def test_pad_shows_all_of_it_in_a_black_frame():
    image = fitted(file(FLAG), 192, 128, "pad")

    assert image.size == (192, 128)
    assert image.getpixel((96, 10)) == image.getpixel((96, 118)) == (0, 0, 0)
    assert [image.getpixel((x, 64)) for x in (5, 96, 186)] == [RED, WHITE, BLUE]


@pytest.mark.parametrize("fit", ["crop", "pad"])
@pytest.mark.parametrize("size", [(96, 128), (256, 128), (96, 96)])
def test_no_fit_ever_distorts(fit, size):
    disc = Image.new("RGB", (200, 100))
    ImageDraw.Draw(disc).ellipse((80, 30, 120, 70), fill="white")

    image = np.asarray(fitted(file(disc), *size, fit))[..., 0] > 127

    rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
    assert abs(np.ptp(rows) - np.ptp(columns)) <= 1

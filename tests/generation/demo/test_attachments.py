"""The pictures by which the ControlNets are judged."""

import cv2
import numpy as np
import pytest
from PIL import Image

from generation.demo import attachments, drawings, evaluate
from generation.demo.attachments import CATEGORIES, Attachment
from generation.demo.vocabulary import COLOURS, has_subject


def ideal(asked: Attachment) -> Image.Image:
    """What is asked for, drawn perfectly."""
    pixels = np.where(asked.mask[..., None], COLOURS[asked.colour], COLOURS[asked.ground])
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.mark.parametrize("size", [(128, 128), (192, 128), (256, 256)])
@pytest.mark.parametrize("in_colour", [False, True])
def test_each_attachment_shows_where_its_thing_is_to_be(size, in_colour):
    asked = attachments.attachments(3 * len(CATEGORIES), *size, in_colour)

    assert [each.category for each in asked] == 3 * list(CATEGORIES)
    for each in asked:
        assert each.picture.size == size
        assert has_subject(each.caption)
        edges = np.asarray(drawings.edges(each.picture))[..., 0] > 0
        near = cv2.morphologyEx(each.mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((9, 9))) > 0
        if not in_colour:
            assert edges.any(), each.caption
            assert (edges & near).sum() > 0.8 * edges.sum(), each.caption
        assert attachments.overlap(ideal(each), each) == 1.0
        assert attachments.has_its_colours(ideal(each), each)
        assert 0.02 < each.mask.mean() < 0.6


def test_an_overlap_tells_a_thing_beside_its_place_and_one_of_the_grounds_colour():
    (asked,) = attachments.discs(1)
    moved = Image.fromarray(np.roll(np.asarray(ideal(asked)), 60, axis=1))
    white = Image.new("RGB", asked.picture.size, COLOURS["white"])

    assert attachments.overlap(moved, asked) < 0.6
    assert attachments.overlap(white, asked) == 0.0
    assert not attachments.has_its_colours(white, asked)


def test_the_discs_are_those_that_were_found_wanting():
    for each in attachments.discs(18):
        rows, columns = np.nonzero(each.mask)
        radius = (each.mask.sum() / np.pi) ** 0.5

        assert each.caption == "a blue circle on a white background"
        assert set(np.asarray(each.picture)[each.mask].ravel()) >= {255}
        assert 39 < radius < 71
        assert 79 < rows.mean() < 177
        assert 79 < columns.mean() < 177


def test_figures_of_the_controlnets_replace_those_and_no_others():
    old = [
        {"name": "ground", "value": 1.0, "of": 224, "goal": 0.98},
        {"name": "canny: IoU", "value": 0.3, "of": 4, "goal": 0.9},
    ]
    row = evaluate.Row("blobs: IoU", 0.912345, 8, 0.9)
    new = {"name": "blobs: IoU", "value": 0.9123, "of": 8, "goal": 0.9}

    assert evaluate.recorded(old, [row], ["controlnets"]) == [old[0], new]
    assert evaluate.recorded(old, [row], evaluate.PARTS) == [new]

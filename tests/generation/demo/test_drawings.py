from random import Random

import numpy as np
import pytest

from generation.demo import drawings


def test_the_same_seed_gives_the_same_drawings():
    first, second = Random(5), Random(5)

    assert [drawings.sample(first) for _ in range(50)] == [
        drawings.sample(second) for _ in range(50)
    ]


def test_no_caption_is_both_trained_on_and_evaluated():
    random = Random(1)

    trained = {drawings.sample(random).caption for _ in range(2000)}
    asked = {drawings.sample(random, for_evaluation=True).caption for _ in range(200)}

    assert not trained & asked


@pytest.mark.parametrize("size", [(128, 128), (192, 128), (128, 192), (256, 256)])
def test_a_drawing_has_the_size_asked_for_and_stays_inside_it(size):
    random = Random(2)

    for kind in ("single", "count", "pair", "between"):
        drawing = drawings.sample(random, kind)
        image = drawings.render(drawing, *size)
        rim = np.asarray(image)[[0, -1]].reshape(-1, 3)

        assert image.size == size
        assert len(np.unique(rim, axis=0)) == 1, drawing.caption


def test_edges_are_white_lines_on_black_around_every_object():
    drawing = drawings.sample(Random(3), "single")

    edges = np.asarray(drawings.edges(drawings.render(drawing)))

    assert set(np.unique(edges)) == {0, 255}
    assert 0.005 < (edges == 255).mean() < 0.1


def test_blobs_keep_the_colours_and_lose_the_outline():
    drawing = drawings.sample(Random(3), "single")
    image = drawings.render(drawing)

    blobs = drawings.blobs(image)

    assert blobs.getpixel((1, 1)) == image.getpixel((1, 1))
    assert not np.asarray(drawings.edges(blobs)).any()

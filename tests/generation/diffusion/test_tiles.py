"""Tiles: where they lie, and how they become one picture."""

import itertools

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from generation.diffusion.tiles import TOKEN, Grid, TiledTransformer, with_low_frequencies
from generation.kinds import Upscale, tile_starts

lengths = st.integers(4, 128).map(lambda tokens: tokens * TOKEN)
tile_sizes = st.integers(8, 64).map(lambda tokens: tokens * TOKEN)


@given(lengths, tile_sizes)
def test_tiles_cover_a_side_with_a_quarter_in_common_and_none_to_spare(length, tile_size):
    starts = tile_starts(length, tile_size)

    assert starts[0] == 0
    assert starts[-1] == max(0, length - tile_size)
    assert all(start % TOKEN == 0 for start in starts)
    steps = [after - before for before, after in itertools.pairwise(starts)]
    assert all(0 < step <= tile_size * 3 / 4 + TOKEN for step in steps)
    most = 1 + -(-max(0, length - tile_size) // (tile_size * 3 // 4))
    assert len(starts) <= most


@given(lengths, lengths, tile_sizes)
def test_every_pixel_is_in_a_tile_that_counts(width, height, tile_size):
    grid = Grid(width, height, tile_size)
    total = torch.zeros(height // TOKEN, width // TOKEN)
    for box in grid.boxes():
        left, top, right, bottom = (side // TOKEN for side in box)
        weights = grid.weights(box)
        assert (weights > 0).all()
        assert weights.max() <= 1
        total[top:bottom, left:right] += weights

    assert (total > 0).all()
    boxes = list(grid.boxes())
    kind = Upscale(tile_size=tile_size)
    across, down = grid.tile
    assert kind.pixels_drawn(width, height) == len(boxes) * across * down
    assert grid.tokens == across * down // TOKEN**2


class Watched(torch.nn.Module):
    """A transformer that answers with what it is shown, and where it believes that to be."""

    config = "the model's own"

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, hidden_states, img_ids, **arguments):
        self.seen.append((hidden_states.shape, img_ids, arguments))
        return (hidden_states + arguments.get("added", 0.0),)


def ids(rows, columns):
    grid = torch.zeros(rows, columns, 3)
    grid[..., 1] += torch.arange(rows)[:, None]
    grid[..., 2] += torch.arange(columns)[None, :]
    return grid.view(-1, 3)


def test_each_tile_is_a_picture_of_its_own_and_their_average_is_the_whole():
    grid = Grid(384, 256, 256)
    whole = torch.randn(1, 24 * 16, 64)
    transformer, asked = Watched(), []
    tiled = TiledTransformer(transformer, grid, None, lambda: asked.append(len(transformer.seen)))

    (velocity,) = tiled(hidden_states=whole, img_ids=ids(16, 24), timestep=1, return_dict=False)

    assert torch.allclose(velocity, whole, atol=1e-6)
    assert tiled.config == "the model's own"
    assert list(tiled.parameters()) == []
    assert [shape for shape, _, _ in transformer.seen] == [(1, 256, 64)] * 2
    for _, positions, arguments in transformer.seen:
        assert torch.equal(positions, ids(16, 16))
        assert arguments["timestep"] == 1
    assert asked == [1], "between the two"


def test_tiles_that_disagree_meet_without_a_jump():
    """One says 0 everywhere, the next 1: the way from one to the other is even."""
    grid = Grid(384, 256, 256)
    tiled = TiledTransformer(
        Watched(), grid, lambda number, given: {"added": float(number)}, lambda: None
    )

    (velocity,) = tiled(hidden_states=torch.zeros(1, 24 * 16, 64), img_ids=ids(16, 24))

    line = velocity.view(16, 24, 64)[8, :, 0]
    assert line[0] == 0
    assert line[-1] == 1
    steps = line.diff()
    assert (steps >= 0).all()
    assert steps.max() <= 2 / 8, "8 tokens in common"


def test_what_a_controlnet_adds_is_asked_for_with_what_the_tile_is_shown():
    grid, asked = Grid(384, 256, 256), []

    def residuals(number, given):
        asked.append((number, given["hidden_states"].shape, given["timestep"]))
        return {}

    TiledTransformer(Watched(), grid, residuals, lambda: None)(
        hidden_states=torch.zeros(1, 24 * 16, 64), img_ids=ids(16, 24), timestep=7
    )

    assert asked == [(0, (1, 256, 64), 7), (1, (1, 256, 64), 7)]


def mean_of(image):
    return image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))


def test_colours_that_drifted_come_back_and_detail_stays():
    original = Image.new("RGB", (256, 256), (200, 60, 40))
    grain = np.random.default_rng(0).integers(0, 60, (256, 256, 3), dtype=np.uint8)
    drifted = Image.fromarray(grain + np.array([90, 90, 40], dtype=np.uint8))

    mended = with_low_frequencies(drifted, original)

    assert all(abs(a - b) <= 3 for a, b in zip(mean_of(mended), (200, 60, 40), strict=True))
    before, after = (
        list(each.convert("L").crop((0, 0, 64, 1)).tobytes()) for each in (drifted, mended)
    )
    assert max(after) - min(after) > 0.6 * (max(before) - min(before))
    assert with_low_frequencies(original, original).tobytes() == original.tobytes()

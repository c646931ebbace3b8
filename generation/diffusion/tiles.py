"""A picture that is too large for its model, drawn in tiles that overlap.

At each step every tile is denoised by itself, and what the model says of a pixel is averaged over
the tiles that it lies in, weighted so that a tile's own border counts for nothing (MultiDiffusion,
Bar-Tal et al. 2023). So the tiles agree at every step, and there is no seam to be blended away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from PIL import Image, ImageChops, ImageFilter

from generation.kinds import tile_starts

#: Pixels of a token's side.
TOKEN = 16
#: The radius of what is taken over from the original, as a share of the longer side.
LOW_FREQUENCIES = 1 / 32


@dataclass(frozen=True)
class Grid:
    """The tiles of a picture.

    Args:
        width: Of the picture in pixels, a multiple of 16.
        height: Likewise.
        tile_size: The longest side of a tile in pixels, a multiple of 16.
    """

    width: int
    height: int
    tile_size: int

    @property
    def tile(self) -> tuple[int, int]:
        """Width and height of each tile in pixels."""
        return min(self.width, self.tile_size), min(self.height, self.tile_size)

    @property
    def tokens(self) -> int:
        """Tokens of each tile."""
        width, height = self.tile
        return (width // TOKEN) * (height // TOKEN)

    def boxes(self) -> Iterator[tuple[int, int, int, int]]:
        """Left, top, right and bottom of each tile in pixels, row by row."""
        width, height = self.tile
        for top in tile_starts(self.height, self.tile_size):
            for left in tile_starts(self.width, self.tile_size):
                yield left, top, left + width, top + height

    def weights(self, box: tuple[int, int, int, int]) -> torch.Tensor:
        """The weight of each token in the tile *box*, (rows, columns): 1, falling towards those
        sides behind which there is another tile."""
        left, top, right, bottom = box
        across = _ramp(left, right, self.width, self.tile_size)
        down = _ramp(top, bottom, self.height, self.tile_size)
        return down[:, None] * across[None, :]


class TiledTransformer(torch.nn.Module):
    """A FLUX transformer that sees a picture tile by tile.

    It takes the arguments of the whole picture and returns what the whole picture wants; positions
    begin anew in each tile, as the model knows them.

    Args:
        transformer: The model's own.
        grid: The tiles.
        residuals: What a ControlNet adds for tile number so-and-so, as keyword arguments of
            *transformer*, from those that it is about to get; None without one.
        between: Called between two tiles; an exception from it ends the drawing.
    """

    def __init__(
        self,
        transformer: torch.nn.Module,
        grid: Grid,
        residuals: Callable[[int, dict[str, Any]], dict[str, Any]] | None,
        between: Callable[[], None],
    ) -> None:
        super().__init__()
        # Not a submodule: where it rests is none of this one's business.
        self._transformer = [transformer]
        self._grid = grid
        self._residuals = residuals
        self._between = between
        self._ids: tuple[torch.Tensor, torch.Tensor] | None = None

    @property
    def config(self) -> Any:
        """That of the model's own."""
        return self._transformer[0].config

    @cached_property
    def _tiles(self) -> Sequence[tuple[tuple[slice, slice], torch.Tensor]]:
        tiles = []
        for box in self._grid.boxes():
            left, top, right, bottom = (side // TOKEN for side in box)
            tiles.append(((slice(top, bottom), slice(left, right)), self._grid.weights(box)))
        return tiles

    def forward(
        self, hidden_states: torch.Tensor, img_ids: torch.Tensor, **arguments: Any
    ) -> tuple[torch.Tensor]:
        """The velocity of the whole picture, (1, tokens, 64), in a tuple."""
        rows, columns = self._grid.height // TOKEN, self._grid.width // TOKEN
        whole = hidden_states.view(1, rows, columns, -1)
        tile_ids = self._ids_of_a_tile(img_ids)
        total = torch.zeros(whole.shape, dtype=torch.float32, device=whole.device)
        weight = torch.zeros(rows, columns, 1, device=whole.device)
        for number, ((down, across), shares) in enumerate(self._tiles):
            if number:
                self._between()
            part = whole[:, down, across]
            height, width = part.shape[1:3]
            given = {
                **arguments,
                "hidden_states": part.flatten(1, 2),
                "img_ids": tile_ids,
                "return_dict": False,
            }
            if self._residuals is not None:
                given |= self._residuals(number, given)
            velocity = self._transformer[0](**given)[0].float().view(1, height, width, -1)
            share = shares.to(whole.device)[..., None]
            total[:, down, across] += share * velocity
            weight[down, across] += share
        return ((total / weight).flatten(1, 2).to(hidden_states.dtype),)

    def _ids_of_a_tile(self, whole: torch.Tensor) -> torch.Tensor:
        """Ids of the tokens of any tile, from those of the *whole* picture: the same tensor at
        each step, so that positions are computed once."""
        if self._ids is None or self._ids[0] is not whole:
            rows, columns = self._grid.height // TOKEN, self._grid.width // TOKEN
            width, height = self._grid.tile
            tile = whole.view(rows, columns, -1)[: height // TOKEN, : width // TOKEN]
            self._ids = (whole, tile.flatten(0, 1))
        return self._ids[1]


def with_low_frequencies(image: Image.Image, original: Image.Image) -> Image.Image:
    """*image* with the colours and the light of *original*, of the same size: its own detail over
    what is coarser than `LOW_FREQUENCIES` in *original*. Tiles know nothing of the whole, and
    drift in colour."""
    blur = ImageFilter.GaussianBlur(max(image.size) * LOW_FREQUENCIES)
    coarse, wanted = image.filter(blur), original.filter(blur)
    # In two parts, since bytes know no sign.
    brighter = ImageChops.subtract(wanted, coarse)
    darker = ImageChops.subtract(coarse, wanted)
    return ImageChops.subtract(ImageChops.add(image, brighter), darker)


def _ramp(begin: int, end: int, length: int, tile_size: int) -> torch.Tensor:
    """Weights of the tokens from *begin* to *end* on a side of *length* pixels: they rise where
    the tile before overlaps, and fall where the next one does."""
    starts = tile_starts(length, tile_size)
    number = starts.index(begin)
    weights = torch.ones((end - begin) // TOKEN)
    if number > 0:
        overlap = (starts[number - 1] + end - begin - begin) // TOKEN
        weights[:overlap] *= (torch.arange(overlap) + 0.5) / overlap
    if number + 1 < len(starts):
        overlap = (end - starts[number + 1]) // TOKEN
        weights[len(weights) - overlap :] *= ((torch.arange(overlap) + 0.5) / overlap).flip(0)
    return weights

"""Named shapes, and the nearest size to a shape."""

from __future__ import annotations

import math

from generation.checks import MAX_SIZE, MIN_SIZE, SIZE_MULTIPLE

#: The names that `--size` and `--ar` know.
SHAPES: dict[str, tuple[int, int]] = {
    "square": (1, 1),
    "portrait": (3, 4),
    "landscape": (4, 3),
    "wide": (16, 9),
    "tall": (9, 16),
}


def fit_size(aspect_ratio: tuple[int, int], pixels: int) -> tuple[int, int]:
    """The nearest width and height to a shape with about so many pixels.

    Both are multiples of 16 from 64 to 2048. A shape that is off by one per cent
    counts as much as a number of pixels that is off by four.

    Args:
        aspect_ratio: Width to height, both above 0. Swapping them swaps the result.
        pixels: Number of pixels, above 0; brought within the limits.

    Raises:
        ValueError: One of them is not above 0.
    """
    across, down = aspect_ratio
    if across <= 0 or down <= 0 or pixels <= 0:
        raise ValueError(f"{aspect_ratio} with {pixels} pixels is no shape")
    if across < down:
        height, width = fit_size((down, across), pixels)
        return width, height

    def distance(size: tuple[int, int]) -> float:
        width, height = size
        shape = abs(math.log(width * down / (height * across)))
        return 4 * shape + abs(math.log(width * height / pixels))

    # For a given width the distance falls towards the exact height and rises
    # behind it, so only the two multiples around that height can be nearest.
    sizes = []
    for width in range(MIN_SIZE, MAX_SIZE + 1, SIZE_MULTIPLE):
        below = width * down // across // SIZE_MULTIPLE * SIZE_MULTIPLE
        for height in (below, below + SIZE_MULTIPLE):
            sizes.append((width, min(max(height, MIN_SIZE), MAX_SIZE)))
    return min(sizes, key=distance)

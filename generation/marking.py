"""Masks of two pictures of which the second was painted on: what differs is drawn anew.

Pure, and without torch. People say it so who have a paint program, and no brush in their chat: they
paint over a part of the picture, or draw an outline around it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: Channels of a pixel that differ by at most so many levels of 256 make it grey.
GREY = 24
#: Levels up to which a pixel counts as black, and from which it counts as white.
BLACK, WHITE = 40, 215
#: Shares of the pixels of a mask that are grey, and that are black or white: the others lie on soft
#: edges.
NEARLY_ALL, MOSTLY = 0.99, 0.85
#: Shares of the black and of the white of a picture that are left in a copy of it, and of what is
#: neither.
LEFT = 0.75
#: Pixels along the longer side at most that are looked at.
LOOKED_AT = 256

#: Longest side in pixels at which two pictures are compared.
COMPARED = 1024
#: The comparison is one of means over a Gaussian of so many pixels: saving as JPEG moves what is
#: smaller, and few of these means by more than `NEIGHBOUR`, or any by more than `CHANGED`, down to
#: quality 30.
BLUR = 2.0
#: Levels of 256 by which a channel of a changed pixel differs, and of one next to it.
CHANGED, NEIGHBOUR = 48, 24
#: The smallest thing that counts as changed, as a share of all pixels.
LEAST = 1 / 10_000
#: Widths of the gaps that are closed and of the rim that is added, as shares of the longer side.
GAP, RIM = 1 / 32, 1 / 100
#: Share of a picture's edge that is painted over where its background is, rather than a thing.
AROUND = 0.5
#: The largest part that a line cuts off at the edge of a picture, as a share of its pixels.
CUT_OFF = 0.5

Marks = NDArray[np.bool_]


def is_mask(second: Image.Image, first: Image.Image) -> bool:
    """Whether *second* is a mask rather than a copy of *first* that was painted on: nearly grey,
    and mostly black or white.

    A drawing in black and white looks like that too, and one in pencil nearly. So does a copy of
    it, in which most of its black and most of its white are still there, or most of what is
    neither, as it is in no mask.
    """
    black, white, is_grey = _tones(second)
    if is_grey.mean() < NEARLY_ALL or (black | white).mean() < MOSTLY:
        return False
    first = first.resize(second.size, Image.Resampling.NEAREST)
    first_black, first_white, _ = _tones(first)
    between = ~(first_black | first_white)
    apart = np.abs(_looked_at(first).astype(np.int16) - _looked_at(second)).max(axis=2)
    if between.any() and (apart[between] <= NEIGHBOUR).mean() >= LEFT:
        return False
    if (
        not first_black.any()
        or not first_white.any()
        or (first_black | first_white).mean() < MOSTLY
    ):
        return True
    return bool(black[first_black].mean() < LEFT or white[first_white].mean() < LEFT)


def difference(first: Image.Image, second: Image.Image) -> Image.Image:
    """The mask, of the size of *first*, of what differs between two pictures of one shape, with a
    rim around it.

    An outline around something means what is inside of it, and so does a line that cuts it off at
    an edge of the picture. Where most of this edge is painted over, what was left free stays as it
    was.

    Returns:
        An "L" image of 0 and 255; 0 all over where nothing differs.
    """
    import cv2  # takes long, and few need it

    changed = _changed(first, second)
    longest = max(changed.shape)
    marks = _morphed(changed, cv2.MORPH_CLOSE, longest * GAP / 2)
    marks = _morphed(_filled(marks), cv2.MORPH_DILATE, max(1, longest * RIM))
    mask = Image.fromarray(np.where(marks, np.uint8(255), np.uint8(0)))
    return mask.resize(first.size, Image.Resampling.NEAREST)


def _looked_at(image: Image.Image) -> NDArray[np.uint8]:
    """The pixels of *image*; of a large one every so many."""
    step = -(-max(image.size) // LOOKED_AT)
    return np.asarray(image.convert("RGB"))[::step, ::step]


def _tones(image: Image.Image) -> tuple[Marks, Marks, Marks]:
    """Which of the pixels that are looked at are black, white and grey."""
    pixels = _looked_at(image)
    least, most = pixels.min(axis=2), pixels.max(axis=2)
    return most <= BLACK, least >= WHITE, most - least <= GREY


def _changed(first: Image.Image, second: Image.Image) -> Marks:
    """Which pixels differ, of both pictures at a size that neither has to be enlarged to."""
    import cv2

    longest = min(COMPARED, max(first.size), max(second.size))
    scale = longest / max(first.size)
    size = (max(1, round(first.width * scale)), max(1, round(first.height * scale)))
    one, other = (
        cv2.GaussianBlur(
            cv2.resize(np.asarray(each.convert("RGB")), size, interpolation=cv2.INTER_AREA).astype(
                np.float32
            ),
            (0, 0),
            BLUR,
        )
        for each in (first, second)
    )
    apart = np.abs(one - other).max(axis=2)
    count, labels, figures, _ = cv2.connectedComponentsWithStats(
        (apart >= NEIGHBOUR).astype(np.uint8), connectivity=8
    )
    kept = np.zeros(count, bool)
    kept[np.unique(labels[apart >= CHANGED])] = True
    kept &= figures[:, cv2.CC_STAT_AREA] >= apart.size * LEAST
    kept[0] = False
    changed: Marks = kept[labels]
    return changed


def _filled(marks: Marks) -> Marks:
    """*marks*, with what they go around."""
    import cv2

    height, width = marks.shape
    edge = np.concatenate((marks[0], marks[-1], marks[:, 0], marks[:, -1]))
    if edge.mean() >= AROUND:
        return marks
    count, labels, figures, _ = cv2.connectedComponentsWithStats(
        (~marks).astype(np.uint8), connectivity=4
    )
    inside = np.zeros(count, bool)
    for number in range(1, count):
        left, top, across, down, area = figures[number]
        is_right, is_bottom = left + across == width, top + down == height
        reaches_over = (left == 0 and is_right) or (top == 0 and is_bottom)
        inside[number] = not reaches_over and area <= CUT_OFF * marks.size
    filled: Marks = marks | inside[labels]
    return filled


def _morphed(marks: Marks, operation: int, radius: float) -> Marks:
    import cv2

    side = 2 * round(radius) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    changed: Marks = cv2.morphologyEx(marks.astype(np.uint8), operation, disc) > 0
    return changed

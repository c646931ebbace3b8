"""Sizes of pictures of which a part is drawn anew, or that are continued over their edges. Pure.

A picture keeps its own size, and so its pixels, where the model can draw it; else it is scaled as
little as possible. Sizes are multiples of 16: what is over is cut where nothing is added.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from bot.commands import ImagineCommand, region_in, shares_of
from bot.sections import Limits
from generation.checks import MAX_SIZE, MIN_SIZE, SIZE_MULTIPLE
from generation.errors import InvalidRequest
from generation.types import Canvas

#: Pixels of a picture, as shares of those that the model is made for, between which it is drawn at
#: its own size. FLUX.1 draws 0.1 to 2 megapixels (its model cards), and is made for one.
LEAST, MOST = 0.25, 2.25
#: Shapes that differ by less are the same: sides are rounded.
SAME_SHAPE = 0.03
#: The strength of what lies beyond a picture's edges, where nobody says one. A little of its edge,
#: which is drawn out over it, keeps the colours: of three pictures that the demo model continued
#: with half an object at the seam at 1, one was clean at 0.85.
OUTPAINT_STRENGTH = 0.85
#: How often a size is made smaller by 2 % until it is within the limits.
TRIES = 40
#: Characters of the longest words for a part of a picture.
LONGEST_REGION = 40


class Sized(Protocol):
    """A picture, or what is known of it: its size in pixels."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Placed:
    """The size of a drawing in pixels, and where the attached picture lies in it; None where it
    fills it."""

    width: int
    height: int
    canvas: Canvas | None = None


def placed(picture: Sized, command: ImagineCommand, native: int, limits: Limits) -> Placed:
    """The size of what *command* draws of *picture*.

    Args:
        native: Pixels that the model is made for.

    Raises:
        InvalidRequest: The picture is to be continued and to have a given shape.
    """
    width, height = picture.width, picture.height
    left = top = right = bottom = 0.0
    if command.outpaint is not None:
        if command.aspect_ratio is not None or command.width is not None:
            raise InvalidRequest(
                "outpaint continues the picture as it is, and a size or a shape as far as that:"
                " leave one of them out",
                field="outpaint",
            )
        shares = shares_of(command.outpaint)
        left, right = (width * shares.get(side, 0) for side in ("left", "right"))
        top, bottom = (height * shares.get(side, 0) for side in ("top", "bottom"))
    else:
        more_across, more_down = _added(width, height, command)
        left = right = more_across / 2
        top = bottom = more_down / 2
    whole = (left + width + right, top + height + bottom)
    scale = _scale(*whole, command, native, limits)
    if not (left or top or right or bottom):
        return Placed(_multiple(width * scale, math.floor), _multiple(height * scale, math.floor))
    for _ in range(TRIES):
        across = _side(left * scale, width * scale, right * scale, command.width)
        down = _side(top * scale, height * scale, bottom * scale, command.height)
        if across[0] * down[0] <= limits.pixels or command.width is not None:
            break
        scale *= 0.98  # since sides were rounded up
    canvas = Canvas(*(each for pair in zip(across, down, strict=True) for each in pair))
    return Placed(canvas.width, canvas.height, canvas)


def without_region(command: ImagineCommand, *, has_mask: bool) -> ImagineCommand:
    """*command* with the part of the picture that its prompt begins with, as in "the left half: a
    red star", as its mask; unless there is one already."""
    if has_mask or command.mask is not None:
        return command
    first, colon, rest = command.prompt.partition(":")
    first = first.lower().removeprefix("in ").removeprefix("on ")
    region = region_in(first) if colon and rest.strip() and len(first) <= LONGEST_REGION else None
    return command if region is None else replace(command, prompt=rest.strip(), mask=region)


def is_other_shape(picture: Sized, command: ImagineCommand) -> bool:
    """Whether *command* says a shape that *picture* does not have."""
    return any(_added(picture.width, picture.height, command))


def _added(width: int, height: int, command: ImagineCommand) -> tuple[float, float]:
    """Pixels, across and down, that a picture lacks of the shape that *command* says."""
    if command.width is not None and command.height is not None:
        shape = command.width / command.height
    elif command.aspect_ratio is not None:
        shape = command.aspect_ratio[0] / command.aspect_ratio[1]
    else:
        return 0, 0
    if abs(math.log(shape * height / width)) < SAME_SHAPE:
        return 0, 0
    return max(0, height * shape - width), max(0, width / shape - height)


def _scale(
    width: float, height: float, command: ImagineCommand, native: int, limits: Limits
) -> float:
    if command.width is not None and command.height is not None:
        return min(command.width / width, command.height / height)
    pixels, most = width * height, min(MOST * native, limits.pixels)
    scale = min(1.0, math.sqrt(most / pixels), MAX_SIZE / max(width, height))
    if pixels < LEAST * native:
        scale = math.sqrt(native / pixels)
    return max(scale, MIN_SIZE / min(width, height))


def _side(before: float, inner: float, after: float, given: int | None) -> tuple[int, int, int]:
    """The length of a side, where the picture begins on it, and its length there, in pixels."""
    if not before and not after:
        length = given or _multiple(inner, math.floor)
        return length, 0, length
    length = given or _multiple(before + inner + after, math.ceil)
    lies = min(round(inner), length)
    begins = min(round(before), length - lies) if after else length - lies
    return length, begins, lies


def _multiple(length: float, rounded: Callable[[float], int]) -> int:
    multiple = rounded(length / SIZE_MULTIPLE) * SIZE_MULTIPLE
    return min(MAX_SIZE, max(MIN_SIZE, multiple))

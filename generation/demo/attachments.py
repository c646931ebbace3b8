"""Pictures such as people attach, from which the evaluation of the ControlNets draws.

OpenCV draws them, not the code whose drawings training sees: things of any size at any place, in
other colours than the prompt's, cut out, drawn by hand, or shaded like photographs.
"""

import io
import math
from dataclasses import dataclass
from random import Random

import cv2
import numpy as np
from PIL import Image

from generation.demo.drawings import a
from generation.demo.vocabulary import COLOURS

CATEGORIES = ("disc", "box", "polygon", "letter", "drawn by hand", "photograph")

_FINER = 4
_SHIFT = 4
"""OpenCV takes coordinates in sixteenths of a pixel."""

_LETTERS = "ABCEFHJKLMNPRSTUXYZ2457"


@dataclass(frozen=True)
class Attachment:
    """A picture, a prompt and what both ask for.

    Attributes:
        category: One of `CATEGORIES`.
        caption: A prompt that names a thing, its colour and the ground's.
        picture: What is attached, RGB.
        mask: (height, width) of bool: where the thing is to be.
        colour: A key of `COLOURS`, the thing's.
        ground: A key of `COLOURS`.
    """

    category: str
    caption: str
    picture: Image.Image
    mask: np.ndarray
    colour: str
    ground: str


def attachments(
    count: int, width: int, height: int, in_colour: bool, seed: str = "attached"
) -> list[Attachment]:
    """*count* of them, each category in turn.

    Args:
        count: How many.
        width: Pixels.
        height: Pixels.
        in_colour: The pictures have about the colours of their prompts, and no outline stands for
            what it encloses: for a ControlNet that reads colours.
        seed: Another one gives other pictures.
    """
    random = Random(f"{seed} {width} {height}")
    turns = (CATEGORIES[k % len(CATEGORIES)] for k in range(count))
    return [_attachment(random, category, width, height, in_colour) for category in turns]


def discs(count: int, side: int = 256) -> list[Attachment]:
    """White discs on black for "a blue circle on a white background": 40 to 70 of 256 pixels in
    radius, with centres between 80 and 176."""
    random = Random("discs")
    found = []
    for _ in range(count):
        radius, x, y = (random.uniform(*span) for span in ((40, 70), (80, 176), (80, 176)))
        mask = _blank(side, side)
        _disc(mask, (x * side / 256, y * side / 256), radius * side / 256)
        caption = "a blue circle on a white background"
        picture = _mixed(mask, np.full(3, 255.0), np.zeros(3))
        found.append(Attachment("disc", caption, picture, _small(mask) > 0.5, "blue", "white"))
    return found


def overlap(drawn: Image.Image, asked: Attachment) -> float:
    """Intersection over union, 0 to 1, of the thing and of all that is nearer to its colour than
    to the ground's."""
    pixels = np.asarray(drawn.convert("RGB"), np.float32)
    far = [((pixels - COLOURS[name]) ** 2).sum(axis=-1) for name in (asked.colour, asked.ground)]
    ours = far[0] < far[1]
    return float((ours & asked.mask).sum() / (ours | asked.mask).sum())


def has_its_colours(drawn: Image.Image, asked: Attachment) -> bool:
    """Whether thing and ground have the colours of the prompt, by their medians."""
    pixels = np.asarray(drawn.convert("RGB"), np.float32)
    for part, name in ((asked.mask, asked.colour), (~asked.mask, asked.ground)):
        median = np.median(pixels[part], axis=0)
        if min(COLOURS, key=lambda each: float(((median - COLOURS[each]) ** 2).sum())) != name:
            return False
    return True


def _attachment(
    random: Random, category: str, width: int, height: int, in_colour: bool
) -> Attachment:
    colour, ground = random.sample(list(COLOURS), 2)
    radius = random.uniform(0.15, 0.42) * min(width, height)
    x, y = (random.uniform(radius, side - radius) for side in (width, height))
    noun, outline = _outline(random, category)
    mask = _blank(width, height)
    if category == "letter":
        _letter(random, mask, (x, y), radius)
    elif noun == "circle" and category != "drawn by hand":
        _disc(mask, (x, y), radius)
    else:
        points = np.array(outline) * radius + (x, y)
        cv2.fillPoly(mask, [_fixed(points)], 255, cv2.LINE_AA, _SHIFT)
    inner, outer = _paints(random, colour, ground, in_colour)
    if category == "photograph":
        picture = _photograph(random, mask, (x, y, radius), inner, outer)
    elif category == "drawn by hand" and not in_colour:
        picture = _pen(random, mask, inner, outer)
    else:
        picture = _mixed(mask, inner, outer)
    caption = f"{a(f'{colour} {noun}')} on {a(ground)} background"
    return Attachment(category, caption, picture, _small(mask) > 0.5, colour, ground)


def _outline(random: Random, category: str) -> tuple[str, list[tuple[float, float]]]:
    """A noun, and the points of a closed line within a radius of 1. None for what is no polygon."""
    if category == "disc":
        return "circle", []
    if category == "letter":
        return "letter", []
    if category == "box":
        tilt, aspect = random.choice((0, 0, random.uniform(0, 1.5))), random.uniform(0.5, 1)
        corners = cv2.boxPoints(((0, 0), (1.35, 1.35 * aspect), math.degrees(tilt)))
        return "square", [(float(u), float(v)) for u, v in corners]
    if category == "polygon":
        cloud = [(random.gauss(0, 1), random.gauss(0, 1)) for _ in range(7)]
        hull = cv2.convexHull(np.array(cloud, np.float32))[:, 0]
        hull -= (hull.max(axis=0) + hull.min(axis=0)) / 2
        hull /= np.abs(hull).max()
        return "diamond", [(float(u), float(v)) for u, v in hull]
    if category == "drawn by hand":
        noun, corners = random.choice(tuple(_CORNERS.items()))
        return noun, _unsteady(random, corners)
    noun = random.choice(("circle", "egg", "bottle", "box"))
    return noun, _THINGS[noun]


def _circle(wide: float = 1.0, high: float = 1.0) -> list[tuple[float, float]]:
    return [(wide * math.cos(k / 8), high * math.sin(k / 8)) for k in range(50)]


_CORNERS = {
    "circle": _circle(0.95, 0.9),
    "square": [(-0.8, -0.75), (0.8, -0.8), (0.75, 0.8), (-0.8, 0.8)],
    "triangle": [(0.05, -0.9), (0.9, 0.75), (-0.9, 0.8)],
    "star": [
        (math.sin(k * math.pi / 5) * (1 - 0.52 * (k % 2)), -math.cos(k * math.pi / 5)
         * (1 - 0.52 * (k % 2)))
        for k in range(10)
    ],
}  # fmt: skip

_THINGS = {
    "circle": [],
    "egg": [(0.72 * u * (1 + 0.22 * v), v) for u, v in _circle()],
    "bottle": [
        (-0.14, -1), (0.14, -1), (0.15, -0.5), (0.36, -0.2), (0.38, 1), (-0.38, 1),
        (-0.36, -0.2), (-0.15, -0.5),
    ],
    "box": [(-0.75, -0.45), (0.1, -0.8), (0.8, -0.5), (0.8, 0.4), (-0.05, 0.85), (-0.75, 0.45)],
}  # fmt: skip


def _unsteady(random: Random, corners: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Straight lines through *corners* as a hand draws them: bent, and round at the corners."""
    closed = np.array([*corners, corners[0]])
    lengths = np.hypot(*np.diff(closed, axis=0).T)
    along = np.concatenate([[0], np.cumsum(lengths)])
    where = np.linspace(0, along[-1], 160, endpoint=False)
    path = np.stack([np.interp(where, along, closed[:, axis]) for axis in (0, 1)], axis=1)
    for axis in (0, 1):
        for wave in (2, 3, 5, 8):
            size = random.uniform(-0.06, 0.06) / wave**0.5
            path[:, axis] += size * np.sin(2 * math.pi * wave * where / along[-1] + wave)
    path = (path + np.roll(path, 2, axis=0) + np.roll(path, -2, axis=0)) / 3
    return [(float(u), float(v)) for u, v in path.clip(-1, 1)]


def _blank(width: int, height: int) -> np.ndarray:
    return np.zeros((_FINER * height, _FINER * width), np.uint8)


def _fixed(points: np.ndarray) -> np.ndarray:
    fixed: np.ndarray = (points * _FINER * 2**_SHIFT).round().astype(np.int32)
    return fixed


def _disc(mask: np.ndarray, centre: tuple[float, float], radius: float) -> None:
    (x, y, r) = (int(v) for v in _fixed(np.array([*centre, radius])))
    cv2.circle(mask, (x, y), r, 255, cv2.FILLED, cv2.LINE_AA, _SHIFT)


def _letter(random: Random, mask: np.ndarray, centre: tuple[float, float], radius: float) -> None:
    """A capital letter or a digit of thick strokes, twice the radius high."""
    font, letter = cv2.FONT_HERSHEY_SIMPLEX, random.choice(_LETTERS)
    thickness = round(_FINER * radius * random.uniform(0.25, 0.4))
    scale = cv2.getFontScaleFromHeight(font, round(_FINER * 2 * radius) - thickness, 1)
    (wide, high), _ = cv2.getTextSize(letter, font, scale, 1)
    x, y = (round(_FINER * value) for value in centre)
    left = min(max(x - wide // 2, thickness), mask.shape[1] - wide - thickness)
    cv2.putText(mask, letter, (left, y + high // 2), font, scale, 255, thickness, cv2.LINE_AA)


def _small(mask: np.ndarray) -> np.ndarray:
    height, width = mask.shape
    size = (width // _FINER, height // _FINER)
    small: np.ndarray = cv2.resize(mask, size, interpolation=cv2.INTER_AREA) / 255
    return small


def _paints(
    random: Random, colour: str, ground: str, in_colour: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The colours of the thing and of what is around it on the picture, sRGB 0 to 255."""
    if in_colour:
        tints = [[random.uniform(-12, 12) for _ in range(3)] for _ in range(2)]
        return np.array(COLOURS[colour]) + tints[0], np.array(COLOURS[ground]) + tints[1]
    pairs = ((255, 0), (0, 255), (40, 230), (200, 60))
    if random.random() < 0.6:
        inner_grey, outer_grey = random.choice(pairs)
        return np.full(3, float(inner_grey)), np.full(3, float(outer_grey))
    while True:
        inner, outer = (np.array([random.uniform(0, 255) for _ in range(3)]) for _ in range(2))
        if np.abs(inner - outer).max() > 120:
            return inner, outer


def _mixed(mask: np.ndarray, inner: np.ndarray, outer: np.ndarray) -> Image.Image:
    share = _small(mask)[..., None]
    return Image.fromarray((share * inner + (1 - share) * outer).clip(0, 255).astype(np.uint8))


def _pen(random: Random, mask: np.ndarray, ink: np.ndarray, paper: np.ndarray) -> Image.Image:
    """The outline alone, one to three hundredths of the shorter side thick."""
    lines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    drawn = np.zeros_like(mask)
    thickness = max(_FINER, round(random.uniform(0.01, 0.03) * min(mask.shape)))
    cv2.drawContours(drawn, lines, -1, 255, thickness, cv2.LINE_AA)
    return _mixed(drawn, ink, paper)


def _photograph(
    random: Random,
    mask: np.ndarray,
    place: tuple[float, float, float],
    inner: np.ndarray,
    outer: np.ndarray,
) -> Image.Image:
    """A thing with light and a highlight, on a table that darkens, with a shadow, grain and the
    traces of a JPEG file."""
    x, y, radius = place
    share = _small(mask)
    rows, columns = np.mgrid[: share.shape[0], : share.shape[1]].astype(np.float32)
    light = 0.85 - 0.3 * ((columns - x) * 0.6 + (rows - y) * 0.8) / radius
    highlight = 90 * np.exp(-((columns - x + radius / 3) ** 2 + (rows - y + radius / 3) ** 2)
                            / (0.05 * radius**2))  # fmt: skip
    table = 1.05 - 0.25 * rows / len(rows)
    shadow = cv2.GaussianBlur(np.roll(share, (round(radius / 6),) * 2, (0, 1)), (0, 0), radius / 6)
    ground = outer * (table * (1 - 0.25 * shadow))[..., None]
    thing = inner * light[..., None] + highlight[..., None]
    picture = share[..., None] * thing + (1 - share[..., None]) * ground
    grain = np.random.default_rng(random.getrandbits(32)).normal(0, 4, picture.shape)
    pixels = cv2.GaussianBlur((picture + grain).clip(0, 255).astype(np.uint8), (0, 0), 0.6)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=80)
    return Image.open(file).convert("RGB")

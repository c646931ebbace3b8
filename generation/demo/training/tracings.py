"""What the ControlNets learn from: things of any outline at any place, and pictures of them.

People attach photographs, drawings in other colours, outlines and letters, whose things stand
anywhere. A `Tracing` is such a picture, and the drawing that is wanted for it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from generation.demo import drawings
from generation.demo.vocabulary import COLOURS, COUNTS, LARGE, SHAPES, SMALL, plural

Field = np.ndarray
"""(height, width) of float32, 0 to 1: how much of a pixel is the thing's."""

FREEDOM = 2.5
"""How far things stray from their usual places in the drawings of `drawings`."""

USUAL = 0.3
"""The share of those drawings, scenes among them, that keeps the words' meaning."""

_FINER = 2
"""Masks are painted so much finer than the picture."""

_UNHEARD = "abcdefghiklmnoprstuvw"


@dataclass(frozen=True)
class Tracing:
    """A request with a picture.

    Attributes:
        caption: The prompt.
        picture: What is wanted, RGB.
        control: What a ControlNet is shown for it, RGB and of the same size.
    """

    caption: str
    picture: Image.Image
    control: Image.Image


@dataclass(frozen=True)
class _Figure:
    field: Field
    noun: str
    colour: str
    x: float
    y: float
    radius: float


def trace(random: Random, name: str, width: int, height: int) -> Tracing:
    """A tracing of `width` by `height` pixels for the ControlNet *name*: "canny" or "blobs"."""
    control = _MAPS[name]
    if random.random() < USUAL:
        drawing = drawings.sample(random, freedom=FREEDOM)
        picture = drawings.render(drawing, width, height)
        return Tracing(drawing.caption, picture, control(random, picture, [], drawing.ground))
    while True:
        ground = random.choice(list(COLOURS)) if random.random() < 0.8 else "white"
        figures = _figures(random, ground, width, height)
        caption = _caption(random, figures, ground)
        if figures and not drawings.is_held_out(caption):
            picture = _composed(figures, [COLOURS[f.colour] for f in figures], COLOURS[ground])
            return Tracing(caption, picture, control(random, picture, figures, ground))


# ------------------------------------------------------------------------------------- figures


def _figures(random: Random, ground: str, width: int, height: int) -> list[_Figure]:
    """One to four things that do not touch; none where chance has left no room for them."""
    colours = [colour for colour in COLOURS if colour != ground]
    kind = random.choices(("single", "alike", "pair"), (0.6, 0.15, 0.25))[0]
    count = {"single": 1, "alike": random.choice((2, 2, 3, 4)), "pair": 2}[kind]
    places = _places(random, count, width, height)
    chosen = random.sample(colours, count) if kind == "pair" else [random.choice(colours)] * count
    look = _outline(random)
    figures = []
    for colour, (x, y, radius) in zip(chosen, places, strict=False):
        if kind == "pair":
            look = _outline(random)
        noun, paint = look
        field = _wobbled(random, paint(width, height, x, y, radius))
        if not 0.004 < field.mean() < 0.7:
            return []
        figures.append(_Figure(field, noun, colour, x / width, y / height, radius))
    return figures


def _places(random: Random, count: int, width: int, height: int) -> list[tuple[float, ...]]:
    """(x, y, radius) in pixels, apart from each other; a single one may leave the picture."""
    side = min(width, height)
    if count == 1:
        radius = random.uniform(0.1, 0.5) * side
        if random.random() < 0.2:
            return [(random.uniform(0.1, 0.9) * width, random.uniform(0.1, 0.9) * height, radius)]
        x, y = (random.uniform(min(radius, n / 2), max(n - radius, n / 2)) for n in (width, height))
        return [(x, y, radius)]
    places: list[tuple[float, ...]] = []
    radius = random.uniform(0.1, 0.3 if count == 2 else 0.2) * side
    for _ in range(60):
        own = radius * random.uniform(0.8, 1.2)
        x, y = random.uniform(own, width - own), random.uniform(own, height - own)
        if all(math.hypot(x - u, y - v) > 1.1 * (own + r) for u, v, r in places):
            places.append((x, y, own))
        if len(places) == count:
            return places
    return []


Painter = Callable[[int, int, float, float, float], Field]


def _outline(random: Random) -> tuple[str, Painter]:
    """A word for an outline, and who paints it at any place. Free ones have any word."""
    kind = random.choices(("shape", "polygon", "curve", "letter"), (0.55, 0.16, 0.13, 0.16))[0]
    angle = 0.0 if random.random() < 0.6 else random.uniform(0, 2 * math.pi)
    stretch = 1.0 if random.random() < 0.6 else math.exp(random.uniform(-0.6, 0.6))
    if kind == "letter":
        letter = random.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZabdeghknpqrsu0123456789&?")
        return _noun(random), lambda *place: _letter(letter, stretch, random.random(), *place)
    if kind == "shape":
        noun = random.choice(SHAPES)
        loops = drawings.outlines(noun)
    else:
        noun = _noun(random)
        loops = [_polygon(random) if kind == "polygon" else _curve(random)]
    turned = [_turned(loop, angle, stretch) for loop in loops]
    return noun, lambda *place: _filled(turned, *place)


def _noun(random: Random) -> str:
    chance = random.random()
    if chance < 0.7:
        return random.choice(SHAPES)
    return "shape" if chance < 0.8 else "".join(random.choices(_UNHEARD, k=random.randint(3, 8)))


def _polygon(random: Random) -> list[drawings.Point]:
    count = random.randint(3, 9)
    angles = sorted(2 * math.pi * (k + random.uniform(-0.4, 0.4)) / count for k in range(count))
    least = random.choice((1.0, 0.8, 0.4))
    radii = [random.uniform(least, 1) for _ in angles]
    return [(r * math.cos(a), r * math.sin(a)) for a, r in zip(angles, radii, strict=True)]


def _curve(random: Random) -> list[drawings.Point]:
    waves = [(n, random.uniform(0, 0.35) / n, random.uniform(0, 6.3)) for n in (2, 3, 4, 5)]
    points = []
    for k in range(90):
        angle = 2 * math.pi * k / 90
        radius = 0.75 + sum(size * math.cos(n * angle + phase) for n, size, phase in waves)
        points.append((radius * math.cos(angle), radius * math.sin(angle)))
    return points


def _turned(loop: list[drawings.Point], angle: float, stretch: float) -> list[drawings.Point]:
    wide, high = min(1.0, stretch), min(1.0, 1 / stretch)
    cos, sin = math.cos(angle), math.sin(angle)
    return [(wide * (x * cos - y * sin), high * (x * sin + y * cos)) for x, y in loop]


def _filled(
    loops: list[list[drawings.Point]], width: int, height: int, x: float, y: float, radius: float
) -> Field:
    canvas = Image.new("L", (_FINER * width, _FINER * height))
    draw = ImageDraw.Draw(canvas)
    for fill, loop in zip((255, 0), loops, strict=False):
        points = [(_FINER * (x + u * radius), _FINER * (y + v * radius)) for u, v in loop]
        draw.polygon(points, fill=fill)
    return np.asarray(canvas, np.float32) / 255


def _letter(
    letter: str, stretch: float, weight: float, width: int, height: int, *place: float
) -> Field:
    x, y, radius = (_FINER * value for value in place)
    side = max(8, round(2 * radius))
    own = Image.new("L", (2 * side, 2 * side))
    ImageDraw.Draw(own).text(
        (side, side), letter, 255, ImageFont.load_default(1.5 * side), anchor="mm",
        stroke_width=round(weight * 0.09 * side), stroke_fill=255,
    )  # fmt: skip
    own = own.crop(own.getbbox())
    scale = 2 * radius / max(own.size)
    own = own.resize(
        (
            max(2, round(own.width * scale * min(1, stretch))),
            max(2, round(own.height * scale * min(1, 1 / stretch))),
        )
    )
    canvas = Image.new("L", (_FINER * width, _FINER * height))
    canvas.paste(own, (round(x - own.width / 2), round(y - own.height / 2)))
    return np.asarray(canvas, np.float32) / 255


def _wobbled(random: Random, field: Field) -> Field:
    """The figure as an unsteady hand draws it, two times in five."""
    if random.random() < 0.6:
        return field
    height, width = field.shape
    reach = random.uniform(0.005, 0.03) * min(width, height)
    shifts = [_cloud(random, width, height, random.randint(4, 9)) * reach for _ in range(2)]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return cv2.remap(field, columns + shifts[0], rows + shifts[1], cv2.INTER_LINEAR)


def _cloud(random: Random, width: int, height: int, cells: int) -> Field:
    """Smooth noise between about -1 and 1."""
    coarse = np.random.default_rng(random.getrandbits(32)).normal(0, 0.5, (cells, cells))
    return cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)


# -------------------------------------------------------------------------------------- captions


def _caption(random: Random, figures: list[_Figure], ground: str) -> str:
    if not figures:
        return ""
    first, *others = figures
    if others and first.colour == others[0].colour:
        words = f"{COUNTS[len(figures)]} {first.colour} {plural(first.noun)}"
    elif others:
        named = [drawings.a(f"{figure.colour} {figure.noun}") for figure in figures]
        words = f"{named[0]} {random.choice(_relations(first, others[0]))} {named[1]}"
    else:
        words = _named(random, first)
    if ground != "white" or random.random() < 0.7:
        words += random.choice((f" on {drawings.a(ground)} background",) * 3 + (f" on {ground}",))
    return drawings.worded(random, words)


def _relations(first: _Figure, second: _Figure) -> tuple[str, ...]:
    """The words for how two things stand; where it is not clear, "and" alone."""
    across, down = second.x - first.x, second.y - first.y
    if abs(across) > 1.5 * abs(down):
        return drawings.RELATIONS["left" if across > 0 else "right"]
    if abs(down) > 1.5 * abs(across):
        return drawings.RELATIONS["above" if down > 0 else "below"]
    return ("and",)


def _named(random: Random, figure: _Figure) -> str:
    size, place = "", ""
    if random.random() < 0.3:
        x, y = figure.x - 0.5, figure.y - 0.5
        if max(abs(x), abs(y)) > 0.15:
            sides = ("left", "right") if abs(x) > abs(y) else ("top", "bottom")
            side = sides[(x if abs(x) > abs(y) else y) > 0]
            place = random.choice((f" on the {side}", f" at the {side}"))
    if random.random() < 0.25:
        share = float(figure.field.mean())
        size = random.choice(SMALL) if share < 0.05 else random.choice(LARGE) if share > 0.3 else ""
    return drawings.a(f"{size} {figure.colour} {figure.noun}".strip()) + place


# ------------------------------------------------------------------------------------------ maps


def _composed(figures: list[_Figure], colours: list, ground) -> Image.Image:
    """Every figure in its colour, RGB or (height, width, 3), on a ground that is either as well."""
    height, width = figures[0].field.shape
    canvas = np.broadcast_to(np.asarray(ground, np.float32), (height, width, 3))
    for figure, colour in zip(figures, colours, strict=True):
        share = figure.field[..., None]
        canvas = canvas * (1 - share) + np.asarray(colour, np.float32) * share
    image = Image.fromarray(canvas.clip(0, 255).round().astype(np.uint8))
    return image.resize((width // _FINER, height // _FINER), Image.Resampling.BOX)


def _edges(
    random: Random, picture: Image.Image, figures: list[_Figure], ground: str
) -> Image.Image:
    style = "exact"
    if figures:
        styles = ("exact", "recoloured", "outlined", "shaded", "map")
        style = random.choices(styles, (0.22, 0.3, 0.2, 0.18, 0.1))[0]
    if style == "map":
        return _strokes(random, figures)
    if style == "recoloured":
        picture = _recoloured(random, figures)
    elif style == "outlined":
        picture = _outlined(random, figures)
    elif style == "shaded":
        picture = _shaded(random, figures, ground)
    if random.random() < 0.4:
        picture = _unsharp(random, picture)
    return _with_gaps(random, drawings.edges(picture))


def _blobs(
    random: Random, picture: Image.Image, figures: list[_Figure], ground: str
) -> Image.Image:
    if figures:
        style = random.choices(("exact", "tinted", "shaded", "recoloured"), (5, 2, 2, 1))[0]
        if style == "tinted":
            colours = [_tinted(random, COLOURS[figure.colour]) for figure in figures]
            picture = _composed(figures, colours, _tinted(random, COLOURS[ground]))
        elif style == "shaded":
            picture = _shaded(random, figures, ground)
        elif style == "recoloured":
            picture = _recoloured(random, figures)
    return drawings.blobs(picture)


_MAPS = {"canny": _edges, "blobs": _blobs}


def _tinted(random: Random, colour: drawings.Colour) -> tuple[float, ...]:
    return tuple(min(255, max(0, value + random.gauss(0, 22))) for value in colour)


def _recoloured(random: Random, figures: list[_Figure]) -> Image.Image:
    """All in other colours, often white on black, black on white or grey on grey."""
    while True:
        if random.random() < 0.5:
            dark, light = sorted(random.choice((0, 20, 60, 110, 160, 200, 235, 255)) for _ in "12")
            inner, outer = random.sample(((dark,) * 3, (light,) * 3), 2)
        else:
            inner, outer = ([random.randrange(256) for _ in range(3)] for _ in range(2))
        if max(abs(a - b) for a, b in zip(inner, outer, strict=True)) > 70:
            return _composed(figures, [inner] * len(figures), outer)


def _rim(field: Field, radius: float) -> Field:
    """The outline of a figure, *radius* fine pixels to either side."""
    size = 2 * max(1, round(radius)) + 1
    round_brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return cv2.dilate(field, round_brush) - cv2.erode(field, round_brush)


def _outlined(random: Random, figures: list[_Figure]) -> Image.Image:
    """Drawn with a pen on paper, at times filled as well."""
    dark = random.uniform(0, 90)
    paper, ink = (dark, random.uniform(170, 255))[:: random.choice((1, -1))]
    height, width = figures[0].field.shape
    radius = _FINER * random.uniform(0.5, 0.022 * min(width, height) / _FINER)
    rims = [replace(figure, field=_rim(figure.field, radius)) for figure in figures]
    fill = paper + random.choice((0, 0, 0, 1)) * (ink - paper) * random.uniform(0.2, 0.6)
    filled = [(fill,) * 3] * len(figures)
    return _composed([*figures, *rims], [*filled, *[(ink,) * 3] * len(rims)], (paper,) * 3)


def _strokes(random: Random, figures: list[_Figure]) -> Image.Image:
    """White lines on black that somebody drew as a map, one to five pixels thick."""
    radius = _FINER * random.uniform(0.3, 2.5) * min(figures[0].field.shape) / (128 * _FINER)
    rims = [replace(figure, field=_rim(figure.field, radius)) for figure in figures]
    return _composed(rims, [(255,) * 3] * len(rims), (0, 0, 0))


def _shaded(random: Random, figures: list[_Figure], ground: str) -> Image.Image:
    """As a camera sees it: light from one side, grain, uneven colours, a soft shadow."""
    height, width = figures[0].field.shape
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    angle = random.uniform(0, 2 * math.pi)
    slope = (columns / width - 0.5) * math.cos(angle) + (rows / height - 0.5) * math.sin(angle)

    def lit(colour: drawings.Colour, depth: float) -> np.ndarray:
        light = 1 + depth * slope + 0.12 * _cloud(random, width, height, random.randint(3, 12))
        return np.asarray(_tinted(random, colour), np.float32) * light[..., None]

    paper = lit(COLOURS[ground], random.uniform(0, 0.5))
    if random.random() < 0.4:
        reach = random.uniform(0.02, 0.06) * min(width, height)
        everything = np.maximum.reduce([figure.field for figure in figures])
        moved = cv2.warpAffine(
            everything,
            np.array([[1, 0, reach * math.cos(angle)], [0, 1, reach * math.sin(angle)]]),
            (width, height),
        )
        shadow = cv2.GaussianBlur(moved, (0, 0), random.uniform(0.5, 1.5) * reach)
        paper = paper * (1 - random.uniform(0.1, 0.4) * shadow[..., None])
    colours = [lit(COLOURS[figure.colour], random.uniform(0, 1)) for figure in figures]
    picture = np.asarray(_composed(figures, colours, paper), np.float32)
    grain = np.random.default_rng(random.getrandbits(32)).normal(
        0, random.uniform(0, 9), picture.shape
    )
    return Image.fromarray((picture + grain).clip(0, 255).astype(np.uint8))


def _unsharp(random: Random, picture: Image.Image) -> Image.Image:
    """A little out of focus, as what was scaled up is."""
    radius = random.uniform(0.3, 1.3) * min(picture.size) / 128
    return Image.fromarray(cv2.GaussianBlur(np.asarray(picture), (0, 0), radius))


def _with_gaps(random: Random, edges: Image.Image) -> Image.Image:
    """Now and then without the lines at a few places, where a contrast was too weak."""
    if random.random() < 0.85:
        return edges
    draw = ImageDraw.Draw(edges)
    for _ in range(random.randint(1, 5)):
        x, y = random.uniform(0, edges.width), random.uniform(0, edges.height)
        radius = random.uniform(0.02, 0.07) * min(edges.size)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(0, 0, 0))
    return edges

"""Captioned drawings, from which the demo model learns and for which its evaluation asks.

A `Drawing` says everything in fractions of the picture, so it can be rendered at any size.
"""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from generation import preprocessors
from generation.demo.vocabulary import (
    COLOURS,
    COUNTS,
    LARGE,
    SHAPES,
    SMALL,
    plural,
)

Colour = tuple[int, int, int]
Point = tuple[float, float]

KINDS = ("single", "count", "pair", "between", "scene")

SKY_COLOURS = {
    "day": ((110, 185, 240), (205, 232, 250)),
    "sunset": ((105, 65, 150), (250, 160, 85)),
    "night": ((12, 16, 48), (40, 52, 105)),
}
"""Top and bottom of each sky, sRGB 0 to 255."""

LAND_COLOURS = {
    ("hills", "day"): ((120, 195, 90), (85, 165, 70)),
    ("hills", "sunset"): ((95, 130, 75), (70, 105, 60)),
    ("hills", "night"): ((35, 75, 60), (25, 58, 48)),
    ("snow", "day"): ((226, 236, 246), (245, 249, 253)),
    ("snow", "sunset"): ((222, 196, 206), (240, 216, 220)),
    ("snow", "night"): ((120, 135, 175), (150, 165, 200)),
    ("sea", "day"): ((45, 120, 195), (30, 95, 170)),
    ("sea", "sunset"): ((110, 90, 150), (80, 70, 130)),
    ("sea", "night"): ((22, 45, 95), (15, 32, 75)),
}
"""The far and the near half of each land under each sky."""

_TRUNK, _CROWN, _PINE = (110, 72, 45), (40, 125, 55), (25, 95, 70)
_RED_ROOF, _GREY_ROOF, _DOOR, _WINDOW = (140, 60, 45), (75, 75, 85), (85, 55, 40), (250, 240, 190)
_SAIL, _STAR = (248, 246, 235), (245, 240, 215)
_STARS = (
    (0.08, 0.10), (0.21, 0.27), (0.34, 0.08), (0.47, 0.20), (0.60, 0.07), (0.66, 0.30),
    (0.93, 0.34), (0.95, 0.08), (0.07, 0.42), (0.38, 0.36),
)  # fmt: skip


@dataclass(frozen=True)
class Thing:
    """One object of a drawing.

    Attributes:
        noun: A shape, or "house", "tree", "boat", "sun", "moon".
        colour: A key of `COLOURS`; None where the noun has a colour of its own (a tree).
        x: Centre, as a fraction of the width.
        y: Centre, as a fraction of the height.
        radius: Half the extent, as a fraction of the shorter side.
    """

    noun: str
    colour: str | None
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Drawing:
    """A picture, completely specified, and the words for it.

    Attributes:
        kind: One of `KINDS`.
        caption: A prompt that asks for this drawing, in lower case.
        ground: A colour; for a scene the sky: "day", "sunset" or "night".
        things: The objects, the one drawn last in front.
        land: "hills", "snow" or "sea" in a scene, else None.
    """

    kind: str
    caption: str
    ground: str
    things: tuple[Thing, ...]
    land: str | None = None


#: Things, and words that name them.
Sample = tuple[list[Thing], str]


# ------------------------------------------------------------------------------------ painting


def outlines(shape: str) -> list[list[Point]]:
    """The polygons of a shape around (0, 0) within radius 1; a second one is a hole."""
    if shape == "square":
        return [[(-0.86, -0.86), (0.86, -0.86), (0.86, 0.86), (-0.86, 0.86)]]
    if shape == "triangle":
        return [[(0, -0.95), (0.98, 0.8), (-0.98, 0.8)]]
    if shape == "diamond":
        return [[(0, -1), (0.72, 0), (0, 1), (-0.72, 0)]]
    if shape == "star":
        return [_around(10, lambda k: 1.05 if k % 2 == 0 else 0.45)]
    if shape == "cross":
        arm = 0.32
        quarter = [(arm, -0.95), (arm, -arm), (0.95, -arm)]
        turns = [quarter]
        for _ in range(3):
            turns.append([(-y, x) for x, y in turns[-1]])
        return [[point for turn in turns for point in turn]]
    if shape == "heart":
        points = []
        for k in range(48):
            t = 2 * math.pi * k / 48
            x = 16 * math.sin(t) ** 3
            y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
            points.append((x / 16.5, -(y + 2.2) / 16.5))
        return [points]
    if shape == "ring":
        return [_around(64, lambda k: 0.97), _around(64, lambda k: 0.52)]
    if shape == "circle":
        return [_around(64, lambda k: 0.95)]
    raise ValueError(f"{shape!r} is not one of {', '.join(SHAPES)}")


def _around(count: int, radius: Callable[[int], float]) -> list[Point]:
    angles = [2 * math.pi * k / count - math.pi / 2 for k in range(count)]
    return [(radius(k) * math.cos(a), radius(k) * math.sin(a)) for k, a in enumerate(angles)]


def render(drawing: Drawing, width: int = 128, height: int = 128) -> Image.Image:
    """The drawing as an RGB image of `width` by `height` pixels, with smooth edges."""
    finer = 3 if max(width, height) <= 192 else 2
    size = (width * finer, height * finer)
    if drawing.kind == "scene":
        image = _sky(drawing.ground, *size)
        for thing in drawing.things:
            if thing.noun in ("sun", "moon"):
                _paint(image, thing, drawing)
        if drawing.land is not None:
            _paint_land(image, drawing.land, drawing.ground)
    else:
        image = Image.new("RGB", size, COLOURS[drawing.ground])
    for thing in drawing.things:
        if thing.noun not in ("sun", "moon"):
            _paint(image, thing, drawing)
    return image.resize((width, height), Image.Resampling.BOX)


def edges(image: Image.Image) -> Image.Image:
    """The edges of an image, white on black, RGB, as the preset "canny" makes them."""
    return preprocessors.canny(image.convert("RGB"))


def blobs(image: Image.Image) -> Image.Image:
    """The blurred colours of an image, RGB, as the preset "blobs" makes them."""
    return preprocessors.blur(image.convert("RGB"))


CONTROLS = {"canny": edges, "blobs": blobs}
"""From a picture to the control image of each ControlNet."""


def _sky(sky: str, width: int, height: int) -> Image.Image:
    rows = np.array([_sky_colour(sky, y / height) for y in range(height)], np.uint8)
    image = Image.fromarray(np.repeat(rows[:, None], width, axis=1))
    if sky == "night":
        for x, y in _STARS:
            _polygon(image, Thing("star", None, x, y, 0.012), _around(8, lambda k: 1), _STAR)
    return image


def _sky_colour(sky: str, y: float) -> Colour:
    top, bottom = SKY_COLOURS[sky]
    share = min(1.0, 1.5 * y)
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(top, bottom, strict=True))
    return red, green, blue


def _paint_land(image: Image.Image, land: str, sky: str) -> None:
    width, height = image.size
    far, near = LAND_COLOURS[land, sky]
    draw = ImageDraw.Draw(image)
    if land == "sea":
        draw.rectangle((0, 0.62 * height, width, height), fill=far)
        draw.rectangle((0, 0.82 * height, width, height), fill=near)
    else:
        draw.ellipse((0.25 * width, 0.55 * height, 1.5 * width, 1.8 * height), fill=far)
        draw.ellipse((-0.6 * width, 0.62 * height, 1.1 * width, 2.0 * height), fill=near)


def _paint(image: Image.Image, thing: Thing, drawing: Drawing) -> None:
    fill = COLOURS[thing.colour] if thing.colour else None
    parts: list[tuple[list[Point], Colour | None]]
    disc = _around(64, lambda k: 1)
    if thing.noun in SHAPES:
        outer, *holes = outlines(thing.noun)
        parts = [(outer, fill), *((hole, COLOURS[drawing.ground]) for hole in holes)]
    elif thing.noun == "sun":
        parts = [(disc, fill)]
    elif thing.noun == "moon":
        bite = [(0.45 + 0.8 * x, -0.1 + 0.8 * y) for x, y in disc]
        parts = [(disc, fill), (bite, _sky_colour(drawing.ground, thing.y))]
    elif thing.noun == "house":
        roof = _GREY_ROOF if thing.colour in ("red", "orange", "purple") else _RED_ROOF
        parts = [
            (_box(-0.85, -0.15, 0.85, 1), fill),
            ([(-1.05, -0.12), (0, -1), (1.05, -0.12)], roof),
            (_box(-0.2, 0.35, 0.2, 1), _DOOR),
            (_box(-0.68, 0.12, -0.34, 0.46), _WINDOW),
            (_box(0.34, 0.12, 0.68, 0.46), _WINDOW),
        ]
    elif thing.noun == "tree" and drawing.land == "snow":
        parts = [
            (_box(-0.13, 0.2, 0.13, 1), _TRUNK),
            ([(0, -1), (0.62, 0.55), (-0.62, 0.55)], _PINE),
        ]
    elif thing.noun == "tree":
        crown = [(0.68 * x, -0.32 + 0.68 * y) for x, y in disc]
        parts = [(_box(-0.13, 0.2, 0.13, 1), _TRUNK), (crown, _CROWN)]
    elif thing.noun == "boat":
        parts = [
            (_box(-0.05, -0.9, 0.05, 0.5), _TRUNK),
            ([(0.1, -0.9), (0.1, 0.3), (0.85, 0.3)], _SAIL),
            ([(-1, 0.42), (1, 0.42), (0.65, 0.95), (-0.65, 0.95)], fill),
        ]
    else:
        raise ValueError(f"nobody has said how to paint {thing.noun!r}")
    for points, colour in parts:
        _polygon(image, thing, points, colour)


def _polygon(image: Image.Image, thing: Thing, points: list[Point], fill: Colour | None) -> None:
    """Paint `points`, given in radii around the thing's centre."""
    width, height = image.size
    unit = thing.radius * min(width, height)
    left, top = thing.x * width, thing.y * height
    ImageDraw.Draw(image).polygon([(left + x * unit, top + y * unit) for x, y in points], fill=fill)


def _box(left: float, top: float, right: float, bottom: float) -> list[Point]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


# ------------------------------------------------------------------------------------ sampling

_SHARES = {"single": 0.28, "count": 0.16, "pair": 0.36, "between": 0.05, "scene": 0.15}

RELATIONS = {
    "left": ("and", "and", "next to", "beside", "to the left of"),
    "right": ("to the right of",),
    "above": ("above", "above", "over", "on top of"),
    "below": ("below", "under", "beneath", "underneath"),
}

_PREFIXES = (
    "a picture of", "draw", "please draw", "an image of", "a drawing of", "a photo of",
    "paint me", "a nice painting of", "show me", "there is",
)  # fmt: skip
_SUFFIXES = (", please", ", minimalist", ", simple", ", flat", "!", ".")


def is_held_out(caption: str) -> bool:
    """Whether a caption is kept out of all training that reads captions: one in sixteen is."""
    return zlib.crc32(caption.encode()) % 16 == 0


def sample(
    random: Random,
    kind: str | None = None,
    freedom: float = 1.0,
    for_evaluation: bool = False,
) -> Drawing:
    """A drawing of the given kind, or of any, with a caption in one of many wordings.

    Args:
        random: Source of all chance: the same state gives the same drawing.
        kind: One of `KINDS`; None draws one in the proportions of the training set.
        freedom: How far things stray from their usual place and size; 1 is what the base model
            sees, more is for teaching a ControlNet to follow lines instead of habits.
        for_evaluation: Only drawings whose captions are held out of training, else none of them.
    """
    while True:
        drawing = _sample(random, kind, freedom)
        if is_held_out(drawing.caption) == for_evaluation:
            return drawing


def _sample(random: Random, kind: str | None, freedom: float) -> Drawing:
    kind = kind or random.choices(list(_SHARES), list(_SHARES.values()))[0]
    if kind == "scene":
        return _sample_scene(random, freedom)
    ground, says_ground = random.choice(list(COLOURS)), random.random() < 0.82
    if not says_ground:
        ground = "white"
    colours = [colour for colour in COLOURS if colour != ground]
    things, words = {
        "single": _sample_single,
        "count": _sample_count,
        "pair": _sample_pair,
        "between": _sample_between,
    }[kind](random, colours, freedom)
    if says_ground:
        words += random.choice(
            [f" on {a(ground)} background"] * 6
            + [f" on {ground}", f", {ground} background", f" with {a(ground)} background"]
            + [f" on {a(ground)} ground"]
        )
    return Drawing(kind, worded(random, words), ground, tuple(things))


def _sample_single(random: Random, colours: list[str], freedom: float) -> Sample:
    shape, colour = random.choice(SHAPES), random.choice(colours)
    size = random.choice(["", "", "", "", "small", "large"])
    radius = {"": 0.27, "small": 0.145, "large": 0.38}[size]
    place = random.choice(["", "", "", "left", "right", "top", "bottom"])
    x, y = 0.5, 0.5
    if place and size != "large":
        radius = min(radius, 0.2)
        near, far = 0.25, 0.75
        x = {"left": near, "right": far}.get(place, 0.5)
        y = {"top": near, "bottom": far}.get(place, 0.5)
    else:
        place = ""
    thing = _stray(random, Thing(shape, colour, x, y, radius), freedom)
    adjective = {"": "", "small": random.choice(SMALL), "large": random.choice(LARGE)}[size]
    words = a(f"{adjective} {colour} {shape}".strip())
    if not (place or size) and random.random() < 0.15:
        words = f"one {colour} {shape}"
    if place:
        words += random.choice([f" on the {place}", f" at the {place}", f" on the {place} side"])
    elif random.random() < 0.06:
        words += random.choice([" in the middle", " in the centre", " in the center"])
    return [thing], words


def _sample_count(random: Random, colours: list[str], freedom: float) -> Sample:
    count = random.choice([2, 2, 3, 3, 4, 4])
    shape, colour = random.choice(SHAPES), random.choice(colours)
    places, radius = {
        2: ([(0.27, 0.5), (0.73, 0.5)], 0.185),
        3: ([(0.5, 0.27), (0.27, 0.73), (0.73, 0.73)], 0.18),
        4: ([(0.27, 0.27), (0.73, 0.27), (0.27, 0.73), (0.73, 0.73)], 0.175),
    }[count]
    things = _stray_together(
        random, [Thing(shape, colour, x, y, radius) for x, y in places], freedom
    )
    return things, f"{COUNTS[count]} {colour} {plural(shape)}"


def _sample_pair(random: Random, colours: list[str], freedom: float) -> Sample:
    first, second = random.sample(colours, 2)
    relation = random.choice(["left", "left", "left", "right", "above", "above", "below", "below"])
    low, high = 0.27, 0.73
    places = {
        "left": ((low, 0.5), (high, 0.5)),
        "right": ((high, 0.5), (low, 0.5)),
        "above": ((0.5, low), (0.5, high)),
        "below": ((0.5, high), (0.5, low)),
    }[relation]
    things, named = [], []
    for colour, (x, y) in zip((first, second), places, strict=True):
        shape = random.choice(SHAPES)
        size = random.choice(["", "", "", "", "", "", "small", "large"])
        radius = {"": 0.185, "small": 0.13, "large": 0.225}[size]
        adjective = {"": "", "small": random.choice(SMALL), "large": random.choice(LARGE)}[size]
        things.append(_stray(random, Thing(shape, colour, x, y, radius), freedom))
        named.append(a(f"{adjective} {colour} {shape}".strip()))
    return things, f"{named[0]} {random.choice(RELATIONS[relation])} {named[1]}"


def _sample_between(random: Random, colours: list[str], freedom: float) -> Sample:
    middle, outer = random.sample(colours, 2)
    shape, around = random.choice(SHAPES), random.choice(SHAPES)
    things = [
        Thing(around, outer, 0.18, 0.5, 0.14),
        Thing(shape, middle, 0.5, 0.5, 0.14),
        Thing(around, outer, 0.82, 0.5, 0.14),
    ]
    words = f"{a(f'{middle} {shape}')} between two {outer} {plural(around)}"
    return _stray_together(random, things, freedom), words


def _sample_scene(random: Random, freedom: float) -> Drawing:
    sky = random.choice(["day", "day", "sunset", "night"])
    subject = random.choice(
        ["house", "house", "house and tree", "boat", "boat", "trees", "nothing"]
    )
    land = "sea" if subject == "boat" else random.choice(["hills", "hills", "snow"])
    if subject == "nothing":
        land = random.choice(["hills", "snow", "sea"])
    things, words = _sky_things(random, sky)
    colour = random.choice(list(COLOURS))
    if subject == "house":
        things.append(Thing("house", colour, 0.45, 0.62, 0.24))
        named = f"{a(colour)} house"
    elif subject == "house and tree":
        things += [Thing("house", colour, 0.36, 0.62, 0.22), Thing("tree", None, 0.76, 0.62, 0.22)]
        named = f"{a(colour)} house " + random.choice(["and a tree", "next to a tree"])
    elif subject == "boat":
        things.append(Thing("boat", colour, 0.45, 0.62, 0.25))
        named = f"{a(colour)} boat"
    elif subject == "trees":
        count = random.choice([1, 2, 3])
        across = {1: (0.45,), 2: (0.3, 0.65), 3: (0.2, 0.5, 0.8)}[count]
        things += [Thing("tree", None, x, 0.62, 0.22) for x in across]
        named = "a tree" if count == 1 else f"{COUNTS[count]} trees"
    else:
        named = {"hills": "green hills", "snow": "snowy hills", "sea": "the sea"}[land]
    if subject != "nothing":
        usual = land != "snow" and random.random() < 0.4
        named += "" if usual else random.choice(_LAND_WORDS[land])
    things = _stray_together(random, things, 0.6 * freedom)
    return Drawing("scene", worded(random, named + words), sky, tuple(things), land)


_LAND_WORDS = {
    "hills": (" on a hill", " on green hills", " on a green hill", " in the hills"),
    "snow": (" in the snow", " in the snow", " on a snowy hill", " on snow"),
    "sea": (" on the sea", " on the water", " at sea", " on the sea"),
}


def _sky_things(random: Random, sky: str) -> tuple[list[Thing], str]:
    """The sun or moon of a sky and the words for both."""
    if sky == "day":
        if random.random() < 0.35:
            return [], random.choice(["", "", " by day", " in the day"])
        colour = random.choice(["yellow", "yellow", "red", "orange", "white", "pink"])
        named = (
            random.choice([f"{a(colour)} sun", "the sun"])
            if colour == "yellow"
            else a(colour + " sun")
        )
        words = random.choice([" under ", " under ", " and ", " with "]) + named
        return [Thing("sun", colour, 0.78, 0.2, 0.12)], words
    if sky == "sunset":
        colour = random.choice(["yellow", "yellow", "yellow", "red", "orange", "white"])
        words = random.choice([" at sunset", " at sunset", " in the sunset"])
        if colour != "yellow":
            words += random.choice([" under ", " with "]) + a(colour + " sun")
        return [Thing("sun", colour, 0.78, 0.46, 0.13)], words
    moon = random.random()
    if moon < 0.4:
        return [], random.choice(
            [" at night", " at night", " under the stars", " under a starry sky"]
        )
    colour = random.choice(["yellow", "yellow", "white", "white", "orange"])
    named = "the moon" if colour == "yellow" else a(colour + " moon")
    words = random.choice(
        [f" at night under {named}", f" under {named}", f" under {named} and stars",
         f" at night with {named}"]
    )  # fmt: skip
    return [Thing("moon", colour, 0.78, 0.22, 0.12)], words


def _stray(random: Random, thing: Thing, freedom: float) -> Thing:
    return replace(
        thing,
        x=thing.x + random.uniform(-0.025, 0.025) * freedom,
        y=thing.y + random.uniform(-0.025, 0.025) * freedom,
        radius=thing.radius * (1 + random.uniform(-0.08, 0.08) * min(freedom, 2)),
    )


def _stray_together(random: Random, things: list[Thing], freedom: float) -> list[Thing]:
    """Move and scale a whole arrangement, and each thing in it a very little."""
    x, y = (random.uniform(-0.025, 0.025) * freedom for _ in range(2))
    scale = 1 + random.uniform(-0.08, 0.06)
    return [
        replace(
            thing,
            x=thing.x + x + random.uniform(-0.006, 0.006) * freedom,
            y=thing.y + y + random.uniform(-0.006, 0.006) * freedom,
            radius=thing.radius * scale,
        )
        for thing in things
    ]


def worded(random: Random, words: str) -> str:
    """The same request as different people put it."""
    chance = random.random()
    if chance < 0.10:
        return f"{random.choice(_PREFIXES)} {words}"
    if chance < 0.16:
        return words + random.choice(_SUFFIXES)
    if chance < 0.19:
        junk = "".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=random.randint(2, 7)))
        return random.choice([f"{junk} {words}", f"{words} {junk}"])
    return words


def a(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words

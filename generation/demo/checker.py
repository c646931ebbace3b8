"""The judge of the demo model, which tells the objects on a picture from its pixels alone.

It is right on 400 of 400 rendered originals, see tests/generation/demo/test_checker.py.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from PIL import Image, ImageDraw

from generation.demo import drawings
from generation.demo.drawings import SKY_COLOURS, Drawing, Thing, outlines
from generation.demo.edits import Edit
from generation.demo.vocabulary import COLOURS, SHAPES

LEAST_LIKENESS = 0.7
"""An outline that covers less of every shape than this (intersection over union) is none."""

VISIBLE = 64
"""Of 255: what a pixel's red, green or blue differs by that is another colour, and no shade."""

MOST_ASTRAY = 0.01
"""The share of a picture's pixels that look different although nothing was to change there."""

MOST_MISSED = 0.2
"""Of a scene, the share of those that should have changed and did not, or to something else."""

_TEMPLATE = 64


@dataclass(frozen=True)
class Finding:
    """One object found: its shape ("blob" where it is none), colour and centre.

    `x` and `y` are fractions of the picture; `likeness` is the outline's intersection over
    union with the shape, 0 to 1.
    """

    shape: str
    colour: str
    x: float
    y: float
    likeness: float


@dataclass(frozen=True)
class Verdict:
    """The parts of a request that a picture fulfils.

    Attributes:
        ground: The background, or the sky of a scene.
        colours: The objects' colours, each as often as asked for.
        shapes: The objects' shapes, each as often as asked for; always true of a scene.
        objects: Colours and shapes belong together as asked, and none too many.
        places: The objects stand to each other as asked.
    """

    ground: bool
    colours: bool
    shapes: bool
    objects: bool
    places: bool

    @property
    def everything(self) -> bool:
        return self.ground and self.objects and self.places


def judge(image: Image.Image, drawing: Drawing) -> Verdict:
    """Compare a picture with what was asked for. Sizes may differ."""
    if drawing.kind == "scene":
        return _judge_scene(image, drawing)
    ground, found = look(image)
    wanted = drawing.things
    shapes = sorted(f.shape for f in found) == sorted(t.noun for t in wanted)
    colours = sorted(f.colour for f in found) == sorted(t.colour or "" for t in wanted)
    pairs = sorted((f.shape, f.colour) for f in found)
    objects = pairs == sorted((t.noun, t.colour or "") for t in wanted)
    return Verdict(
        ground=ground == drawing.ground,
        colours=colours,
        shapes=shapes,
        objects=objects,
        places=objects and _stand_as_asked(found, drawing),
    )


@dataclass(frozen=True)
class EditVerdict:
    """What became of an edit.

    Attributes:
        done: What was to change has changed, as it should and where it is.
        kept: All else is as it was, and nothing came in addition.
    """

    done: bool
    kept: bool


def judge_edit(shown: Image.Image, drawn: Image.Image, edit: Edit) -> EditVerdict:
    """Compare the picture *drawn* of the picture *shown*, of its size, with what was asked for.

    What changes is told by the renderer: elsewhere hardly any pixels may look different.
    """
    before, after = (drawings.render(drawing, *drawn.size) for drawing in (edit.before, edit.after))
    changes = _differs(before, after, 24)
    side = 2 * (min(drawn.size) // 32) + 1
    near = cv2.dilate(changes.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    kept = bool((_differs(shown, drawn, VISIBLE) & ~near).mean() <= MOST_ASTRAY)
    if edit.after.kind == "scene":
        missed = (_differs(drawn, after, VISIBLE) & changes).sum() / max(1, changes.sum())
        return EditVerdict(bool(missed <= MOST_MISSED), kept)
    ground, found = look(drawn)
    left = list(found)
    missing = [thing for thing in edit.after.things if not _takes(left, thing)]
    done = all(thing in edit.before.things for thing in missing)
    kept &= all(thing not in edit.before.things for thing in missing)
    if edit.sort == "ground":
        done &= ground == edit.after.ground
    else:
        kept &= ground == edit.after.ground
    gone = [thing for thing in edit.before.things if thing not in edit.after.things]
    for finding in left:
        if any(_is_at(finding, thing) for thing in gone):
            done = False
        else:
            kept = False
    return EditVerdict(done, kept)


def _takes(found: list[Finding], thing: Thing) -> bool:
    """Take out of what was found what the thing is; whether there was any."""
    for finding in found:
        if (finding.shape, finding.colour) == (thing.noun, thing.colour) and _is_at(finding, thing):
            found.remove(finding)
            return True
    return False


def _is_at(finding: Finding, thing: Thing) -> bool:
    return abs(finding.x - thing.x) < 0.08 and abs(finding.y - thing.y) < 0.08


def _differs(one: Image.Image, other: Image.Image, by: int) -> np.ndarray:
    """(height, width) of bool: where two pictures differ by more than so many of 255."""
    first, second = (np.asarray(image.convert("RGB")).astype(np.int16) for image in (one, other))
    differs: np.ndarray = np.abs(first - second).max(axis=-1) > by
    return differs


def look(image: Image.Image) -> tuple[str, list[Finding]]:
    """The colour of a plain ground and the objects on it, biggest first."""
    pixels = np.asarray(image.convert("RGB")).astype(np.int16)
    rim = max(2, min(pixels.shape[:2]) // 40)
    border = np.concatenate(
        [
            part.reshape(-1, 3)
            for part in (pixels[:rim], pixels[-rim:], pixels[:, :rim], pixels[:, -rim:])
        ]
    )
    ground = np.median(border, axis=0)
    mask = foreground(image, ground)
    count, labels, boxes, centres = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=4
    )
    least_area = 0.0035 * mask.size
    found = []
    for label in sorted(range(1, count), key=lambda k: -boxes[k][cv2.CC_STAT_AREA]):
        left, top, width, height, area = boxes[label]
        if area < least_area:
            continue
        own = labels == label
        shape, likeness = _nearest_shape(own[top : top + height, left : left + width])
        colour = nearest_colour(np.median(pixels[own], axis=0), COLOURS)
        x, y = centres[label]
        found.append(Finding(shape, colour, x / mask.shape[1], y / mask.shape[0], likeness))
    return nearest_colour(ground, COLOURS), found


def foreground(image: Image.Image, ground: np.ndarray | None = None) -> np.ndarray:
    """(height, width) of bool: where a picture differs from its ground, by default its border."""
    pixels = np.asarray(image.convert("RGB")).astype(np.int16)
    if ground is None:
        ground = np.median(np.concatenate([pixels[:3], pixels[-3:]]).reshape(-1, 3), axis=0)
    stands_out: np.ndarray = np.abs(pixels - ground).sum(axis=-1) > 75
    return stands_out


def unevenness(image: Image.Image) -> float:
    """Grey levels, on average, by which a plain picture's parts differ from their own colours,
    outlines aside. A few tenths are invisible; from about 1 on there is a grid of patches."""
    pixels = np.asarray(image.convert("RGB"), np.float32)
    palette = np.array(list(COLOURS.values()), np.float32)
    names = ((pixels[:, :, None] - palette) ** 2).sum(axis=-1).argmin(axis=-1).astype(np.uint8)
    is_plain = cv2.morphologyEx(names, cv2.MORPH_GRADIENT, np.ones((9, 9), np.uint8)) == 0
    parts = [pixels[is_plain & (names == name)] for name in range(len(palette))]
    far = [np.abs(part - np.median(part, axis=0)) for part in parts if len(part)]
    return float(np.concatenate(far).mean())


def nearest_colour(rgb: np.ndarray, colours: dict[str, tuple[int, int, int]]) -> str:
    return min(colours, key=lambda name: float(((np.array(colours[name]) - rgb) ** 2).sum()))


def _nearest_shape(mask: np.ndarray) -> tuple[str, float]:
    square = cv2.resize(
        mask.astype(np.uint8) * 255, (_TEMPLATE, _TEMPLATE), interpolation=cv2.INTER_LINEAR
    )
    solid = square > 127
    scores = {
        shape: float((solid & template).sum() / (solid | template).sum())
        for shape, template in _templates().items()
    }
    best = max(scores, key=lambda shape: scores[shape])
    return (best if scores[best] >= LEAST_LIKENESS else "blob"), scores[best]


@cache
def _templates() -> dict[str, np.ndarray]:
    """Every shape's mask, stretched to fill a square."""
    masks = {}
    for shape in SHAPES:
        outer, *holes = [np.array(points) for points in outlines(shape)]
        low, high = outer.min(axis=0), outer.max(axis=0)
        image = Image.new("L", (_TEMPLATE, _TEMPLATE))
        draw = ImageDraw.Draw(image)
        for points, fill in [(outer, 255), *((hole, 0) for hole in holes)]:
            stretched = (points - low) / (high - low) * _TEMPLATE
            draw.polygon([tuple(point) for point in stretched], fill=fill)
        masks[shape] = np.asarray(image) > 127
    return masks


def _stand_as_asked(found: list[Finding], drawing: Drawing) -> bool:
    """Every object is nearest to the place where one like it belongs, within a quarter."""
    left = list(found)
    for thing in drawing.things:
        alike = [f for f in left if (f.shape, f.colour) == (thing.noun, thing.colour)]
        nearest = min(alike, key=lambda f: (f.x - thing.x) ** 2 + (f.y - thing.y) ** 2)
        if (nearest.x - thing.x) ** 2 + (nearest.y - thing.y) ** 2 > 0.2**2:
            return False
        left.remove(nearest)
    return True


def _judge_scene(image: Image.Image, drawing: Drawing) -> Verdict:
    """The sky by its upper edge; every coloured thing by its colour near its place."""
    pixels = np.asarray(image.convert("RGB")).astype(np.float32)
    height, width = pixels.shape[:2]
    top = np.median(pixels[: max(1, height // 16)].reshape(-1, 3), axis=0)
    sky = nearest_colour(top, {name: colours[0] for name, colours in SKY_COLOURS.items()})
    seen = True
    for thing in drawing.things:
        if thing.colour is None:
            continue
        unit = thing.radius * min(width, height)
        x, y = thing.x * width, thing.y * height
        near = pixels[
            int(max(0, y - 1.3 * unit)) : int(y + 1.3 * unit),
            int(max(0, x - 1.3 * unit)) : int(x + 1.3 * unit),
        ]
        far_off = np.abs(near - np.array(COLOURS[thing.colour])).max(axis=-1)
        seen &= (far_off < 45).sum() > 0.25 * unit**2
    return Verdict(sky == drawing.ground, seen, True, seen, seen)

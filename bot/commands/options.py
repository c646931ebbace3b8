"""The options and their values: one table for parsing, help and completion."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

from bot.commands.sizes import SHAPES
from bot.commands.vocabulary import MAX_IMAGES, MAX_SERIES, AskedLora, Notify
from bot.commands.words import listed, printable, shown
from generation.checks import (
    MAX_LORA_SCALE,
    MAX_SEED,
    MAX_SIZE,
    MAX_STEPS,
    MIN_SIZE,
    SIZE_MULTIPLE,
)
from generation.types import REGIONS

_SIDES = re.compile(r"(\d{1,9})[xX×*](\d{1,9})")
_RATIO = re.compile(r"(\d{1,4})[:/](\d{1,4})")
_NAME = re.compile(r"[\w.+-]+")
#: Parts of a picture, as shares of what is cut away: from the left, and from the top.
PLACES: dict[str, tuple[float, float]] = {
    "left": (0.0, 0.5),
    "right": (1.0, 0.5),
    "top": (0.5, 0.0),
    "bottom": (0.5, 1.0),
    "center": (0.5, 0.5),
}
#: Sides of a picture that can be continued, and percentages of it: the usual one, and the most.
SIDES = ("left", "top", "right", "bottom")
ADDED, MOST_ADDED = 25, 200
_SHARE = re.compile(r"\d{1,4}%?")
_REGION_FILLERS = ("the", "half", "corner", "part", "quarter", "side")
_REGION_WORDS = {
    "centre": "center",
    "middle": "center",
    "upper": "top",
    "lower": "bottom",
}
_WIDEST = MAX_SIZE // MIN_SIZE
#: What is typed where no LoRA is wanted.
NO_LORAS = "none"


class WrongValue(Exception):
    """A value that does not fit; the message goes on a sentence that begins with the option."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number from `lowest` to `highest`, both included; ``3,5`` is 3.5. Without one the dice
    decide, if `is_dice`."""

    lowest: int
    highest: int
    is_whole: bool = False
    is_dice: bool = False

    @property
    def description(self) -> str:
        if self.is_whole:
            return f"a whole number between {self.lowest} and {self.highest}"
        return f"a number between {self.lowest} and {self.highest}"

    def read(self, text: str, field: str) -> dict[str, Any]:
        try:
            value = int(text) if self.is_whole else float(text.replace(",", "."))
        except ValueError:
            value = math.nan  # out of every range
        if not self.lowest <= value <= self.highest:
            raise WrongValue(
                f"must be {self.description}, not {shown(text)}; leave it out for a new one"
                if self.is_dice
                else f"must be {self.description}, not {shown(text)}"
            )
        return {field: value}


@dataclass(frozen=True, slots=True)
class Several:
    """One number, or several with commas between them, each from 0 to 1; ``0,5`` alone is 0.5."""

    description: ClassVar[str] = "a number between 0 and 1"

    def read(self, text: str, field: str) -> dict[str, Any]:
        is_one = text.count(",") < 2 and "." not in text
        parts = [text.replace(",", ".")] if is_one else text.split(",")
        try:
            values = tuple(float(part) for part in parts)
        except ValueError:
            values = (math.nan,)  # out of every range
        if not all(0 <= value <= 1 for value in values):
            raise WrongValue(f"must be {self.description}, not {shown(text)}")
        return {field: values[0] if len(values) == 1 else values}

    def typed(self, value: float | tuple[float, ...]) -> str:
        """*value* as it is typed. Of several each has a point: without any ``0,1`` is 0.1."""
        return ",".join(map(str, map(float, value))) if isinstance(value, tuple) else f"{value:g}"


class Ratio:
    """Width to height, or the name of a shape."""

    description = f"width to height, such as 16:9, or a shape: {listed(SHAPES)}"

    def read(self, text: str, field: str) -> dict[str, Any]:
        if named := SHAPES.get(text.lower()):
            return {field: named}
        ratio = _RATIO.fullmatch(text)
        if not ratio:
            raise WrongValue(f"must be {self.description}, not {shown(text)}")
        width, height = int(ratio[1]), int(ratio[2])
        if not 0 < width <= _WIDEST * height or not 0 < height <= _WIDEST * width:
            raise WrongValue(f"must be between 1:{_WIDEST} and {_WIDEST}:1, not {printable(text)}")
        return {field: (width, height)}


class Size(Ratio):
    """Both sides, as ``1024x768``; or a shape, which leaves the number of pixels open."""

    description = f"both sides, such as 1024x768, or a shape: {listed(SHAPES)}"

    def read(self, text: str, field: str) -> dict[str, Any]:
        sides = _SIDES.fullmatch(text)
        if not sides:
            return super().read(text, "aspect_ratio")
        asked = (int(sides[1]), int(sides[2]))
        nearest = [
            min(max(SIZE_MULTIPLE * round(side / SIZE_MULTIPLE), MIN_SIZE), MAX_SIZE)
            for side in asked
        ]
        if nearest != list(asked):
            raise WrongValue(
                f"sides must be multiples of {SIZE_MULTIPLE} from {MIN_SIZE} to {MAX_SIZE},"
                f" not {printable(text)}: try {nearest[0]}x{nearest[1]}"
                # Both sides at their longest would have more pixels than are drawn anywhere.
                if max(asked) <= MAX_SIZE
                else f"sides must be multiples of {SIZE_MULTIPLE} from {MIN_SIZE} to {MAX_SIZE},"
                f" not {printable(text)}"
            )
        return {"width": asked[0], "height": asked[1]}


@dataclass(frozen=True, slots=True)
class Text:
    """Words, in quotes if there are several; or one name, where capitals do not matter."""

    description: str
    is_name: bool = False

    def read(self, text: str, field: str) -> dict[str, Any]:
        if self.is_name and not _NAME.fullmatch(text):
            raise WrongValue(f"must be {self.description}, not {shown(text)}")
        return {field: text.lower() if self.is_name else text}


@dataclass(frozen=True, slots=True)
class Names:
    """Names with commas between them, each once; capitals do not matter.

    Attributes:
        known: The only ones; empty where any may be one.
    """

    description: str
    known: tuple[str, ...] = ()

    def read(self, text: str, field: str) -> dict[str, Any]:
        names = [name.lower() for name in text.replace(" ", "").split(",") if name]
        if not names or not all(map(_NAME.fullmatch, names)):
            raise WrongValue(f"must be {self.description}, not {shown(text)}")
        if self.known and not set(names) <= set(self.known):
            raise WrongValue(f"must be {self.description}, not {shown(text)}")
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise WrongValue(f"has {shown(twice)} twice; keep one")
        return {field: tuple(names)}


class Loras:
    """Names of LoRAs, each perhaps with a weight; or `NO_LORAS`."""

    description = "a LoRA, perhaps with a weight, such as ink:0.8; several with commas, or none"

    def read(self, text: str, field: str) -> dict[str, Any]:
        if text.strip().lower() == NO_LORAS:
            return {field: ()}
        asked: tuple[AskedLora, ...] = ()
        for part in filter(None, map(str.strip, text.split(","))):
            name, colon, scale = (piece.strip() for piece in part.partition(":"))
            if not _NAME.fullmatch(name) or name.lower() == NO_LORAS:
                raise WrongValue(f"must be {self.description}, not {shown(text)}")
            weight = self._weight(scale) if colon else None
            asked = self.joined(asked, (AskedLora(name.lower(), weight),))
        if not asked:
            raise WrongValue(f"must be {self.description}, not {shown(text)}")
        return {field: asked}

    @staticmethod
    def _weight(text: str) -> float:
        weight = Number(-MAX_LORA_SCALE, MAX_LORA_SCALE)
        try:
            return float(weight.read(text, "lora_scale")["lora_scale"])
        except WrongValue:
            raise WrongValue(
                f"takes a weight between {weight.lowest} and {weight.highest}, not {shown(text)}"
            ) from None

    def joined(
        self, asked: tuple[AskedLora, ...], more: tuple[AskedLora, ...]
    ) -> tuple[AskedLora, ...]:
        """*asked* and *more*.

        Raises:
            WrongValue: One is in both, or one of them says that none is wanted.
        """
        if asked and not more:
            raise WrongValue(f"is {NO_LORAS}, and one of them too; keep one")
        names = {each.name for each in asked}
        if twice := next((each.name for each in more if each.name in names), None):
            raise WrongValue(f"has {shown(twice)} twice; keep one")
        return (*asked, *more)


class Place:
    """The part of a picture that is kept: its side, or shares from the left and from the top."""

    description = f"{listed(PLACES)}, or two shares from 0 to 1, such as 0.5,0.2"

    def read(self, text: str, field: str) -> dict[str, Any]:
        place = PLACES.get(text.lower())
        if place is None:
            try:
                across, down = (float(share) for share in text.split(","))
            except ValueError:
                raise WrongValue(f"must be {self.description}, not {shown(text)}") from None
            place = (across, down)
        if not all(0 <= share <= 1 for share in place):
            raise WrongValue(f"must be {self.description}, not {shown(text)}")
        return {"crop_x": place[0], "crop_y": place[1]}


class Region:
    """A part of a picture, by its name or by words such as "the left half"."""

    description = f"a part of the picture: {listed(REGIONS)}"

    def read(self, text: str, field: str) -> dict[str, Any]:
        name = region_in(text)
        if name is None:
            raise WrongValue(f"must be {self.description}, not {shown(text)}")
        return {field: name}


class Sides:
    """How far a picture is continued, on every side or on some."""

    description = (
        f"a share from 1% to {MOST_ADDED}%, or sides, such as 25%, left or left:25%,top:10%"
    )

    def read(self, text: str, field: str) -> dict[str, Any]:
        if _SHARE.fullmatch(text):
            return {field: f"{self._share(text, text)}%"}
        sides: dict[str, int] = {}
        parts = text.lower().replace("%", "% ").replace(",", " ").replace(":", " ").split()
        while parts:
            side = parts.pop(0)
            given = parts.pop(0) if parts and _SHARE.fullmatch(parts[0]) else f"{ADDED}%"
            if side not in SIDES or side in sides:
                raise WrongValue(f"must be {self.description}, not {shown(text)}")
            sides[side] = self._share(given, text)
        if not sides:
            raise WrongValue(f"must be {self.description}, not {shown(text)}")
        return {field: ",".join(f"{side}:{sides[side]}%" for side in SIDES if side in sides)}

    def _share(self, given: str, text: str) -> int:
        share = int(given.rstrip("%"))
        if not 1 <= share <= MOST_ADDED:
            raise WrongValue(f"must be {self.description}, not {shown(text)}")
        return share


def region_in(text: str) -> str | None:
    """The part of a picture that *text* names ("left", "the upper half"); None for any other."""
    words = [word for word in re.split(r"[\s_-]+", text.lower()) if word]
    words = [_REGION_WORDS.get(word, word) for word in words if word not in _REGION_FILLERS]
    name = "-".join(sorted(words, key=["top", "bottom"].__contains__, reverse=True))
    return name if name in REGIONS else None


def shares_of(outpaint: str) -> dict[str, float]:
    """The share by which each side is continued, of a command's `outpaint`."""
    if ":" not in outpaint:
        return dict.fromkeys(SIDES, int(outpaint.rstrip("%")) / 100)
    pairs = (part.split(":") for part in outpaint.split(","))
    return {side: int(share.rstrip("%")) / 100 for side, share in pairs}


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of `words`."""

    words: tuple[str, ...]

    @property
    def description(self) -> str:
        return f"one of {listed(self.words)}"

    def read(self, text: str, field: str) -> dict[str, Any]:
        if text.lower() not in self.words:
            raise WrongValue(f"must be {self.description}, not {shown(text)}")
        return {field: text.lower()}


class Switch:
    """On or off."""

    description = "on or off"
    _WORDS: ClassVar = {"on": True, "yes": True, "off": False, "no": False}

    def read(self, text: str, field: str) -> dict[str, Any]:
        if text.lower() not in self._WORDS:
            raise WrongValue(f"must be {self.description}, not {shown(text)}")
        return {field: self._WORDS[text.lower()]}


@dataclass(frozen=True, slots=True)
class Flag:
    """A word that has no value behind it, and sets `value` by being there."""

    value: Any = True
    description: str = ""

    def read(self, text: str, field: str) -> dict[str, Any]:
        return {field: self.value}


Value = Number | Several | Ratio | Place | Region | Sides | Text | Names | Loras | OneOf | Switch


@dataclass(frozen=True, slots=True)
class Option:
    """One option, written behind ``--``.

    Attributes:
        name: As typed.
        fields: Fields of the command that the option sets; errors name the first. Options that
            share a field exclude each other.
        kind: Kind of value; `Number` has the range.
        help: One sentence.
        example: A value, as typed.
        aliases: Other names.
    """

    name: str
    fields: tuple[str, ...]
    kind: Value | Flag
    help: str
    example: str
    aliases: tuple[str, ...] = ()

    @property
    def field(self) -> str:
        return self.fields[0]

    @property
    def value(self) -> str:
        """The values allowed, in words."""
        return self.kind.description


OPTIONS: tuple[Option, ...] = (
    Option(
        "preset",
        ("preset",),
        Text("the name of a preset", is_name=True),
        "The preset to draw with; say presets for a list, and for which of them need a picture.",
        "canny",
    ),
    Option(
        "steps",
        ("num_inference_steps",),
        Number(1, MAX_STEPS, is_whole=True),
        "Denoising steps: more take longer and cost more, but add detail.",
        "20",
        aliases=("num-inference-steps",),
    ),
    Option(
        "size",
        ("width", "height", "aspect_ratio"),
        Size(),
        f"Size of the picture in pixels; both sides are multiples of {SIZE_MULTIPLE}"
        f" from {MIN_SIZE} to {MAX_SIZE}.",
        "1024x768",
    ),
    Option(
        "ar",
        ("aspect_ratio",),
        Ratio(),
        "Shape of the picture; the number of pixels stays the same.",
        "16:9",
        aliases=("aspect", "aspect-ratio"),
    ),
    Option(
        "guidance",
        ("guidance_scale",),
        Number(0, 30),
        "How closely the picture follows the prompt.",
        "3.5",
        aliases=("cfg", "guidance-scale"),
    ),
    Option(
        "seed",
        ("seed",),
        Number(0, MAX_SEED, is_whole=True, is_dice=True),
        "Random seed: the same number gives the same picture.",
        "7",
    ),
    Option(
        "images",
        ("images",),
        Number(1, MAX_IMAGES, is_whole=True),
        "How many pictures; their seeds count up.",
        "4",
    ),
    Option(
        "strength",
        ("strength",),
        Several(),
        "With a ControlNet preset, how closely to follow your picture; with one that redraws,"
        " how far to change it: 0 keeps it, 1 ignores it.",
        "0.7",
    ),
    Option(
        "control-start",
        ("control_guidance_start",),
        Several(),
        "With a ControlNet preset, the share of the steps after which it begins.",
        "0.1",
        aliases=("control-guidance-start",),
    ),
    Option(
        "control-end",
        ("control_guidance_end",),
        Several(),
        "With a ControlNet preset, the share of the steps after which it lets go.",
        "0.8",
        aliases=("control-guidance-end",),
    ),
    Option(
        "crop",
        ("crop_x", "crop_y"),
        Place(),
        "Which part of an attached picture of another shape is kept.",
        "top",
    ),
    Option(
        "mask",
        ("mask",),
        Region(),
        "With a preset that inpaints, the part of your picture that is drawn anew.",
        "left",
    ),
    Option(
        "outpaint",
        ("outpaint",),
        Sides(),
        "With a preset that inpaints, how far to continue your picture over its edges.",
        "25%",
    ),
    Option(
        "lora",
        ("loras",),
        Loras(),
        "A LoRA beside the preset's, and its weight; below 0 it does the opposite. Several add up;"
        " say loras for a list.",
        "ink:0.8",
        aliases=("loras",),
    ),
    Option(
        "negative",
        ("negative_prompt",),
        Text("what the picture must not show, in quotes"),
        "What to avoid; steps take twice as long.",
        '"blurry"',
        aliases=("no", "negative-prompt"),
    ),
)

#: Options that make several jobs of one text; see `bot.commands.series`.
SERIES: tuple[Option, ...] = (
    Option(
        "repeat",
        ("repeat",),
        Number(1, MAX_SERIES, is_whole=True),
        "How many times to draw it, each with a new seed, shown together.",
        "3",
    ),
    Option(
        "presets",
        ("presets", "preset"),
        Names("names of presets with commas between them"),
        "A contact sheet: the same words, seed and picture through several presets.",
        "canny,redraw",
    ),
)

#: The option that asks for a draft.
DRAFT = Option(
    "draft",
    ("draft",),
    Flag(),
    "A quick look with few steps and pixels; final draws the picture itself from the same words"
    " and seed.",
    "",
)

#: The option that people type, by field of a command (diffusers' name where it has one).
WORDS: dict[str, str] = {name: each.name for each in OPTIONS for name in each.fields}

#: Options of a picture, of several, and of a history, by name and alias.
IMAGINE: dict[str, Option] = {name: each for each in OPTIONS for name in (each.name, *each.aliases)}
DRAW: dict[str, Option] = IMAGINE | {each.name: each for each in (*SERIES, DRAFT)}
#: All of what is drawn, as help and completion have them.
DRAWING: tuple[Option, ...] = (*OPTIONS, *SERIES, DRAFT)
NOTIFY = Option(
    "notify",
    ("notify",),
    OneOf(get_args(Notify)),
    "When to tell you that a picture is done: after a long wait, always, never, or after a long"
    " wait by direct message.",
    "always",
)
SHOWCASE = Option(
    "showcase",
    ("showcase",),
    Switch(),
    "Whether others may vote for your pictures, and the best may be shown.",
    "off",
)
REMIX = Option(
    "remix",
    ("remix",),
    Switch(),
    "Whether others may build on your pictures: draw them again, vary them, make them larger.",
    "off",
)
#: Options of settings alone.
OWN: tuple[Option, ...] = (NOTIFY, SHOWCASE, REMIX)
SETTINGS: dict[str, Option] = {**IMAGINE, **{each.name: each for each in OWN}}
#: What `expand` says more about.
AXES = ("camera", "light", "mood", "style")
EXPAND: dict[str, Option] = IMAGINE | {
    "axes": Option(
        "axes",
        ("axes",),
        Names("camera, light, mood or style, with commas between them", AXES),
        "What the richer words are about.",
        "camera,light",
    )
}
AGAIN: dict[str, Option] = DRAW | {
    "same": Option("same", ("same",), Flag(), "Exactly the same pixels.", "")
}
VARY: dict[str, Option] = DRAW | {
    name: Option(name, ("how",), Flag(name), sentence, "")
    for name, sentence in (
        ("subtle", "Stay close to the picture."),
        ("strong", "Go far from the picture."),
    )
}
HISTORY: dict[str, Option] = {
    "page": Option("page", ("page",), Number(1, 10**6, is_whole=True), "Which page, from 1.", "2")
}


def normal(name: str) -> str:
    return name.lower().replace("_", "-")


def _shortened(word: str) -> set[str]:
    return {word, *(word[:index] + word[index + 1 :] for index in range(len(word)))}


def is_slip(name: str, names: Iterable[str]) -> bool:
    """Whether *name* is a letter more, less, wrong or swapped away from one of *names*.

    Two such words have a word of one letter less in common. The question comes up for every
    dash in a text, where difflib would take too long.
    """
    if not 4 <= len(name) <= 24:
        return False
    near = (each for each in names if len(each) >= 4 and abs(len(each) - len(name)) <= 1)
    return any(not _shortened(name).isdisjoint(_shortened(each)) for each in near)

"""The kinds of values of options: each reads what is typed, and says in words what may be."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, ClassVar

from bot.commands.sizes import SHAPES
from bot.commands.vocabulary import AskedLora
from bot.commands.words import listed, printable, shown
from generation.checks import MAX_LORA_SCALE, MAX_SIZE, MIN_SIZE, SIZE_MULTIPLE
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
    """A part of a picture, by its name, by words such as "the left half", or by numbers of its nine
    fields, such as ``1,2,5``."""

    description = (
        f"a part of the picture: {listed(REGIONS)}; or some of its nine fields, counted as on a"
        " phone, such as 1,2,5"
    )

    def read(self, text: str, field: str) -> dict[str, Any]:
        name = fields_in(text) or region_in(text)
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


def fields_in(text: str) -> str | None:
    """The fields of a picture that *text* numbers ("1,2,5"), each once and in their order; None
    for any other."""
    numbers = text.replace(" ", "").split(",")
    if not all(re.fullmatch("[1-9]", each, re.ASCII) for each in numbers):
        return None
    return ",".join(sorted(set(numbers)))


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

"""The options, and what their values may be: one table for parsing, help and completion."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from bot.commands.sizes import SHAPES
from bot.commands.vocabulary import MAX_IMAGES
from bot.commands.words import GAP, listed, printable, shown
from generation.types import MAX_SEED, MAX_SIZE, MAX_STEPS, MIN_SIZE, SIZE_MULTIPLE

_DECIMAL = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:e[+-]?\d+)?", re.IGNORECASE)
_SIDES = re.compile(rf"(\d{{1,9}}){GAP}*[xX×*х]{GAP}*(\d{{1,9}})")
_RATIO = re.compile(rf"(\d{{1,4}}){GAP}*[:：/]{GAP}*(\d{{1,4}})")
_NAME = re.compile(r"[\w.+-]+")


class WrongValue(Exception):
    """A value does not fit: the rest of a sentence that begins with the option's name."""

    def __init__(self, sentence: str, field: str | None = None) -> None:
        super().__init__(sentence)
        self.field = field


@dataclass(frozen=True, slots=True)
class Number:
    """A number from `lowest` to `highest`, both included; ``3,5`` is 3.5."""

    lowest: int
    highest: int
    is_whole: bool = False
    remark: str = ""

    @property
    def description(self) -> str:
        return f"a {'whole ' * self.is_whole}number from {self.lowest} to {self.highest}"

    def read(self, text: str, field: str) -> dict[str, Any]:
        value: float | None = None
        if _DECIMAL.fullmatch(text):
            value = float(text.replace(",", "."))
            if self.is_whole and self.lowest <= value <= self.highest:
                value = int(value) if text.isdecimal() else None  # 20.0 is a slip
        bounds = f"between {self.lowest} and {self.highest}"
        if value is None:
            kind = "whole number" if self.is_whole else "number"
            raise WrongValue(f"must be a {kind} {bounds}, not {shown(text)}{self.remark}")
        if not self.lowest <= value <= self.highest:
            raise WrongValue(f"must be {bounds}, not {printable(text)}{self.remark}")
        return {field: value}


@dataclass(frozen=True, slots=True)
class Size:
    """Both sides, as ``1024x768``; or a shape, which leaves the number of pixels open."""

    @property
    def description(self) -> str:
        return f"both sides, such as 1024x768, or {listed(SHAPES)}"

    def read(self, text: str, field: str) -> dict[str, Any]:
        if shape := _shape(text):
            return {"aspect_ratio": shape}
        sides = _SIDES.fullmatch(text)
        if not sides:
            raise WrongValue(f"must be {self.description}, not {shown(text)}")
        size = {"width": int(sides[1]), "height": int(sides[2])}
        for side, pixels in size.items():
            if not MIN_SIZE <= pixels <= MAX_SIZE:
                raise WrongValue(
                    f"must have sides between {MIN_SIZE} and {MAX_SIZE} pixels,"
                    f" not a {side} of {pixels}",
                    side,
                )
        odd = [side for side, pixels in size.items() if pixels % SIZE_MULTIPLE]
        if odd:
            nearest = "x".join(
                str(SIZE_MULTIPLE * round(pixels / SIZE_MULTIPLE)) for pixels in size.values()
            )
            raise WrongValue(
                f"must have sides that are multiples of {SIZE_MULTIPLE},"
                f" not {printable(text)}: try {nearest}",
                odd[0],
            )
        return size


@dataclass(frozen=True, slots=True)
class Ratio:
    """Width to height."""

    @property
    def description(self) -> str:
        return f"width to height, such as 16:9, or {listed(SHAPES)}"

    def read(self, text: str, field: str) -> dict[str, Any]:
        shape = _shape(text)
        if shape is None:
            raise WrongValue(f"must be {self.description}, not {shown(text)}")
        return {field: shape}


@dataclass(frozen=True, slots=True)
class Name:
    """One word; capitals do not matter."""

    description: str

    def read(self, text: str, field: str) -> dict[str, Any]:
        name = text.lower()
        if not _NAME.fullmatch(name):
            raise WrongValue(f"must be {self.description}, not {shown(text)}")
        return {field: name}


@dataclass(frozen=True, slots=True)
class Text:
    """Words, in quotes if there are several."""

    description: str

    def read(self, text: str, field: str) -> dict[str, Any]:
        return {field: text}


def _shape(text: str) -> tuple[int, int] | None:
    """A named shape or a ratio; None if *text* looks like neither."""
    if named := SHAPES.get(text.lower()):
        return named
    if not (ratio := _RATIO.fullmatch(text)):
        return None
    width, height = int(ratio[1]), int(ratio[2])
    widest = MAX_SIZE // MIN_SIZE
    if not 0 < width <= widest * height or not 0 < height <= widest * width:
        raise WrongValue(f"must be between 1:{widest} and {widest}:1, not {printable(text)}")
    return width, height


@dataclass(frozen=True, slots=True)
class Option:
    """What may stand behind ``--``.

    Attributes:
        name: What people type.
        fields: The fields of the command that it sets; two options that share one exclude
            each other.
        kind: What its value may be; `Number` has the range.
        help: One sentence.
        example: A value, as typed.
        aliases: Other names for it.
        tried: Names that people bring from other bots; they are errors that point here.
    """

    name: str
    fields: tuple[str, ...]
    kind: Number | Size | Ratio | Name | Text
    help: str
    example: str
    aliases: tuple[str, ...] = ()
    tried: tuple[str, ...] = ()

    @property
    def field(self) -> str:
        """The field to name in an error."""
        return self.fields[0]

    @property
    def value(self) -> str:
        """What its value may be, in words."""
        return self.kind.description


OPTIONS: tuple[Option, ...] = (
    Option(
        "preset",
        ("preset",),
        Name("the name of a preset"),
        "A way of making pictures; presets lists them, and which of them need a picture from you.",
        "canny",
        tried=("style", "model", "controlnet"),
    ),
    Option(
        "steps",
        ("num_inference_steps",),
        Number(1, MAX_STEPS, is_whole=True),
        "Denoising steps: more take longer, cost more and draw finer.",
        "20",
        aliases=("num-inference-steps",),
        tried=("quality", "q"),
    ),
    Option(
        "size",
        ("width", "height", "aspect_ratio"),
        Size(),
        f"Size of the picture in pixels, sides being multiples of {SIZE_MULTIPLE}"
        f" from {MIN_SIZE} to {MAX_SIZE}.",
        "1024x768",
        aliases=("resolution",),
        tried=("width", "height", "w", "h"),
    ),
    Option(
        "ar",
        ("aspect_ratio",),
        Ratio(),
        "Shape of the picture, with as many pixels as it would have anyway.",
        "16:9",
        aliases=("aspect", "aspect-ratio"),
    ),
    Option(
        "guidance",
        ("guidance_scale",),
        Number(0, 30),
        "How closely the picture follows the prompt.",
        "3.5",
        aliases=("cfg", "guidance-scale", "cfg-scale"),
        tried=("scale", "stylize"),
    ),
    Option(
        "seed",
        ("seed",),
        Number(0, MAX_SEED, is_whole=True, remark="; leave it out for a new one"),
        "Number that the picture starts from: the same seed makes the same picture.",
        "7",
    ),
    Option(
        "images",
        ("images",),
        Number(1, MAX_IMAGES, is_whole=True),
        "How many pictures, with seeds that count up.",
        "4",
        aliases=("repeat",),
        tried=("n", "count", "batch", "number"),
    ),
    Option(
        "strength",
        ("strength",),
        Number(0, 1),
        "How far to leave the picture that you attached: 0 keeps it, 1 forgets it.",
        "0.7",
        aliases=("denoise",),
        tried=("iw",),
    ),
    Option(
        "negative",
        ("negative_prompt",),
        Text("what the picture must not show, in quotes"),
        "What to avoid; it doubles the time of a step.",
        '"blurry"',
        aliases=("no", "neg", "negative-prompt"),
    ),
)

#: Fields of a command (diffusers' names where diffusers has one) to what people type.
WORDS: dict[str, str] = {name: each.name for each in OPTIONS for name in each.fields}


class Table:
    """Options by every name that they have.

    Attributes:
        options: As documented.
        named: Options by name and alias.
        nearly: Each longer name with one letter less; see `shortened`.
    """

    def __init__(self, options: tuple[Option, ...]) -> None:
        self.options = options
        self.named = {name: each for each in options for name in (each.name, *each.aliases)}
        self.nearly = {short for name in self.named if len(name) >= 4 for short in shortened(name)}


def shortened(word: str) -> set[str]:
    """*word*, and *word* without each of its letters.

    Two words that share one of these are a letter more, less, wrong or swapped
    apart. This is asked of every dash in a text, where difflib would take too long.
    """
    return {word, *(word[:index] + word[index + 1 :] for index in range(len(word)))}


IMAGINE = Table(OPTIONS)
HISTORY = Table(
    (Option("page", ("page",), Number(1, 10**6, is_whole=True), "Which page, from 1.", "2"),)
)


def normal(name: str) -> str:
    return name.lower().replace("_", "-")

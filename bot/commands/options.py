"""The options: one table for parsing, help and completion."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from bot.commands.values import (
    Flag,
    Loras,
    Names,
    Number,
    OneOf,
    Place,
    Ratio,
    Region,
    Several,
    Sides,
    Size,
    Switch,
    Text,
    Value,
)
from bot.commands.vocabulary import MAX_IMAGES, MAX_SERIES, Notify
from generation.checks import MAX_SEED, MAX_SIZE, MAX_STEPS, MIN_SIZE, SIZE_MULTIPLE


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

#: The option with which a picture is a control map itself.
MAP = Option(
    "map",
    ("is_map",),
    Flag(),
    "Your picture is a control map itself, such as white lines on black, and is followed as it is.",
    "",
)
#: Options without a value.
FLAGS: tuple[Option, ...] = (DRAFT, MAP)

#: The option that people type, by field of a command (diffusers' name where it has one).
WORDS: dict[str, str] = {name: each.name for each in OPTIONS for name in each.fields}

#: Options of a picture, of several, and of a history, by name and alias.
IMAGINE: dict[str, Option] = {name: each for each in OPTIONS for name in (each.name, *each.aliases)}
DRAW: dict[str, Option] = IMAGINE | {each.name: each for each in (*SERIES, *FLAGS)}
#: All of what is drawn, as help and completion have them.
DRAWING: tuple[Option, ...] = (*OPTIONS, *SERIES, *FLAGS)
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

"""Options: their words, values and limits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.commands import (
    OPTIONS,
    WORDS,
    AskedLora,
    CommandError,
    ImagineCommand,
    parse,
    read_option,
    read_options,
    render,
    shares_of,
)
from bot.commands.sizes import SHAPES
from bot.commands.values import Number
from bot.commands.vocabulary import MAX_IMAGES
from generation.errors import InvalidRequest
from tests.bot.commands.conftest import FOX, imagine, refusal


def test_every_option_can_be_said_in_one_line():
    command = parse(
        "a fox in snow --preset canny --steps 20 --size 1024x768 --seed 7 --guidance 3.5"
        ' --images 4 --strength 0.7 --negative "blurry"'
    )

    assert command == ImagineCommand(
        prompt="a fox in snow",
        preset="canny",
        num_inference_steps=20,
        width=1024,
        height=768,
        guidance_scale=3.5,
        seed=7,
        images=4,
        strength=0.7,
        negative_prompt="blurry",
    )


@pytest.mark.parametrize(
    "text",
    [
        "a fox in snow --steps 20",
        "--steps 20 a fox in snow",
        "a fox --steps 20 in snow",
        "a fox --steps=20 in snow",
        "a fox --steps = 20 in snow",
        "a fox --STEPS 20 in snow",
        "a fox --num_inference_steps 20 in snow",
        "a fox --steps ٢٠ in snow",
        "  a fox in snow\u200f--steps 20\u200e  ",
        "imagine a fox in snow --steps 20",
        "/imagine a fox in snow --steps 20",
        "Imagine: a fox in snow --steps 20",
        "a fox in snow —steps 20",
        "a fox in snow –steps 20",
        "—steps=20 a fox in snow",
    ],
)
def test_an_option_is_understood_wherever_and_however_it_is_typed(text):
    assert parse(text) == ImagineCommand("a fox in snow", num_inference_steps=20)


def test_a_comma_after_a_value_belongs_to_the_sentence():
    command = parse("a fox --preset canny, --size 512x512; --steps 20, --seed 7.")

    assert command == ImagineCommand(
        "a fox", preset="canny", width=512, height=512, num_inference_steps=20, seed=7
    )


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_alias_means_the_same(option):
    texts = [f"fox --{name} {option.example}" for name in (option.name, *option.aliases)]

    assert len({parse(text) for text in texts}) == 1
    assert imagine(texts[0]).options


@pytest.mark.parametrize(
    ("typed", "value"), [("3.5", 3.5), ("3,5", 3.5), ("3", 3), ("+.5", 0.5), ("1e-05", 1e-05)]
)
def test_a_number_may_have_a_comma_or_a_point(typed, value):
    assert imagine(f"a fox --guidance {typed}").guidance_scale == value


@pytest.mark.parametrize("typed", ["1024x768", "1024X768", "1024×768", "1024*768"])
def test_a_size_is_two_sides(typed):
    assert parse(f"a fox --size {typed}") == ImagineCommand("a fox", width=1024, height=768)


@pytest.mark.parametrize("option", ["size", "ar"])
@pytest.mark.parametrize(
    ("typed", "ratio"), [*SHAPES.items(), ("Wide", (16, 9)), ("21:9", (21, 9)), ("3/2", (3, 2))]
)
def test_a_shape_can_be_named_or_counted(option, typed, ratio):
    assert parse(f"a fox --{option} {typed}") == ImagineCommand("a fox", aspect_ratio=ratio)


@pytest.mark.parametrize(
    ("typed", "share"), [("top", (0.5, 0)), ("RIGHT", (1, 0.5)), ("0.25,1", (0.25, 1))]
)
def test_where_to_crop_can_be_named_or_measured(typed, share):
    assert parse(f"a fox --crop {typed}") == ImagineCommand(
        "a fox", crop_x=share[0], crop_y=share[1]
    )


@pytest.mark.parametrize("typed", ["middle", "0.5", "0.5,1.01", "-0.1,0", "0.1,0.2,0.3", "nan,0"])
def test_where_to_crop_is_a_side_or_two_shares(typed):
    error = refusal(f"a fox --crop {typed}")
    assert error.field == "crop_x"
    assert "crop must be left, right, top, bottom, center, or two shares" in str(error)


# Limits


NUMBERS = [option for option in OPTIONS if isinstance(option.kind, Number)]


@pytest.mark.parametrize("option", NUMBERS, ids=lambda option: option.name)
def test_the_limits_are_those_of_a_request(option):
    assert isinstance(option.kind, Number)
    for value in (option.kind.lowest, option.kind.highest):
        assert imagine(f"a fox --{option.name} {value}").options == {option.field: value}
    for value in (option.kind.lowest - 1, option.kind.highest + 1):
        assert refusal(f"a fox --{option.name} {value}").field == option.field

    if option.field == "images":
        assert (option.kind.lowest, option.kind.highest) == (1, MAX_IMAGES)
    else:
        for value in (option.kind.lowest, option.kind.highest):
            replace(FOX, **{option.field: value})
        for value in (option.kind.lowest - 1, option.kind.highest + 1):
            with pytest.raises(InvalidRequest):
                replace(FOX, **{option.field: value})


@pytest.mark.parametrize("option", ["strength", "control-start", "control-end"])
@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("0.7", 0.7), ("0,7", 0.7), ("1", 1.0), ("0.6,0.3", (0.6, 0.3)), ("1.0,0", (1.0, 0.0)),
        ("1,0,1", (1.0, 0.0, 1.0)),
    ],
)  # fmt: skip
def test_several_controlnets_may_have_a_number_each(option, said, meant):
    command = imagine(f"a fox --{option} {said}, at night")

    assert list(command.options.values()) == [meant]
    assert command.prompt == "a fox at night"
    assert imagine(render(command)) == command


@pytest.mark.parametrize("said", ["1.2", "0.5,1.1", "0.5,,1", "0.5,x", "nan"])
def test_each_of_these_numbers_has_its_range(said):
    assert "strength must be a number between 0 and 1, not" in str(
        refusal(f"a fox --strength {said}")
    )


def test_every_field_has_a_word_that_sets_it():
    assert WORDS == {
        "preset": "preset",
        "num_inference_steps": "steps",
        "width": "size",
        "height": "size",
        "aspect_ratio": "ar",
        "guidance_scale": "guidance",
        "seed": "seed",
        "images": "images",
        "strength": "strength",
        "control_guidance_start": "control-start",
        "control_guidance_end": "control-end",
        "crop_x": "crop",
        "crop_y": "crop",
        "mask": "mask",
        "outpaint": "outpaint",
        "loras": "lora",
        "negative_prompt": "negative",
    }
    assert {"prompt", "draft", "is_map", *WORDS} == set(ImagineCommand.__dataclass_fields__)


@pytest.mark.parametrize(
    ("typed", "region"),
    [("left", "left"), ("centre", "center"), ('"the left half"', "left"),
     ("top-right", "top-right"), ('"upper right corner"', "top-right"), ("Bottom", "bottom"),
     ("5", "5"), ("1,2,5", "1,2,5"), ('"9, 1, 1"', "1,9"), ("7,8,9,", "7,8,9")],
)  # fmt: skip
def test_the_part_that_is_drawn_anew_can_be_said_in_many_ways(typed, region):
    assert parse(f"a fox --mask {typed}") == ImagineCommand("a fox", mask=region)


@pytest.mark.parametrize(
    "typed", ["the", "left-right", "top-top", "0", "10", "1,,2", "1,x", '"a fox"', "top-center"]
)
def test_a_part_of_a_picture_has_a_name_or_numbers(typed):
    error = refusal(f"a fox --mask {typed}")
    assert error.field == "mask"
    assert "mask must be a part of the picture: top-left, top, top-right, left, center" in str(
        error
    )


@pytest.mark.parametrize(
    ("typed", "sides", "left"),
    [("25%", "25%", 0.25), ("50", "50%", 0.5), ("left", "left:25%", 0.25),
     ('"left 10%"', "left:10%", 0.1), ("bottom,left:40%", "left:40%,bottom:25%", 0.4)],
)  # fmt: skip
def test_a_picture_is_continued_on_every_side_or_on_some(typed, sides, left):
    command = parse(f"a fox --outpaint {typed}")

    assert command == ImagineCommand("a fox", outpaint=sides)
    assert shares_of(command.outpaint)["left"] == left
    assert parse(render(command)) == command


@pytest.mark.parametrize("typed", ["0%", "201%", "left,left", "up", "left:0", '"25% left"', "2.5"])
def test_how_far_a_picture_is_continued_has_limits(typed):
    error = refusal(f"a fox --outpaint {typed}")
    assert error.field == "outpaint"
    assert "outpaint must be a share from 1% to 200%, or sides, such as 25%, left" in str(error)


# One value, and options alone, as forms have them


def test_a_single_value_is_read_as_behind_its_option():
    assert read_option("size", " 320x256 ") == {"width": 320, "height": 256}
    assert read_option("size", "wide") == {"aspect_ratio": (16, 9)}
    with pytest.raises(CommandError, match="size sides must be multiples of 16"):
        read_option("size", "321x256")


def test_options_alone_are_read_and_anything_else_is_pointed_at():
    assert read_options("--steps 9 --seed 7") == ImagineCommand(num_inference_steps=9, seed=7)
    assert read_options("") == ImagineCommand()
    with pytest.raises(CommandError, match="“fox” is not an option") as caught:
        read_options("--steps 9 fox")
    assert caught.value.position == 10


@pytest.mark.parametrize(
    "typed",
    [
        "--lora ink:0.8 --lora slow:-1 --lora pale",
        "--lora INK:0.8, --lora slow:-1.0 --loras pale",
        "--lora ink:0.8,slow:-1,pale",
        '--lora "ink : 0.8, slow:-1" --lora pale',
        "--lora=ink:.8 —lora slow:-1,pale",
    ],
)
def test_several_loras_are_given_one_by_one_or_with_commas(typed):
    asked = (AskedLora("ink", 0.8), AskedLora("slow", -1.0), AskedLora("pale"))

    assert parse(f"a fox {typed}") == parse(f"{typed} -- a fox")
    assert parse(f"a fox {typed}") == ImagineCommand("a fox", loras=asked)
    assert render(parse(f"a fox {typed}")) == "a fox --lora ink:0.8 --lora slow:-1 --lora pale"


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("--lora ink:3", "lora takes a weight between -2 and 2, not “3”"),
        ("--lora ink:a", "lora takes a weight between -2 and 2, not “a”"),
        ("--lora ink:nan", "lora takes a weight between -2 and 2, not “nan”"),
        ("--lora ,", "lora must be a LoRA, perhaps with a weight, such as ink:0.8; several"),
        ("--lora :1", "lora must be a LoRA, perhaps with a weight, such as ink:0.8; several"),
        ("--lora ink,none", "lora must be a LoRA, perhaps with a weight, such as ink:0.8; several"),
        ("--lora ink --lora slow,Ink:1", "lora has “ink” twice; keep one"),
        ("--lora ink --lora none", "lora is none, and one of them too; keep one"),
        ("--lora none --lora ink", "“--lora” is given twice; keep one"),
        ("--lora", "“--lora” needs a value: a LoRA, perhaps with a weight, such as ink:0.8;"),
        ("-lora ink:1", "“-lora” has one dash (put it in quotes to draw it); did you mean --lora?"),
    ],
)
def test_a_lora_that_cannot_be_read_is_refused_in_a_sentence(typed, sentence):
    error = refusal(f"a fox {typed}")

    assert str(error).startswith(sentence)
    assert error.field == "loras"


def test_none_takes_the_loras_of_an_earlier_picture_away():
    command = parse("again k7m2p9qa --lora none")

    assert command.changes.loras == ()
    assert render(replace(command.changes, prompt="a fox")) == "a fox --lora none"

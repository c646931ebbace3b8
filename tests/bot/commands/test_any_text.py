"""Sentences that hold for whatever somebody types, and for whatever is rendered."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.commands import (
    ADMIN_USAGES,
    OPTIONS,
    VERBS,
    AskedLora,
    CommandError,
    ImagineCommand,
    parse,
    read_options,
    render,
    render_options,
)
from bot.commands.vocabulary import MAX_IMAGES
from bot.commands.words import CLOSERS, GAPS
from generation.checks import MAX_SEED
from generation.types import REGIONS
from tests.bot.commands.conftest import ID, refusal_of

PIECES = st.sampled_from(
    [
        *(f"--{option.name}" for option in OPTIONS),
        *(f"—{option.name}" for option in OPTIONS),
        *(option.example for option in OPTIONS),
        *(verb.name for verb in VERBS),
        *ADMIN_USAGES,
        *CLOSERS,
        *"\\=-—–−/:,\n\t\u200f\x00\ud800",
        *("imagine", "--", "—", "––", "--stpes", "—stpes 5", "fox", "grant", "a:b", "5", ID, "☃"),
        *(" ", "  "),
    ]
)
TEXTS = st.text() | st.lists(PIECES, max_size=12).map(" ".join) | st.lists(PIECES).map("".join)


@given(TEXTS)
@example("--steps " + "0" * 5000 + "7 fox")
@example("--seed " + "9" * 5000)
@example("fox --guidance " + "9" * 400)
@example("İ --preset İ")
def test_any_text_is_a_command_or_a_command_error_that_points_into_it(text):
    error = refusal_of(text)

    if error is not None:
        assert 0 <= error.position <= len(text)
        assert text[error.position :].startswith(error.word)
        str(error).encode()


@given(TEXTS)
def test_every_picture_that_was_asked_for_can_be_typed_again(text):
    try:
        command = parse(text)
    except CommandError:
        return

    if isinstance(command, ImagineCommand):
        assert parse(render(command)) == command


INKED = st.text(min_size=1).map(lambda text: text.strip(GAPS)).filter(bool)
PROMPTS = (INKED | TEXTS.map(lambda text: text.strip(GAPS))).filter(
    lambda text: any(character.isalnum() for character in text)
)
SIDES = st.integers(4, 128).map(lambda number: 16 * number)
MAYBE = st.none()
SHARES = st.floats(0, 1)
OVERRIDES = st.builds(
    lambda size, crop, **values: ImagineCommand(**values, **size, **crop),
    crop=st.just({}) | st.builds(lambda x, y: {"crop_x": x, "crop_y": y}, SHARES, SHARES),
    size=st.builds(lambda width, height: {"width": width, "height": height}, SIDES, SIDES)
    | st.tuples(st.integers(1, 32), st.integers(1, 32)).map(lambda ratio: {"aspect_ratio": ratio})
    | st.just({}),
    preset=MAYBE
    | st.from_regex(r"[a-z0-9_.-]+", fullmatch=True).filter(
        lambda name: name[0] != "-" and name.rstrip(".") == name
    ),
    num_inference_steps=MAYBE | st.integers(1, 50),
    guidance_scale=MAYBE | st.floats(0, 30),
    seed=MAYBE | st.integers(0, MAX_SEED),
    images=MAYBE | st.integers(1, MAX_IMAGES),
    strength=MAYBE | st.floats(0, 1),
    negative_prompt=MAYBE | TEXTS,
    mask=MAYBE | st.sampled_from([*REGIONS, "5", "1,2,5", "1,2,3,4,5,6,7,8,9"]),
    is_map=MAYBE | st.just(True),
    outpaint=MAYBE | st.sampled_from(["25%", "left:10%,bottom:200%"]),
    loras=MAYBE
    | st.lists(
        st.builds(
            AskedLora, st.from_regex(r"[a-z0-9_]+", fullmatch=True), MAYBE | st.floats(-2, 2)
        ),
        max_size=4,
        unique_by=lambda asked: asked.name,
    ).map(tuple),
)
PICTURES = st.builds(lambda options, prompt: replace(options, prompt=prompt), OVERRIDES, PROMPTS)


@given(PICTURES)
@example(ImagineCommand("show k7m2p9qa"))
@example(ImagineCommand("use --steps 20 well"))
@example(ImagineCommand("use --steps 20 well", seed=7))
@example(ImagineCommand('a "b', negative_prompt='x" y'))
@example(ImagineCommand("imagine"))
@example(ImagineCommand("a\\", negative_prompt="\\"))
def test_rendering_is_the_inverse_of_parsing(command):
    assert parse(render(command)) == command


def test_a_command_is_rendered_as_a_person_would_write_it():
    command = ImagineCommand("a fox", "canny", 20, 512, 768, None, 3.5, 7, 4, 0.7, 'a "real" one')

    assert render(command) == (
        "a fox --preset canny --steps 20 --size 512x768 --guidance 3.5 --seed 7 --images 4"
        ' --strength 0.7 --negative "a \\"real\\" one"'
    )
    assert render(ImagineCommand("show 123")) == "imagine show 123"
    assert render(ImagineCommand("a fox", aspect_ratio=(16, 9))) == "a fox --ar 16:9"


def test_what_no_text_can_say_is_rendered_all_the_same():
    """The HTTP API takes prompts with outer spaces and a width alone."""
    assert render(ImagineCommand(" a fox ", width=512, seed=7)).split() == [
        *("--seed", "7", "--", "a", "fox")
    ]


@given(OVERRIDES, st.randoms(use_true_random=False))
def test_the_order_of_options_never_matters(options, shuffler: random.Random):
    command = replace(options, prompt="a fox in snow")
    words = ["a", "fox", "in", "snow"]
    rendered = [
        render(ImagineCommand(**{"prompt": "x", **part})).removeprefix("x ")
        for part in _each_option(options)
    ]
    shuffler.shuffle(rendered)
    for text in rendered:
        words.insert(shuffler.randint(0, len(words)), text)

    assert parse("imagine " + " ".join(words)) == command


def _each_option(options: ImagineCommand) -> list[dict[str, object]]:
    values = options.options
    pairs = (("width", "height"), ("crop_x", "crop_y"))
    alone = [name for name in values if all(name not in pair for pair in pairs)]
    parts = [{name: values[name]} for name in alone]
    together = [{name: values[name] for name in pair if name in values} for pair in pairs]
    return parts + [each for each in together if each]


HARD = [
    *("a ", "a\n", " ", '"', "'", "“", "„", "«", '"x ', " 'x", ".'a", "\\", '\\"', "x'"),
    *("—stab 5 ", "—stab5 ", "—a ", "--", "-- ", "—", "− ", "=", "0", "9", "\u0301\u0327", "İ"),
    *("—steps", "\u200b", "\u200d", "\ud800", "\x00", "1x", "/", "“a ", "»a«"),
]


@pytest.mark.parametrize("before", ["", "imagine ", "--negative ", "--size ", "history ", "/"])
@pytest.mark.parametrize("unit", HARD)
def test_ten_thousand_characters_are_understood_or_refused(before, unit):
    error = refusal_of(before + unit * (10_000 // len(unit)) + " 'x --steps")

    assert error is None or len(str(error)) < 400


@given(PICTURES)
def test_rendered_options_are_read_back(command):
    alone = replace(command, prompt="")

    assert read_options(render_options(alone)) == alone

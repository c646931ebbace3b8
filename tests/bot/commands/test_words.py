"""Quotes, dashes and spaces: what is an option, and what is the prompt."""

from __future__ import annotations

import pytest

from bot.commands import ImagineCommand, parse
from tests.bot.commands.conftest import imagine, refusal

# Quotes


@pytest.mark.parametrize(
    "quoted",
    [
        '"bad hands"',
        "'bad hands'",
        "“bad hands”",
        "”bad hands”",
        "„bad hands“",
        "„bad hands”",
        "‘bad hands’",
        "’bad hands’",
        "«bad hands»",
        "»bad hands«",
    ],
)
def test_quotes_of_every_language_hold_a_value_together(quoted):
    command = ImagineCommand("a fox at night", negative_prompt="bad hands")

    assert parse(f"a fox --negative {quoted} at night") == command
    assert parse(f"a fox --negative={quoted} at night") == command


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("'it's blurred'", "it's blurred"),
        ("‘don’t’", "don’t"),
        (r'"a \"real\" fox"', 'a "real" fox'),
        (r'"C:\\"', "C:\\"),
        (r'"a\b"', r"a\b"),
        ('"--steps 3"', "--steps 3"),
        ('""', ""),
    ],
)
def test_a_quoted_value_is_what_stands_between_the_quotes(typed, value):
    assert imagine(f"a fox --negative {typed} --steps 4").negative_prompt == value


@pytest.mark.parametrize(
    "prompt",
    [
        'a sign that says "use --steps 3"',
        "a sign that says 'use --steps 3'",
        "a sign (“use --steps 3”) in snow",
        "写着“使用 --steps 3”的牌子",
        "ein Schild: „nimm --steps 3“ steht da",
    ],
)
def test_quoted_words_of_a_prompt_are_no_options_and_keep_their_quotes(prompt):
    assert parse(f"{prompt} --seed 7") == ImagineCommand(prompt, seed=7)


@pytest.mark.parametrize(
    "prompt",
    [
        "don't look",
        "it’s a dogs' home",
        'a 6" pipe',
        'a fox "in snow',
        "'90s fox",
        "’tis a fox",
        'a "b',
        "rock 'n",
        'C:\\"fox',
    ],
)
@pytest.mark.parametrize("value", ['"blurry"', "'blurry'", "’blurry’"])
def test_an_apostrophe_or_an_unclosed_quote_is_prompt_text(prompt, value):
    command = ImagineCommand(prompt, num_inference_steps=20, negative_prompt="blurry")

    assert parse(f"{prompt} --steps 20 --negative {value}") == command


def test_an_unclosed_quote_before_a_value_is_an_error():
    error = refusal('a fox --negative "blurry --steps 20')

    assert str(error) == "the quote before “blurry” is never closed"
    assert (error.word, error.position, error.field) == ('"blurry', 17, "negative_prompt")


# Dashes


@pytest.mark.parametrize(
    "prompt",
    [
        "a fox — in snow",
        "a fox – in snow",
        "a fox —in snow",
        "1920–1930",
        "fox—steps 20",
        "the years –1930 and on",
        "—step by step",
        "a gift —present for you",
        "a -20 steps, -steps of stone, -steps",
        "a shop, -size matters- on its sign, and -no smoking",
        "well-seed 7 - steps 5 -negative space",
        "a---b --> c --- d --5",
        "foo--steps 20",
        'a sign "hi"--steps 20',
        'a sign "hi"-- in snow',
        "a poet —born 1930",
        "—see 5 foxes",
    ],
)
def test_a_dash_that_begins_no_option_is_prompt_text(prompt):
    assert parse(f"{prompt} --seed 7") == ImagineCommand(prompt, seed=7)


@pytest.mark.parametrize("dash", ["--", "—", "–"])
def test_a_misspelled_option_is_an_error_behind_every_dash(dash):
    for typed in ("stpes", "step", "stepss", "stebs"):
        error = refusal(f"a fox {dash}{typed} 20")

        assert str(error).startswith(f"“{dash}{typed}” is not an option")
        assert str(error).endswith("; did you mean --steps?")
        assert (error.word, error.position) == (f"{dash}{typed}", 6)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("-steps 5", "--steps"),
        ("-Steps=5", "--steps"),
        ("-steps 500", "--steps"),
        ("-cfg 3,5", "--guidance"),
        ("-size 64x64, in snow", "--size"),
        ("-ar 16:9", "--ar"),
        ("-preset canny", "--preset"),
        ('-negative "blurry"', "--negative"),
    ],
)
def test_an_option_with_one_dash_is_an_error_and_not_a_picture(typed, meant):
    error = refusal(f"a cat {typed}")

    word = typed.split()[0].partition("=")[0]
    assert str(error) == (
        f"“{word}” has one dash (put it in quotes to draw it); did you mean {meant}?"
    )
    assert (error.word, error.position) == (word, 6)
    assert parse(f'a cat "{typed[:6]}" --seed 7').prompt == f'a cat "{typed[:6]}"'


def test_inches_are_no_quotes():
    command = parse('a 6" pipe --seed 7 and an 8" pipe')

    assert command == ImagineCommand('a 6" pipe and an 8" pipe', seed=7)


def test_two_dashes_alone_end_the_options():
    assert parse("a fox --seed 7 -- in --steps 20") == ImagineCommand("a fox in --steps 20", seed=7)


def test_the_prompt_keeps_its_spacing_and_closes_the_gap_of_an_option():
    assert imagine("a  fox\n\tin  snow").prompt == "a  fox\n\tin  snow"
    assert imagine("a fox  --steps 20  in snow").prompt == "a fox in snow"
    assert imagine("a fox\n--steps 20\n--seed 7\nin snow").prompt == "a fox\nin snow"
    assert imagine("a fox\n\n--steps 20 in snow").prompt == "a fox\n\nin snow"
    assert imagine("a fox --steps 20\n\n--seed 7 in snow").prompt == "a fox\n\nin snow"
    assert imagine("a fox --steps 20\nin snow").prompt == "a fox\nin snow"
    assert imagine("\n a fox \n").prompt == "a fox"


def test_capitals_in_the_name_of_a_preset_do_not_matter():
    assert imagine("a fox --preset Canny").preset == "canny"

"""Several pictures in one text: braces, repeats and presets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.commands import (
    AgainCommand,
    AnswerCommand,
    CancelCommand,
    CommandError,
    ImagineCommand,
    Member,
    SeriesCommand,
    parse,
    render,
)
from tests.bot.commands.conftest import ID


def prompts(text):
    return [member.command.prompt for member in parse(text).members]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{red,blue} house", ["red house", "blue house"]),
        ("{ red , blue } house", ["red house", "blue house"]),
        ("{a,b} {c,d}", ["a c", "a d", "b c", "b d"]),
        (
            "a {red,{dark,light} blue} house",
            ["a red house", "a dark blue house", "a light blue house"],
        ),
        ("a {,red} house", ["a house", "a red house"]),
        (r"{a\,b,c}", ["a,b", "c"]),
        (r"\{x\} {a,b}", ["{x} a", "{x} b"]),
        ("{solo} {a,b}", ["{solo} a", "{solo} b"]),
        ("{a,b} and {c", ["a and {c", "b and {c"]),
    ],
)
def test_braces_are_alternatives_and_multiply(text, expected):
    assert prompts(text) == expected


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("a sign {hello}", "a sign {hello}"),
        (r"a sign \{hello, world\}", "a sign {hello, world}"),
        ("a {b, c", "a {b, c"),
        ("a }b, c{", "a }b, c{"),
    ],
)
def test_braces_without_alternatives_are_text(text, prompt):
    assert parse(text) == ImagineCommand(prompt)


def test_options_hold_for_every_picture():
    assert parse("{a,b} --steps 4").members == (
        Member(ImagineCommand("a", num_inference_steps=4)),
        Member(ImagineCommand("b", num_inference_steps=4)),
    )


def test_repeats_come_after_all_that_differ():
    assert parse("{a,b} --repeat 2").members == (
        Member(ImagineCommand("a")),
        Member(ImagineCommand("b")),
        Member(ImagineCommand("a"), 1),
        Member(ImagineCommand("b"), 1),
    )


def test_a_contact_sheet_goes_through_presets():
    assert parse("a fox --presets Canny,depth").members == (
        Member(ImagineCommand("a fox", preset="canny")),
        Member(ImagineCommand("a fox", preset="depth")),
    )
    assert parse("a fox --presets canny") == ImagineCommand("a fox", preset="canny")


def test_an_earlier_picture_can_be_drawn_several_times_too():
    vary = AgainCommand(ID, vary=True)

    assert parse(f"vary {ID} --repeat 2") == SeriesCommand((Member(vary), Member(vary, 1)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{a,b,c,d,e,f,g,h,i} {1,2,3,4,5,6,7,8,9}", "that makes 81 pictures, and at most 64"),
        ("{a,b} --repeat 0", "repeat must be a whole number between 1 and 64, not “0”"),
        ("a --presets canny,,canny", "presets has “canny” twice"),
        ("a --presets canny --preset depth", "set the same thing; keep one"),
        ("settings --repeat 3", "is not an option"),
    ],
)
def test_what_cannot_be_a_series_is_said(text, words):
    with pytest.raises(CommandError, match=None) as raised:
        parse(text)

    assert words in str(raised.value)


def test_braces_without_end_take_no_time():
    with pytest.raises(CommandError):
        parse("{a,b}" * 2000)
    assert isinstance(parse("{" * 5000 + "a,b" + "}" * 5000), ImagineCommand)


@given(st.lists(st.sampled_from([*"{},\\ab ", "\\{", "{a,b}"])).map("".join))
def test_a_prompt_with_braces_of_its_own_can_be_typed_again(words):
    command = ImagineCommand(f"a {words} b")

    assert parse(render(command)) == command


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("yes", AnswerCommand("")),
        ("Ja!", AnswerCommand("")),
        ("いいえ。", AnswerCommand("", False)),
        ("yes k7m2-p9qa", AnswerCommand("k7m2-p9qa")),
        ("no k7m2-p9qa", AnswerCommand("k7m2-p9qa", False)),
        (f"cancel {ID} all", CancelCommand(ID, is_whole=True)),
        ("no smoking sign", ImagineCommand("no smoking sign")),
        ("yes darlings", ImagineCommand("yes darlings")),
    ],
)
def test_answers_to_a_proposal(text, command):
    assert parse(text) == command

"""The grammar: sentences that hold for what people type, and for what nobody would."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.commands import (
    ADMIN_USAGES,
    EXAMPLE,
    OPTIONS,
    TOPICS,
    VERBS,
    WORDS,
    AdminBan,
    AdminPause,
    AdminPresets,
    AdminQueue,
    AdminQuota,
    AdminResume,
    AdminStats,
    AdminUnban,
    AgainCommand,
    CancelCommand,
    CommandError,
    HelpCommand,
    HistoryCommand,
    ImagineCommand,
    PresetsCommand,
    QueueCommand,
    QuotaCommand,
    SettingsCommand,
    ShowCommand,
    fit_size,
    parse,
    read_option,
    read_options,
    render,
    render_options,
)
from bot.commands.options import Number
from bot.commands.sizes import SHAPES
from bot.commands.vocabulary import MAX_IMAGES
from bot.commands.words import CLOSERS, GAPS
from generation.checks import MAX_SEED
from generation.errors import InvalidRequest
from generation.types import GenerationRequest

FOX = GenerationRequest(
    prompt="a fox", num_inference_steps=20, guidance_scale=3.5, width=256, height=256, seed=7
)
LETTER_ID = "backyard"  # a job's id by chance, one in eleven has no digit
ID = "k7m2p9qa"


def imagine(text: str) -> ImagineCommand:
    command = parse(text)
    assert isinstance(command, ImagineCommand)
    return command


def refusal(text: str) -> CommandError:
    with pytest.raises(CommandError) as caught:
        parse(text)
    return caught.value


# --- Options ---------------------------------------------------------------------------


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


# --- Quotes ----------------------------------------------------------------------------


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


# --- Dashes ----------------------------------------------------------------------------


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

        assert str(error).startswith(f"“{dash}{typed}” is no option")
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
        f"“{word}” has one dash (in quotes it would be drawn); did you mean {meant}?"
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


# --- Errors ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "word", "sentence", "field"),
    [
        (
            "fox --steps 80",
            "80",
            "steps must be a whole number between 1 and 50, not “80”",
            "num_inference_steps",
        ),
        (
            "fox --steps many",
            "many",
            "steps must be a whole number between 1 and 50, not “many”",
            "num_inference_steps",
        ),
        (
            "fox --steps 20.5",
            "20.5",
            "steps must be a whole number between 1 and 50, not “20.5”",
            "num_inference_steps",
        ),
        (
            "fox --guidance nan",
            "nan",
            "guidance must be a number between 0 and 30, not “nan”",
            "guidance_scale",
        ),
        (
            "fox --guidance inf",
            "inf",
            "guidance must be a number between 0 and 30, not “inf”",
            "guidance_scale",
        ),
        (
            "fox --guidance 1e999",
            "1e999",
            "guidance must be a number between 0 and 30, not “1e999”",
            "guidance_scale",
        ),
        (
            "fox --seed -1",
            "-1",
            "seed must be a whole number between 0 and 4294967295, not “-1”;"
            " leave it out for a new one",
            "seed",
        ),
        (
            "fox --steps",
            "--steps",
            "“--steps” needs a value: a whole number between 1 and 50; for example --steps 20",
            "num_inference_steps",
        ),
        (
            "fox —steps --seed 7",
            "—steps",
            "“—steps” needs a value: a whole number between 1 and 50; for example --steps 20",
            "num_inference_steps",
        ),
        (
            "fox --steps -- 20",
            "--steps",
            "“--steps” needs a value: a whole number between 1 and 50; for example --steps 20",
            "num_inference_steps",
        ),
        (
            "fox --size big",
            "big",
            "size must be both sides, such as 1024x768, or square, portrait, landscape, wide"
            " or tall, not “big”",
            "width",
        ),
        (
            "fox --size 4096x64",
            "4096x64",
            "size sides must be multiples of 16 from 64 to 2048, not 4096x64",
            "width",
        ),
        (
            "fox --size 64x32",
            "64x32",
            "size sides must be multiples of 16 from 64 to 2048, not 64x32: try 64x64",
            "width",
        ),
        (
            "fox --size 512x1000",
            "512x1000",
            "size sides must be multiples of 16 from 64 to 2048, not 512x1000: try 512x992",
            "width",
        ),
        (
            "fox --ar 16",
            "16",
            "ar must be width to height, such as 16:9, or square, portrait, landscape, wide"
            " or tall, not “16”",
            "aspect_ratio",
        ),
        ("fox --ar 0:0", "0:0", "ar must be between 1:32 and 32:1, not 0:0", "aspect_ratio"),
        ("fox --ar 33:1", "33:1", "ar must be between 1:32 and 32:1, not 33:1", "aspect_ratio"),
        ("fox --ar 1:33", "1:33", "ar must be between 1:32 and 32:1, not 1:33", "aspect_ratio"),
        (
            "fox --preset “my own”",
            "“my own”",
            "preset must be the name of a preset, not “my own”",
            "preset",
        ),
        (
            "fox --ar 1:1 --size 64x64",
            "--size",
            "“--ar” and “--size” set the same thing; keep one",
            "width",
        ),
        (
            "fox --steps 5 --STEPS 6",
            "--STEPS",
            "“--STEPS” is there twice; keep one",
            "num_inference_steps",
        ),
        (
            "fox --cfg 3 --guidance 4",
            "--guidance",
            "“--cfg” and “--guidance” set the same thing; keep one",
            "guidance_scale",
        ),
        (
            "fox --zzz 3",
            "--zzz",
            "“--zzz” is no option (in quotes it would be drawn); choose --preset, --steps, --size,"
            " --ar, --guidance, --seed, --images, --strength or --negative",
            None,
        ),
        (
            "fox --no bad hands",
            "bad",
            "where does --negative end? Put all of it in quotes:"
            ' --negative "bad hands" or --negative "bad"',
            "negative_prompt",
        ),
        (
            "--steps 20 \u200b",
            "",
            f"the prompt is empty: say what to draw, for example {EXAMPLE}",
            "prompt",
        ),
        (
            "",
            "",
            f"the prompt is empty: say what to draw, for example {EXAMPLE}",
            "prompt",
        ),
        (
            "imagine",
            "",
            f"the prompt is empty: say what to draw, for example {EXAMPLE}",
            "prompt",
        ),
    ],
)
def test_an_error_names_the_wrong_word_and_says_what_would_be_right(text, word, sentence, field):
    error = refusal(text)

    assert str(error) == sentence
    assert error.word == word
    assert text[error.position :].startswith(word)
    assert error.field == field


def test_a_command_error_is_an_invalid_request():
    error = refusal("fox --steps 80")

    assert isinstance(error, InvalidRequest)
    assert error.code == "invalid_request"
    assert error.position == 12


@pytest.mark.parametrize("prompt", ["", " ", "\u200b", "\u200d\u2060", "\x01", "-- \ufeff"])
def test_a_prompt_that_cannot_be_seen_is_empty(prompt):
    assert refusal(prompt).field == "prompt"


def test_what_an_error_quotes_is_short_and_can_be_sent():
    sentence = str(refusal("a fox --steps \ud800\x00\u2060" + "9" * 5000))

    sentence.encode()
    assert len(sentence) < 150
    assert not set(sentence) & {"\x00", "\u2060"}


def test_an_unquoted_negative_may_stand_before_options_and_at_the_end():
    assert imagine("a fox --negative blurry --seed 7").negative_prompt == "blurry"
    assert imagine("a fox --negative blurry").negative_prompt == "blurry"
    assert imagine("--negative blurry -- a fox").negative_prompt == "blurry"


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
    elif option.field == "strength":
        # 0 is refused there for leaving no step, which depends on the number of steps.
        assert (option.kind.lowest, option.kind.highest) == (0, 1)
    else:
        for value in (option.kind.lowest, option.kind.highest):
            replace(FOX, **{option.field: value})
        for value in (option.kind.lowest - 1, option.kind.highest + 1):
            with pytest.raises(InvalidRequest):
                replace(FOX, **{option.field: value})


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
        "negative_prompt": "negative",
    }
    assert {"prompt", *WORDS} == set(ImagineCommand.__dataclass_fields__)


# --- Verbs -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("presets", PresetsCommand()),
        ("PRESETS", PresetsCommand()),
        (" /presets\n", PresetsCommand()),
        ("history", HistoryCommand()),
        ("history of rome painted", HistoryCommand("of rome painted")),
        ("history “red fox” --page 2", HistoryCommand("“red fox”", 2)),
        ("history --page=3", HistoryCommand("", 3)),
        ("history —seed 4", HistoryCommand("—seed 4")),
        ("show k7m2p9qa", ShowCommand(ID)),
        ("show #K7M2P9QA.", ShowCommand(ID)),
        ("show `k7m2p9qa`", ShowCommand(ID)),
        (f"show {LETTER_ID}", ShowCommand(LETTER_ID)),
        ("again", AgainCommand()),
        ("again k7m2p9qa", AgainCommand(ID)),
        (
            "again --seed 9 k7m2p9qa --steps 40",
            AgainCommand(ID, ImagineCommand(seed=9, num_inference_steps=40)),
        ),
        ("again --ar wide", AgainCommand(None, ImagineCommand(aspect_ratio=(16, 9)))),
        ("vary", AgainCommand(vary=True)),
        ("vary k7m2p9qa", AgainCommand(ID, vary=True)),
        ("quota", QuotaCommand()),
        ("quota?", QuotaCommand()),
        ("history: fox", HistoryCommand("fox")),
        ("queue", QueueCommand()),
        ("cancel", CancelCommand()),
        ("Cancel!", CancelCommand()),
        ("cancel k7m2p9qa", CancelCommand(ID)),
        ("settings", SettingsCommand()),
        ("settings reset", SettingsCommand(is_reset=True)),
        (
            "settings --preset canny --steps 20",
            SettingsCommand(ImagineCommand(preset="canny", num_inference_steps=20)),
        ),
        ("help", HelpCommand()),
        ("help!", HelpCommand()),
        ("help steps", HelpCommand("steps")),
        ("help --cfg", HelpCommand("guidance")),
        ("help /vary?", HelpCommand("vary")),
        ("help admin", HelpCommand("admin")),
        ("admin help", HelpCommand("admin")),
        ("admin presets", AdminPresets()),
        ("admin presets reload", AdminPresets("reload")),
        ("admin quota discord:12", AdminQuota("show", "discord:12")),
        ("admin quota grant Discord:12 50", AdminQuota("grant", "discord:12", 50)),
        ("admin quota set slack:T1/U2 0", AdminQuota("set", "slack:T1/U2", 0)),
        ("admin quota set slack:U2 default", AdminQuota("set", "slack:U2")),
        ("admin quota reset slack:U2", AdminQuota("reset", "slack:U2")),
        ("admin pause", AdminPause()),
        ("admin resume", AdminResume()),
        ("admin ban web:eve", AdminBan("web:eve")),
        ("admin ban web:eve  too  many, --really ", AdminBan("web:eve", "too  many, --really")),
        ("admin unban web:eve", AdminUnban("web:eve")),
        ("ADMIN Queue", AdminQueue()),
        ("admin stats", AdminStats()),
    ],
)
def test_a_verb_is_understood(text, command):
    assert parse(text) == command


@pytest.mark.parametrize(
    "prompt",
    [
        "show me a fox",
        "show backyard at night",
        "show 3 foxes",
        "help wanted sign",
        "help me draw a fox",
        "queue of people in the rain",
        "shower",
        "a history of rome",
        '"help"',
        "/r/art style fox",
        "help! a fox stole it",
        "imagination",
    ],
)
def test_a_prompt_may_begin_like_a_verb(prompt):
    assert parse(prompt) == ImagineCommand(prompt)
    assert parse(f"{prompt} --seed 7") == ImagineCommand(prompt, seed=7)


def test_imagine_makes_a_prompt_of_whatever_follows():
    for verb in VERBS:
        assert parse(f"imagine {verb.name} 123") == ImagineCommand(f"{verb.name} 123")
    assert parse("imagine imagine") == ImagineCommand("imagine")


@pytest.mark.parametrize(
    ("text", "word", "hint"),
    [
        ("show", "show", "show k7m2p9qa"),
        ("/show", "/show", "show k7m2p9qa"),
        ("show 123", "123", "imagine show 123"),
        ("show fox", "fox", "imagine show fox"),
        ("show k7m2p9qa please", "please", "imagine show k7m2p9qa …"),
        ("/show me a fox", "/show", "show ID"),
        ("cancel xyz!", "xyz!", "imagine cancel xyz!"),
        ("cancel my job", "my", "imagine cancel my …"),
        ("cancel k7m2p9qa k7m2p9qb", "k7m2p9qb", "does not belong to cancel [ID]"),
        ("again, but at night", "but", "imagine again but …"),
        ("again but at night", "but", "imagine again but …"),
        ("vary --seed 9", "--seed", "write again"),
        ("quota of fish", "of", "imagine quota of …"),
        ("presets canny", "canny", "imagine presets canny"),
        ("queue status", "status", "imagine queue status"),
        ("help stpes", "stpes", "did you mean steps?"),
        ("help zzz", "zzz", "choose imagine, options, presets"),
        ("settings canny", "canny", "settings [options | reset]"),
        ("settings reset all", "all", "imagine settings reset …"),
        ("settings reset --steps 3", "reset", "afterwards"),
        ("history --steps 3", "--steps", "--page"),
        ("history --page 0", "0", "between 1 and"),
        ("  /histroy fox", "/histroy", "did you mean history?"),
        ("admin", "admin", "presets, quota, pause"),
        ("admin quoat", "quoat", "did you mean quota?"),
        ("admin zzz", "zzz", "stats or audit"),
        ("admin of the castle", "of", "imagine admin of …"),
        ("admin quota", "quota", "admin quota USER"),
        ("admin quota grant", "grant", "admin quota grant USER CREDITS"),
        ("admin quota 12", "12", "discord:1234"),
        ("admin quota :12", ":12", "discord:1234"),
        ("admin quota d1scord:", "d1scord:", "discord:1234"),
        ("admin quota grant a:b", "a:b", "admin quota grant USER CREDITS"),
        ("admin quota grant a:b 0", "0", "between 1 and 1000000000"),
        ("admin quota grant a:b default", "default", "a whole number"),
        ("admin quota set a:b lots", "lots", "a whole number"),
        ("admin quota a:b 5", "5", "stuck at “5”"),
        ("admin pause now", "now", "stuck at “now”: write admin pause"),
        ("admin pause right now", "right", "write admin pause"),
        ("history —pgae 2", "—pgae", "did you mean --page?"),
        ("admin presets canny", "canny", "admin presets [reload]"),
        ("admin unban a:b c", "c", "admin unban USER"),
    ],
)
def test_what_nearly_fits_a_verb_is_an_error_and_no_picture(text, word, hint):
    error = refusal(text)

    assert error.word == word
    assert text[error.position :].startswith(word)
    assert hint in str(error)


def test_there_is_help_on_every_verb_and_every_option():
    for topic in TOPICS:
        assert parse(f"help {topic}") == HelpCommand(topic)
    assert {verb.name for verb in VERBS} | {option.name for option in OPTIONS} <= set(TOPICS)


# --- Whatever the text -----------------------------------------------------------------

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
    error = _refusal_of(text)

    if error is not None:
        assert 0 <= error.position <= len(text)
        assert text[error.position :].startswith(error.word)
        str(error).encode()


def _refusal_of(text: str) -> CommandError | None:
    try:
        parse(text)
    except CommandError as error:
        return error
    return None


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
OVERRIDES = st.builds(
    lambda size, **values: ImagineCommand(**values, **size),
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
    parts = [{name: value} for name, value in values.items() if name not in ("width", "height")]
    if options.width:
        parts.append({"width": options.width, "height": options.height})
    return parts


HARD = [
    *("a ", "a\n", " ", '"', "'", "“", "„", "«", '"x ', " 'x", ".'a", "\\", '\\"', "x'"),
    *("—stab 5 ", "—stab5 ", "—a ", "--", "-- ", "—", "− ", "=", "0", "9", "\u0301\u0327", "İ"),
    *("—steps", "\u200b", "\u200d", "\ud800", "\x00", "1x", "/", "“a ", "»a«"),
]


@pytest.mark.parametrize("before", ["", "imagine ", "--negative ", "--size ", "history ", "/"])
@pytest.mark.parametrize("unit", HARD)
def test_ten_thousand_characters_are_understood_or_refused(before, unit):
    error = _refusal_of(before + unit * (10_000 // len(unit)) + " 'x --steps")

    assert error is None or len(str(error)) < 400


# --- Shapes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "pixels", "size"),
    [
        ((1, 1), 256 * 256, (256, 256)),
        ((1, 1), 1024 * 1024, (1024, 1024)),
        ((16, 9), 1024 * 1024, (1360, 768)),
        ((9, 16), 1024 * 1024, (768, 1360)),
        ((16, 9), 256 * 256, (336, 192)),
        ((4, 3), 256 * 256, (304, 224)),
        ((32, 1), 1024 * 1024, (2048, 64)),
        ((1, 1), 1, (64, 64)),
        ((1, 1), 10**12, (2048, 2048)),
    ],
)
def test_a_shape_becomes_a_size(ratio, pixels, size):
    assert fit_size(ratio, pixels) == size


RATIOS = st.tuples(st.integers(1, 9999), st.integers(1, 9999))


@given(RATIOS, st.integers(1, 10**8))
def test_every_size_is_one_that_a_request_takes(ratio, pixels):
    width, height = fit_size(ratio, pixels)

    replace(FOX, width=width, height=height)
    assert fit_size(ratio[::-1], pixels) == (height, width)


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)).filter(
        lambda ratio: max(ratio) <= 3 * min(ratio)
    ),
    st.integers(256**2, 1024**2),
)
def test_a_size_is_near_the_shape_and_the_number_of_pixels(ratio, pixels):
    width, height = fit_size(ratio, pixels)

    # Half a step of 16 on the shorter side, which has at least 147 pixels.
    assert width / height == pytest.approx(ratio[0] / ratio[1], rel=0.06)
    assert width * height == pytest.approx(pixels, rel=0.25)


@given(RATIOS, st.integers(1, 10**7))
def test_no_other_size_is_nearer(ratio, pixels):
    def distance(width: int, height: int) -> float:
        shape = abs(math.log(width * ratio[1] / (height * ratio[0])))
        return 4 * shape + abs(math.log(width * height / pixels))

    found = distance(*fit_size(ratio, pixels))

    for width in range(64, 2049, 208):
        for height in range(64, 2049, 16):
            assert found <= distance(width, height) + 1e-9


@pytest.mark.parametrize(("ratio", "pixels"), [((0, 1), 9), ((1, 0), 9), ((1, 1), 0)])
def test_nothing_has_no_size(ratio, pixels):
    with pytest.raises(ValueError, match="no shape"):
        fit_size(ratio, pixels)


# One value, and options alone, as forms have them


def test_a_single_value_is_read_as_behind_its_option():
    assert read_option("size", " 320x256 ") == {"width": 320, "height": 256}
    assert read_option("size", "wide") == {"aspect_ratio": (16, 9)}
    with pytest.raises(CommandError, match="size sides must be multiples of 16"):
        read_option("size", "321x256")


def test_options_alone_are_read_and_anything_else_is_pointed_at():
    assert read_options("--steps 9 --seed 7") == ImagineCommand(num_inference_steps=9, seed=7)
    assert read_options("") == ImagineCommand()
    with pytest.raises(CommandError, match="“fox” is no option") as caught:
        read_options("--steps 9 fox")
    assert caught.value.position == 10


@given(PICTURES)
def test_rendered_options_are_read_back(command):
    alone = replace(command, prompt="")

    assert read_options(render_options(alone)) == alone

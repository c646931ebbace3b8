"""An error names the wrong word and says what would be right."""

from __future__ import annotations

import pytest

from bot.commands import EXAMPLE
from generation.errors import InvalidRequest
from tests.bot.commands.conftest import imagine, refusal


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
            "size must be both sides, such as 1024x768, or a shape: square, portrait, landscape,"
            " wide, tall, not “big”",
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
            "ar must be width to height, such as 16:9, or a shape: square, portrait, landscape,"
            " wide, tall, not “16”",
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
            "“--STEPS” is given twice; keep one",
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
            "“--zzz” is not an option (put it in quotes to draw it); choose one of --preset,"
            " --steps, --size, --ar, --guidance, --seed, --images, --strength, --control-start,"
            " --control-end, --crop, --mask, --outpaint, --lora, --negative, --repeat, --presets,"
            " --draft, --map",
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


def test_of_several_words_the_one_that_should_be_an_id_is_named():
    assert "“x9” is not a job id" in str(refusal("/cancel x9 y8"))

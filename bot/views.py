"""Views for people: of the queue, of the price of a picture, and of the bot itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from bot.jobs import Job
from bot.languages import ENGLISH, Language, in_words
from generation.types import GenerationRequest


@dataclass(frozen=True, slots=True)
class EngineState:
    """State of drawing, with a sentence for people where nothing can be drawn.

    Attributes:
        sentence: In English; {time} stands for the seconds.
        seconds: About as long as it takes yet; None where nobody knows.
    """

    status: Literal["loading", "ready", "failed", "paused", "draining", "stopping"]
    sentence: str = ""
    seconds: float | None = field(default=None, compare=False)

    @property
    def message(self) -> str:
        """The sentence in English."""
        return self.said(ENGLISH)

    def said(self, say: Language) -> str:
        """The sentence in a person's language."""
        if self.seconds is None:
            return say(self.sentence)
        return say(self.sentence, time=in_words(self.seconds, say))


@dataclass(frozen=True, slots=True)
class QueueView:
    """The queue as one person sees it.

    Attributes:
        waiting: Jobs of everybody that wait.
        running: Jobs of everybody that are being drawn.
        mine: This person's unfinished jobs, in the order in which they will be drawn.
    """

    waiting: int
    running: int
    mine: tuple[Job, ...]


@dataclass(frozen=True, slots=True)
class Quote:
    """The price of a request, before anything is spent.

    Attributes:
        cost: Credits.
        left: Credits that the person has.
        seconds: Drawing time; None before anything was measured.
        position: Jobs that would be ahead.
        starts_in: Seconds until it would start; None before anything was measured.
    """

    cost: int
    left: int
    seconds: float | None
    position: int
    starts_in: float | None


@dataclass(frozen=True, slots=True)
class About:
    """The introduction of the loaded model, for people who have just arrived.

    Attributes:
        text: A sentence or two, plain.
        examples: Prompts worth trying.
        remarks: Sentences about a request, such as words that the model does not know.
    """

    text: str
    examples: tuple[str, ...] = ()
    remarks: Callable[[GenerationRequest], tuple[str, ...]] = lambda request: ()

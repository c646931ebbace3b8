"""Views for people: of the queue, of the price of a picture, and of the bot itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
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


EngineStatus = Literal["loading", "ready", "drawing", "failed", "leaving"]


@dataclass(frozen=True, slots=True)
class EngineView:
    """One engine, for operators.

    What has ended is counted from the start of the bot, over all engines that have borne the name.
    An engine that drew some pictures of a job counts that as a job.

    Attributes:
        name: Its own among all: "engine-1".
        device: Where it draws, such as "cuda:0" or the name of a machine; empty while that is not
            known.
        status: "failed" while it waits until loading is tried again; "leaving" while it ends its
            last job, since its machine leaves.
        model: What it draws with.
        loaded: Bytes in memory by repository.
        succeeded: Jobs that it has drawn.
        failed: Jobs that it could not draw.
        lost: Jobs during which it was lost.
        error: Why it has failed, in English; else empty.
    """

    name: str
    device: str
    status: EngineStatus
    model: str
    loaded: Mapping[str, int]
    succeeded: int = 0
    failed: int = 0
    lost: int = 0
    error: str = ""

    def __str__(self) -> str:
        return named(self.name, self.device)


def named(name: str, device: str) -> str:
    """An engine's name and place in words of operators: "engine-2 (cuda:1)"."""
    return f"{name} ({device})" if device else name


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
        is_relaxed: Whether it would be drawn at no charge, when nobody who pays waits.
        pictures: Number of pictures.
        width: Pixels of the first.
        height: Likewise.
    """

    cost: int
    left: int
    seconds: float | None
    position: int
    starts_in: float | None
    is_relaxed: bool = False
    pictures: int = 1
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """Words that a person can say by pressing a button.

    Attributes:
        label: On the button, in the person's language.
        says: The words, in the grammar of all platforms.
        is_main: Whether most people want just this.
    """

    label: str
    says: str
    is_main: bool = False


@dataclass(frozen=True, slots=True)
class About:
    """The introduction of the loaded model, for people who have just arrived.

    Attributes:
        text: A sentence or two, plain.
        examples: Prompts worth trying.
        remarks: Sentences about a request, such as words that the model does not know.
        can_draw: Whether a picture can come of a prompt, with the preset of that name: whether its
            model knows enough of it. Of no preset, whether one of them could.
        samples: Folder of pictures that come with the model, one for each preset.
    """

    text: str
    examples: tuple[str, ...] = ()
    remarks: Callable[[GenerationRequest], tuple[str, ...]] = lambda request: ()
    can_draw: Callable[[str, str | None], bool] = lambda prompt, preset: True
    samples: Path | None = None

"""The message of a job on a platform, as `bot.following` knows it: a window, its ways and faults.

| meaning of a fault | consequence |
| --- | --- |
| `Meaning.PASSES` | the same again, a little later |
| `Meaning.UNKNOWN` | the same again, by an `Attempt` that looks first whether it was carried out |
| `Meaning.TOO_LARGE` | the same again, with a smaller file |
| `Meaning.CLOSED` | the next way |
| `Meaning.REFUSED` | no other way: the person is told why, and refunded |
| `Meaning.GONE` | nothing more; the platform does not know the bot any longer |
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from bot.jobs import Progress
from bot.languages import Language
from bot.series import Shown

#: Attempts on one way, some three minutes, before the next has its turn.
TRIES_ON_A_WAY = 8


class Meaning(StrEnum):
    """Meaning of a fault for the attempt in which it came."""

    PASSES = "passes"  #: Not carried out, and may be a little later.
    UNKNOWN = "unknown"  #: No answer came, so that nobody knows whether it was carried out.
    TOO_LARGE = "too large"  #: The file; a smaller one may pass.
    CLOSED = "closed"  #: Final for this way.
    REFUSED = "refused"  #: Final for every way.
    GONE = "gone"  #: The platform no longer knows the bot.


@dataclass(frozen=True, slots=True)
class Fault:
    """A platform's fault, judged.

    Attributes:
        why: A sentence for the person, in their language; empty without one.
        retry_in: Seconds before which the platform wants no other attempt.
        tries: Attempts after which the next way has its turn.
    """

    meaning: Meaning
    why: str = ""
    retry_in: float = 0.0
    tries: int = TRIES_ON_A_WAY

    @property
    def is_passing(self) -> bool:
        """Whether the same may work a little later."""
        return self.meaning in (Meaning.PASSES, Meaning.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Attempt:
    """Facts about an attempt that a window takes into account.

    Attributes:
        is_repeated: Whether the act may have been carried out before without our knowing: in
            another process, or because an answer was lost. Look first, where the platform can.
        shrunk: Times that the platform has found the file too large.
    """

    is_repeated: bool = False
    shrunk: int = 0


@dataclass(frozen=True, slots=True)
class Way:
    """One way on which the end of a job reaches a person.

    Attributes:
        finish: Sends the end of the job. Raises errors that `Window.judge` understands.
        is_new: Whether it is another message than the one that showed progress. People who have
            cancelled the job themselves do not get one.
        left_behind: Sentence in the message that showed progress, once this way has succeeded.
        is_found_again: Whether a later process finds what it has sent, so that sending it again
            changes nothing. The delivery is then written after the sentence, which a process that
            dies in between would else leave unsaid.
    """

    finish: Callable[[Attempt], Awaitable[None]]
    is_new: bool = False
    left_behind: str = ""
    is_found_again: bool = False


class Window(Protocol):
    """The message in which a person watches one job.

    All methods but `ready` may raise errors that `judge` understands.
    """

    async def open(self, attempt: Attempt) -> None:
        """Have a message in which progress can be shown, posted now or found again. Where
        nothing can be shown a fault that is `Meaning.CLOSED` ends the job, and refunds it."""

    async def ready(self) -> None:
        """Wait until the platform may be told of progress."""

    async def show(self, progress: Progress, why_not: str) -> None:
        """Show the progress of the job; *why_not* is the reason why nothing is being drawn.

        Cancelled when the job ends meanwhile. Faults do no harm, since newer progress follows;
        only one that is `Meaning.REFUSED` ends the job, since its end would be refused too.
        """

    def ways(self) -> Iterable[Way]:
        """The ways to the person, in the order in which they are tried."""

    async def call(self, sentence: str, *, is_direct: bool) -> None:
        """Call the person with *sentence* to the end of the job, which they have: in a message that
        mentions them beside it, or one to them alone where it *is_direct* or where it must be. Done
        once at most; where nothing can call them, nothing happens."""

    async def note(self, sentence: str) -> None:
        """Leave *sentence* as the last word in every message that still shows the job on its
        way, without a way to cancel."""

    def judge(self, error: Exception) -> Fault | None:
        """The meaning of *error*; None where the platform is not at fault."""


#: Opens the window of a job, or of a series, for a person of that language; None where that is not
#: possible now, and the answer stays owed.
OpenWindow = Callable[[Shown, Language], Window | None]

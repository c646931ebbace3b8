"""A clock that does not leap: ages, windows of quotas and deletions go by it.

It goes with the system's clock as long as that goes evenly. Where the system's clock leaps, or is
another at the start than the last run has left it, the bot goes on in its own time, and takes the
new one over once that has held for a while:

| the system's clock | taken over after |
| --- | --- |
| differs by up to `EVEN` | at once |
| differs by up to `SMALL` | `PATIENCE_FOR_SMALL` |
| differs by more | `PATIENCE` |

So a clock that is wrong for an hour deletes nothing and resets nobody's quota. A bot that was off
for up to `LONG_REST` is no wonder; one that was off for longer waits with deletions for a day.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from bot.permissions import opener

logger = logging.getLogger(__name__)

#: Seconds.
EVEN, SMALL = 120.0, 3600.0
PATIENCE_FOR_SMALL, PATIENCE = 600.0, 86_400.0
LONG_REST = 45 * 86_400.0
#: Seconds between two notes of the time for the next start.
NOTE_EVERY = 300.0


def steady() -> float:
    """Seconds that pass while the machine sleeps too, where the system can tell (Linux)."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class Clock:
    """Unix seconds; *path* keeps the time for the next start.

    Args:
        system: The system's clock, in unix seconds.
        steady: A clock in seconds that goes evenly, from wherever.

    Attributes:
        problem: A sentence for operators while the system's clock is not believed; empty else.
    """

    def __init__(
        self,
        path: Path,
        system: Callable[[], float] = time.time,
        steady: Callable[[], float] = steady,
    ) -> None:
        self._path = path
        self._system = system
        self._steady = steady
        self.problem = ""
        self._noted_at = float("-inf")
        #: The difference that the system's clock has from ours, and since when (steady).
        self._leap: tuple[float, float] | None = None
        left, shown = last_seen(path), system()
        is_likely = left is None or left - EVEN <= shown <= left + LONG_REST
        self._ahead = (shown if is_likely or left is None else left) - steady()

    def __call__(self) -> float:
        now = self._ahead + self._steady()
        difference = self._system() - now
        if abs(difference) <= EVEN:
            if self.problem:
                logger.warning("the system's clock is as it was before")
            self._take_over(difference)
        else:
            self._wait(difference)
        now = self._ahead + self._steady()
        if self._steady() - self._noted_at >= NOTE_EVERY:
            self.note(now)
        return now

    def note(self, now: float) -> None:
        """Keep *now* for the next start."""
        self._noted_at = self._steady()
        part = self._path.with_suffix(".part")
        with suppress(OSError):  # then the next start believes the system
            with open(part, "w", encoding="utf-8", opener=opener) as file:
                json.dump({"seen": now}, file)
            os.replace(part, self._path)

    def _wait(self, difference: float) -> None:
        """Take over the system's time once it has differed by as much for long enough."""
        if self._leap is None or abs(difference - self._leap[0]) > EVEN:
            self._leap = difference, self._steady()
            self.problem = (
                f"the system's clock says {_words(self._system())}, which is"
                f" {in_days(difference)} than it should be; nothing is deleted for its age and no"
                " quota changes for that until it has held for"
                f" {'a day' if abs(difference) > SMALL else 'ten minutes'}"
            )
            logger.warning("%s", self.problem)
        patience = PATIENCE if abs(difference) > SMALL else PATIENCE_FOR_SMALL
        if self._steady() - self._leap[1] >= patience:
            logger.warning("the system's time is taken over: %s", _words(self._system()))
            self._take_over(difference)

    def _take_over(self, difference: float) -> None:
        self._ahead += difference
        self._leap, self.problem = None, ""


def last_seen(path: Path) -> float | None:
    """The time (unix seconds) that the last run has left at *path*; None without one."""
    try:
        seen = json.loads(path.read_text(encoding="utf-8"))["seen"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return float(seen) if isinstance(seen, int | float) else None


def in_days(difference: float) -> str:
    """Words such as "3.0 days later", for seconds."""
    size, word = abs(difference), "later" if difference > 0 else "earlier"
    if size >= 86_400:
        return f"{size / 86_400:.1f} days {word}"
    return f"{size / 3600:.1f} hours {word}"


def _words(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return f"{seconds:g} s"

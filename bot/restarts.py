"""Recent starts of the bot: after several crashes the next start waits.

Discord resets the token of a bot that identifies itself 1000 times in 24 hours, and a
supervisor that restarts at once gets there in minutes.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from bot.permissions import opener

WINDOW = 600.0
#: Starts within the window that do not have to wait.
FREE = 3
FIRST_WAIT, LONGEST_WAIT = 10.0, 300.0


class Restarts:
    """Starts without an orderly end, kept in *file*."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def begin(self, now: float) -> float:
        """Seconds to wait before going on, with a start at *now* (unix seconds) recorded."""
        times = [time for time in self._read() if now - WINDOW < time <= now]
        with (
            suppress(OSError),
            open(self._file, "w", encoding="utf-8", opener=opener) as file,
        ):
            json.dump([*times[-50:], now], file)
        if len(times) < FREE:
            return 0.0
        doublings = min(len(times) - FREE, 10)
        return float(min(FIRST_WAIT * 2**doublings, LONGEST_WAIT))

    def end(self) -> None:
        """Record an orderly end, which forgets all starts."""
        self._file.unlink(missing_ok=True)

    def _read(self) -> list[float]:
        try:
            times = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return []
        if not isinstance(times, list):
            return []
        return [float(time) for time in times if isinstance(time, int | float)]

"""A log that strangers cannot fill: a few lines of a kind, then one a minute for the rest."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

#: Seconds that are counted together, and lines of a kind that are shown in them.
WINDOW, SHOWN = 60.0, 5
#: What differs between lines of one kind: numbers and addresses of objects.
VARYING = re.compile(r"0x[0-9a-fA-F]+|\d+")


@dataclass(slots=True)
class _Kind:
    began: float
    latest: logging.LogRecord
    shown: int = 0
    hidden: int = 0


class Floods(logging.Handler):
    """Hands records on to *target*; of warnings and errors of one kind only so many a minute.

    Of a kind are records of one logger with one message before its values are put in. What was
    left out is counted in one line, once its minute is over and something is logged.
    """

    def __init__(self, target: logging.Handler, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._target = target
        self._now = now
        self._kinds: dict[tuple[str, int, str], _Kind] = {}

    def setFormatter(self, fmt: logging.Formatter | None) -> None:
        self._target.setFormatter(fmt)

    def emit(self, record: logging.LogRecord) -> None:
        now = self._now()
        self._tell(now)
        if record.levelno < logging.WARNING:
            self._target.handle(record)
            return
        key = (record.name, record.levelno, VARYING.sub("#", str(record.msg))[:200])
        kind = self._kinds.setdefault(key, _Kind(now, record))
        kind.latest = record
        if kind.shown < SHOWN:
            kind.shown += 1
            self._target.handle(record)
        else:
            kind.hidden += 1

    def close(self) -> None:
        self._tell(float("inf"))
        self._target.close()
        super().close()

    def _tell(self, now: float) -> None:
        """Count what was left out in minutes that are over; a flood goes on in the next one."""
        for key, kind in list(self._kinds.items()):
            if now - kind.began < WINDOW:
                continue
            del self._kinds[key]
            if not kind.hidden:
                continue
            record = kind.latest
            self._kinds[key] = _Kind(now, record, shown=SHOWN)
            told = f"{kind.hidden:,} more like this within a minute: {record.getMessage()}"
            summary = logging.LogRecord(
                record.name, record.levelno, record.pathname, record.lineno, told, (), None
            )
            self._target.handle(summary)

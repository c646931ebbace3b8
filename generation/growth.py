"""Memory of a process that grows from picture to picture, though it has loaded nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from pathlib import Path

#: Pictures by which memory has settled after weights were loaded: caches of prompts and control
#: maps fill, LoRAs that nobody counts come. As many must lie above it before it counts as growth.
PICTURES = 20
#: Bytes that it may grow by; several LoRAs and what allocators keep lie below.
ALLOWANCE = 4_000_000_000


class Growth:
    """Tells memory that leaks from memory that is taken.

    Args:
        allowance: Bytes by which it may grow.
        pictures: How many are looked at, first and later.
    """

    def __init__(self, allowance: int = ALLOWANCE, pictures: int = PICTURES) -> None:
        self._allowance = allowance
        self._pictures = pictures
        self._weights: Hashable = None
        self._settled: list[int] = []
        self._settling = 0
        self._latest: deque[bool] = deque(maxlen=pictures)

    @property
    def is_a_leak(self) -> bool:
        """Whether each of the latest pictures found more than the allowance above what there was
        after the first ones with these weights."""
        return len(self._latest) == self._pictures and all(self._latest)

    def take(self, held: Sequence[int], weights: Hashable) -> None:
        """Learn what was *held* after a picture, in bytes for each kind of memory, beside these
        *weights*."""
        if weights != self._weights:
            self._weights, self._settled, self._settling = weights, [0] * len(held), 0
            self._latest.clear()
        if self._settling < self._pictures:
            self._settling += 1
            self._settled = [*map(max, self._settled, held)]
            return
        grown = (now - then for now, then in zip(held, self._settled, strict=True))
        self._latest.append(any(each > self._allowance for each in grown))


def resident_bytes(status: Path = Path("/proc/self/status")) -> int:
    """Bytes of main memory that this process holds as its own, without pages of files; 0 where the
    system does not tell (proc(5), ``RssAnon``)."""
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:")), 0)

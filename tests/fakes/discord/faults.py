"""Faults on the way, where a test wants them, and limits to the rate of requests."""

import asyncio
import re
import time
from collections import deque
from dataclasses import dataclass, field


@dataclass(eq=False)
class Fault:
    """One way in which the next matching requests fail.

    Attributes:
        status: The status of the answer; None cuts the connection without one.
        times: How many requests it meets; `hits` counts those that it met.
        lose_answer: Carry the request out, then cut the connection.
        misreport: Carry the request out, then answer with `status` all the same.
        gate: Hold the request back until this event is set, before anything else.
        keep: Carry the request out, and hold the answer back until this event is set.
    """

    method: str
    path: re.Pattern
    status: int | None
    times: int
    lose_answer: bool
    body: dict | str | None
    headers: dict[str, str]
    gate: asyncio.Event | None
    misreport: bool = False
    keep: asyncio.Event | None = None
    hits: int = 0

    @property
    def is_carried_out(self) -> bool:
        """Whether what was asked is done, sooner or later."""
        is_held = self.gate is not None or self.keep is not None
        return self.lose_answer or self.misreport or is_held

    def meets(self, method: str, path: str) -> bool:
        return (
            self.hits < self.times
            and self.method in (method, "*")
            and self.path.search(path) is not None
        )


@dataclass(eq=False)
class Limit:
    """A number of requests in a number of seconds to each path that a pattern matches."""

    method: str
    path: re.Pattern
    most: int
    seconds: float
    moments: dict[str, deque] = field(default_factory=dict)

    def meets(self, method: str, path: str) -> bool:
        return self.method in (method, "*") and self.path.search(path) is not None

    def take(self, path: str) -> tuple[int, float]:
        """(requests left after this one, seconds until there are more); -1 left is too many."""
        now = time.monotonic()
        moments = self.moments.setdefault(path, deque())
        while moments and moments[0] <= now - self.seconds:
            moments.popleft()
        if len(moments) >= self.most:
            return -1, moments[0] + self.seconds - now
        moments.append(now)
        return self.most - len(moments), moments[0] + self.seconds - now


class Pace:
    """Counts the requests of any second of real time; more than `most` are too fast."""

    def __init__(self, most: int = 50):
        self.most = most
        self._moments: deque[float] = deque()
        self.busiest_second = 0

    def count(self) -> bool:
        """Whether this request still belongs to those that a bot may make in a second."""
        now = time.monotonic()
        while self._moments and self._moments[0] <= now - 1:
            self._moments.popleft()
        self._moments.append(now)
        self.busiest_second = max(self.busiest_second, len(self._moments))
        return len(self._moments) <= self.most

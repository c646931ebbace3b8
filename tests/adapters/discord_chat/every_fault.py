"""The kinds of faults that a call meets in `every_call`."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fakes.discord.faults import Fault


@dataclass
class Held:
    """What faults hold back.

    Attributes:
        events: Every event that a call waits for.
        late: Those that the next call sets, so that it overtakes them.
    """

    events: list[asyncio.Event] = field(default_factory=list)
    late: list[asyncio.Event] = field(default_factory=list)

    def event(self) -> asyncio.Event:
        """An event that a call may wait for."""
        self.events.append(asyncio.Event())
        return self.events[-1]

    def overtake(self, seconds: float) -> None:
        """Let go what is late, once the call that has come was carried out."""
        late, self.late = self.late, []
        for event in late:
            asyncio.get_running_loop().call_later(seconds, event.set)

    def let_go(self) -> None:
        """Let go of everything."""
        for event in self.events:
            event.set()
        self.late.clear()


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        fault: Makes one, and keeps what it holds back.
        is_lasting: Whether each such call meets it, and not only the first.
        is_done: Whether what was asked is carried out.
        hangs: Whether no answer comes for too long.
    """

    fault: Callable[[Held], Fault]
    is_lasting: bool = False
    is_done: bool = False
    hangs: bool = False


def _fault(status: int | None, *, body: object = "", **more) -> Callable[[Held], Fault]:
    headers = more.pop("headers", {})
    lose_answer = more.pop("lose_answer", False)

    def make(held: Held) -> Fault:
        fault = Fault("*", re.compile(""), status, 1, lose_answer, body, headers, None)
        fault.misreport = more.get("misreport", False)
        return fault

    return make


def _limited(seconds: float, *, is_global: bool = False) -> Callable[[Held], Fault]:
    said = "You are being rate limited."
    body = {"message": said, "retry_after": seconds, "global": is_global}
    return _fault(429, body=body, headers={"Retry-After": "0"})


def _held(held: Held) -> Fault:
    fault = _fault(None)(held)
    fault.gate = held.event()
    return fault


def _kept(held: Held) -> Fault:
    fault = _fault(None)(held)
    fault.keep = held.event()
    return fault


def _slow(held: Held) -> Fault:
    fault = _kept(held)
    asyncio.get_running_loop().call_later(0.1, fault.keep.set)
    return fault


def _overtaken(held: Held) -> Fault:
    fault = _held(held)
    held.late.append(fault.gate)
    return fault


def _answered_late(held: Held) -> Fault:
    fault = _kept(held)
    held.late.append(fault.keep)
    return fault


def _exhausting(held: Held) -> Fault:
    fault = _kept(held)
    fault.keep.set()
    fault.headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "0.2"}
    return fault


FORBIDDEN = {"code": 50013, "message": "Missing Permissions"}
PASSING = {
    "is cut off before it arrives": Kind(_fault(None)),
    "is carried out and cut off": Kind(_fault(None, lose_answer=True), is_done=True),
    "is carried out and said to be lost": Kind(_fault(502, misreport=True), is_done=True),
    "comes too often": Kind(_limited(0.05)),
    "comes too often, as all calls do": Kind(_limited(0.2, is_global=True)),
    "is the last that the limit allows": Kind(_exhausting, is_done=True),
    "is stopped at the edge": Kind(_fault(429, body="<html>", headers={"Via": ""})),
    "meets a 500": Kind(_fault(500)),
    "meets a 503": Kind(_fault(503)),
    "hangs": Kind(_held, hangs=True),
    "is carried out and never answered": Kind(_kept, is_done=True, hangs=True),
    "is slow": Kind(_slow, is_done=True),
    "arrives after the next one": Kind(_overtaken, is_done=True, hangs=True),
    "is answered after the next one": Kind(_answered_late, is_done=True, hangs=True),
}
LASTING = {
    "is always cut off": Kind(_fault(None), is_lasting=True),
    "always meets a 500": Kind(_fault(500), is_lasting=True),
    "always meets a 503": Kind(_fault(503), is_lasting=True),
    "always hangs": Kind(_held, is_lasting=True, hangs=True),
    "always comes too often": Kind(_limited(0.001), is_lasting=True),
    "is forbidden": Kind(_fault(403, body=FORBIDDEN), is_lasting=True),
}
KINDS = LASTING | PASSING

"""Wrong tokens: who keeps sending them waits, longer each time; who has the right one does not."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from adapters.web_chat.connections import network_of

#: Wrong tokens of one address that cost no wait, and the waits after them, in seconds.
FREE, FIRST_WAIT, LONGEST_WAIT = 5, 1.0, 300.0
#: Wrong tokens of everybody in a minute, above which an address waits after its first one.
CROWD, MINUTE = 60, 60.0
#: Seconds after its last wrong token that an address is forgotten, and addresses to remember.
MEMORY, MOST = 900.0, 10_000

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Guesser:
    wrong: int
    last: float
    until: float


class Guesses:
    """Wrong tokens by address (of IPv6, by /64); *now* is a clock in seconds.

    While an address waits, no token of its is looked at, so that guessing on gains nothing. An
    address that has not guessed is asked to wait for nobody else.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._guessers: OrderedDict[str, _Guesser] = OrderedDict()
        self._lately: deque[float] = deque(maxlen=CROWD)

    def wait(self, address: str) -> float:
        """Seconds that *address* still has to wait before its tokens are looked at."""
        guesser = self._guessers.get(network_of(address))
        return 0.0 if guesser is None else max(0.0, guesser.until - self._now())

    def wrong(self, address: str) -> None:
        """A token from *address* was wrong."""
        now, network = self._now(), network_of(address)
        guesser = self._guessers.pop(network, None)
        if guesser is None or now - guesser.last > MEMORY:
            guesser = _Guesser(0, now, now)
        guesser.wrong, guesser.last = guesser.wrong + 1, now
        is_crowd = len(self._lately) == CROWD and now - self._lately[0] < MINUTE
        self._lately.append(now)
        over = guesser.wrong - FREE
        wait = 0.0 if over < 0 else min(FIRST_WAIT * 2 ** min(over, 20), LONGEST_WAIT)
        guesser.until = now + max(wait, MINUTE if is_crowd else 0.0)
        self._guessers[network] = guesser
        while len(self._guessers) > MOST:
            self._guessers.popitem(last=False)
        logger.warning("%s sent a token that is not known (%d of late)", network, guesser.wrong)

"""Work on threads of its own, a little at a time for each person, in which people take turns."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from bot.refusals import NotAccepting, TooOften

T = TypeVar("T")

#: Pieces of work that one person, and everybody together, may have waiting.
MOST_WAITING_EACH = 8
MOST_WAITING = 64


class Turns:
    """Threads for work that strangers ask for, apart from those that serve everybody.

    Nobody gets a second turn while somebody else waits for a first one, and nobody holds all
    threads.

    Args:
        name: Name of the threads.
        at_once: Pieces of work that are done at once.
    """

    def __init__(self, name: str, at_once: int) -> None:
        self._at_once = at_once
        self._each = max(1, at_once // 2)
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix=name)
        self._running: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    async def do(self, person: str, work: Callable[[], T]) -> T:
        """The outcome of *work*, done for *person* when it is their turn.

        If this is cancelled, work that has begun keeps its thread until it is done.

        Raises:
            TooOften: *person* has too much waiting.
            NotAccepting: Everybody together has.
        """
        await self._turn(person)
        loop = asyncio.get_running_loop()

        def give_back(_: object) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._end, person)

        try:
            doing = self._threads.submit(work)
        except RuntimeError:
            self._end(person)
            raise NotAccepting("the bot is restarting: try again in a minute") from None
        doing.add_done_callback(give_back)
        return await asyncio.wrap_future(doing)

    def close(self) -> None:
        """Begin no more work. May be called more than once."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _turn(self, person: str) -> None:
        mine = len(self._waiting.get(person, ()))
        if mine >= MOST_WAITING_EACH:
            raise TooOften(
                f"{mine} of your pictures are being looked at already, the most one person may"
                " have: wait for one",
                retry_in=5.0,
            )
        if sum(map(len, self._waiting.values())) >= MOST_WAITING:
            raise NotAccepting(
                "very many pictures are being looked at just now: try again in a little while",
                retry_in=10.0,
            )
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(person, deque()).append(turn)
        self._hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._end(person)
            else:
                self._forget(person, turn)
            raise

    def _hand_out(self) -> None:
        while self._running.total() < self._at_once:
            free = (each for each in self._waiting if self._running[each] < self._each)
            person = next(free, None)
            if person is None:
                return
            turn = self._waiting[person][0]
            self._forget(person, turn)
            if person in self._waiting:
                self._waiting.move_to_end(person)
            self._running[person] += 1
            turn.set_result(None)

    def _forget(self, person: str, turn: asyncio.Future[None]) -> None:
        self._waiting[person].remove(turn)
        if not self._waiting[person]:
            del self._waiting[person]

    def _end(self, person: str) -> None:
        self._running[person] -= 1
        if not self._running[person]:
            del self._running[person]
        self._hand_out()

"""Screens: judges of words before the charge, and of pictures before anybody sees them.

A screen knows no platform. All screens that are on are asked, and the strictest verdict counts.
One that cannot load, fails, or takes too long lets nothing through.

| verdict | words | pictures |
| --- | --- | --- |
| ``PASS`` | drawn | shown |
| ``SPOILER`` | drawn | hidden until somebody wants to see it |
| ``HOLD`` | drawn, and held | kept, and shown to moderators alone until one has decided |
| ``REFUSE`` | not drawn, not charged | deleted |
"""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Protocol

from PIL import Image

from bot.refusals import NotAccepting
from bot.threads import Thread

logger = logging.getLogger(__name__)

#: Seconds that a verdict may take. Loading comes on top, for the first one.
SECONDS_TO_JUDGE = 30.0
SECONDS_TO_LOAD = 120.0

#: Threads in a row that may hang before a screen is given up.
MOST_HUNG = 3

#: What people read while a screen does not work.
BROKEN = "the filter for words and pictures does not work; an admin must look at the log"


class Action(IntEnum):
    """What becomes of words or of a picture; the greater one is the stricter."""

    PASS = 0
    SPOILER = 1
    HOLD = 2
    REFUSE = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """A screen's judgement.

    Attributes:
        reason: A sentence for the person, which does not tell how to get round the screen.
        screen: Name of the screen.
        detail: A note for moderators, such as a score or the word that was found.
    """

    action: Action = Action.PASS
    reason: str = ""
    screen: str = ""
    detail: str = ""

    @property
    def note(self) -> str:
        """Screen and detail, for moderators."""
        return f"{self.screen}: {self.detail}" if self.screen else ""


PASSED = Verdict()


@dataclass(frozen=True, slots=True)
class Place:
    """Facts about the place of a request that a screen may take into account.

    Attributes:
        words: Words that the managers of the server want refused there.
        is_age_restricted: Whether only adults may see the place, by the platform's word.
    """

    words: tuple[str, ...] = ()
    is_age_restricted: bool = False


class Screen(Protocol):
    """One judge. It is made on the thread on which its methods are called, and nowhere else."""

    def judge_words(self, texts: Sequence[str], place: Place) -> Verdict:
        """The verdict on *texts*: the prompt, then the negative prompt."""

    def judge_picture(self, image: Image.Image, place: Place) -> Verdict:
        """The verdict on *image*, RGB, of any size."""


def strictest(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict that counts; the first among equals."""
    return max(verdicts, key=lambda verdict: verdict.action, default=PASSED)


class _Loaded:
    """A screen with a thread of its own, made by *make* when it is first needed."""

    def __init__(self, name: str, make: Callable[[], Screen]) -> None:
        self.name = name
        self.problem = ""
        self._make = make
        self._thread: Thread | None = None
        self._screen: asyncio.Future[Screen] | None = None
        self._judging = 0
        self._hung = 0

    @property
    def is_busy(self) -> bool:
        return self._judging > 0

    async def judged(self, judge: Callable[[Screen], Verdict]) -> Verdict:
        """The verdict. Raises the error with which the screen could not be made, or failed."""
        thread, screen = await self.ready()
        self._judging += 1
        try:
            async with asyncio.timeout(SECONDS_TO_JUDGE):
                verdict = await thread.call(partial(judge, screen))
        except TimeoutError:
            self._give_up(thread, f"did not answer within {SECONDS_TO_JUDGE:g} s")
            raise
        finally:
            self._judging -= 1
        self._hung = 0
        return verdict

    async def ready(self) -> tuple[Thread, Screen]:
        """The screen, and its thread. Raises the error with which it could not be made."""
        if self._hung >= MOST_HUNG:
            raise TimeoutError(self.problem)
        if self._thread is None:
            self._thread = Thread(f"screen-{self.name}")
        thread = self._thread
        if self._screen is None or (self._screen.done() and self._screen.exception()):
            self._screen = thread.call(self._make)
        try:
            async with asyncio.timeout(SECONDS_TO_LOAD):
                screen = await asyncio.shield(self._screen)
        except TimeoutError:
            self._give_up(thread, f"could not be loaded within {SECONDS_TO_LOAD:g} s")
            raise
        except Exception as error:
            if not self.problem:
                logger.error("the screen %r cannot be loaded: %s", self.name, error)
            self.problem = f"the screen {self.name!r} cannot be loaded: {error}"
            raise
        self.problem = ""
        return thread, screen

    def close(self) -> None:
        if self._thread is not None:
            self._thread.end()

    def _give_up(self, thread: Thread, fault: str) -> None:
        """Leave *thread*, which hangs, alone; the next call makes the screen on another. After
        some of them in a row there is none, since each may hold memory and a core for ever."""
        if thread is not self._thread:
            return  # one that waited behind another in the same thread
        thread.end()
        self._thread = self._screen = None
        self._hung += 1
        is_last = self._hung >= MOST_HUNG
        then = "restart the bot" if is_last else "the next picture starts it anew"
        self.problem = f"the screen {self.name!r} {fault}; {then}"
        logger.error("%s", self.problem)


class Screens:
    """All screens that are on: name to a function that makes the screen, on its own thread."""

    def __init__(self, makers: Mapping[str, Callable[[], Screen]]) -> None:
        self._screens = [_Loaded(name, make) for name, make in makers.items()]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(screen.name for screen in self._screens)

    @property
    def problem(self) -> str:
        """A sentence for operators, where a screen cannot be loaded; empty while all work."""
        return next((screen.problem for screen in self._screens if screen.problem), "")

    async def load(self) -> None:
        """Load all screens now rather than with the first request. `problem` says what failed."""
        await asyncio.gather(*(screen.ready() for screen in self._screens), return_exceptions=True)

    async def judge_words(self, texts: Sequence[str], place: Place) -> Verdict:
        """The strictest verdict on *texts*.

        Raises:
            NotAccepting: A screen does not work.
        """
        texts = [text for text in texts if text]
        return await self._judged(lambda screen: screen.judge_words(texts, place))

    async def judge_file(self, data: bytes, place: Place) -> Verdict:
        """The strictest verdict on a picture file that the bot itself has written.

        Raises:
            NotAccepting: A screen does not work.
        """

        def judge(screen: Screen) -> Verdict:
            with Image.open(io.BytesIO(data)) as image:
                return screen.judge_picture(image.convert("RGB"), place)

        return await self._judged(judge)

    async def may_show(self, preview: bytes, place: Place) -> bool | None:
        """Whether *preview*, a JPEG of the bot's own, may be seen; None where a screen is busy or
        does not work. Then another comes soon."""
        if any(screen.is_busy for screen in self._screens):
            return None
        try:
            verdict = await self.judge_file(preview, place)
        except NotAccepting:
            return None
        return verdict.action is Action.PASS

    async def _judged(self, judge: Callable[[Screen], Verdict]) -> Verdict:
        asked: list[Awaitable[Verdict]] = [screen.judged(judge) for screen in self._screens]
        verdicts = await asyncio.gather(*asked, return_exceptions=True)
        for screen, verdict in zip(self._screens, verdicts, strict=True):
            if isinstance(verdict, BaseException):
                logger.error("the screen %r has failed: %r", screen.name, verdict)
                if not isinstance(verdict, Exception):
                    raise verdict
                raise NotAccepting(BROKEN) from verdict
        return strictest(verdict for verdict in verdicts if isinstance(verdict, Verdict))

    def close(self) -> None:
        """End the screens' threads."""
        for screen in self._screens:
            screen.close()

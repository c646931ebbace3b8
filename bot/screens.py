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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol, TypeVar

from PIL import Image

from bot.refusals import NotAccepting

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: Seconds that a verdict may take. Loading comes on top, for the first one.
SECONDS_TO_JUDGE = 30.0
SECONDS_TO_LOAD = 120.0

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
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"screen-{name}")
        self._screen: asyncio.Future[Screen] | None = None
        self.is_busy = False

    async def ready(self) -> Screen:
        """The screen. Raises the error with which it could not be made."""
        if self._screen is None or (self._screen.done() and self._screen.exception()):
            loop = asyncio.get_running_loop()
            self._screen = loop.run_in_executor(self._thread, self._make)
        try:
            async with asyncio.timeout(SECONDS_TO_LOAD):
                screen = await asyncio.shield(self._screen)
        except Exception as error:
            if not self.problem:
                logger.error("the screen %r cannot be loaded: %s", self.name, error)
            self.problem = f"the screen {self.name!r} cannot be loaded: {error}"
            raise
        self.problem = ""
        return screen

    async def judged(self, judge: Callable[[Screen], Verdict]) -> Verdict:
        screen = await self.ready()
        loop = asyncio.get_running_loop()
        self.is_busy = True
        try:
            async with asyncio.timeout(SECONDS_TO_JUDGE):
                return await loop.run_in_executor(self._thread, judge, screen)
        except TimeoutError:
            # Its thread may hang for good, and with it everything that waits for it.
            self.problem = f"the screen {self.name!r} does not answer; restart the bot"
            raise
        finally:
            self.is_busy = False

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


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

    async def judge_picture(self, image: Image.Image, place: Place) -> Verdict:
        """The strictest verdict on *image*.

        Raises:
            NotAccepting: A screen does not work.
        """
        return await self._judged(lambda screen: screen.judge_picture(image, place))

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

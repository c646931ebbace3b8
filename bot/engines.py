"""The engines: loads each, again and again where that fails, and says which of them draw."""

from __future__ import annotations

import asyncio
import logging
import math
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from contextlib import aclosing, suppress
from functools import partial
from types import MappingProxyType
from typing import Any

from bot import switches
from bot.database import Database
from bot.refusals import StorageTrouble
from bot.standstill import Standstill
from bot.views import EngineState, EngineStatus, EngineView, named
from generation.errors import EngineLost, FluxbotError
from generation.protocols import Executor, Fleet, Members

logger = logging.getLogger(__name__)

#: Seconds until loading is tried again: at first, and at most.
RELOAD_AFTER = 30.0
RELOAD_AFTER_MOST = 300.0
#: Seconds from which on it was no loading alone, but a download too.
LONGEST_LOADING = 600.0
#: Times are told in multiples of so many seconds.
ROUNDED_TO = 5

LOADING = "loading the model"
NO_ENGINE = "no GPU is there to draw with; waiting jobs are kept"
LOADING_FOR = "loading the model, about {time}"

#: Name of the value that says which engines are lost, and why: a line for each.
_LOST = "lost engines"


class Engines:
    """All engines of the bot, named in messages to operators.

    Args:
        standstill: Says when waiting for an engine is over.
        database: Keeps how long loading takes, and which engines are lost.
        model: What is loaded; each takes its own time.
        on_change: Called when other engines draw than before.
        clock: Monotonic seconds.
        fleet: More executors, which come and go.
    """

    def __init__(
        self,
        executors: Iterable[Executor],
        standstill: Standstill,
        database: Database,
        model: str,
        on_change: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        fleet: Fleet | None = None,
    ) -> None:
        self._all = list(executors)
        self._fleet = fleet
        #: Set once an engine is to draw nothing new, since it leaves.
        self._leaving = {each: asyncio.Event() for each in self._all}
        self._is_told = fleet is None  # whether it is known how many there are
        self._problem = ""  # why that is not known
        self._standstill = standstill
        self._database = database
        self._model = model
        self._seconds_name = loading_time_of(model)
        self._on_change = on_change
        self._clock = clock
        self._ready: set[Executor] = set()
        self._loading_since: dict[Executor, float] = {}
        self._seconds_to_load = 0.0
        #: Why an engine could not be loaded when that was last tried.
        self._errors: dict[Executor, str] = {}
        self._at_work: set[Executor] = set()
        #: What has ended, by the name of the engine and the word for the end.
        self._ended: Counter[tuple[str, str]] = Counter()

    @property
    def drawing(self) -> int:
        """Number of engines that share the work: those that are loaded, and at least one."""
        return max(1, len(self._ready))

    @property
    def seconds_until_one_draws(self) -> float:
        """About as long as the first engine takes to load; 0 where one draws, or nobody knows."""
        if self._ready or not self._loading_since:
            return 0.0
        passed = self._clock() - min(self._loading_since.values())
        return max(0.0, self._seconds_to_load - passed)

    @property
    def state(self) -> EngineState | None:
        """Why no engine draws; None where one does."""
        if self._ready:
            return None
        if self._errors.keys() >= set(self._all):
            if why := next(reversed(self._errors.values()), self._problem):
                return EngineState("failed", why)
            if self._is_told:
                return EngineState("failed", NO_ENGINE)
        if seconds := self.seconds_until_one_draws:
            rounded = ROUNDED_TO * math.ceil(seconds / ROUNDED_TO)
            return EngineState("loading", LOADING_FOR, rounded)
        return EngineState("loading", LOADING)

    @property
    def loaded(self) -> dict[str, int]:
        """Bytes in memory by repository, all engines together."""
        total: Counter[str] = Counter()
        for executor in self._all:
            total.update(executor.loaded)
        return dict(total)

    def views(self) -> tuple[EngineView, ...]:
        """What there is to say of each engine, in their order."""
        return tuple(self._view(each) for each in self._all)

    async def recall(self) -> None:
        """Read how long loading took in earlier runs; what those have lost counts no more."""
        seconds = await self._database.read(partial(switches.read, name=self._seconds_name))
        self._seconds_to_load = float(seconds or 0)
        if await self._database.read(lost_engines):
            await self._note_losses()

    async def run(self, serve: Callable[[Executor], Coroutine[Any, Any, None]]) -> None:
        """Have *serve* serve each engine as long as it is there, until cancelled; it is to return
        once `load` says that its engine leaves."""
        async with asyncio.TaskGroup() as group:
            for executor in self._all:
                group.create_task(self._have_served(executor, serve))
            if self._fleet is None:
                return
            async with aclosing(self._fleet.members()) as told:
                async for members in told:
                    for executor in members.executors:
                        if executor not in self._leaving:
                            logger.info("%s joins", _named(executor))
                            self._all.append(executor)
                            self._leaving[executor] = asyncio.Event()
                            group.create_task(self._have_served(executor, serve))
                    await self._follow(members)

    async def load(self, executor: Executor) -> bool:
        """Load an engine, also after it was lost. Returns once it is ready or the bot stops; False
        where the engine leaves.

        Where it is lost on the way, it is tried again at once, and then with patience.
        """
        if executor in self._ready or self._leaving[executor].is_set():
            return not self._leaving[executor].is_set()
        loading = asyncio.create_task(self._load(executor))
        leaving = asyncio.create_task(self.left(executor))
        try:
            await asyncio.wait({loading, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if loading.done():
                loading.result()
        finally:
            loading.cancel()
            leaving.cancel()
            await asyncio.wait({loading, leaving})
        return leaving.cancelled()

    async def left(self, executor: Executor) -> None:
        """Return once an engine is to draw nothing new, since it leaves."""
        await self._leaving[executor].wait()

    async def _load(self, executor: Executor) -> None:
        wait, is_first = RELOAD_AFTER, True
        while not self._standstill.is_stopping:
            self._standstill.begin_attempt()
            began = self._loading_since[executor] = self._clock()
            try:
                await executor.start()
            except FluxbotError as error:
                await self._fail(executor, str(error))
                if is_first and isinstance(error, EngineLost):
                    is_first = False
                    continue
            except Exception as error:
                reason = f"the model cannot be loaded ({error}); the log says more"
                await self._fail(executor, reason, error)
            else:
                if executor not in self._ready:
                    await self._be_ready(executor, self._clock() - began)
                return
            finally:
                self._loading_since.pop(executor, None)
            await self._standstill.told_to_try_again(wait)
            wait = min(2 * wait, RELOAD_AFTER_MOST)

    def begin(self, executor: Executor) -> None:
        """An engine draws at a job from now on."""
        self._at_work.add(executor)

    def end(self, executor: Executor, part: asyncio.Task[None]) -> None:
        """Count how an engine's part of a job has ended, unless somebody has ended it."""
        self._at_work.discard(executor)
        if part.cancelled():
            return
        error = part.exception()
        if isinstance(error, EngineLost):
            self._ended[executor.name, "lost"] += 1
            self.lose(executor)
        else:
            self._ended[executor.name, "succeeded" if error is None else "failed"] += 1

    def lose(self, executor: Executor) -> None:
        """An engine draws nothing until it is loaded again, unless it leaves."""
        if executor in self._ready:
            self._ready.discard(executor)
            if not self._leaving[executor].is_set():
                logger.warning("%s is lost: it is loaded again", _named(executor))
            self._on_change()

    async def close(self) -> None:
        await asyncio.gather(*(executor.close() for executor in self._all))

    async def _have_served(
        self, executor: Executor, serve: Callable[[Executor], Coroutine[Any, Any, None]]
    ) -> None:
        """Have an engine served, and close it where it leaves."""
        await serve(executor)
        self._all.remove(executor)
        self._ready.discard(executor)
        was_lost = self._errors.pop(executor, None) is not None
        self._on_change()
        if was_lost:
            await self._note_losses()
        name = _named(executor)
        await executor.close()
        logger.info("%s has left", name)
        del self._leaving[executor]
        if self._fleet is not None:
            self._fleet.has_left(executor)

    async def _follow(self, members: Members) -> None:
        """Have those engines leave that are no members, and note why others cannot be told."""
        for executor in self._all:
            if executor not in members.executors and not self._leaving[executor].is_set():
                logger.info("%s leaves: it draws nothing new", _named(executor))
                self._leaving[executor].set()
        self._is_told = self._is_told or not members.problem
        if members.problem != self._problem:
            self._problem = members.problem
            if self._problem:
                logger.error("the engines cannot be told: %s", self._problem)
            await self._note_losses()
        self._on_change()

    def _view(self, executor: Executor) -> EngineView:
        status: EngineStatus
        if self._leaving[executor].is_set():
            status = "leaving"
        elif executor in self._at_work:
            status = "drawing"
        elif executor in self._ready:
            status = "ready"
        else:
            is_waiting = executor in self._errors and executor not in self._loading_since
            status = "failed" if is_waiting else "loading"
        name = executor.name
        return EngineView(
            name,
            executor.device,
            status,
            self._model,
            MappingProxyType(dict(executor.loaded)),
            self._ended[name, "succeeded"],
            self._ended[name, "failed"],
            self._ended[name, "lost"],
            self._errors.get(executor, ""),
        )

    async def _fail(
        self, executor: Executor, reason: str, unexpected: Exception | None = None
    ) -> None:
        logger.error("%s cannot be loaded: %s", _named(executor), reason, exc_info=unexpected)
        self._ready.discard(executor)
        self._errors.pop(executor, None)  # so that the latest stands last
        self._errors[executor] = reason
        self._on_change()
        await self._note_losses()

    async def _be_ready(self, executor: Executor, seconds: float) -> None:
        logger.info("%s is loaded: ready to draw", _named(executor))
        self._ready.add(executor)
        was_lost = self._errors.pop(executor, None) is not None
        self._on_change()
        if seconds <= LONGEST_LOADING and abs(seconds - self._seconds_to_load) >= 1:
            self._seconds_to_load = seconds
            await self._keep(self._seconds_name, f"{seconds:.1f}")
        if was_lost:
            await self._note_losses()

    async def _note_losses(self) -> None:
        """Keep which engines are lost, for ``check``."""
        losses = [self._problem] if self._problem else []
        losses += [
            f"{_named(each)}: {' '.join(reason.split())}" for each, reason in self._errors.items()
        ]
        await self._keep(_LOST, "\n".join(losses) or None)

    async def _keep(self, name: str, value: str | None) -> None:
        with suppress(StorageTrouble):  # nothing that drawing waits for
            await self._database.write(partial(switches.write, name=name, value=value))


def loading_time_of(model: str) -> str:
    """Name of the value that says how many seconds *model* takes to load."""
    return f"seconds to load: {model}"


def lost_engines(db: sqlite3.Connection) -> list[str]:
    """A sentence about each engine that the bot could not load when it last tried."""
    return (switches.read(db, _LOST) or "").splitlines()


def _named(executor: Executor) -> str:
    return named(executor.name, executor.device)

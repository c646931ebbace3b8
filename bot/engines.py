"""The engines: loads each, again and again where that fails, and says which of them draw."""

from __future__ import annotations

import asyncio
import logging
import math
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from types import MappingProxyType
from typing import Literal

from bot import switches
from bot.database import Database
from bot.refusals import StorageTrouble
from bot.standstill import Standstill
from bot.views import EngineState, EngineView, named
from generation.errors import EngineLost, FluxbotError
from generation.protocols import Executor

logger = logging.getLogger(__name__)

#: Seconds until loading is tried again: at first, and at most.
RELOAD_AFTER = 30.0
RELOAD_AFTER_MOST = 300.0
#: Seconds from which on it was no loading alone, but a download too.
LONGEST_LOADING = 600.0
#: Times are told in multiples of so many seconds.
ROUNDED_TO = 5

LOADING = "loading the model"
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
    """

    def __init__(
        self,
        executors: Sequence[Executor],
        standstill: Standstill,
        database: Database,
        model: str,
        on_change: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._all = tuple(executors)
        self._standstill = standstill
        self._database = database
        self._model = model
        self._seconds_name = f"seconds to load: {model}"
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

    def __iter__(self) -> Iterator[Executor]:
        return iter(self._all)

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
        if len(self._errors) == len(self._all):
            return EngineState("failed", next(reversed(self._errors.values())))
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

    async def load(self, executor: Executor) -> None:
        """Load an engine, also after it was lost. Returns once it is ready or the bot stops.

        Where it is lost on the way, it is tried again at once, and then with patience.
        """
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
        """An engine draws nothing until it is loaded again."""
        if executor in self._ready:
            self._ready.discard(executor)
            logger.warning("%s is lost: it is loaded again", _named(executor))
            self._on_change()

    async def close(self) -> None:
        for executor in self._all:
            await executor.close()

    def _view(self, executor: Executor) -> EngineView:
        if executor in self._at_work:
            status: Literal["loading", "ready", "drawing", "failed"] = "drawing"
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
        losses = [
            f"{_named(each)}: {' '.join(reason.split())}" for each, reason in self._errors.items()
        ]
        await self._keep(_LOST, "\n".join(losses) or None)

    async def _keep(self, name: str, value: str | None) -> None:
        with suppress(StorageTrouble):  # nothing that drawing waits for
            await self._database.write(partial(switches.write, name=name, value=value))


def lost_engines(db: sqlite3.Connection) -> list[str]:
    """A sentence about each engine that the bot could not load when it last tried."""
    return (switches.read(db, _LOST) or "").splitlines()


def _named(executor: Executor) -> str:
    return named(executor.name, executor.device)

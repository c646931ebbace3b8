"""Changes of models in the engines: how long they take, and which models stay beside each other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

from bot import switches
from bot.database import Database
from bot.engines import LONGEST_LOADING, loading_time_of
from bot.jobs import LOOKED_AT, Job
from bot.refusals import StorageTrouble
from generation.protocols import OnStep
from generation.results import Result
from generation.types import GenerationRequest

#: Seconds until a job has its model in memory, asked for each job in the order of their turns.
Changing = Callable[[Job], float]


class Drawing(Protocol):
    """An executor, as far as it draws."""

    async def generate(self, request: GenerationRequest, on_step: OnStep) -> Result: ...

    @property
    def loaded(self) -> dict[str, int]: ...


class Changes:
    """What is known of changes among *models*.

    Args:
        models: The names that requests have for them, and engines that have them in memory; the
            main one, which is loaded at the start, first.
        database: Keeps how long loading each takes.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        models: Sequence[str],
        database: Database,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._models = models
        self._main = models[0]
        self._database = database
        self._clock = clock
        self._seconds: dict[str, float] = {}
        #: Models that were seen in the memory of one engine at once.
        self._together: set[frozenset[str]] = set()
        self._writing: set[asyncio.Task[None]] = set()

    async def recall(self) -> None:
        """Read how long loading took in earlier runs."""
        for model in self._models:
            read = partial(switches.read, name=loading_time_of(model))
            if (seconds := await self._database.read(read)) is not None:
                self._seconds[model] = float(seconds)

    def needs_none(self, executor: Drawing, request: GenerationRequest) -> bool:
        """Whether the model of *request* is in the memory of *executor*."""
        if len(self._models) == 1:
            return True
        name = request.model if request.model in self._models else self._main
        return name in executor.loaded

    def watching(self, executor: Drawing) -> Drawing:
        """*executor*, whose changes are measured."""
        return executor if len(self._models) == 1 else _Watched(self, executor)

    def counting(self, loaded: Collection[str]) -> Changing:
        """What tells the seconds that jobs wait for changes, where engines have *loaded* these
        models.

        Engines prefer jobs that need no change (`FairQueue.get`), so that of so many jobs as they
        look at each model is loaded once.
        """
        memory = self._in_memory(loaded) or {self._main}
        near, number = set(memory), 0

        def seconds(job: Job) -> float:
            nonlocal memory, near, number
            if number % LOOKED_AT == 0:
                near = set(memory)
            number += 1
            model = job.request.model
            if model in near or model not in self._models:
                return 0.0
            near.add(model)
            memory = memory | {model} if self._stay(memory | {model}) else {model}
            return self._seconds.get(model, 0.0)

        return seconds

    def changed(self, model: str, seconds: float, before: set[str], loaded: Iterable[str]) -> None:
        """Learn that loading *model* took *seconds*, with the models *before* in memory, and these
        *loaded* afterwards."""
        now, together = self._in_memory(loaded), before | {model}
        if together <= now:
            self._together.add(frozenset(now))
        else:
            self._together = {each for each in self._together if not together <= each}
        if not 0 < seconds <= LONGEST_LOADING:
            return
        self._seconds[model] = seconds
        writing = asyncio.create_task(self._keep(model, seconds))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)

    async def _keep(self, model: str, seconds: float) -> None:
        write = partial(switches.write, name=loading_time_of(model), value=f"{seconds:.1f}")
        with suppress(StorageTrouble):  # nothing that drawing waits for
            await self._database.write(write)

    def _stay(self, models: set[str]) -> bool:
        return any(models <= each for each in self._together)

    def _in_memory(self, loaded: Iterable[str]) -> set[str]:
        return {*self._models} & {*loaded}


class _Watched:
    """An executor whose changes of models are told to *changes*."""

    def __init__(self, changes: Changes, executor: Drawing) -> None:
        self._changes = changes
        self._executor = executor

    @property
    def loaded(self) -> dict[str, int]:
        return self._executor.loaded

    async def generate(self, request: GenerationRequest, on_step: OnStep) -> Result:
        changes = self._changes
        if changes.needs_none(self._executor, request):
            return await self._executor.generate(request, on_step)
        before, began = changes._in_memory(self._executor.loaded), changes._clock()
        result = await self._executor.generate(request, on_step)
        seconds = changes._clock() - began - result.seconds
        if request.model in changes._models:
            changes.changed(request.model, seconds, before, self._executor.loaded)
        return result

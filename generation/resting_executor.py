"""An executor whose engine gives its memory back while nobody wants a picture."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from generation.errors import EngineLost
from generation.protocols import Executor, OnStep
from generation.results import Result
from generation.types import GenerationRequest, Step

LOADING = "loading the model"

log = logging.getLogger(__name__)


class Unloadable(Executor, Protocol):
    """An `Executor` that can do without its engine."""

    async def unload(self) -> None:
        """Give the engine's memory back; `start` loads it again."""


class RestingExecutor:
    """An `Executor` around another, for a device that it shares with other programs.

    Args:
        executor: The one that draws.
        seconds: Time without a picture after which the memory is given back; None for never.
        before_loading: Waited for before the engine is loaded, at the start and again.
        after_unloading: Waited for after its memory was given back, at the end too.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        executor: Unloadable,
        seconds: float | None,
        *,
        before_loading: Callable[[], Awaitable[None]],
        after_unloading: Callable[[], Awaitable[None]],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._executor = executor
        self._seconds = seconds
        self._before_loading = before_loading
        self._after_unloading = after_unloading
        self._sleep = sleep
        #: Held while the engine is loaded or unloaded.
        self._turn = asyncio.Lock()
        self._is_loaded = False
        self._waiting: asyncio.Task[None] | None = None
        self._unloading: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self._executor.name

    @property
    def device(self) -> str:
        return self._executor.device

    @property
    def loaded(self) -> dict[str, int]:
        """Bytes of each repository's weights in memory; nothing while it rests."""
        return self._executor.loaded

    async def start(self) -> None:
        """Load the engine, unless it is loaded. Errors of loading are raised here."""
        self._stay()
        async with self._turn:
            await self._load()
        self._rest_later()

    async def generate(self, request: GenerationRequest, on_step: OnStep) -> Result:
        """Make one picture. An engine that rests is loaded first, which *on_step* is told of.

        Raises:
            EngineLost: It could not be loaded again; what it was to draw is not the cause.
        """
        self._stay()
        async with self._turn:
            if not self._is_loaded:
                on_step(Step(0, note=LOADING))
                try:
                    await self._load()
                except Exception as error:
                    sentence = f"the model cannot be loaded again: {error}"
                    raise EngineLost(sentence, is_unrelated=True) from error
        try:
            return await self._executor.generate(request, on_step)
        finally:
            self._rest_later()

    async def died(self) -> None:
        """Return once the engine is found dead; one that rests is alive."""
        await self._executor.died()

    async def close(self) -> None:
        """End the thread. May be called more than once."""
        self._stay()
        await self._executor.close()
        async with self._turn:
            was_loaded, self._is_loaded = self._is_loaded, False
            if was_loaded:
                await self._after_unloading()

    async def _load(self) -> None:
        await self._before_loading()
        await self._executor.start()
        self._is_loaded = True

    def _stay(self) -> None:
        """Keep the engine, unless it is being unloaded already."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _rest_later(self) -> None:
        self._stay()
        if self._seconds is not None:
            self._waiting = asyncio.create_task(self._wait(self._seconds))

    async def _wait(self, seconds: float) -> None:
        await self._sleep(seconds)
        # By a task of its own, which nobody cancels half way.
        self._waiting = None
        self._unloading = asyncio.create_task(self._unload())

    async def _unload(self) -> None:
        async with self._turn:
            self._is_loaded = False
            await self._executor.unload()
            log.info("%s gave its memory back: the next job loads the model again", self.name)
            await self._after_unloading()

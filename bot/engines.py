"""The engines: loads each, again and again where that fails, and says which of them draw."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence

from bot.standstill import Standstill
from bot.views import EngineState
from generation.errors import FluxbotError
from generation.protocols import Executor

logger = logging.getLogger(__name__)

#: Seconds until loading is tried again: at first, and at most.
RELOAD_AFTER = 30.0
RELOAD_AFTER_MOST = 300.0


class Engines:
    """All engines of the bot; *standstill* says when waiting for one is over."""

    def __init__(self, executors: Sequence[Executor], standstill: Standstill) -> None:
        self._all = tuple(executors)
        self._standstill = standstill
        self._ready: set[Executor] = set()
        self._load_error = ""

    def __iter__(self) -> Iterator[Executor]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @property
    def state(self) -> EngineState | None:
        """Why no engine draws; None where one does."""
        if self._ready:
            return None
        if self._load_error:
            return EngineState("failed", self._load_error)
        return EngineState("loading", "loading the model")

    @property
    def loaded(self) -> dict[str, int]:
        """Bytes in memory by repository, all engines together."""
        total: Counter[str] = Counter()
        for executor in self._all:
            total.update(executor.loaded)
        return dict(total)

    async def load(self, executor: Executor) -> None:
        """Load an engine, also after it was lost. Returns once it is ready or the bot stops."""
        wait = RELOAD_AFTER
        while not self._standstill.is_stopping:
            self._standstill.begin_attempt()
            try:
                await executor.start()
            except FluxbotError as error:
                self._load_error = str(error)
                logger.error("the model cannot be loaded: %s", error)
            except Exception as error:
                self._load_error = f"the model cannot be loaded ({error}); the log says more"
                logger.exception("the model cannot be loaded")
            else:
                if executor not in self._ready:
                    self._ready.add(executor)
                    self._load_error = ""
                    logger.info("the model is loaded: ready to draw")
                return
            await self._standstill.told_to_try_again(wait)
            wait = min(2 * wait, RELOAD_AFTER_MOST)

    def lose(self, executor: Executor) -> None:
        """An engine draws nothing until it is loaded again."""
        self._ready.discard(executor)

    async def close(self) -> None:
        for executor in self._all:
            await executor.close()

"""The async face of the one thread that owns an engine.

Diffusers pipelines are neither async nor thread-safe. Everything that touches an
engine (making it, with the import of torch that this takes, loading, generating,
closing) happens on one thread, so there is nothing to lock.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from generation.errors import EngineLost, GenerationCancelled, ModelUnavailable
from generation.protocols import Engine, OnStep
from generation.results import Result as Drawn
from generation.types import GenerationRequest, Step

#: Beginning of the names of engines' threads.
ENGINE_THREAD = "engine"

Result = TypeVar("Result")

log = logging.getLogger(__name__)


#: Seconds between two looks at an idle engine.
LOOK_EVERY = 0.5


class ThreadExecutor:
    """An `Executor` over one engine on a thread of its own.

    Args:
        load_engine: Makes the engine, on its thread. Import torch in there, so that
            it never holds up the event loop's thread.
        name: Name of the engine among all of the bot's.
        device: Where it draws; empty where the engine is to say.
        seconds_to_close: How long `close` waits for the thread: a generation ends
            within one denoising step.
    """

    def __init__(
        self,
        load_engine: Callable[[], Engine],
        *,
        name: str = "engine-1",
        device: str = "",
        seconds_to_close: float = 30.0,
    ) -> None:
        self.name = name
        self._device = device
        self._load_engine = load_engine
        self._seconds_to_close = seconds_to_close
        self._engine: Engine | None = None  # called only on self._thread
        self._lost: Engine | None = None  # dead, and perhaps still holding the device
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=ENGINE_THREAD)
        self._is_closing = threading.Event()
        self._loading: Future[None] | None = None
        self._unloading: Future[None] | None = None

    async def start(self) -> None:
        """Load the engine. Errors of loading are raised here; it may be tried again."""
        self._loading = self._submit(self._load)
        await asyncio.wrap_future(self._loading)

    async def generate(self, request: GenerationRequest, on_step: OnStep) -> Drawn:
        """Make one picture; *on_step* is called on the event loop's thread.

        Cancelling it ends the generation within one denoising step, and raises
        ``CancelledError`` once the engine is free again; a generation that still
        waits for another one to end is dropped at once.

        Raises:
            GenerationCancelled: `close` was called meanwhile.
            ModelUnavailable: The engine is not loaded, or closed.
            EngineLost: The engine died; `start` loads a fresh one.
        """
        loop = asyncio.get_running_loop()
        over = threading.Event()

        def report(step: Step) -> None:
            if not over.is_set():
                on_step(step)

        def step_done(step: Step) -> None:
            if over.is_set() or self._is_closing.is_set():
                raise GenerationCancelled
            loop.call_soon_threadsafe(report, step)

        work = self._submit(lambda: self._generate(request, step_done))
        running = asyncio.wrap_future(work)
        try:
            # Unlike awaiting the future, waiting for it leaves it alone when this
            # coroutine is cancelled.
            await asyncio.wait([running])
            return running.result()
        except asyncio.CancelledError:
            # A thread cannot be interrupted: ask, then wait until the engine is
            # free, at the latest one denoising step (or one VAE decode) later.
            over.set()
            if not work.cancel():
                await _wait_whatever_comes(running)
                running.exception()  # retrieve it, or asyncio logs it as lost
            raise
        finally:
            over.set()

    async def died(self) -> None:
        """Return once the engine is found dead while nothing is drawn; `start` loads a fresh
        one."""
        while True:
            if (engine := self._engine) is not None and not engine.is_alive:
                log.error("the idle engine has died: it is loaded again")
                return
            await asyncio.sleep(LOOK_EVERY)

    async def unload(self) -> None:
        """Give the engine's memory back once it has drawn what it draws; `start` loads it again."""
        await asyncio.wrap_future(self._submit(self._unload))

    async def close(self) -> None:
        """End the generations, free the engine and end the thread. May be called more than once.

        After the deadline it returns all the same, and says so in the log; and at once while
        an engine is being loaded, which ends when it ends and holds nothing that could be
        lost. The thread then lives on, and Python waits for it when the process ends.
        """
        if self._unloading is None:
            self._is_closing.set()
            self._unloading = self._thread.submit(self._unload)
            self._thread.shutdown(wait=False)
        if self._loading is not None and not self._loading.done():
            return
        unloading = asyncio.wrap_future(self._unloading)
        done, _ = await asyncio.wait([unloading], timeout=self._seconds_to_close)
        if not done:
            log.warning(
                "the engine is still busy after %g s; not waiting for it any longer",
                self._seconds_to_close,
            )

    @property
    def loaded(self) -> dict[str, int]:
        """Bytes of each repository's weights in memory; nothing before the engine is loaded."""
        engine = self._engine
        return {} if engine is None else engine.loaded

    @property
    def device(self) -> str:
        """Where it draws; empty where only a loaded engine can say that."""
        engine = self._engine
        return self._device or ("" if engine is None else engine.device)

    def _submit(self, work: Callable[[], Result]) -> Future[Result]:
        if self._is_closing.is_set():
            raise ModelUnavailable("the engine is stopping")
        return self._thread.submit(work)

    def _load(self) -> None:
        if self._engine is not None and not self._engine.is_alive:
            self._lost, self._engine = self._engine, None
        if self._engine is not None:
            return
        if self._lost is not None:
            self._lost.close()
            self._lost = None
        engine = self._load_engine()
        try:
            engine.load()
        except BaseException:
            engine.close()
            raise
        self._engine = engine

    def _generate(self, request: GenerationRequest, on_step: OnStep) -> Drawn:
        if self._is_closing.is_set():
            raise GenerationCancelled
        if self._engine is None:
            raise ModelUnavailable("the model is not loaded")
        try:
            self._load()  # afresh, where it has died since the last picture
        except Exception as error:
            sentence = f"it died while idle, and cannot be loaded again: {error}"
            raise EngineLost(sentence, is_unrelated=True) from error
        try:
            return self._engine.generate(request, on_step)
        except EngineLost:
            self._lost, self._engine = self._engine, None
            raise

    def _unload(self) -> None:
        engine, self._engine = self._engine or self._lost, None
        if engine is None:
            return
        try:
            engine.close()
        except Exception:
            log.exception("the engine could not be closed")


async def _wait_whatever_comes(running: asyncio.Future[Drawn]) -> None:
    """Wait until *running* is done, even if cancelled again: its device is busy until then."""
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            continue

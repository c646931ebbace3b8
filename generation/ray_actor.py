"""The process on a node of the cluster that owns an engine, and outlives the bot.

`EngineActor` becomes a Ray actor in ``generation/ray_executor.py``, one for each GPU. Inside is
the same `ChildEngine` that the bot uses on its own machine, whose watchdog ends an engine that
hangs. Answers are tuples of plain values, errors too, so that nobody has to be able to unpickle
another version's exceptions::

    ("alive",)                                        a sign of life, every few seconds
    ("ready", epoch, loaded)                          the engine is loaded
    ("step", number, preview, note)
    ("loaded", loaded)                                before an error, or word of a cancelled one
    ("result", seconds, peak_memory, loaded)          and the engine is free
    ("files", png, size of the thumbnail, its pixels, control_map, drawn_with)
    ("cancelled",)                                    and the engine is free
    ("error", code, sentence, field)
    ("lost", sentence, is_unrelated)                  what an `EngineLost` says

Nothing in this module imports Ray.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from generation.child import ChildEngine
from generation.errors import EngineLost, FluxbotError, GenerationError
from generation.executor import ThreadExecutor
from generation.results import Result
from generation.types import GenerationRequest, Step
from generation.weights import prepare_environment

log = logging.getLogger(__name__)

#: Seconds between two signs of life.
BEAT = 1.0

Answer = tuple[Any, ...]

ALIVE: Answer = ("alive",)
TAKEN_OVER = "another bot has taken this engine over"


class EngineActor:
    """One engine behind a `ThreadExecutor`, for one bot at a time.

    Each `begin` starts an epoch. What an earlier epoch asks for is refused, and what it had
    begun is cancelled, so that nothing is drawn for a bot that is gone.

    Args:
        made_of: Describes the code and the arguments; a bot that wants others ends this actor.
        kind: The engine's class, as ``module:name``.
        arguments: Arguments of that class.
        options: Arguments of `ChildEngine`, such as ``seconds_per_step``.
    """

    def __init__(
        self,
        made_of: str,
        kind: str,
        arguments: Mapping[str, Any],
        options: Mapping[str, Any] | None = None,
    ) -> None:
        # Ray sets it to 1 for an actor that asks for no CPU; torch then draws on one core.
        os.environ.pop("OMP_NUM_THREADS", None)
        if download_dir := arguments.get("download_dir"):
            prepare_environment(Path(download_dir), os.environ)  # before its engine is a process
        self._made_of = made_of
        self._executor = ThreadExecutor(partial(ChildEngine, kind, arguments, **(options or {})))
        self._epoch = 0
        self._drawing: asyncio.Task[Result] | None = None

    async def about(self) -> dict[str, str]:
        """Where it runs, with which code, and what it was made of."""
        return {"node": socket.gethostname(), "code": code(), "made_of": self._made_of}

    async def begin(self) -> AsyncIterator[Answer]:
        """Start an epoch, and load the engine unless it is loaded."""
        self._epoch += 1
        epoch = self._epoch
        told: asyncio.Queue[Answer] = asyncio.Queue()
        loading = asyncio.ensure_future(self._load())
        async for answer in _with_signs_of_life(loading, told):
            yield answer
        if error := loading.exception():
            yield _as_value(error)
        else:
            yield ("ready", epoch, self._executor.loaded)

    async def generate(
        self, epoch: int, values: Mapping[str, Any], pictures: Mapping[str, bytes]
    ) -> AsyncIterator[Answer]:
        """Make one picture; ends with a result and its files, an error, or word that it was
        cancelled.

        Args:
            values: The request, as its ``to_dict`` gives it.
            pictures: PNG files of the request by their names.
        """
        if epoch != self._epoch:
            yield _as_value(EngineLost(TAKEN_OVER, is_unrelated=True))
            return
        told: asyncio.Queue[Answer] = asyncio.Queue()

        def step_done(step: Step) -> None:
            told.put_nowait(("step", step.number, step.preview, step.note))

        with tempfile.TemporaryDirectory(prefix="fluxbot-") as folder:
            for name, png in pictures.items():
                (Path(folder) / Path(name).name).write_bytes(png)
            request = GenerationRequest.from_dict(values, Path(folder))
            drawing = asyncio.ensure_future(self._executor.generate(request, step_done))
            self._drawing = drawing
            try:
                async for answer in _with_signs_of_life(drawing, told):
                    yield answer
            finally:
                await _ended(drawing)
        if drawing.cancelled() or drawing.exception():
            yield ("loaded", self._executor.loaded)
        if drawing.cancelled():
            yield (
                _as_value(EngineLost(TAKEN_OVER, is_unrelated=True))
                if epoch != self._epoch
                else ("cancelled",)
            )
        elif error := drawing.exception():
            yield _as_value(error)
        else:
            result = drawing.result()
            yield ("result", result.seconds, result.peak_memory, self._executor.loaded)
            yield await asyncio.to_thread(_files, result)

    async def cancel(self, epoch: int) -> None:
        """Ask the drawing of *epoch* to end, which it does within a step; `generate` says so."""
        if epoch == self._epoch and self._drawing is not None:
            self._drawing.cancel()

    async def watch(self, epoch: int, seconds: float) -> bool:
        """Whether the engine is well and still *epoch*'s, told after *seconds*, or as soon as
        it is not."""
        try:
            async with asyncio.timeout(seconds):
                await self._executor.died()
        except TimeoutError:
            return epoch == self._epoch
        return False

    async def _load(self) -> None:
        if self._drawing is not None:
            await _ended(self._drawing)
        await self._executor.start()


async def _with_signs_of_life(
    work: asyncio.Future[Any], told: asyncio.Queue[Answer]
) -> AsyncIterator[Answer]:
    """All that is put into *told* until *work* is done, with a sign of life where that takes
    long."""
    work.add_done_callback(lambda _: told.put_nowait(()))
    while True:
        try:
            async with asyncio.timeout(BEAT):
                answer = await told.get()
        except TimeoutError:
            answer = ALIVE
        if not answer:
            return
        yield answer


async def _ended(drawing: asyncio.Task[Any]) -> None:
    """Cancel *drawing*, unless it is done, and return once the engine is free."""
    drawing.cancel()
    await asyncio.wait([drawing])


def _files(result: Result) -> Answer:
    try:
        files = result.files()
    except FluxbotError as error:
        return _as_value(error)
    thumbnail = files.thumbnail
    return (
        "files",
        files.png,
        thumbnail.size,
        thumbnail.tobytes(),
        files.control_map,
        dict(files.drawn_with),
    )


def _as_value(error: BaseException) -> Answer:
    if isinstance(error, EngineLost):
        return ("lost", str(error), error.is_unrelated)
    if isinstance(error, FluxbotError):
        return ("error", error.code, str(error), error.field)
    log.error("the engine raised", exc_info=error)
    return ("error", GenerationError.code, f"{type(error).__name__}: {error}", None)


def code() -> str:
    """A digest of this checkout's engines, equal on all nodes that draw the same pixels."""
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]

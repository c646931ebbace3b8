"""An engine in a child process, which can be killed.

A thread cannot be killed, a poisoned CUDA context cannot be mended, and a kernel that
hangs holds everything. `ChildEngine` owns a process that owns the real engine
(``generation/engine_process.py``), watches its steps, and ends it when they stop coming or its
device has gone wrong.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from generation import frames
from generation.errors import (
    DegenerateResult,
    EngineLost,
    GenerationError,
    InvalidImage,
    InvalidRequest,
    ModelUnavailable,
    OutOfMemory,
)
from generation.growth import Growth
from generation.inbox import Inbox
from generation.protocols import OnStep
from generation.results import RemoteResult
from generation.types import GenerationRequest, Step

log = logging.getLogger(__name__)

#: How much slower than usual a step may be before the engine counts as hung.
MARGIN = 10
#: Seconds for the first step of a fresh child, before any was measured.
FIRST_STEP = 600.0
#: Step times that the median is taken of.
REMEMBERED_STEPS = 50
#: Seconds between asking the child to end and killing it, and from there until it counts
#: as unkillable: a process that the kernel's driver holds on to.
SECONDS_TO_TERMINATE = 0.5
SECONDS_TO_DIE = 30.0
#: Longest wait between two looks at the clock.
SLICE = 0.1

#: Errors that a child may raise, by the word that they are sent as.
ERRORS = {
    kind.code: kind
    for kind in (
        InvalidRequest,
        InvalidImage,
        GenerationError,
        ModelUnavailable,
        OutOfMemory,
        DegenerateResult,
    )
}


class ChildEngine:
    """An `Engine` in a process of its own. Blocking; touched by exactly one thread.

    Once it has raised `EngineLost` it draws nothing more: close it and make another.

    Args:
        kind: The engine's class, as ``module:name``.
        arguments: Arguments of that class: JSON types and paths.
        seconds_to_load: Seconds that loading may take without a sign of life.
        seconds_per_step: Seconds that any step may take; steps that usually take long may
            take `MARGIN` times as long as usual.
        environment: Variables for the process, beside those of this one.
        draws_elsewhere: Whether the process only has another machine draw, so that its own death
            has nothing to do with what is drawn.
        clock: Seconds that never go back.
        growth: Judges the memory that it holds; None judges by the usual measure.
    """

    def __init__(
        self,
        kind: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        seconds_to_load: float = 3600.0,
        seconds_per_step: float = 30.0,
        draws_elsewhere: bool = False,
        clock: Callable[[], float] = time.monotonic,
        growth: Growth | None = None,
    ) -> None:
        self.kind = kind
        self.arguments = dict(arguments or {})
        self.seconds_to_load = seconds_to_load
        self.seconds_per_step = seconds_per_step
        self._environment = dict(environment or {})
        self._draws_elsewhere = draws_elsewhere
        self._clock = clock
        self._growth = growth or Growth()
        self._child: LiveChild | None = None
        #: Of each model: a step of one is not a step of another.
        self._work_seconds: defaultdict[str, deque[float]] = defaultdict(
            lambda: deque(maxlen=REMEMBERED_STEPS)
        )
        self._drawn: set[tuple[str, ...]] = set()  # presets, with LoRAs
        self._device = ""

    @property
    def is_alive(self) -> bool:
        """Whether the child's process is there."""
        child = self._child
        return child is not None and child.process.poll() is None

    @property
    def pid(self) -> int | None:
        """Number of the child's process; None while there is none."""
        return None if self._child is None else self._child.process.pid

    @property
    def loaded(self) -> dict[str, int]:
        """Bytes of each repository's weights that are in memory. Any thread may ask."""
        child = self._child
        return {} if child is None else child.loaded

    @property
    def device(self) -> str:
        """Where it draws, by its own word; empty before it was loaded."""
        return self._device

    def load(self) -> None:
        """Start the child and bring the weights into its memory.

        Raises:
            ModelUnavailable: They are missing, refused or damaged.
            EngineLost: The child died, or gave no sign of life for too long.
        """
        child = self._child = LiveChild(
            self._clock, self._environment, draws_elsewhere=self._draws_elsewhere
        )
        log.info("the engine's process is %d", child.process.pid)
        child.send(
            {
                "do": "load",
                "engine": self.kind,
                "arguments": self.arguments,
                "log_level": logging.getLogger().getEffectiveLevel(),
            }
        )
        header, _ = child.answer(self.seconds_to_load)
        self._device = header["device"]

    def generate(self, request: GenerationRequest, on_step: OnStep) -> RemoteResult:
        """Make one picture, calling *on_step* after each denoising step.

        Raises:
            EngineLost: The child died, its device is beyond repair, no step came in time, or it
                leaks memory and is to be replaced before that runs out.
            GenerationError: The engine in the child raised it.
        """
        if self._child is None:
            raise ModelUnavailable("the model is not loaded")
        if self._growth.is_a_leak:
            lost = self._child.lost("holds memory that grows from picture to picture")
            raise EngineLost(str(lost), is_unrelated=True)
        header, _ = self._finished(self._child, request, on_step)
        weights = tuple(self.loaded.items()), header["level"]
        self._growth.take(header["held"], weights)
        self._drawn.add((request.preset, *request.lora_scales))
        size = request.width, request.height
        receive = partial(self._child.inbox.take, header["number"], size)
        return RemoteResult(header["seconds"], header["peak_memory"], receive)

    def close(self) -> None:
        """End the child, and with it all that it held. May be called more than once.

        Raises:
            ModelUnavailable: It cannot be ended: its device is gone until a restart.
        """
        if self._child is not None:
            self._child.close()
            self._child = None

    def _finished(
        self, child: LiveChild, request: GenerationRequest, on_step: OnStep
    ) -> frames.Frame:
        """The frame with the result of *request*."""
        folder = Path() if request.control_image is None else request.control_image.parent
        child.send({"do": "generate", "request": request.to_dict(), "folder": folder})
        ended_by: BaseException | None = None
        number, note, since = 0, "", self._clock()
        while True:
            try:
                header, blobs = child.answer(self._patience(request, number, note))
            except EngineLost:
                raise
            except Exception:
                if ended_by is None:
                    raise
                raise ended_by from None
            if header["is"] != "step":
                break
            now = self._clock()
            if header["number"] == number + 1 > 1:
                seconds = (now - since) / _work(request)
                self._work_seconds[request.model].append(seconds)
            number, note, since = header["number"], header["note"], now
            try:
                on_step(Step(number, blobs[0] if blobs else None, note))
            except BaseException as error:
                ended_by = error
            child.send({"do": "go" if ended_by is None else "stop"})
        if ended_by is not None:  # asked after its last step: it was too late to end
            child.inbox.forget(header["number"])
            raise ended_by
        return header, blobs

    def _patience(self, request: GenerationRequest, step: int, note: str = "") -> float:
        """Seconds until the next sign of life after *step* steps of *request*, of which the last
        one came with *note*."""
        if step == 0 and (note or self._may_load_first(request)):
            return self.seconds_to_load
        if not self._work_seconds[request.model]:
            return max(FIRST_STEP, self.seconds_per_step)
        usual = median(self._work_seconds[request.model]) * _work(request)
        return max(self.seconds_per_step, MARGIN * usual)

    def _may_load_first(self, request: GenerationRequest) -> bool:
        """Whether something beside the base weights is not in the child's memory yet."""
        if any(name not in self.loaded for name, _ in request.kind.weights):
            return True
        needs_more = bool(request.pictures or request.lora_scales)
        return needs_more and (request.preset, *request.lora_scales) not in self._drawn


class LiveChild:
    """A child's process, and the pipes to and from it.

    Args:
        clock: Seconds that never go back.
        environment: Variables, beside those of this process.
        draws_elsewhere: As for `ChildEngine`.

    Attributes:
        process: The process, which may have ended by itself.
        inbox: The files of its pictures.
        loaded: Bytes of each repository's weights in its memory, when it last said so, which it
            does with each picture and each error. Replaced, never changed.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        environment: Mapping[str, str] | None = None,
        *,
        draws_elsewhere: bool = False,
    ) -> None:
        root = str(Path(__file__).parent.parent)
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        orders, orders_end = os.pipe()
        answers, answers_end = os.pipe()
        files, files_end = os.pipe()
        self._clock = clock
        self._draws_elsewhere = draws_elsewhere
        self._orders = os.fdopen(orders_end, "wb")
        self._answers = os.fdopen(answers, "rb")
        self.inbox = Inbox(os.fdopen(files, "rb"))
        self.loaded: dict[str, int] = {}
        self._received = bytearray()
        try:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "generation.engine_process"),
                    *(str(os.getpid()), str(files_end)),
                ],
                stdin=orders,
                stdout=answers_end,
                pass_fds=[files_end],
                env={**os.environ, **(environment or {}), "PYTHONPATH": path},
                # Ctrl-C in the terminal is for the bot, which lets it finish its picture.
                start_new_session=True,
            )
        except BaseException:
            self._close_pipes()
            raise
        finally:
            # The child holds its ends alone, so that either side learns of the other's end.
            os.close(orders)
            os.close(answers_end)
            os.close(files_end)

    def send(self, header: dict[str, Any]) -> None:
        """Give an order.

        Raises:
            EngineLost: The child takes none any more.
        """
        try:
            frames.write(self._orders, header)
        except OSError as error:
            raise self.lost(f"takes no orders ({error.strerror})") from error

    def answer(self, patience: float) -> frames.Frame:
        """The next frame that is no line for the log; each of those is a sign of life, too.

        Raises:
            FluxbotError: The child raised it.
            EngineLost: It died, or none came for *patience* seconds.
        """
        while True:
            header, blobs = self._receive(self._clock() + patience)
            self.loaded = header.get("loaded", self.loaded)
            match header.get("is"):
                case "log":
                    logger = logging.getLogger(header["name"])
                    logger.log(header["level"], "%s", header["message"])
                case "error":
                    kind = ERRORS.get(header["code"], GenerationError)
                    raise kind(header["sentence"], field=header["field"])
                case "failed":
                    log.error("the engine's process reports:\n%s", header["traceback"])
                    raise RuntimeError(header["sentence"])
                case "lost":
                    self._has_ended(SECONDS_TO_TERMINATE)  # by itself
                    self._end()
                    raise EngineLost(header["sentence"], is_unrelated=header["is_unrelated"])
                case "poisoned":
                    self._has_ended(SECONDS_TO_TERMINATE)  # by itself
                    raise self.lost(f"has a device beyond repair: {header['sentence']}")
                case _:
                    return header, blobs

    def lost(self, what: str) -> EngineLost:
        """End the child for good; returns the error to raise about it."""
        pid = self.process.pid
        log.error("the engine's process %d %s", pid, what)
        self._end()
        sentence = f"the engine's process {pid} {what}"
        return EngineLost(sentence, is_unrelated=self._draws_elsewhere)

    def _end(self) -> None:
        self.loaded = {}
        with contextlib.suppress(ModelUnavailable):  # `close` says it again
            self._kill()

    def close(self) -> None:
        """End the child.

        Raises:
            ModelUnavailable: It cannot be ended: its device is gone until a restart.
        """
        self.loaded = {}
        if self.process.poll() is None:
            with contextlib.suppress(BrokenPipeError):
                self._orders.close()  # which is how the child is told to end
            if not self._has_ended(SECONDS_TO_TERMINATE):
                self._kill()
        self._close_pipes()
        self.process.wait()

    def _close_pipes(self) -> None:
        for pipe in (self._orders, self._answers):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def _receive(self, deadline: float) -> frames.Frame:
        pipe = self._answers.fileno()
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        while True:
            try:
                if frame := frames.take(self._received):
                    return frame
            except ValueError as error:
                raise self.lost(f"sent what is no frame ({error})") from error
            left = deadline - self._clock()
            if left <= 0:
                raise self.lost("gave no sign of life in time")
            if poll.poll(1000 * min(left, SLICE)):
                more = os.read(pipe, 2**18)
                if not more:
                    self._has_ended(SECONDS_TO_TERMINATE)
                    raise self.lost(f"has died, with status {self.process.poll()}")
                self._received += more

    def _kill(self) -> None:
        for number, seconds in (
            (signal.SIGTERM, SECONDS_TO_TERMINATE),
            (signal.SIGKILL, SECONDS_TO_DIE),
        ):
            # Until it is waited for, nobody else can have its number.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)
            if self._has_ended(seconds):
                return
        raise ModelUnavailable(
            f"the engine's process {self.process.pid} cannot be ended, and holds the GPU:"
            " restart the machine"
        )

    def _has_ended(self, seconds: float) -> bool:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


def _work(request: GenerationRequest) -> float:
    """A measure of the work of one step: pixels, twice with true guidance."""
    return request.width * request.height * (2 if request.true_cfg_scale > 1 else 1)

"""The same engine in a child process, which can be killed.

A thread cannot be killed, a poisoned CUDA context cannot be mended, and a kernel that
hangs holds everything. `ChildEngine` owns a process that owns the real engine, watches
its steps, and ends it when they stop coming or its device has gone wrong.

What goes through the two pipes is length-prefixed frames of JSON with raw bytes behind
it; nothing is unpickled. The child waits for leave after each step, so that what
``on_step`` raises here ends the generation there, as it does on a thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import logging
import os
import queue
import select
import signal
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any, BinaryIO

from PIL import Image

from generation.errors import (
    DegenerateResult,
    EngineLost,
    FluxbotError,
    GenerationCancelled,
    GenerationError,
    InvalidImage,
    InvalidRequest,
    ModelUnavailable,
    OutOfMemory,
)
from generation.protocols import Engine, OnStep
from generation.types import GenerationRequest, GenerationResult, Step

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

EX_SOFTWARE = 70  # sysexits.h: the child's device is beyond repair

#: Bytes of a frame's JSON, and of what is behind it: two RGB pictures of 2048 x 2048.
MAX_HEADER, MAX_BLOBS = 2**20, 2 * 3 * 2048 * 2048
SIZES = struct.Struct(">II")

#: Errors that leave a CUDA context unusable (CUDA Runtime API, cudaError_t): ECC error,
#: illegal address, launch timeout, assert, hardware stack error, illegal instruction,
#: misaligned address, invalid address space, invalid program counter, launch failure.
POISONING_CODES = frozenset({214, 700, 702, 710, 714, 715, 716, 717, 718, 719})
POISONING_WORDS = (
    "illegal memory access",
    "illegal address",
    "device-side assert",
    "launch failure",
    "launch timed out",
    "hardware stack error",
    "illegal instruction",
    "misaligned address",
    "uncorrectable ecc error",
    "gpu is lost",
    "device lost",
    "fallen off the bus",
)

#: What a child may raise, by the word that it is sent as.
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
        arguments: What it is made with: JSON types and paths.
        seconds_to_load: How long loading may go without a sign of life.
        seconds_per_step: How long any step may take; one that usually takes long may
            take `MARGIN` times as long as usual.
        clock: Seconds that never go back.

    Attributes:
        pid: Of the child; None while there is none.
    """

    def __init__(
        self,
        kind: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        seconds_to_load: float = 3600.0,
        seconds_per_step: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.kind = kind
        self.arguments = dict(arguments or {})
        self.seconds_to_load = seconds_to_load
        self.seconds_per_step = seconds_per_step
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._received = bytearray()
        self._work_seconds: deque[float] = deque(maxlen=REMEMBERED_STEPS)
        self._drawn: set[tuple[str, str | None]] = set()  # presets, with their LoRAs
        # Replaced, never changed, since any thread may ask for it.
        self._loaded: dict[str, int] = {}

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def loaded(self) -> dict[str, int]:
        """Bytes of each repository's weights that are in memory. Any thread may ask."""
        return self._loaded

    def load(self) -> None:
        """Start the child and bring the weights into its memory.

        Raises:
            ModelUnavailable: They are missing, refused or damaged.
            EngineLost: The child died, or gave no sign of life for too long.
        """
        root = str(Path(__file__).parent.parent)
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "generation.child", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            # Ctrl-C in the terminal is for the bot, which lets it finish its picture.
            start_new_session=True,
        )
        self._received.clear()
        log.info("the engine's process is %d", self._process.pid)
        self._send(
            {
                "do": "load",
                "engine": self.kind,
                "arguments": self.arguments,
                "log_level": logging.getLogger().getEffectiveLevel(),
            }
        )
        header, _ = self._answer(self.seconds_to_load)
        self._loaded = header["loaded"]

    def generate(self, request: GenerationRequest, on_step: OnStep) -> GenerationResult:
        """Make one picture, calling *on_step* after each denoising step.

        Raises:
            EngineLost: The child died, its device is beyond repair, or no step came in time.
            GenerationError: What the engine in the child raised.
        """
        if self._process is None:
            raise ModelUnavailable("the model is not loaded")
        folder = None if request.control_image is None else request.control_image.parent
        self._send({"do": "generate", "request": request.to_dict(), "folder": folder or Path()})
        ended_by: BaseException | None = None
        number, since = 0, self._clock()
        while True:
            try:
                header, blobs = self._answer(self._patience(request, number))
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
                self._work_seconds.append((now - since) / _work(request))
            number, since = header["number"], now
            try:
                on_step(Step(number, blobs[0] if blobs else None, header["note"]))
            except BaseException as error:
                ended_by = error
            self._send({"do": "go" if ended_by is None else "stop"})
        if ended_by is not None:  # asked after its last step: it was too late to end
            raise ended_by
        self._loaded = header["loaded"]
        self._drawn.add((request.preset, request.lora))
        try:
            size = (request.width, request.height)
            images = [Image.frombytes("RGB", size, blob) for blob in blobs]
            return GenerationResult(
                images[0],
                header["seconds"],
                control_map=images[1] if len(images) > 1 else None,
                peak_memory=header["peak_memory"],
            )
        except (ValueError, IndexError) as error:
            raise self._lost(f"sent no picture of {size[0]} × {size[1]} pixels") from error

    def close(self) -> None:
        """End the child, and with it all that it held. May be called more than once.

        Raises:
            ModelUnavailable: It cannot be ended: its device is gone until a restart.
        """
        self._loaded = {}
        if self._process is None:
            return
        if self._process.poll() is None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()  # which is how the child is told to end
            if not _has_ended(self._process, SECONDS_TO_TERMINATE):
                self._kill()
        self._forget()

    def _forget(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        self._process.wait()
        self._process = None

    def _patience(self, request: GenerationRequest, step: int) -> float:
        """Seconds until the next sign of life after *step* steps of *request*."""
        if step == 0 and self._may_load_first(request):
            return self.seconds_to_load
        if not self._work_seconds:
            return max(FIRST_STEP, self.seconds_per_step)
        usual = median(self._work_seconds) * _work(request)
        return max(self.seconds_per_step, MARGIN * usual)

    def _may_load_first(self, request: GenerationRequest) -> bool:
        """Whether something beside the base weights is not in the child's memory yet."""
        if any(name not in self._loaded for name, _ in request.kind.weights):
            return True
        needs_more = bool(request.pictures) or request.lora is not None
        return needs_more and (request.preset, request.lora) not in self._drawn

    def _send(self, header: dict[str, Any]) -> None:
        try:
            _write(self._process.stdin, header)
        except OSError as error:
            raise self._lost(f"takes no orders ({error.strerror})") from error

    def _answer(self, patience: float) -> tuple[dict[str, Any], list[bytes]]:
        """The next frame that is no line for the log; each of those is a sign of life, too.

        Raises:
            FluxbotError: What the child raised.
            EngineLost: It died, or none came for *patience* seconds.
        """
        while True:
            header, blobs = self._receive(self._clock() + patience)
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
                case "poisoned":
                    _has_ended(self._process, SECONDS_TO_TERMINATE)  # by itself
                    raise self._lost(f"has a device beyond repair: {header['sentence']}")
                case _:
                    return header, blobs

    def _receive(self, deadline: float) -> tuple[dict[str, Any], list[bytes]]:
        pipe = self._process.stdout.fileno()
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        while True:
            try:
                if frame := _taken_from(self._received):
                    return frame
            except ValueError as error:
                raise self._lost(f"sent what is no frame ({error})") from error
            left = deadline - self._clock()
            if left <= 0:
                raise self._lost("gave no sign of life in time")
            if poll.poll(1000 * min(left, SLICE)):
                more = os.read(pipe, 2**18)
                if not more:
                    _has_ended(self._process, SECONDS_TO_TERMINATE)
                    raise self._lost(f"has died, with status {self._process.poll()}")
                self._received += more

    def _lost(self, what: str) -> EngineLost:
        """End the child for good; returns what to raise about it."""
        pid = self._process.pid
        log.error("the engine's process %d %s", pid, what)
        with contextlib.suppress(ModelUnavailable):  # `close` says it again
            self._kill()
        self._loaded = {}
        return EngineLost(f"the engine's process {pid} {what}")

    def _kill(self) -> None:
        process = self._process
        for number, seconds in (
            (signal.SIGTERM, SECONDS_TO_TERMINATE),
            (signal.SIGKILL, SECONDS_TO_DIE),
        ):
            # Until it is waited for, nobody else can have its number.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)
            if _has_ended(process, seconds):
                return
        raise ModelUnavailable(
            f"the engine's process {process.pid} cannot be ended, and holds the GPU:"
            " restart the machine"
        )


def _work(request: GenerationRequest) -> float:
    """What the time of one step follows: pixels, twice with true guidance."""
    return request.width * request.height * (2 if request.true_cfg_scale > 1 else 1)


def _has_ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def is_poisoning(error: BaseException | None) -> bool:
    """Whether the CUDA context is unusable after *error*, or what it was raised from."""
    while error is not None:
        text = str(error).lower()
        if getattr(error, "error_code", None) in POISONING_CODES or any(
            words in text for words in POISONING_WORDS
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


def has_gpu() -> bool:
    """Whether this machine seems to have a GPU that torch calls "cuda", without importing torch."""
    devices = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
    return any(Path(device).exists() for device in devices)


# Frames


def _write(pipe: BinaryIO, header: dict[str, Any], *blobs: bytes) -> None:
    text = json.dumps(
        {**header, "blobs": [len(blob) for blob in blobs]}, default=lambda path: {"path": str(path)}
    ).encode()
    pipe.write(b"".join((SIZES.pack(len(text), sum(map(len, blobs))), text, *blobs)))
    pipe.flush()


def _taken_from(received: bytearray) -> tuple[dict[str, Any], list[bytes]] | None:
    """The frame that *received* begins with, taken out of it; None while it is not whole.

    Raises:
        ValueError: It is none.
    """
    if len(received) < SIZES.size:
        return None
    length, behind = SIZES.unpack_from(received)
    if length > MAX_HEADER or behind > MAX_BLOBS:
        raise ValueError(f"{length} and {behind} bytes")
    end = SIZES.size + length + behind
    if len(received) < end:
        return None
    header = json.loads(bytes(received[SIZES.size : SIZES.size + length]), object_hook=_with_paths)
    blobs, start = [], SIZES.size + length
    for size in header["blobs"]:
        blobs.append(bytes(received[start : start + size]))
        start += size
    if start != end:
        raise ValueError("its parts do not add up")
    del received[:end]
    return header, blobs


def _with_paths(values: dict[str, Any]) -> Any:
    return Path(values["path"]) if values.keys() == {"path"} else values


# The child


class _Child:
    """What runs in the process: takes orders from one pipe, answers on the other."""

    def __init__(self, orders: BinaryIO, answers: BinaryIO) -> None:
        self._orders = orders
        self._answers = answers
        self._writing = threading.Lock()
        self._waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._engine: Engine | None = None

    def run(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            order = self._waiting.get()
            try:
                if order["do"] == "load":
                    self._load(order)
                elif order["do"] == "generate":
                    self._generate(order)
            except BaseException as error:
                self._report(error)

    def _listen(self) -> None:
        """Ends the process with its parent, however busy the engine is."""
        received = bytearray()
        while more := os.read(self._orders.fileno(), 2**16):
            received += more
            while frame := _taken_from(received):
                self._waiting.put(frame[0])
        os._exit(0)

    def _load(self, order: dict[str, Any]) -> None:
        handler = _Forwarding(self.send)
        logging.basicConfig(level=order["log_level"], handlers=[handler], force=True)
        module, _, name = order["engine"].partition(":")
        self._engine = getattr(importlib.import_module(module), name)(**order["arguments"])
        self._engine.load()
        self.send({"is": "loaded", "loaded": self._engine.loaded})

    def _generate(self, order: dict[str, Any]) -> None:
        request = GenerationRequest.from_dict(order["request"], order["folder"])
        result = self._engine.generate(request, self._step)
        images = [result.image, *([result.control_map] if result.control_map else [])]
        self.send(
            {
                "is": "result",
                "seconds": result.seconds,
                "peak_memory": result.peak_memory,
                "loaded": self._engine.loaded,
            },
            *(image.tobytes() for image in images),
        )

    def _step(self, step: Step) -> None:
        header = {"is": "step", "number": step.number, "note": step.note}
        self.send(header, *([step.preview] if step.preview else []))
        if self._waiting.get()["do"] == "stop":
            raise GenerationCancelled

    def _report(self, error: BaseException) -> None:
        sentence = (str(error).strip() or type(error).__name__).splitlines()[0]
        if is_poisoning(error):
            self.send({"is": "poisoned", "sentence": sentence})
            os._exit(EX_SOFTWARE)
        if isinstance(error, FluxbotError):
            self.send(
                {"is": "error", "code": error.code, "sentence": str(error), "field": error.field}
            )
        else:
            text = "".join(traceback.format_exception(error))[-MAX_HEADER // 8 :]
            self.send({"is": "failed", "sentence": sentence, "traceback": text})

    def send(self, header: dict[str, Any], *blobs: bytes) -> None:
        with self._writing:
            _write(self._answers, header, *blobs)


class _Forwarding(logging.Handler):
    """Has the parent write what is logged here."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._send_frame = send

    def emit(self, record: logging.LogRecord) -> None:
        message = self.format(record)[: MAX_HEADER // 8]
        self._send_frame(
            {"is": "log", "name": record.name, "level": record.levelno, "message": message}
        )


def _die_with(parent: int) -> None:
    """Have the kernel end this process when its parent has gone, where it can."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1  # linux/prctl.h
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


@contextlib.contextmanager
def _own_output() -> Iterator[BinaryIO]:
    """The pipe to the parent; what anybody else prints goes where errors go."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with answers:
        yield answers


def main() -> None:
    _die_with(int(sys.argv[1]))
    with _own_output() as answers:
        _Child(sys.stdin.buffer, answers).run()


if __name__ == "__main__":
    main()

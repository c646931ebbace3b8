"""The process that a `ChildEngine` starts: an engine that takes orders from a pipe.

    python -m generation.engine_process PID_OF_THE_PARENT FILES

It reads orders as frames from its standard input and answers on its standard output. The files of
a picture go through a pipe of their own, the descriptor FILES, since they are encoded while the
next picture is drawn. After each step it waits for leave, so that an exception of ``on_step`` in
the parent ends the generation here, as it does on a thread.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO

from generation import frames
from generation.errors import EngineLost, FluxbotError, GenerationCancelled, ModelUnavailable
from generation.frames import own_output
from generation.growth import resident_bytes
from generation.inbox import Outbox
from generation.protocols import Engine
from generation.types import GenerationRequest, Step
from generation.weights import quieten_imports

EX_SOFTWARE = 70  # sysexits.h: the device is beyond repair

#: Characters of a line for the log or of a traceback, each of which may take 8 bytes of JSON.
MAX_TEXT = frames.MAX_HEADER // 8

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


class EngineProcess:
    """Carries out orders, one after the other.

    Args:
        orders: Pipe from the parent; its end is the end of this process.
        answers: Pipe to the parent.
        files: Pipe to the parent's inbox.
    """

    def __init__(self, orders: BinaryIO, answers: BinaryIO, files: BinaryIO) -> None:
        self._orders = orders
        self._answers = answers
        self._outbox = Outbox(files)
        self._writing = threading.Lock()
        self._waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def run(self) -> None:
        """Carry out orders until the parent has gone."""
        threading.Thread(target=self._listen, daemon=True).start()
        engine: Engine | None = None
        while True:
            order = self._waiting.get()
            try:
                if order["do"] == "load":
                    engine = self._load(order)
                elif order["do"] == "generate":
                    if engine is None:
                        raise ModelUnavailable("the model is not loaded")
                    self._generate(engine, order)
            except BaseException as error:
                self._report(error, {} if engine is None else engine.loaded)

    def _listen(self) -> None:
        """End the process with its parent, however busy the engine is."""
        received = bytearray()
        while more := os.read(self._orders.fileno(), 2**16):
            received += more
            while frame := frames.take(received):
                self._waiting.put(frame[0])
        os._exit(0)

    def _load(self, order: dict[str, Any]) -> Engine:
        handler = _Forwarding(self.send)
        logging.basicConfig(
            level=order["log_level"], handlers=[handler], format="%(message)s", force=True
        )
        quieten_imports()
        module, _, name = order["engine"].partition(":")
        engine: Engine = getattr(importlib.import_module(module), name)(**order["arguments"])
        engine.load()
        self.send({"is": "loaded", "loaded": engine.loaded, "device": engine.device})
        return engine

    def _generate(self, engine: Engine, order: dict[str, Any]) -> None:
        request = GenerationRequest.from_dict(order["request"], order["folder"])
        result = engine.generate(request, self._step)
        self.send(
            {
                "is": "result",
                "number": self._outbox.send(result),
                "seconds": result.seconds,
                "peak_memory": result.peak_memory,
                "loaded": engine.loaded,
                "held": [resident_bytes(), getattr(engine, "held_memory", None) or 0],
                "level": getattr(engine, "current_offload_level", None),
            }
        )

    def _step(self, step: Step) -> None:
        header = {"is": "step", "number": step.number, "note": step.note}
        self.send(header, *([step.preview] if step.preview else []))
        if self._waiting.get()["do"] == "stop":
            raise GenerationCancelled

    def _report(self, error: BaseException, loaded: dict[str, int]) -> None:
        sentence = (str(error).strip() or type(error).__name__).splitlines()[0]
        if isinstance(error, EngineLost):
            values = {"sentence": str(error), "is_unrelated": error.is_unrelated}
            self.send({"is": "lost", **values})
            os._exit(EX_SOFTWARE)
        if is_poisoning(error):
            self.send({"is": "poisoned", "sentence": sentence})
            os._exit(EX_SOFTWARE)
        if isinstance(error, FluxbotError):
            values = {"code": error.code, "sentence": str(error), "field": error.field}
            self.send({"is": "error", "loaded": loaded, **values})
        else:
            text = "".join(traceback.format_exception(error))[-MAX_TEXT:]
            failed = {"is": "failed", "sentence": sentence, "traceback": text}
            self.send({**failed, "loaded": loaded})

    def send(self, header: dict[str, Any], *blobs: bytes) -> None:
        """Send a frame to the parent. Any thread may."""
        with self._writing:
            frames.write(self._answers, header, *blobs)


class _Forwarding(logging.Handler):
    """Has the parent write the lines that are logged here."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._send_frame = send

    def emit(self, record: logging.LogRecord) -> None:
        message = self.format(record)[:MAX_TEXT]
        self._send_frame(
            {"is": "log", "name": record.name, "level": record.levelno, "message": message}
        )


def is_poisoning(error: BaseException | None) -> bool:
    """Whether the CUDA context is unusable after *error*, or after one that it was raised from."""
    while error is not None:
        text = str(error).lower()
        if getattr(error, "error_code", None) in POISONING_CODES or any(
            words in text for words in POISONING_WORDS
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


def _die_with(parent: int) -> None:
    """Have the kernel end this process when its parent has gone, where it can."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1  # linux/prctl.h
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def main() -> None:
    _die_with(int(sys.argv[1]))
    with own_output() as answers:
        EngineProcess(sys.stdin.buffer, answers, os.fdopen(int(sys.argv[2]), "wb")).run()


if __name__ == "__main__":
    main()

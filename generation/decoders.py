"""Processes that decode strangers' pictures, with limits of time and memory.

A decoder is C code that reads whatever a stranger has written. It runs in a process that has
nothing but the one file: no secrets in its environment, no file that it could open, and an end
if it takes too long or too much (``generation/decoder_process.py``). What comes back is a frame
with a PNG of the plainest kind, or the reason why there is none.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL.Image import Image

from generation import frames, masks
from generation.cleaning import MAX_HEIGHT, MAX_WIDTH, PictureLimits
from generation.cleaning import USUAL as USUAL_PICTURES
from generation.containers import MAX_TEXTS, PNG_START, refusal
from generation.control_images import Preprocess, control_map
from generation.errors import DecodingUnavailable, InvalidImage
from generation.kinds import Preprocessor
from generation.preprocessors import preprocess
from generation.signatures import MAX_SIGNER
from generation.types import MIDDLE, Canvas, Centering, CleanImage, Fit, Signature

log = logging.getLogger(__name__)

#: Pictures after which a process is replaced, so that whatever happened to it ends.
PICTURES_EACH = 100
#: Seconds on the clock for one second of the CPU, since the machine may be busy with drawing.
PATIENCE = 4
SECONDS_TO_START = 30.0
#: Longest sentence that is taken from a process.
MAX_SENTENCE = 500
#: Bytes of the largest clean picture: RGB that nothing compresses, with the PNG's own.
MAX_PICTURE = 3 * MAX_WIDTH * MAX_HEIGHT + 2**20
#: Variables of the environment that a Python needs to start; no secret is among them.
VARIABLES = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")

TOO_LONG = (
    "the picture takes too long to decode: save it again as a plain JPEG or PNG, or send a smaller"
    " one"
)
TOO_MUCH_MEMORY = (
    "the picture takes too much memory to decode: save it again as a plain JPEG or PNG, or send a"
    " smaller one"
)
BROKE_THE_DECODER = (
    "the file cannot be decoded: save it again as a plain JPEG or PNG, or send another one"
)
UNAVAILABLE = (
    "attached pictures cannot be looked at now: the bot may not start the process that does it; an"
    " admin must look at the log"
)


@dataclass(frozen=True, slots=True)
class DecodingLimits:
    """Limits of decoding one file.

    Attributes:
        seconds: Time on the CPU; `PATIENCE` times as much may pass on the clock.
        memory: Bytes of all of the process.
    """

    seconds: float = 10.0
    memory: int = 1_000_000_000


USUAL = DecodingLimits()


class Decoders:
    """At most *count* processes, each of which decodes one file at a time. They start when they
    are first needed and stay. Blocking; threads may share it.

    Args:
        limits: Limits of each file.
        pictures: Limits of the files themselves.
        command: How a process is started.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        count: int = 2,
        limits: DecodingLimits = USUAL,
        pictures: PictureLimits = USUAL_PICTURES,
        *,
        command: tuple[str, ...] = (sys.executable, "-m", "generation.decoder_process"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._pictures = pictures
        self._command = command
        self._clock = clock
        self._free = threading.BoundedSemaphore(count)
        self._idle: list[_Process] = []
        self._changing = threading.Lock()
        self._all: set[_Process] = set()
        self._is_closed = False

    @property
    def pids(self) -> set[int]:
        """Numbers of the processes that there are."""
        with self._changing:
            return {each.pid for each in self._all}

    def clean(self, data: bytes) -> CleanImage:
        """The picture in bytes from a stranger; see `generation.cleaning.clean`.

        Raises:
            InvalidImage: It is none that can be used, or it costs too much to find that out.
            DecodingUnavailable: No process can be started.
        """
        header, blobs = self._ask("clean", data)
        width, height, remarks = header["width"], header["height"], header["remarks"]
        are_plain = all(_is_plain_png(each, width, height) for each in blobs)
        if len(blobs) not in (1, 2) or not are_plain or not _are_sentences(remarks):
            raise self._broken("sent what is no clean picture")
        mask = blobs[1] if len(blobs) == 2 else None
        return CleanImage(blobs[0], width, height, tuple(remarks), mask)

    def texts(self, data: bytes) -> dict[str, str]:
        """The texts that a stranger's file carries; see `generation.containers.texts`.

        Raises:
            InvalidImage: It is no picture, or it costs too much to find that out.
            DecodingUnavailable: No process can be started.
        """
        header, _ = self._ask("texts", data)
        texts = header["texts"]
        if not isinstance(texts, dict) or not all(isinstance(each, str) for each in texts.values()):
            raise self._broken("sent what are no texts")
        return texts

    def signature(self, data: bytes) -> Signature | None:
        """The C2PA manifest of a stranger's file; see `generation.signatures.signature_of`.

        Raises:
            InvalidImage: It is no picture, or it costs too much to find that out.
            DecodingUnavailable: No process can be started.
        """
        header, _ = self._ask("signature", data)
        match header["signature"]:
            case None:
                return None
            case {"is_valid": bool(is_valid), "signer": str(signer), "is_by_ai": bool(is_by_ai)}:
                return Signature(is_valid, signer[:MAX_SIGNER], is_by_ai)
        raise self._broken("sent what is no signature")

    def close(self) -> None:
        """End all processes, also those at work. May be called more than once."""
        with self._changing:
            self._is_closed = True
            idle, self._idle = self._idle, []
            at_work = self._all.difference(idle)
            self._all = at_work
        for process in idle:
            process.close()
        for process in at_work:
            process.kill()  # its thread is told, and closes it

    def _ask(self, order: str, data: bytes) -> frames.Frame:
        """The frame with the answer of a process to *order* about *data*."""
        with self._free:
            process = self._take()
            is_sound = False
            try:
                frame = process.answer(
                    {
                        "do": order,
                        "max_bytes": self._pictures.max_bytes,
                        "max_width": self._pictures.max_width,
                        "max_height": self._pictures.max_height,
                    },
                    data,
                    self._clock() + PATIENCE * self._limits.seconds,
                )
                is_sound = True
            finally:
                self._give_back(process, is_sound=is_sound)
        try:
            match frame[0]["is"]:
                case "refused":
                    raise refusal(str(frame[0]["sentence"])[:MAX_SENTENCE])
                case "out of memory":
                    raise refusal(TOO_MUCH_MEMORY)
                case "picture" if order == "clean":
                    frame[0]["width"], frame[0]["height"], frame[0]["remarks"]
                    return frame
                case "texts" | "signature" as answer if order == answer:
                    frame[0][answer]
                    return frame
        except (KeyError, TypeError):
            pass
        raise self._broken("sent another answer than asked for")

    def _take(self) -> _Process:
        with self._changing:
            if self._is_closed:
                raise DecodingUnavailable(UNAVAILABLE)
            while self._idle:
                process = self._idle.pop()
                if process.is_alive:
                    return process
                self._all.discard(process)
                process.close()
        process = _Process(self._command, self._limits, self._clock)
        with self._changing:
            self._all.add(process)
            is_closed = self._is_closed
        if is_closed:  # meanwhile
            process.kill()
        return process

    def _give_back(self, process: _Process, *, is_sound: bool) -> None:
        with self._changing:
            if is_sound and not self._is_closed and process.answered < PICTURES_EACH:
                self._idle.append(process)
                return
            self._all.discard(process)
        process.close()

    def _broken(self, what: str) -> InvalidImage:
        log.warning("a process that decodes pictures %s", what)
        return refusal(BROKE_THE_DECODER)


class IsolatedControlImages:
    """Implements `ControlImages`: strangers' files are opened by *decoders* alone, and control
    maps are made here, of clean pictures.

    Args:
        preprocess: Makes the map of an RGB image; the default knows the preprocessors that
            need no model.
    """

    def __init__(self, decoders: Decoders, preprocess: Preprocess = preprocess) -> None:
        self.decoders = decoders
        self.preprocess = preprocess

    def clean(self, data: bytes) -> CleanImage:
        """The picture in bytes from a stranger; see `Decoders.clean`."""
        return self.decoders.clean(data)

    def texts(self, data: bytes) -> dict[str, str]:
        """The texts in bytes from a stranger; see `Decoders.texts`."""
        return self.decoders.texts(data)

    def signature(self, data: bytes) -> Signature | None:
        """The manifest in bytes from a stranger; see `Decoders.signature`."""
        return self.decoders.signature(data)

    def control_map(
        self,
        png: bytes,
        preprocessor: Preprocessor,
        width: int,
        height: int,
        fit: Fit,
        centering: Centering = MIDDLE,
    ) -> Image:
        """The image that a ControlNet would be shown for a clean *png*."""
        return control_map(png, preprocessor, width, height, fit, self.preprocess, centering)

    def masked(
        self,
        picture: CleanImage,
        mask: CleanImage | None,
        region: str | None,
        canvas: Canvas | None,
    ) -> tuple[CleanImage, CleanImage]:
        """The picture, and the mask of what is drawn of it; see `generation.masks.masked`."""
        return masks.masked(picture, mask, region, canvas)


class _Process:
    """One process, and the pipes to and from it.

    Attributes:
        answered: Files that it has answered for.

    Raises:
        DecodingUnavailable: It cannot be started.
    """

    def __init__(
        self, command: tuple[str, ...], limits: DecodingLimits, clock: Callable[[], float]
    ) -> None:
        self.answered = 0
        self._clock = clock
        self._received = bytearray()
        root = str(Path(__file__).parent.parent)
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        kept = {name: os.environ[name] for name in VARIABLES if name in os.environ}
        try:
            self._process = subprocess.Popen(
                [*command, str(limits.seconds), str(limits.memory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                env={**kept, "PYTHONPATH": path},
                # Ctrl-C in the terminal is for the bot.
                start_new_session=True,
            )
        except OSError as error:
            log.error("no process can be started that decodes pictures: %s", error)
            raise DecodingUnavailable(UNAVAILABLE) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders, self._answers = self._process.stdin, self._process.stdout
        for pipe in (self._orders, self._answers):
            os.set_blocking(pipe.fileno(), False)
        try:
            self._exchange(b"", clock() + SECONDS_TO_START)
        except InvalidImage:
            self.close()
            log.error(
                "the process that decodes pictures ended at once, with status %s",
                self._process.returncode,
            )
            raise DecodingUnavailable(UNAVAILABLE) from None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def answer(self, order: dict[str, Any], data: bytes, deadline: float) -> frames.Frame:
        """The answer to *order* about *data*.

        Raises:
            InvalidImage: The process has ended over it, or had to be ended.
        """
        self.answered += 1
        text = json.dumps({**order, "blobs": [len(data)]}).encode()
        head = frames.SIZES.pack(len(text), len(data)) + text
        return self._exchange(head + data, deadline)

    def kill(self) -> None:
        """End the process. May be called more than once, and from any thread."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            self._process.kill()

    def close(self) -> None:
        """End the process and its pipes; nobody else may be using them."""
        self.kill()
        self._process.wait()
        for pipe in (self._orders, self._answers):
            with contextlib.suppress(OSError):
                pipe.close()

    def _exchange(self, order: bytes, deadline: float) -> frames.Frame:
        """The next frame of the process, while *order* is written to it."""
        left = memoryview(order)
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            if left:
                selector.register(self._orders, selectors.EVENT_WRITE)
            while (seconds := deadline - self._clock()) > 0:
                for key, _ in selector.select(seconds):
                    if key.fileobj is self._answers:
                        frame = self._receive()
                        if frame is not None:
                            return frame
                        continue
                    try:
                        left = left[os.write(self._orders.fileno(), left[: 2**20]) :]
                    except BlockingIOError:
                        continue
                    except OSError:
                        raise self._lost() from None
                    if not left:
                        selector.unregister(self._orders)
        log.warning("process %d takes too long over a picture, and is ended", self.pid)
        raise refusal(TOO_LONG)

    def _receive(self) -> frames.Frame | None:
        """The frame that has come; None while it is not whole."""
        try:
            more = os.read(self._answers.fileno(), 2**20)
        except BlockingIOError:
            return None
        except OSError:
            more = b""
        if not more:
            raise self._lost()
        self._received += more
        try:
            return frames.take(self._received, MAX_PICTURE + MAX_TEXTS)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            log.warning("process %d sent what is no frame", self.pid)
            raise refusal(BROKE_THE_DECODER) from None

    def _lost(self) -> InvalidImage:
        """The error for a process that has ended by itself."""
        status = self._process.wait()
        log.warning("process %d, which decodes pictures, ended with status %d", self.pid, status)
        is_out_of_time = status == -getattr(signal, "SIGXCPU", 0) != 0
        return refusal(TOO_LONG if is_out_of_time else BROKE_THE_DECODER)


def _is_plain_png(png: bytes, width: object, height: object) -> bool:
    """Whether *png* starts as an RGB PNG of that size, of 8 bits and without interlacing, and ends
    as one (PNG specification, 11.2.2); its decoder then does work in proportion to the size."""
    if not isinstance(width, int) or not isinstance(height, int):
        return False
    if not (0 < width <= MAX_WIDTH and 0 < height <= MAX_HEIGHT):
        return False
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    return png[:29] == PNG_START + b"\0\0\0\rIHDR" + header and png[-8:-4] == b"IEND"


def _are_sentences(remarks: object) -> bool:
    return isinstance(remarks, list) and all(
        isinstance(remark, str) and len(remark) <= MAX_SENTENCE for remark in remarks
    )

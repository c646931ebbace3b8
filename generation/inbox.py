"""The pipe through which a child's process sends the files of its pictures.

It encodes them on a thread of its own, while its engine draws the next picture; a thread of the
parent receives them meanwhile, so that neither keeps an engine waiting.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

from PIL import Image

from generation import frames
from generation.errors import EngineLost, GenerationError
from generation.results import Files, Result

log = logging.getLogger(__name__)

#: Bytes that the pipe holds, where the system lets us choose: most pictures fit in once or twice.
PIPE_SIZE = 2**20
#: Seconds that encoding a picture may take.
SECONDS_TO_ENCODE = 60.0


class Outbox:
    """The child's end: encodes pictures, one after the other, and sends them by number."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self._thread = ThreadPoolExecutor(1, "encoding")
        self._sent = 0

    def send(self, result: Result) -> int:
        """The number under which the files of *result* are sent, soon."""
        self._sent += 1
        self._thread.submit(self._encode, self._sent, result)
        return self._sent

    def _encode(self, number: int, result: Result) -> None:
        try:
            files = result.files()
        except Exception as error:
            log.exception("picture %d cannot be encoded", number)
            is_lost = isinstance(error, EngineLost)
            frames.write(self._pipe, {"number": number, "sentence": str(error), "is_lost": is_lost})
            return
        header = {
            "number": number,
            "thumbnail": files.thumbnail.size,
            "drawn_with": dict(files.drawn_with),
        }
        blobs = [files.png, files.thumbnail.tobytes()]
        if files.control_map is not None:
            blobs.append(files.control_map)
        frames.write(self._pipe, header, *blobs)


class Inbox:
    """The parent's end. Any thread may `take`, each picture once.

    Args:
        pipe: Its end is that of the child.
    """

    def __init__(self, pipe: BinaryIO) -> None:
        with contextlib.suppress(AttributeError, OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        self._pipe = pipe
        self._frames: dict[int, frames.Frame] = {}
        self._unwanted: set[int] = set()
        self._has_ended = False
        self._changed = threading.Condition()
        threading.Thread(target=self._receive, name="inbox", daemon=True).start()

    def take(self, number: int, size: tuple[int, int]) -> Files:
        """The files of picture *number*, of *size*.

        Raises:
            EngineLost: The child has died, or did not send them in time.
            GenerationError: It could not encode them, or sent something else.
        """

        def is_there() -> bool:
            return number in self._frames or self._has_ended

        with self._changed:
            if not self._changed.wait_for(is_there, SECONDS_TO_ENCODE):
                self._unwanted.add(number)
                raise EngineLost("the engine's process did not send the picture in time")
            if number not in self._frames:
                raise EngineLost("the engine's process has died before it sent the picture")
            header, blobs = self._frames.pop(number)
        if sentence := header.get("sentence"):
            raise (EngineLost if header["is_lost"] else GenerationError)(sentence)
        try:
            png, thumbnail, *others = blobs
            small = Image.frombytes("RGB", tuple(header["thumbnail"]), thumbnail)
            control_map: bytes | None
            (control_map,) = others or (None,)
            files = Files(png, small, control_map, header.get("drawn_with", {}))
            with files.opened() as image:
                is_right = (image.mode, image.size) == ("RGB", size)
        except (KeyError, OSError, TypeError, ValueError):
            is_right = False
        if not is_right:
            raise GenerationError(f"the engine sent no picture of {size[0]} × {size[1]} pixels")
        return files

    def forget(self, number: int) -> None:
        """Throw picture *number* away, which nobody will take."""
        with self._changed:
            if self._frames.pop(number, None) is None:
                self._unwanted.add(number)

    def _receive(self) -> None:
        with self._pipe:
            while (frame := self._next()) is not None:
                number: int = frame[0]["number"]
                with self._changed:
                    if number in self._unwanted:
                        self._unwanted.discard(number)
                    else:
                        self._frames[number] = frame
                        self._changed.notify_all()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def _next(self) -> frames.Frame | None:
        try:
            return frames.read(self._pipe)
        except (KeyError, OSError, TypeError, ValueError) as error:
            log.error("what the engine's process sends is no picture: %s", error)
            return None

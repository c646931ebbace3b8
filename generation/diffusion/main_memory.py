"""The machine's main memory, shared by all engines that keep weights there.

Each engine notes what it keeps in a file that it holds locked, and that the kernel unlocks when its
process ends, however it ends. So they find each other that know nothing of each other: children
for the cards of one bot, actors on a node of a cluster, another bot of the same user.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import tempfile
import uuid
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from generation.diffusion.memory import in_gigabytes
from generation.errors import OutOfMemory

#: Bytes that are left for the system, the bot and the processes of the engines themselves.
RESERVE = 4_000_000_000

#: What all engines of one user on one machine, or in one container, can see.
FOLDER = Path(tempfile.gettempdir()) / f"fluxbot-main-memory-{os.getuid()}"

#: What helps where it does not suffice.
WAY_OUT = (
    "let fewer cards of this machine draw (engine.devices), or have more of the weights stay on the"
    ' cards (model.quantization = "fp8" or "4bit")'
)

log = logging.getLogger(__name__)


class MainMemory:
    """One engine's part of the main memory.

    Args:
        folder: Where engines note what they keep; it belongs to this user alone.
        total: Bytes that all of them may keep together; None asks the machine.
    """

    def __init__(self, folder: Path = FOLDER, total: int | None = None) -> None:
        self._folder = folder
        self._total = room() if total is None else total
        self._note: Path | None = None
        self._forget: weakref.finalize[..., MainMemory] | None = None

    def claim(self, size: int) -> None:
        """Note that this engine keeps *size* bytes.

        An engine that is alone may keep more than there is room for, at the price of reading
        weights from the disk again and again.

        Raises:
            OutOfMemory: It does not fit beside what others keep.
        """
        with self._turn():
            others = self._kept_by_others()
            if not size or size + others <= self._total:
                self._write(size)
                return
            words = f"{in_gigabytes(size)} of weights wait in main memory"
            if others:
                raise OutOfMemory(
                    f"{words}, which has {in_gigabytes(self._total)} for weights, and other engines"
                    f" keep {in_gigabytes(others)} of it: {WAY_OUT}"
                )
            log.warning("%s, which has %s for weights", words, in_gigabytes(self._total))
            self._write(size)

    def note(self, size: int) -> None:
        """Note that it keeps *size* bytes from now on, room or not."""
        with self._turn():
            self._write(size)

    def release(self) -> None:
        """Keep nothing any more. May be called more than once."""
        self._note = None
        if self._forget is not None:
            self._forget()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """The block, while no other engine is in it; without a folder to note anything in, every
        engine counts as alone."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if self._folder.stat().st_uid != os.getuid():
                raise PermissionError(f"{self._folder} belongs to another user")
            turn = open(self._folder / "turn", "w")  # noqa: SIM115
        except OSError as error:
            log.warning("what other engines keep in main memory cannot be told: %s", error)
            yield
            return
        with turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            yield

    def _kept_by_others(self) -> int:
        """Bytes; notes of those that are gone are deleted."""
        kept = 0
        for path in self._folder.glob("*.note"):
            if path == self._note:
                continue
            with contextlib.suppress(OSError, ValueError), path.open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    kept += int(file.read())
                else:
                    path.unlink()
        return kept

    def _write(self, size: int) -> None:
        self.release()
        if not size:
            return
        note = self._folder / f"{uuid.uuid4().hex}.note"
        with contextlib.suppress(OSError):
            # Not closed: its lock says that the engine lives.
            file = open(note, "w")  # noqa: SIM115
            self._note, self._forget = note, weakref.finalize(self, _forget, file)
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(str(size))
            file.flush()


def _forget(note: IO[str]) -> None:
    with contextlib.suppress(OSError):
        os.unlink(note.name)
    note.close()


def room() -> int:
    """Bytes of this machine's main memory, or of the container's or the unit's, for weights."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(0, min([machine, *_limits()]) - RESERVE)


def _limits(
    root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> list[int]:
    """Limits of this process's control group and of those above it (kernel's cgroup-v2.rst; of
    version 1 the container's own)."""
    files = [root / "memory" / "memory.limit_in_bytes"]
    with contextlib.suppress(OSError):
        for line in own.read_text().splitlines():
            number, _, path = line.partition("::")
            if number == "0":
                group = root / path.lstrip("/")
                files += [each / "memory.max" for each in (group, *group.parents)]
    limits = []
    for file in files:
        with contextlib.suppress(OSError, ValueError):  # "max" is none
            limits.append(int(file.read_text()))
    return limits

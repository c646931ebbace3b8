"""Memory that has run out: the words for it, and what is tried then."""

from __future__ import annotations

import contextlib
import errno
import gc
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch

from generation.diffusion.device import Device, first_line
from generation.errors import OutOfMemory

Result = TypeVar("Result")

#: How devices and their libraries say so, but for torch's own class of error: torch's allocators
#: for CUDA, HIP, mps and the CPU; Metal; the status codes of cuBLAS, cuSOLVER, cuSPARSE, cuDNN
#: and their kin of ROCm; cuDNN where no algorithm finds room to work in. Whoever only names
#: memory ("illegal memory access", Triton's "out of resource: shared memory") is not among them.
WORDS = re.compile(
    r"""\b(?:CUDA|HIP|MPS|XPU)\b[^\n]{0,30}\bout\ of\ memory
      | ^out\ of\ memory\b
      | \b(?:cuda|hip)Error(?:OutOfMemory|MemoryAllocation)\b
      | \b(?:CU|HIP|ROC)[A-Z]+_STATUS_(?:INTERNAL_ERROR_(?:DEVICE|HOST)_)?ALLOC(?:ATION)?_FAILED\b
      | \bmiopenStatusAllocFailed\b
      | \bunable\ to\ find\ an\ engine\ to\ execute\b
      | \bInvalid\ buffer\ size:
      | \bDefaultCPUAllocator:\ (?:can't\ allocate|not\ enough)\ memory
      | ^\[?[^\n]{0,80}\bcan't\ allocate\ memory\b
    """,
    re.VERBOSE,
)

#: Pictures that are decoded in tiles after one that ran out of memory, before a whole one is tried
#: again. It costs a failed attempt, a fraction of a second on a card, of which so many pictures in
#: tiles, slower by a twelfth each, gain more; and whatever else used the card may be gone by then.
PICTURES_IN_TILES = 20


@dataclass(frozen=True, slots=True)
class Exhausted:
    """The outcome of work for which memory ran out.

    The exception, which held on to frames with tensors, is gone.

    Attributes:
        reason: The exception's first line.
    """

    reason: str


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether *error*, or one that it was raised from, says that memory has run out."""
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError | MemoryError):
            return True
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return True
        if isinstance(error, RuntimeError) and WORDS.search(str(error)):
            return True
        error = error.__cause__
    return False


def attempt(device: Device, work: Callable[[], Result]) -> Result | Exhausted:
    """The result of *work*; `Exhausted`, and the memory free again, where memory runs out."""
    try:
        return work()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        reason = first_line(error)
    gc.collect()
    device.free_unused()
    return Exhausted(reason)


@contextlib.contextmanager
def as_out_of_memory(sentence: str) -> Iterator[None]:
    """Raise `OutOfMemory` with *sentence* and the reason where the block runs out of memory."""
    try:
        yield
    except OutOfMemory:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        reason = first_line(error)
    else:
        return
    raise OutOfMemory(f"{sentence} ({reason})")


class Tiling:
    """Which pictures are decoded in tiles, since whole ones of their size ran out of memory."""

    def __init__(self) -> None:
        self._from: float = math.inf
        self._level = ""
        self._left = 0

    def is_due(self, pixels: int, level: str) -> bool:
        """Whether a picture of *pixels* is to be decoded in tiles, on this offload *level*: one
        below that on which memory ran out has more room."""
        if level != self._level:
            self._from = math.inf
        if pixels < self._from:
            return False
        self._left -= 1
        return self._left >= 0

    def ran_out(self, pixels: int, level: str) -> None:
        """Learn that a picture of *pixels* did not fit as a whole."""
        self._from, self._level, self._left = pixels, level, PICTURES_IN_TILES

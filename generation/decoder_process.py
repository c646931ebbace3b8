"""A process that decodes strangers' files, from inside.

    python -m generation.decoder_process SECONDS BYTES

It reads frames from its standard input, each with one file, and answers on its standard output.
One file may take so many SECONDS of the CPU, and all of the process so many BYTES of memory.
Once Pillow is imported no file can be opened, and none be written; where the kernel has Landlock,
not even by code that has taken the process over.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import struct
import sys
from dataclasses import asdict
from typing import Any, BinaryIO

from PIL import Image

from generation import frames
from generation.cleaning import (
    FORMATS,
    MIN_SIDE,
    ORIENTATION_TAG,
    PictureLimits,
    clean,
    read_texts,
)
from generation.errors import InvalidImage
from generation.signatures import signature_of

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]

#: Bytes of the largest file that may be configured.
MAX_FILE = 64_000_000
#: Least priority but one: decoding can wait for the rest of the bot.
NICENESS = 10


def limit(memory: int, descriptors: int) -> None:
    """Limit this process for good: *memory* in bytes, no core dumps, no bytes in files, and no
    more than the lowest so many *descriptors*. Limits that the system does not know are left
    out."""
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    for name, value in (
        ("RLIMIT_CORE", 0),
        ("RLIMIT_FSIZE", 0),
        ("RLIMIT_NOFILE", descriptors),
        ("RLIMIT_DATA", memory),
        ("RLIMIT_AS", memory),
    ):
        number = getattr(resource, name, None)
        if resource is not None and number is not None:
            with contextlib.suppress(OSError, ValueError):  # macOS refuses some
                resource.setrlimit(number, (value, value))


def close_file_system() -> None:
    """Have the kernel refuse this process every path of the file system for good, where it has
    Landlock (Linux 5.13 and newer; its documentation, userspace-api/landlock)."""
    if sys.platform != "linux":
        return
    create_ruleset, restrict_self = 444, 446  # the same on all architectures
    set_no_new_privileges = 38  # linux/prctl.h
    all_rights = struct.pack("Q", 2**13 - 1)  # of the first version: execute to make_sym
    kernel = ctypes.CDLL(None)
    ruleset = kernel.syscall(create_ruleset, all_rights, len(all_rights), 0)
    if ruleset >= 0:
        kernel.prctl(set_no_new_privileges, 1, 0, 0, 0)
        kernel.syscall(restrict_self, ruleset, 0)
        os.close(ruleset)


def warm_up() -> None:
    """Have Pillow import all that it imports at the first picture of a kind, from files that
    cannot be opened later."""
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    for format in set(FORMATS) & set(Image.SAVE):  # not each HEIC library writes, too
        file = io.BytesIO()
        Image.new("RGB", (MIN_SIDE, MIN_SIDE)).save(file, format, exif=exif)
        clean(file.getvalue())
        signature_of(file.getvalue())


def limit_time(seconds: float) -> None:
    """Let the system end this process after *seconds* more of the CPU, rounded up."""
    if resource is not None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        total = int(used.ru_utime + used.ru_stime + seconds) + 1
        with contextlib.suppress(OSError, ValueError):
            _, hard = resource.getrlimit(resource.RLIMIT_CPU)
            resource.setrlimit(resource.RLIMIT_CPU, (total, hard))


def serve(orders: BinaryIO, answers: BinaryIO, seconds: float) -> None:
    """Carry out orders, one after the other, until the bot has gone."""
    received = bytearray()
    while more := os.read(orders.fileno(), 2**20):
        received += more
        while frame := frames.take(received, MAX_FILE):
            header, (data,) = frame
            limit_time(seconds)
            frames.write(answers, *_answer(header, data))


def _answer(order: dict[str, Any], data: bytes) -> tuple[Any, ...]:
    """The frame that answers *order*: JSON, and perhaps a picture."""
    limits = PictureLimits(order["max_bytes"], order["max_width"], order["max_height"])
    try:
        if order["do"] == "texts":
            return ({"is": "texts", "texts": read_texts(data, limits)},)
        if order["do"] == "signature":
            found = signature_of(data, limits)
            return ({"is": "signature", "signature": found and asdict(found)},)
        cleaned = clean(data, limits)
    except InvalidImage as error:
        return ({"is": "refused", "sentence": str(error)},)
    except MemoryError:
        return ({"is": "out of memory"},)
    return (
        {
            "is": "picture",
            "width": cleaned.width,
            "height": cleaned.height,
            "remarks": cleaned.remarks,
        },
        cleaned.png,
        *([] if cleaned.mask is None else [cleaned.mask]),
    )


def main() -> None:
    seconds, memory = float(sys.argv[1]), int(sys.argv[2])
    warm_up()
    with frames.own_output() as answers:
        close_file_system()
        limit(memory, answers.fileno() + 1)
        frames.write(answers, {"is": "ready"})
        serve(sys.stdin.buffer, answers, seconds)


if __name__ == "__main__":
    main()

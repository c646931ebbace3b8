"""Frames: JSON with raw bytes behind it, each with its length in front.

They are all that goes between the bot and its processes (that of a `ChildEngine`, and those that
decode strangers' pictures); nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

#: Bytes of a frame's JSON, and of what is behind it: two RGB pictures of 2048 x 2048 as PNGs that
#: nothing makes smaller, and a thumbnail.
MAX_HEADER, MAX_BLOBS = 2**20, 2 * 3 * 2048 * 2048 + 2**20
SIZES = struct.Struct(">II")

#: The JSON of a frame, and its byte strings.
Frame = tuple[dict[str, Any], list[bytes]]


def write(pipe: BinaryIO, header: dict[str, Any], *blobs: bytes) -> None:
    """Write a frame of *header*, JSON types and paths, and *blobs* to *pipe*."""
    text = json.dumps(
        {**header, "blobs": [len(blob) for blob in blobs]}, default=lambda path: {"path": str(path)}
    ).encode()
    pipe.write(b"".join((SIZES.pack(len(text), sum(map(len, blobs))), text, *blobs)))
    pipe.flush()


def take(received: bytearray, max_blobs: int = MAX_BLOBS) -> Frame | None:
    """The frame that *received* begins with, taken out of it; None while it is not whole.

    Args:
        max_blobs: Bytes that may be behind its JSON.

    Raises:
        ValueError: It begins with something else.
    """
    if len(received) < SIZES.size:
        return None
    length, behind = _sizes(received, max_blobs)
    end = SIZES.size + length + behind
    if len(received) < end:
        return None
    header = _header(bytes(received[SIZES.size : SIZES.size + length]))
    blobs, start = [], SIZES.size + length
    with memoryview(received) as view:  # which copies each once
        for size in header["blobs"]:
            blobs.append(bytes(view[start : start + size]))
            start += size
    if start != end:
        raise ValueError("its parts do not add up")
    del received[:end]
    return header, blobs


def read(pipe: BinaryIO, max_blobs: int = MAX_BLOBS) -> Frame | None:
    """The next frame of *pipe*, once it is whole; None where the pipe ends before that. Blocking.

    Raises:
        ValueError: Something else comes.
    """
    start = pipe.read(SIZES.size)
    if len(start) < SIZES.size:
        return None
    length, behind = _sizes(start, max_blobs)
    text = pipe.read(length)
    if len(text) < length:
        return None
    header = _header(text)
    if sum(header["blobs"]) != behind:
        raise ValueError("its parts do not add up")
    blobs = [pipe.read(size) for size in header["blobs"]]
    return (header, blobs) if sum(map(len, blobs)) == behind else None


def _sizes(start: bytes | bytearray, max_blobs: int) -> tuple[int, int]:
    length, behind = SIZES.unpack_from(start)
    if length > MAX_HEADER or behind > max_blobs:
        raise ValueError(f"{length} and {behind} bytes")
    return length, behind


def _header(text: bytes) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(text, object_hook=_with_paths)
    return header


def _with_paths(values: dict[str, Any]) -> Any:
    return Path(values["path"]) if values.keys() == {"path"} else values


@contextlib.contextmanager
def own_output() -> Iterator[BinaryIO]:
    """The pipe from this process to the bot, which is its standard output; lines that anybody
    else prints go where errors go."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with answers:
        yield answers

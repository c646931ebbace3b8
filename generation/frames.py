"""Frames: JSON with raw bytes behind it, each with its length in front.

They are all that goes between the bot and the process of a `ChildEngine`; nothing is unpickled.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, BinaryIO

#: Bytes of a frame's JSON, and of what is behind it: two RGB pictures of 2048 x 2048.
MAX_HEADER, MAX_BLOBS = 2**20, 2 * 3 * 2048 * 2048
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


def take(received: bytearray) -> Frame | None:
    """The frame that *received* begins with, taken out of it; None while it is not whole.

    Raises:
        ValueError: It begins with something else.
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

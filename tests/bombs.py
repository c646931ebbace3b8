"""Files that cost a decoder far more than their size, as strangers may send them."""

import struct
import zlib

from PIL import Image

from tests.samples import file


def chunk(kind, data):
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, *, depth=8, colours=2, extra=b""):
    """A PNG of zeros, with chunks between its header and its pixels."""
    channels = {0: 1, 2: 3, 6: 4}[colours]
    rows = (b"\0" + bytes(width * channels * depth // 8)) * height
    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    pixels = zlib.compress(rows, 1)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


def many_scans(width, height, count):
    """A progressive JPEG of grey, with *count* scans more than it needs; each costs a pass over
    all of its pixels, and next to no bytes."""
    data = file(Image.new("L", (width, height), 100), "JPEG", progressive=True, quality=50)
    start = data.rindex(b"\xff\xda")
    # The last scan of the encoder, which refines coefficients that are all zero already.
    tables = data.rindex(b"\xff\xc4", 0, start)
    scan = data[tables:-2]
    return data[:-2] + scan * count + b"\xff\xd9"

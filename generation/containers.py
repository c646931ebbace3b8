"""Files of pictures as containers: chunks of PNG and WebP, segments of JPEG. No pixel is decoded.

A decoder's work can be out of all proportion to a file's size: scans of a progressive JPEG that
hold next to nothing, texts and colour profiles that unpack to gigabytes, chunks by the hundred
thousand. They are counted here, and parts that no pixel depends on are left out, so that no
decoder ever sees them.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from generation.errors import InvalidImage

PNG_START, JPEG_START = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
GIF_STARTS = (b"GIF87a", b"GIF89a")

#: Scans of a JPEG. Each is a pass over all pixels, even one that holds a few bytes, and the
#: standard sets no limit; libjpeg-turbo leaves that to its callers (its issue 284). Encoders
#: write about 10.
MAX_SCANS = 100
#: Segments of a JPEG: metadata come in pieces of 64 kB, and each scan brings a table or two.
MAX_SEGMENTS = 2000
#: Chunks of a PNG or a WebP; PNG encoders put 8 kB into each, as a rule.
MAX_CHUNKS = 16_384
#: Bytes of EXIF that are looked at for the orientation. In a JPEG it has no more room.
MAX_EXIF = 65_536
#: Bytes of all texts of a file together, unpacked.
MAX_TEXTS = 2**17

#: The parts of a PNG that its pixels depend on (PNG specification, 11.2 and 11.3.1).
PNG_PARTS = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS"})
#: Markers of a JPEG (ITU T.81, table B.1).
EOI, SOS, COM = 0xD9, 0xDA, 0xFE
APP0, APP1, APP14, APP15 = 0xE0, 0xE1, 0xEE, 0xEF
#: Markers without a length: TEM, RST0 to RST7, SOI and EOI.
STANDALONE = frozenset({0x01, *range(0xD0, 0xDA)})
#: A marker within or after the data of a scan: neither a stuffed 0xFF nor a restart.
MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)

EXIF = b"Exif\0\0"
XMP = b"http://ns.adobe.com/xap/1.0/\0"
#: The keyword of XMP among a PNG's texts, and of that of other files in `texts`.
XMP_KEYWORD = "XML:com.adobe.xmp"


class Part(NamedTuple):
    """A chunk or a segment: its name or marker, its place in the file, and that of its content."""

    kind: bytes
    start: int
    end: int
    content: slice


def plain(data: bytes) -> bytes:
    """The file *data*, a PNG, JPEG or WebP, without parts that its pixels do not depend on, as
    far as that is easily done; the orientation of EXIF stays.

    Raises:
        InvalidImage: It is cut off, or costs a decoder too much for its size.
    """
    if data.startswith(PNG_START):
        return _plain_png(data)
    if data.startswith(JPEG_START):
        return _plain_jpeg(data)
    if data.startswith(b"RIFF"):
        for _ in webp_chunks(data):
            pass
    return data


def is_animated_png(data: bytes) -> bool:
    """Whether *data*, a PNG, has more than one frame."""
    return any(
        part.kind == b"acTL" and data[part.content][:4] > b"\0\0\0\1" for part in png_chunks(data)
    )


def texts(data: bytes) -> dict[str, str]:
    """The texts that a PNG, JPEG or WebP carries, by their keywords: those of a PNG, and XMP as
    `XMP_KEYWORD`. Texts that cannot be read, or are too long, are left out.

    Raises:
        InvalidImage: The file is cut off, or has too many parts.
    """
    found: dict[str, str] = {}
    room = MAX_TEXTS
    for keyword, text in _texts(data):
        room -= len(text)
        if room >= 0:
            found.setdefault(keyword, text.decode("utf-8", "replace"))
    return found


def png_chunks(data: bytes) -> Iterator[Part]:
    """The chunks of a PNG up to its end.

    Raises:
        InvalidImage: It is cut off, or has too many chunks.
    """
    start = len(PNG_START)
    for _ in range(MAX_CHUNKS):
        length, kind = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        end = start + 12 + length
        if end > len(data):
            raise damaged()
        yield Part(kind, start, end, slice(start + 8, end - 4))
        if kind == b"IEND":
            return
        start = end
    raise _too_many("chunks", MAX_CHUNKS)


def webp_chunks(data: bytes) -> Iterator[Part]:
    """The chunks of a WebP, frames of an animation as a whole.

    Raises:
        InvalidImage: It is cut off, or has too many chunks.
    """
    start, whole = 12, 8 + int.from_bytes(data[4:8], "little")
    if whole > len(data):
        raise damaged()
    for _ in range(MAX_CHUNKS):
        if start + 8 > whole:
            return
        length = int.from_bytes(data[start + 4 : start + 8], "little")
        end = start + 8 + length
        yield Part(data[start : start + 4], start, min(end, whole), slice(start + 8, end))
        start = end + length % 2
    raise _too_many("chunks", MAX_CHUNKS)


def jpeg_segments(data: bytes) -> Iterator[Part]:
    """The segments of a JPEG up to its end; that of a scan goes on through its data.

    Raises:
        InvalidImage: It has too many segments or scans.
    """
    scans, start = 0, 2
    for _ in range(MAX_SEGMENTS):
        found = MARKER.search(data, start)
        if found is None:
            return
        marker, start = found[0][-1], found.start()
        if marker in STANDALONE:
            yield Part(bytes([marker]), start, start + 2, slice(start + 2, start + 2))
            if marker == EOI:
                return
            start += 2
            continue
        content = slice(start + 4, start + 2 + int.from_bytes(data[start + 2 : start + 4], "big"))
        end = content.stop
        if marker == SOS:
            scans += 1
            if scans > MAX_SCANS:
                raise refusal(
                    f"the JPEG has more than {MAX_SCANS} scans, which take very long to decode:"
                    " save it again as a plain JPEG or a PNG"
                )
            following = MARKER.search(data, end)
            end = len(data) if following is None else following.start()
        yield Part(bytes([marker]), start, end, content)
        start = max(end, start + 2)
    raise _too_many("segments", MAX_SEGMENTS)


def _plain_png(data: bytes) -> bytes:
    parts = [PNG_START]
    has_exif = False
    for part in png_chunks(data):
        is_exif = part.kind == b"eXIf" and part.end - part.start <= MAX_EXIF and not has_exif
        has_exif = has_exif or is_exif
        if part.kind in PNG_PARTS or is_exif:
            parts.append(data[part.start : part.end])
    return b"".join(parts)


def _plain_jpeg(data: bytes) -> bytes:
    parts = [data[:2]]
    has_exif = False
    for part in jpeg_segments(data):
        marker = part.kind[0]
        is_exif = marker == APP1 and data[part.content].startswith(EXIF) and not has_exif
        has_exif = has_exif or is_exif
        # APP0 is JFIF; APP14 says which colours the channels are.
        is_metadata = marker == COM or (APP0 < marker <= APP15 and marker != APP14)
        if is_exif or not is_metadata:
            parts.append(data[part.start : part.end])
    return b"".join(parts)


def _texts(data: bytes) -> Iterator[tuple[str, bytes]]:
    if data.startswith(PNG_START):
        for part in png_chunks(data):
            if part.kind in (b"tEXt", b"zTXt", b"iTXt"):
                yield from _png_text(part.kind, data[part.content])
    elif data.startswith(JPEG_START):
        for part in jpeg_segments(data):
            content = data[part.content]
            if part.kind[0] == APP1 and content.startswith(XMP):
                yield XMP_KEYWORD, content[len(XMP) :]
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        for part in webp_chunks(data):
            if part.kind == b"XMP ":
                yield XMP_KEYWORD, data[part.content]


def _png_text(kind: bytes, content: bytes) -> Iterator[tuple[str, bytes]]:
    """The text of a chunk (PNG specification, 11.3.3), in UTF-8; none where it is damaged."""
    keyword, _, rest = content.partition(b"\0")
    is_packed = kind == b"zTXt"
    if is_packed:
        rest = rest[1:]
    elif kind == b"iTXt":
        is_packed = rest[:1] == b"\1"
        _, _, rest = rest[2:].partition(b"\0")  # a language
        _, _, rest = rest.partition(b"\0")  # the keyword in that language
    if is_packed:
        unpacking = zlib.decompressobj()
        try:
            rest = unpacking.decompress(rest, MAX_TEXTS)
        except zlib.error:
            return
        if not unpacking.eof:
            return
    if kind != b"iTXt":
        rest = rest.decode("latin-1").encode()
    yield keyword.decode("latin-1"), rest


def damaged() -> InvalidImage:
    """The error for a file that is cut off or damaged."""
    return refusal("the file is damaged or incomplete: save it again, or send another one")


def refusal(sentence: str) -> InvalidImage:
    """The error for an attached file, for the reason *sentence*."""
    return InvalidImage(sentence, field="control_image")


def _too_many(parts: str, most: int) -> InvalidImage:
    return refusal(
        f"the file is made of more than {most} {parts}: save it again, or send another one"
    )

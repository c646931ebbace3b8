"""Drawn pictures, and the files that they become.

An engine in a process of its own encodes there, while it draws on, so that what reaches the bot
are the files alone.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from PIL import Image

#: Longest side of a thumbnail, in pixels.
THUMBNAIL_SIZE = 256
#: zlib level of our PNGs: against 6, a sixth of the time for a fifth more bytes.
COMPRESS_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Files:
    """A picture, encoded, without any metadata.

    Attributes:
        png: RGB, of the requested size.
        thumbnail: RGB, of at most `THUMBNAIL_SIZE` pixels on each side.
        control_map: The map that the model was shown, a PNG of the same size, or several side by
            side; None without one.
        drawn_with: What its pixels depend on beside the request, such as "quantization": "fp8".
    """

    png: bytes
    thumbnail: Image.Image
    control_map: bytes | None = None
    drawn_with: Mapping[str, str] = field(default_factory=dict)

    def opened(self) -> Image.Image:
        """The picture, which is decoded when its pixels are first asked for."""
        return Image.open(io.BytesIO(self.png), formats=["PNG"])


class Result(Protocol):
    """A picture that an engine has drawn, and what it cost.

    Attributes:
        seconds: Time on the engine's thread, without the downloads and loading of a first use.
        peak_memory: Bytes of device memory at the highest; None where it is not measured.
    """

    @property
    def seconds(self) -> float: ...

    @property
    def peak_memory(self) -> int | None: ...

    def files(self) -> Files:
        """The picture's files. Blocking; any thread may ask.

        Raises:
            EngineLost: The engine's process died while it encoded them.
            GenerationError: They could not be encoded.
        """
        ...


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """The `Result` of an engine in this process.

    Attributes:
        image: Mode RGB, of the requested size.
        control_map: The map that the model was shown, of the same size; several side by side; None
            without one.
        drawn_with: See `Files`.
    """

    image: Image.Image
    seconds: float
    control_map: Image.Image | None = None
    peak_memory: int | None = None
    drawn_with: Mapping[str, str] = field(default_factory=dict)

    def files(self) -> Files:
        """The picture's files."""
        return replace(encoded(self.image, self.control_map), drawn_with=self.drawn_with)


class RemoteResult:
    """The `Result` of an engine elsewhere, whose files are still on their way.

    Args:
        receive: Waits for the files; see `Result.files`.
    """

    def __init__(
        self, seconds: float, peak_memory: int | None, receive: Callable[[], Files]
    ) -> None:
        self.seconds = seconds
        self.peak_memory = peak_memory
        self._receive = functools.cache(receive)

    def files(self) -> Files:
        """The picture's files, once they are here."""
        return self._receive()


def side_by_side(pictures: Sequence[Image.Image]) -> Image.Image:
    """RGB *pictures* of one size in a row, from left to right."""
    if len(pictures) == 1:
        return pictures[0]
    width, height = pictures[0].size
    row = Image.new("RGB", (width * len(pictures), height))
    for number, picture in enumerate(pictures):
        row.paste(picture, (width * number, 0))
    return row


def encoded(image: Image.Image, control_map: Image.Image | None = None) -> Files:
    """The files of *image*, which was drawn with *control_map*."""
    return Files(
        png_of(image), thumbnail_of(image), None if control_map is None else png_of(control_map)
    )


def png_of(image: Image.Image) -> bytes:
    """*image* as a PNG without metadata."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=COMPRESS_LEVEL)
    return file.getvalue()


def thumbnail_of(image: Image.Image) -> Image.Image:
    """*image*, made smaller where it is larger than a thumbnail."""
    thumbnail = image.copy()
    thumbnail.thumbnail((THUMBNAIL_SIZE, THUMBNAIL_SIZE), Image.Resampling.BICUBIC)
    return thumbnail

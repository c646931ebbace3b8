"""Clean RGB images from hostile bytes, and control maps of them.

Only PNG, JPEG and WebP are opened: by their first bytes and by Pillow's allow-list,
so no other decoder ever sees a stranger's file. The size is read from the header
before a pixel is decoded, and a picture that leaves is always encoded anew.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps

from generation.checks import MAX_SIZE
from generation.errors import InvalidImage
from generation.kinds import Preprocessor
from generation.preprocessors import preprocess
from generation.types import CleanImage, Fit, GenerationRequest

Preprocess = Callable[[Preprocessor, Image.Image], Image.Image]

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_BYTES = 10_000_000
MAX_WIDTH = MAX_HEIGHT = 4096
MIN_SIDE = 16
MAX_ASPECT = 8
PNG_END = b"IEND\xae\x42\x60\x82"
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
WAY_OUT = "send a PNG, JPEG or WebP file"

#: First bytes of files that people send by mistake, so that the answer can name them.
OTHER_FILES = (
    (b"GIF8", "a GIF"),
    (b"%PDF", "a PDF"),
    (b"%!PS", "a PostScript file"),
    (b"BM", "a BMP"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"PK\3\4", "a ZIP archive or an office document"),
)

#: EXIF orientation (tag 274) to what undoes it. 1 needs nothing.
ORIENTATION_TAG = 274
TRANSPOSED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class PillowControlImages:
    """Implements `ControlImages`. Holds no state besides its limits, so threads may share it.

    Args:
        max_bytes: Size of the largest file that is looked at.
        max_width: Pixels, as the header says it.
        max_height: Pixels, likewise.
        preprocess: Makes the map of an RGB image; the default knows the preprocessors that
            need no model.
    """

    def __init__(
        self,
        *,
        max_bytes: int = MAX_BYTES,
        max_width: int = MAX_WIDTH,
        max_height: int = MAX_HEIGHT,
        preprocess: Preprocess = preprocess,
    ) -> None:
        self.max_bytes = max_bytes
        self.max_width = max_width
        self.max_height = max_height
        self.preprocess = preprocess

    def clean(self, data: bytes) -> CleanImage:
        """Decode bytes from a stranger.

        Raises:
            InvalidImage: They are no PNG, JPEG or WebP, damaged, or too large.
        """
        if not data:
            raise _refusal(f"the file is empty: {WAY_OUT}")
        if len(data) > self.max_bytes:
            raise _refusal(
                f"the file has {len(data) / 1e6:.1f} MB; at most {self.max_bytes / 1e6:.1f} MB"
                " are allowed: send a smaller one"
            )
        if not _is_allowed(data):
            raise _refusal(f"the file is {_kind(data)}: {WAY_OUT}")
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise self._too_large() from None
        except Exception:  # Pillow's readers raise a dozen types on damaged files
            raise _damaged() from None
        with image:
            self._check_size(*image.size)
            if not _is_whole(data):
                raise _damaged()
            # No output is larger, so what is cannot be seen and only costs everybody time.
            excess = max(1, max(image.size) // MAX_SIZE)
            try:
                if excess > 1:
                    image.draft("RGB", (image.width // excess, image.height // excess))  # JPEG
                image.load()
                pixels = _upright(_rgb(image), image)
                pixels = pixels.reduce(max(1, max(pixels.size) // MAX_SIZE))
            except Exception:
                raise _damaged() from None
            # A JPEG may hold further pictures (a thumbnail, a depth map) that nobody misses.
            is_animated = image.format != "MPO" and getattr(image, "is_animated", False)
        pixels.info.clear()  # Pillow would write the colour profile again
        encoded = io.BytesIO()
        # Level 1 is six times as fast as the default, for files a fifth larger.
        pixels.save(encoded, "PNG", compress_level=1)
        remarks = ("The picture is animated; only its first frame is used.",) if is_animated else ()
        return CleanImage(encoded.getvalue(), pixels.width, pixels.height, remarks)

    def control_map(
        self, png: bytes, preprocessor: Preprocessor, width: int, height: int, fit: Fit
    ) -> Image.Image:
        """The image that a ControlNet would be shown; see `control_map` below."""
        return control_map(png, preprocessor, width, height, fit, self.preprocess)

    def _check_size(self, width: int, height: int) -> None:
        if width > self.max_width or height > self.max_height:
            raise self._too_large(f", not {width} × {height}")
        if min(width, height) < MIN_SIDE:
            raise _refusal(
                f"the picture is {width} × {height} pixels; each side must have at least"
                f" {MIN_SIDE}: send a larger one"
            )
        if max(width, height) > MAX_ASPECT * min(width, height):
            raise _refusal(
                f"the picture is {width} × {height} pixels; the long side may be at most"
                f" {MAX_ASPECT} times the short one: crop it"
            )

    def _too_large(self, given: str = "") -> InvalidImage:
        return _refusal(
            f"the picture may have at most {self.max_width} × {self.max_height} pixels{given}:"
            " send a smaller one"
        )


def control_map(
    png: bytes,
    preprocessor: Preprocessor,
    width: int,
    height: int,
    fit: Fit,
    preprocess: Preprocess = preprocess,
) -> Image.Image:
    """The RGB image of *width* x *height* pixels that a ControlNet is shown for a clean *png*.

    The preprocessor runs at the final scale. The frame of "pad" is added after it:
    an edge between picture and frame is none that anybody drew.
    """
    return _framed(preprocess(preprocessor, _scaled(png, width, height, fit)), width, height)


def shown_to_model(
    request: GenerationRequest, preprocess: Preprocess = preprocess
) -> dict[str, Image.Image]:
    """The pictures of *request* as the model sees them, RGB and of its size, by their names.

    The model sees the control map that *preprocess* makes of the first one, where the kind
    asks for one.
    """
    preprocessors = dict.fromkeys(request.kind.pictures[:1], request.kind.control_map)
    return {
        name: control_map(
            path.read_bytes(),
            preprocessors.get(name) or "none",
            request.width,
            request.height,
            request.fit,
            preprocess,
        )
        for name, path in request.pictures.items()
    }


def fitted(png: bytes, width: int, height: int, fit: Fit) -> Image.Image:
    """A clean *png* at *width* x *height* pixels, its aspect kept.

    "crop" fills the size and cuts away what is over, evenly on both sides; "pad" shows
    all of the picture and frames it in black.
    """
    return control_map(png, "none", width, height, fit)


def _scaled(png: bytes, width: int, height: int, fit: Fit) -> Image.Image:
    with Image.open(io.BytesIO(png), formats=["PNG"]) as file:
        image = file.convert("RGB")
    shape = ImageOps.fit if fit == "crop" else ImageOps.contain
    return shape(image, (width, height), Image.Resampling.LANCZOS)


def _framed(image: Image.Image, width: int, height: int) -> Image.Image:
    if image.size == (width, height):
        return image
    frame = Image.new("RGB", (width, height), BLACK)
    frame.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
    return frame


def _is_allowed(data: bytes) -> bool:
    return data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")) or (
        data.startswith(b"RIFF") and data[8:12] == b"WEBP"
    )


def _kind(data: bytes) -> str:
    """Words for the format that a file seems to have."""
    for start, name in OTHER_FILES:
        if data.startswith(start):
            return name
    if data[4:8] == b"ftyp":
        return "a HEIC, an AVIF or a video"
    text = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"<"):
        return "an SVG" if b"<svg" in text else "a web page" if b"<html" in text else "a text"
    return "no picture that I can read"


def _is_whole(data: bytes) -> bool:
    """Whether the end is there too: a cut may leave just enough to decode all pixels."""
    if data.startswith(b"\x89PNG"):
        return PNG_END in data
    if data.startswith(b"RIFF"):
        return len(data) >= 8 + int.from_bytes(data[4:8], "little")
    return True  # Pillow reads a JPEG to its end marker


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode that the allowed formats decode to, as 8-bit RGB on white."""
    if image.mode.startswith("I"):
        return _from_16_bits(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    page = Image.new("RGBA", image.size, WHITE)
    return Image.alpha_composite(page, image.convert("RGBA")).convert("RGB")


def _from_16_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits; Pillow's own conversion would clip everything above 255 to white."""
    grey = np.asarray(image).astype(np.uint16)
    shades = (grey >> 8).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        shades[grey == transparent] = 255
    return Image.fromarray(shades).convert("RGB")


def _upright(pixels: Image.Image, image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(ORIENTATION_TAG)
    except Exception:  # damaged EXIF says nothing about the pixels
        return pixels
    transposed = TRANSPOSED.get(orientation) if isinstance(orientation, int) else None
    return pixels if transposed is None else pixels.transpose(transposed)


def _damaged() -> InvalidImage:
    return _refusal("the file is damaged or incomplete: save it again, or send another one")


def _refusal(sentence: str) -> InvalidImage:
    return InvalidImage(sentence, field="control_image")

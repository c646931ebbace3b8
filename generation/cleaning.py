"""Clean RGB images from hostile bytes.

Only PNG, JPEG, WebP, GIF, AVIF and, where ``pillow-heif`` is installed, HEIC are opened:
by their first bytes and by Pillow's allow-list, so no other decoder ever sees a stranger's
file. The size is read from the
header before a pixel is decoded, and a picture that leaves is always encoded anew.
Photographs, as JPEG, may be larger than others: they are scaled down while decoding.

The bot does not call this itself: a process with limits does, for which `generation.decoders`
asks. It imports Pillow alone, so that such a process is there at once.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

# Named here, so that nothing is imported once no more files may be opened.
from PIL import (
    AvifImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    ImageChops,
    JpegImagePlugin,  # noqa: F401
    MpoImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
    features,
)

from generation.checks import MAX_SIZE
from generation.containers import (
    GIF_STARTS,
    JPEG_START,
    PNG_START,
    damaged,
    is_animated_png,
    plain,
    refusal,
    texts,
)
from generation.errors import InvalidImage
from generation.types import CleanImage

try:
    import pillow_heif
except ImportError:  # the extra "heic"
    pillow_heif = None
else:
    pillow_heif.options.DECODE_THREADS = 1
    pillow_heif.register_heif_opener(thumbnails=False)

FORMATS = (
    *("PNG", "JPEG", "WEBP", "GIF"),
    *(("AVIF",) if features.check("avif") else ()),
    *(("HEIF",) if pillow_heif is not None else ()),
)
MAX_BYTES = 10_000_000
MAX_WIDTH = MAX_HEIGHT = 4096
#: Of a JPEG, which is decoded at a half, a quarter or an eighth of its size: pixels in all, fewer
#: than Pillow takes for an attack, and of each side.
MAX_PHOTO, MAX_PHOTO_SIDE = 80_000_000, 16_384
MIN_SIDE = 16
MAX_ASPECT = 8
WHITE = (255, 255, 255)
WAY_OUT = "send a PNG, JPEG or WebP file"
#: Brands of files of the ISO base media format that hold a picture (ISO/IEC 23008-12, AVIF 1.1).
AVIF_BRANDS = (b"avif", b"avis")
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")

#: First bytes of files that people send by mistake, so that the answer can name them.
OTHER_FILES = (
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


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """Limits of an attached file.

    Attributes:
        max_bytes: Size of the largest file that is looked at.
        max_width: Pixels, as the header says it, but of a JPEG.
        max_height: Pixels, likewise.
        max_photo: Pixels of a JPEG.
        max_photo_side: Pixels of each of its sides.
    """

    max_bytes: int = MAX_BYTES
    max_width: int = MAX_WIDTH
    max_height: int = MAX_HEIGHT
    max_photo: int = MAX_PHOTO
    max_photo_side: int = MAX_PHOTO_SIDE


USUAL = PictureLimits()


def clean(data: bytes, limits: PictureLimits = USUAL) -> CleanImage:
    """The picture in bytes from a stranger.

    Raises:
        InvalidImage: They are no such file, damaged, too large, or cost too much.
    """
    check_file(data, limits)
    is_animated = data.startswith(PNG_START) and is_animated_png(data)
    try:
        image = Image.open(io.BytesIO(plain(data)), formats=FORMATS)
    except InvalidImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        too_large = _too_large_photo if data.startswith(JPEG_START) else _too_large
        raise too_large(limits) from None
    except MemoryError:
        raise
    except Exception:  # Pillow's readers raise a dozen types on damaged files
        raise damaged() from None
    with image:
        _check_size(*image.size, limits, is_photo=image.format == "JPEG")
        # No output is larger, so what is cannot be seen and only costs everybody time.
        excess = max(1, max(image.size) // MAX_SIZE)
        try:
            if excess > 1:
                image.draft("RGB", (image.width // excess, image.height // excess))  # JPEG
            image.load()
            pixels = _upright(_rgb(image), image)
            reduction = max(1, max(pixels.size) // MAX_SIZE)
            pixels = pixels.reduce(reduction)
            hole = _transparent(image)
            if hole is not None:
                hole = _upright(hole, image).reduce(reduction)
        except MemoryError:
            raise
        except Exception:
            raise damaged() from None
        is_animated = is_animated or getattr(image, "is_animated", False)
    pixels.info.clear()  # Pillow would write the colour profile again
    remarks = ("The picture is animated; only its first frame is used.",) if is_animated else ()
    mask = None if hole is None else _encoded(hole.convert("RGB"))
    return CleanImage(_encoded(pixels), pixels.width, pixels.height, remarks, mask)


def read_texts(data: bytes, limits: PictureLimits = USUAL) -> dict[str, str]:
    """The texts that a stranger's file carries; see `generation.containers.texts`.

    Raises:
        InvalidImage: It is no PNG, JPEG or WebP, cut off, or too large.
    """
    check_file(data, limits)
    return texts(data)


def check_file(data: bytes, limits: PictureLimits) -> None:
    """Raise InvalidImage unless *data* begins as a file that is read, and is not too large."""
    if not data:
        raise refusal(f"the file is empty: {WAY_OUT}")
    if len(data) > limits.max_bytes:
        raise refusal(
            f"the file has {len(data) / 1e6:.1f} MB; at most {limits.max_bytes / 1e6:.1f} MB"
            " are allowed: send a smaller one"
        )
    if not _is_allowed(data):
        raise refusal(f"the file is {_kind(data)}: {WAY_OUT}")


def _check_size(width: int, height: int, limits: PictureLimits, *, is_photo: bool) -> None:
    if is_photo:
        if width * height > limits.max_photo or max(width, height) > limits.max_photo_side:
            raise _too_large_photo(limits, f", not {width} × {height}")
    elif width > limits.max_width or height > limits.max_height:
        raise _too_large(limits, f", not {width} × {height}, unless it is a JPEG")
    if min(width, height) < MIN_SIDE:
        raise refusal(
            f"the picture is {width} × {height} pixels; each side must have at least"
            f" {MIN_SIDE}: send a larger one"
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise refusal(
            f"the picture is {width} × {height} pixels; the long side may be at most"
            f" {MAX_ASPECT} times the short one: crop it"
        )


def _too_large(limits: PictureLimits, given: str = "") -> InvalidImage:
    return refusal(
        f"the picture may have at most {limits.max_width} × {limits.max_height} pixels{given}:"
        " send a smaller one"
    )


def _too_large_photo(limits: PictureLimits, given: str = "") -> InvalidImage:
    return refusal(
        f"a JPEG may have at most {limits.max_photo / 1e6:g} million pixels, and"
        f" {limits.max_photo_side} on each side{given}: send a smaller one"
    )


def _is_allowed(data: bytes) -> bool:
    return (
        data.startswith((PNG_START, JPEG_START, *GIF_STARTS))
        or (data.startswith(b"RIFF") and data[8:12] == b"WEBP")
        or ("AVIF" in FORMATS and data[4:8] == b"ftyp" and data[8:12] in AVIF_BRANDS)
        or ("HEIF" in FORMATS and data[4:8] == b"ftyp" and data[8:12] in HEIC_BRANDS)
    )


def _kind(data: bytes) -> str:
    """Words for the format that a file seems to have."""
    for start, name in OTHER_FILES:
        if data.startswith(start):
            return name
    if data[4:8] == b"ftyp":
        brand = data[8:12]
        if brand in HEIC_BRANDS:
            return "a HEIC, which cannot be read here"
        return "an AVIF, which cannot be read here" if brand in AVIF_BRANDS else "a video"
    text = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"<"):
        return "an SVG" if b"<svg" in text else "a web page" if b"<html" in text else "a text"
    return "no picture that I can read"


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode that the allowed formats decode to, as 8-bit RGB on white."""
    if image.mode.startswith("I"):
        return _from_16_bits(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    page = Image.new("RGBA", image.size, WHITE)
    return Image.alpha_composite(page, image.convert("RGBA")).convert("RGB")


def _transparent(image: Image.Image) -> Image.Image | None:
    """A mask, "L", of what one sees through by more than a half; None where there is no such
    pixel. In grey of 16 bits nobody cuts anything out."""
    if image.mode.startswith("I") or not image.has_transparency_data:
        return None
    hole = (
        image.convert("RGBA").getchannel("A").point([255 * (alpha < 128) for alpha in range(256)])
    )
    return hole if hole.getbbox() else None


def _encoded(pixels: Image.Image) -> bytes:
    file = io.BytesIO()
    # Level 1 is six times as fast as the default, for files a fifth larger.
    pixels.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _from_16_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits; Pillow's own conversion would clip everything above 255 to white."""
    grey = image if image.mode == "I;16" else image.convert("I").convert("I;16")
    pairs = grey.tobytes()  # the low byte of each is first
    shades = Image.frombytes("L", image.size, pairs[1::2])
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        low = Image.frombytes("L", image.size, pairs[::2])
        is_clear = ImageChops.darker(
            shades.point([255 * (level == transparent >> 8) for level in range(256)]),
            low.point([255 * (level == transparent & 255) for level in range(256)]),
        )
        shades.paste(255, mask=is_clear)
    return shades.convert("RGB")


def _upright(pixels: Image.Image, image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(ORIENTATION_TAG)
    except Exception:  # damaged EXIF says nothing about the pixels
        return pixels
    transposed = TRANSPOSED.get(orientation) if isinstance(orientation, int) else None
    return pixels if transposed is None else pixels.transpose(transposed)

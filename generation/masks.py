"""Masks: which part of a picture is drawn anew. White is drawn, black stays as it is.

Pure, and without torch. A mask is kept as a PNG like any attached picture; in here it is an "L"
image of 0 and 255 alone.
"""

from __future__ import annotations

import io

from PIL import Image, ImageOps

from generation.checks import SIZE_MULTIPLE

#: From this level on a pixel of a mask counts as white.
THRESHOLD = 128
#: The model draws whole tokens of so many pixels.
TOKEN = SIZE_MULTIPLE

#: Parts of a picture that have a name: left, top, right and bottom, as shares of its sides.
REGIONS: dict[str, tuple[float, float, float, float]] = {
    "top-left": (0, 0, 0.5, 0.5),
    "top": (0, 0, 1, 0.5),
    "top-right": (0.5, 0, 1, 0.5),
    "left": (0, 0, 0.5, 1),
    "centre": (0.25, 0.25, 0.75, 0.75),
    "right": (0.5, 0, 1, 1),
    "bottom-left": (0, 0.5, 0.5, 1),
    "bottom": (0, 0.5, 1, 1),
    "bottom-right": (0.5, 0.5, 1, 1),
}


def opened(png: bytes) -> Image.Image:
    """The mask in a clean *png*."""
    with Image.open(io.BytesIO(png), formats=["PNG"]) as file:
        return file.convert("L").point([255 * (level >= THRESHOLD) for level in range(256)])


def encoded(image: Image.Image) -> bytes:
    """*image*, a mask or a picture, as an RGB PNG without metadata."""
    file = io.BytesIO()
    image.convert("RGB").save(file, "PNG", compress_level=1)
    return file.getvalue()


def region(name: str, width: int, height: int) -> Image.Image:
    """The mask of *width* x *height* pixels over the part of a picture that is called *name*, one
    of `REGIONS`."""
    left, top, right, bottom = REGIONS[name]
    mask = Image.new("L", (width, height))
    mask.paste(
        255,
        (round(left * width), round(top * height), round(right * width), round(bottom * height)),
    )
    return mask


def inverted(mask: Image.Image) -> Image.Image:
    """What *mask* leaves out."""
    return ImageOps.invert(mask)


def is_empty(mask: Image.Image) -> bool:
    """Whether *mask* leaves nothing to draw."""
    return mask.getbbox() is None


def laid(
    image: Image.Image,
    width: int,
    height: int,
    resampling: Image.Resampling = Image.Resampling.LANCZOS,
) -> Image.Image:
    """*image* at *width* x *height* pixels. One that is less than a token larger keeps its pixels
    as they are, and loses a few at its edges; any other is scaled, and cut evenly."""
    across, down = image.width - width, image.height - height
    if 0 <= across < TOKEN and 0 <= down < TOKEN:
        left, top = across // 2, down // 2
        return image.crop((left, top, left + width, top + height))
    return ImageOps.fit(image, (width, height), resampling)


def whole_tokens(mask: Image.Image) -> Image.Image:
    """*mask*, whose sides are multiples of 16, with each token white that has a white pixel: less
    than that the model cannot draw."""
    # The mean of a token, rounded, is above 0 even where only one pixel of it is white.
    share = mask.reduce(TOKEN).point([255 * (level > 0) for level in range(256)])
    return share.resize(mask.size, Image.Resampling.NEAREST)


def feathered(mask: Image.Image, feather: int) -> Image.Image:
    """*mask* rising from 0 at its edge to 255 so many pixels inside of it, by the distance to the
    nearest pixel that stays. The edge of the picture is no edge of the mask."""
    if not feather or is_empty(inverted(mask)):
        return mask
    import cv2  # takes long, and only whoever draws needs it
    import numpy as np

    distance = cv2.distanceTransform(np.asarray(mask), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return Image.fromarray(np.minimum(255 * distance / (feather + 1), 255).astype(np.uint8))


def composited(
    drawn: Image.Image, original: Image.Image, mask: Image.Image, feather: int
) -> Image.Image:
    """*drawn* where *mask* is white, *original* bit for bit where it is black; they blend over
    *feather* pixels inside of the mask. All have the same size."""
    return Image.composite(drawn, original, feathered(mask, feather))


def widened(
    image: Image.Image, left: int, top: int, right: int, bottom: int
) -> tuple[Image.Image, Image.Image]:
    """*image* on a canvas that is so many pixels larger on each side, and the mask of what is new.

    The picture's edge is drawn out over the canvas, so that what begins with it goes on from it.
    """
    import cv2
    import numpy as np

    pixels = cv2.copyMakeBorder(
        np.asarray(image.convert("RGB")), top, bottom, left, right, cv2.BORDER_REPLICATE
    )
    mask = Image.new("L", (pixels.shape[1], pixels.shape[0]), 255)
    mask.paste(0, (left, top, left + image.width, top + image.height))
    return Image.fromarray(pixels), mask

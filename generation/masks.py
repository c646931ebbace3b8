"""Masks: which part of a picture is drawn anew. White is drawn, black stays as it is.

Pure, and without torch. A mask is kept as a PNG like any attached picture; in here it is an "L"
image of 0 and 255 alone.
"""

from __future__ import annotations

import io

from PIL import Image, ImageChops, ImageOps

from generation.checks import SIZE_MULTIPLE
from generation.errors import InvalidRequest
from generation.kinds import MASK_IMAGE
from generation.marking import difference, is_mask
from generation.types import REGIONS, Canvas, CleanImage, field_box

#: From this level on a pixel of a mask counts as white.
THRESHOLD = 128
#: The model draws whole tokens of so many pixels.
TOKEN = SIZE_MULTIPLE
#: How far the shapes of a picture and its mask may differ: pixels that a program rounds away.
SAME_SHAPE = 0.02
#: Share of a picture that may differ from a copy of it. More are two pictures, or one that needs no
#: mask.
MOST_MARKED = 0.95


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
    """The mask of *width* x *height* pixels over the part of a picture that is called *name*: one
    of `REGIONS`, or numbers of fields with commas between them, "1,2,5"."""
    boxes = (
        [REGIONS[name]] if name in REGIONS else [field_box(int(each)) for each in name.split(",")]
    )
    mask = Image.new("L", (width, height))
    for left, top, right, bottom in boxes:
        corner = (round(left * width), round(top * height))
        mask.paste(255, (*corner, round(right * width), round(bottom * height)))
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


def masked(
    picture: CleanImage, mask: CleanImage | None, region_name: str | None, canvas: Canvas | None
) -> tuple[CleanImage, CleanImage]:
    """A picture and the mask of what is drawn of it, of the same size. The mask has remarks where
    it was read in a way that nobody said.

    Args:
        mask: A picture that was attached as a mask: white where to draw, or transparent there; or a
            copy of *picture* that was painted on there.
        region_name: A part as `region` knows it, where no mask was attached.
        canvas: Where the picture lies in a larger one, whose rest is drawn too.

    Without any of them, what is transparent in *picture* is drawn.

    Raises:
        InvalidRequest: Nothing says what to draw, or it is nothing, or nearly all of a copy; or the
            mask has another shape.
    """
    chosen, remarks = _chosen(picture, mask, region_name)
    if chosen is None and canvas is None:
        raise InvalidRequest(
            "this preset draws a part of your picture: say which, with --mask left (or another"
            " side, corner or center), with the same picture painted over there as a second one,"
            " with a mask that is white there, or with a PNG that is transparent there",
            field=MASK_IMAGE,
        )
    if canvas is None:
        assert chosen is not None
        return picture, _clean(chosen, remarks)
    with Image.open(io.BytesIO(picture.png), formats=["PNG"]) as file:
        inner = laid(file.convert("RGB"), canvas.inner_width, canvas.inner_height)
    right = canvas.width - canvas.left - inner.width
    bottom = canvas.height - canvas.top - inner.height
    whole, around = widened(inner, canvas.left, canvas.top, right, bottom)
    if chosen is not None:
        placed = Image.new("L", whole.size)
        small = laid(chosen, inner.width, inner.height, Image.Resampling.NEAREST)
        placed.paste(small, (canvas.left, canvas.top))
        around = ImageChops.lighter(around, placed)
    return _clean(whole), _clean(around, remarks)


def _chosen(
    picture: CleanImage, mask: CleanImage | None, region_name: str | None
) -> tuple[Image.Image | None, tuple[str, ...]]:
    """The mask that was given in one way or another, of the size of *picture*, and remarks about
    it; None without one."""
    if mask is None:
        if region_name is not None:
            return region(region_name, picture.width, picture.height), ()
        return None if picture.mask is None else opened(picture.mask), ()
    if abs(mask.width * picture.height / (mask.height * picture.width) - 1) > SAME_SHAPE:
        raise InvalidRequest(
            f"the second picture is {mask.width} × {mask.height} pixels and the first"
            f" {picture.width} × {picture.height}: send a mask, or a copy that you painted on, of"
            " the same shape",
            field=MASK_IMAGE,
        )
    holes = _new_holes(picture, mask)
    if holes is None:
        first, second = (
            Image.open(io.BytesIO(each.png), formats=["PNG"]) for each in (picture, mask)
        )
        with first, second:
            if not is_mask(second, first):
                return _marked(first, second)
    given = opened(mask.png) if holes is None else holes
    if is_empty(given):
        raise InvalidRequest(
            "the mask is black all over, so there is nothing to draw: make it white where to draw",
            field=MASK_IMAGE,
        )
    return given.resize((picture.width, picture.height), Image.Resampling.NEAREST), ()


def _new_holes(picture: CleanImage, mask: CleanImage) -> Image.Image | None:
    """What is transparent in *mask*; None where nothing is that is not so in *picture* too, as in a
    copy of it."""
    if mask.mask is None:
        return None
    holes = opened(mask.mask)
    if picture.mask is None:
        return holes
    known = opened(picture.mask).resize(holes.size, Image.Resampling.NEAREST)
    return None if is_empty(ImageChops.subtract(holes, known)) else holes


def _marked(first: Image.Image, second: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    """The mask of what differs between a picture and the copy *second* of it, and the remark."""
    marked = difference(first, second)
    share = marked.histogram()[255] / (marked.width * marked.height)
    if not share:
        raise InvalidRequest(
            "your two pictures differ nowhere, so there is nothing to draw: paint over what to draw"
            " anew in the second one, in a colour that stands out",
            field=MASK_IMAGE,
        )
    if share > MOST_MARKED:
        raise InvalidRequest(
            f"your two pictures differ in {round(100 * share)} % of their area, which leaves"
            " nothing to keep:"
            " send the same picture twice, the second one painted over where to draw anew, or a"
            " mask in black and white",
            field=MASK_IMAGE,
        )
    return marked, (
        f"Drawn anew where your two pictures differ: {max(1, round(100 * share))} % of them.",
    )


def _clean(image: Image.Image, remarks: tuple[str, ...] = ()) -> CleanImage:
    return CleanImage(encoded(image), image.width, image.height, remarks)

"""Clean RGB images, and control maps of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path

from PIL import Image, ImageOps

from generation import masks
from generation.cleaning import MAX_BYTES, MAX_HEIGHT, MAX_WIDTH, PictureLimits, clean, read_texts
from generation.kinds import CONTROL_IMAGES, MASK_IMAGE, Inpaint, Preprocessor
from generation.preprocessors import preprocess
from generation.results import side_by_side
from generation.signatures import signature_of
from generation.types import (
    MIDDLE,
    Canvas,
    Centering,
    CleanImage,
    Fit,
    GenerationRequest,
    Signature,
)

Preprocess = Callable[[Preprocessor, Image.Image], Image.Image]

BLACK = (0, 0, 0)


class PillowControlImages:
    """Implements `ControlImages` within this very process, for pictures that may be trusted; a
    stranger's belong into `generation.decoders.IsolatedControlImages`. Threads may share it.

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
        self.limits = PictureLimits(max_bytes, max_width, max_height)
        self.preprocess = preprocess

    def clean(self, data: bytes) -> CleanImage:
        """The picture in *data*; see `generation.cleaning.clean`."""
        return clean(data, self.limits)

    def texts(self, data: bytes) -> dict[str, str]:
        """The texts in *data*; see `generation.cleaning.read_texts`."""
        return read_texts(data, self.limits)

    def signature(self, data: bytes) -> Signature | None:
        """The manifest in *data*; see `generation.signatures.signature_of`."""
        return signature_of(data, self.limits)

    def control_map(
        self,
        png: bytes,
        preprocessor: Preprocessor,
        width: int,
        height: int,
        fit: Fit,
        centering: Centering = MIDDLE,
    ) -> Image.Image:
        """The image that a ControlNet would be shown; see `control_map` below."""
        return control_map(png, preprocessor, width, height, fit, self.preprocess, centering)

    def masked(
        self,
        picture: CleanImage,
        mask: CleanImage | None,
        region: str | None,
        canvas: Canvas | None,
    ) -> tuple[CleanImage, CleanImage]:
        """The picture, and the mask of what is drawn of it; see `generation.masks.masked`."""
        return masks.masked(picture, mask, region, canvas)


def control_map(
    png: bytes,
    preprocessor: Preprocessor,
    width: int,
    height: int,
    fit: Fit,
    preprocess: Preprocess = preprocess,
    centering: Centering = MIDDLE,
) -> Image.Image:
    """The RGB image of *width* x *height* pixels that a ControlNet is shown for a clean *png*, of
    which "crop" keeps the part at *centering*.

    The preprocessor runs at the final scale. The frame of "pad" is added after it:
    an edge between picture and frame is none that anybody drew.
    """
    scaled = _scaled(png, width, height, fit, centering)
    return _framed(preprocess(preprocessor, scaled), width, height)


def shown_to_model(
    request: GenerationRequest, preprocess: Preprocess = preprocess
) -> dict[str, Image.Image]:
    """The pictures of *request* as the model sees them, RGB, by their names: of its size, or whole
    where its kind shows them so.

    Where the kind asks for control maps, these are what *preprocess* makes of the picture in the
    place of each, or of the first one where there is none. The picture that is drawn over beside
    them is "image": the one after those, or the first.
    """
    if MASK_IMAGE in request.pictures:
        return _shown_with_mask(request, preprocess)
    maps = dict(zip(CONTROL_IMAGES, request.kind.control_maps, strict=False))
    paths = {name: request.pictures.get(name) or request.control_image for name in maps}
    pictures = {**request.pictures, **paths}
    if maps and request.kind.begins_with_picture:
        others = [path for name, path in request.pictures.items() if name not in maps]
        pictures = {**paths, "image": next(iter(others), request.control_image)}
    return {
        name: _whole(path, request)
        or control_map(
            path.read_bytes(),
            maps.get(name, "none"),
            request.width,
            request.height,
            request.fit,
            preprocess,
            (request.crop_x, request.crop_y),
        )
        for name, path in pictures.items()
        if path is not None
    }


def _whole(path: Path, request: GenerationRequest) -> Image.Image | None:
    """The picture in *path*, RGB, where the kind of *request* shows the model the whole of it."""
    with Image.open(path, formats=["PNG"]) as file:
        size = request.kind.shown_size(file.size, (request.width, request.height))
        return None if size is None else file.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def maps_shown(request: GenerationRequest, shown: Mapping[str, Image.Image]) -> Image.Image | None:
    """The control maps among the pictures *shown* to the model, side by side; None without any."""
    count = len(request.kind.control_maps)
    return side_by_side(list(shown.values())[:count]) if count else None


def finished(drawn: Image.Image, request: GenerationRequest) -> Image.Image:
    """*drawn*, with all that lies outside of the mask of *request*, if it has one, as it was in the
    attached picture, bit for bit."""
    kind = request.kind
    if not isinstance(kind, Inpaint):
        return drawn
    original, mask = _masked(request)
    return masks.composited(drawn, original, mask, kind.mask_feather)


def _shown_with_mask(request: GenerationRequest, preprocess: Preprocess) -> dict[str, Image.Image]:
    """The control map, if there is one, the picture, and the mask of whole tokens."""
    original, mask = _masked(request)
    shown = {"control_image": original, MASK_IMAGE: masks.whole_tokens(mask)}
    for preprocessor in request.kind.control_maps:
        shown |= {"control_image": preprocess(preprocessor, original), "image": original}
    return shown


def _masked(request: GenerationRequest) -> tuple[Image.Image, Image.Image]:
    """The picture of *request*, RGB, and its mask, both of its size."""
    width, height = request.width, request.height
    with Image.open(request.pictures["control_image"], formats=["PNG"]) as file:
        original = masks.laid(file.convert("RGB"), width, height)
    mask = masks.opened(request.pictures[MASK_IMAGE].read_bytes())
    return original, masks.laid(mask, width, height, Image.Resampling.NEAREST)


def fitted(png: bytes, width: int, height: int, fit: Fit) -> Image.Image:
    """A clean *png* at *width* x *height* pixels, its aspect kept.

    "crop" fills the size and cuts away what is over, evenly on both sides; "pad" shows
    all of the picture and frames it in black.
    """
    return control_map(png, "none", width, height, fit)


def _scaled(png: bytes, width: int, height: int, fit: Fit, centering: Centering) -> Image.Image:
    with Image.open(io.BytesIO(png), formats=["PNG"]) as file:
        image = file.convert("RGB")
    size, resampling = (width, height), Image.Resampling.LANCZOS
    if fit == "crop":
        return ImageOps.fit(image, size, resampling, centering=centering)
    return ImageOps.contain(image, size, resampling)


def _framed(image: Image.Image, width: int, height: int) -> Image.Image:
    if image.size == (width, height):
        return image
    frame = Image.new("RGB", (width, height), BLACK)
    frame.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
    return frame

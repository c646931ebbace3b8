"""RGB image to control map: what a ControlNet is shown."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from generation.types import InvalidRequest, Preprocessor

#: Thresholds of Canny's hysteresis, on gradients of 8-bit pixels. The ControlNets
#: in circulation, and our own, were trained on maps made with these.
CANNY_LOW, CANNY_HIGH = 100, 200

#: The shorter side over the radius of `blur`.
BLUR_SHARE = 16


def preprocess(name: Preprocessor, image: Image.Image) -> Image.Image:
    """The control map of an RGB *image*; RGB and of the same size.

    Raises:
        InvalidRequest: There is no preprocessor of that name.
    """
    if name not in PREPROCESSORS:
        raise InvalidRequest(
            f"preprocessor must be one of {', '.join(PREPROCESSORS)}, not {name!r}",
            field="preprocessor",
        )
    return PREPROCESSORS[name](image)


def none(image: Image.Image) -> Image.Image:
    """The image itself, for those who bring a finished control map."""
    return image


def canny(image: Image.Image, low: int = CANNY_LOW, high: int = CANNY_HIGH) -> Image.Image:
    """Edges in white on black (Canny 1986, as OpenCV does it); *low* and *high* bound the
    hysteresis, in grey levels."""
    import cv2  # 60 ms that nobody waits for who never uses it

    edges = cv2.Canny(np.asarray(image), low, high)
    return Image.fromarray(edges).convert("RGB")


def blur(image: Image.Image) -> Image.Image:
    """Only where which colour is: blurred by a sixteenth of the shorter side (Gaussian)."""
    return image.filter(ImageFilter.GaussianBlur(min(image.size) / BLUR_SHARE))


PREPROCESSORS: dict[Preprocessor, Callable[[Image.Image], Image.Image]] = {
    "none": none,
    "canny": canny,
    "blur": blur,
}

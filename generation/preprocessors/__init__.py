"""Control maps, which ControlNets are shown, of RGB images.

Most maps are made by OpenCV and Pillow in milliseconds. Depth and pose take small models,
which are loaded at their first use and stay.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from generation import weights
from generation.errors import InvalidRequest
from generation.kinds import Preprocessor
from generation.wanted import progress_sentence

#: Thresholds of Canny's hysteresis, on gradients of 8-bit pixels. The ControlNets
#: in circulation, and our own, were trained on maps made with these.
CANNY_LOW, CANNY_HIGH = 100, 200

#: The shorter side over the radius of `blur`.
BLUR_SHARE = 16

#: `soft_edge`: radii in pixels at a shorter side of 512, and the share of the pixels that
#: may be as bright as the brightest. In a picture without edges, a contrast of about 50 grey
#: levels would be the brightest, so that its noise is not drawn.
SOFT_EDGE_RADII, SOFT_EDGE_BRIGHTEST, SOFT_EDGE_FLOOR = (1.0, 2.0, 4.0), 0.01, 1900.0

#: Models of the preprocessors that take one, as their cards name them.
DEPTH_MODEL = "depth-anything/Depth-Anything-V2-Small-hf"
PERSON_MODEL = "PekingU/rtdetr_r18vd_coco_o365"
POSE_MODEL = "usyd-community/vitpose-base-simple"

Note = Callable[[str], None]
Estimator = Callable[[Image.Image], Image.Image]


class Preprocessors:
    """Makes control maps. Threads may share it: a model works for one of them at a time.

    Args:
        depth: Repository id or folder of a depth estimator (Depth Anything).
        person: Repository id or folder of a detector that finds people (RT-DETR, trained on COCO).
        pose: Repository id or folder of an estimator of their 17 keypoints (ViTPose).
        download_dir: See `weights.resolve`.
        token: For gated repositories.
    """

    def __init__(
        self,
        *,
        depth: str = DEPTH_MODEL,
        person: str = PERSON_MODEL,
        pose: str = POSE_MODEL,
        download_dir: Path = Path("download"),
        token: str | None = None,
    ) -> None:
        self._names = {"depth": (depth,), "pose": (person, pose)}
        self._download_dir = download_dir
        self._token = token
        self._lock = threading.Lock()
        self._estimators: dict[Preprocessor, Estimator] = {}

    def models_for(self, name: Preprocessor) -> tuple[str, ...]:
        """Repositories that the preprocessor *name* needs."""
        return self._names.get(name, ())

    def __call__(self, name: Preprocessor, image: Image.Image) -> Image.Image:
        """The control map of an RGB *image*; RGB and of the same size.

        Raises:
            InvalidRequest: There is no preprocessor of that name, or nobody is in a picture
                whose pose is asked for.
            ModelUnavailable: The model that it takes cannot be had.
        """
        if name not in self._names:
            return preprocess(name, image)
        with self._lock:
            return self._estimator(name, None)(image)

    def prepare(self, name: Preprocessor, note: Note | None = None) -> None:
        """Load the models of *name* that are not in memory; *note* is told how it goes."""
        if name in self._names:
            with self._lock:
                self._estimator(name, note)

    def _estimator(self, name: Preprocessor, note: Note | None) -> Estimator:
        """The estimator *name*, loaded where it is not in memory."""
        if name not in self._estimators:
            folders = self._folders(name, note)
            if name == "depth":
                from generation.preprocessors.depth import DepthEstimator

                self._estimators[name] = DepthEstimator(*folders)
            else:
                from generation.preprocessors.pose import PoseEstimator

                self._estimators[name] = PoseEstimator(*folders)
        return self._estimators[name]

    def _folders(self, name: Preprocessor, note: Note | None) -> list[Path]:
        def on_progress(done: int, size: int) -> None:
            if note is not None:
                note(progress_sentence(f"the {name} preprocessor", done, size))

        return [
            weights.resolve(
                model,
                role="preprocessor",
                download_dir=self._download_dir,
                token=self._token,
                on_progress=on_progress,
            )
            for model in self._names[name]
        ]


def preprocess(name: Preprocessor, image: Image.Image) -> Image.Image:
    """The control map of an RGB *image* by a preprocessor without a model; RGB, of the same size.

    Raises:
        InvalidRequest: There is no such preprocessor.
    """
    if name not in PREPROCESSORS:
        raise InvalidRequest(
            f"preprocessor must be one of {', '.join(PREPROCESSORS)}, not {name!r}",
            field="preprocessor",
        )
    return PREPROCESSORS[name](image)


def none(image: Image.Image) -> Image.Image:
    """The image itself, which is a finished control map."""
    return image


def canny(image: Image.Image, low: int = CANNY_LOW, high: int = CANNY_HIGH) -> Image.Image:
    """Edges in white on black (Canny 1986, as OpenCV does it); *low* and *high* bound the
    hysteresis, in grey levels."""
    import cv2  # 60 ms that nobody waits for who never uses it

    edges = cv2.Canny(np.asarray(image), low, high)
    return Image.fromarray(edges).convert("RGB")


def soft_edge(image: Image.Image) -> Image.Image:
    """Edges in shades of grey on black: brighter where a contrast is stronger and coarser.

    The mean of Scharr's gradient at three scales, which needs no model. Learned detectors
    (HED, TEED, Anyline) leave out more of what is only texture.
    """
    import cv2

    grey = np.asarray(image.convert("L"), np.float32)
    scale = min(image.size) / 512
    total = np.zeros_like(grey)
    for radius in SOFT_EDGE_RADII:
        smooth = cv2.GaussianBlur(grey, (0, 0), max(0.5, radius * scale))
        across, down = cv2.Scharr(smooth, cv2.CV_32F, 1, 0), cv2.Scharr(smooth, cv2.CV_32F, 0, 1)
        total += radius * np.hypot(across, down)
    brightest = np.quantile(total, 1 - SOFT_EDGE_BRIGHTEST)
    shades = np.clip(total / max(float(brightest), SOFT_EDGE_FLOOR), 0, 1) * 255
    return Image.fromarray(shades.astype(np.uint8)).convert("RGB")


def gray(image: Image.Image) -> Image.Image:
    """Light and shade without colour (ITU-R 601-2 luma)."""
    return image.convert("L").convert("RGB")


def blur(image: Image.Image) -> Image.Image:
    """The colours of an image, blurred by a sixteenth of the shorter side (Gaussian)."""
    return image.filter(ImageFilter.GaussianBlur(min(image.size) / BLUR_SHARE))


PREPROCESSORS: dict[Preprocessor, Callable[[Image.Image], Image.Image]] = {
    "none": none,
    "canny": canny,
    "soft-edge": soft_edge,
    "gray": gray,
    "blur": blur,
}

"""An engine without a model: a seeded gradient, drawn in a millisecond or two.

For tests, for load tests and for benchmarks of everything around the model. It
needs no torch, and it honours every number that a picture of the real engine follows.
"""

from __future__ import annotations

import colorsys
import io
import random
import time
from collections.abc import Callable

from PIL import Image, ImageChops, ImageOps

from generation.control_images import finished, maps_shown, shown_to_model
from generation.errors import ModelUnavailable
from generation.kinds import MASK_IMAGE
from generation.protocols import OnStep
from generation.results import GenerationResult
from generation.types import GenerationRequest, Step

PREVIEW_SCALE = 8


class StubEngine:
    """Draws a gradient whose colours and direction follow prompt, seed and preset.

    Args:
        seconds_per_step: Time that each denoising step takes, slept.
        sleep: Sleeps so many seconds.
    """

    def __init__(
        self, seconds_per_step: float = 0.0, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.seconds_per_step = seconds_per_step
        self._sleep = sleep
        self._is_loaded = False
        self._weights: frozenset[str] = frozenset()
        self._model = ""

    def load(self) -> None:
        self._is_loaded = True

    def generate(self, request: GenerationRequest, on_step: OnStep) -> GenerationResult:
        """Draw *request*; the same request draws the same pixels."""
        if not self._is_loaded:
            raise ModelUnavailable("the model is not loaded")
        started = time.monotonic()
        kind, shown = request.kind, shown_to_model(request)
        self._weights |= {name for name, _ in kind.weights}
        self._model = request.model
        image, strength = gradient(request), kind.strength_setting
        for number, (name, picture) in enumerate(shown.items()):
            if name == MASK_IMAGE:
                continue
            if number < len(kind.control_maps):
                image = ImageChops.screen(image, picture)
            else:
                how_far = min(strength, 1) if isinstance(strength, float | int) else 0.5
                image = Image.blend(picture.resize(image.size), image, how_far)
        image = finished(image, request)
        small = image.reduce(PREVIEW_SCALE)
        for number in range(1, request.steps_taken + 1):
            if self.seconds_per_step:
                self._sleep(self.seconds_per_step)
            on_step(Step(number, preview(small, number / request.steps_taken)))
        return GenerationResult(image, time.monotonic() - started, maps_shown(request, shown))

    @property
    def is_alive(self) -> bool:
        """Always, since it lives in this process."""
        return True

    def close(self) -> None:
        self._is_loaded = False
        self._weights = frozenset()
        self._model = ""

    @property
    def device(self) -> str:
        """The processor, such as it is."""
        return "cpu"

    @property
    def loaded(self) -> dict[str, int]:
        """The model that was drawn with last, and all ControlNets and their like; they take no
        memory."""
        return dict.fromkeys(filter(None, (self._model, *self._weights)), 0)


def gradient(request: GenerationRequest) -> Image.Image:
    """Two colours of *request*, blending along a direction of its own."""
    dice = random.Random(
        repr((request.templated_prompt, request.negative_prompt, request.seed, request.preset))
    )
    hue = dice.random()
    dark, light = (
        tuple(round(255 * part) for part in colorsys.hls_to_rgb(*shade))
        for shade in ((hue, 0.35, 0.6), ((hue + dice.uniform(0.08, 0.3)) % 1, 0.75, 0.8))
    )
    slope = dice.choice([Image.linear_gradient, Image.radial_gradient])("L")
    turned = slope.rotate(dice.randrange(360), Image.Resampling.BILINEAR, fillcolor=128)
    # The middle half: turning leaves the corners empty.
    middle = turned.resize((request.width, request.height), box=(48, 48, 208, 208))
    return ImageOps.colorize(middle, dark, light)


def preview(small: Image.Image, share: float) -> bytes:
    """A JPEG of *small* as it looks when *share* of the steps are done: it fades in from grey."""
    grey = Image.new("RGB", small.size, (128, 128, 128))
    encoded = io.BytesIO()
    Image.blend(grey, small, share).save(encoded, "JPEG", quality=80)
    return encoded.getvalue()

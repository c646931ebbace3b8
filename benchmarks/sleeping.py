"""An engine that sleeps instead of drawing, so that what is measured is everything around it.

It imports nothing of the bot, so that a child or a node starts as fast as with a real one.
"""

from __future__ import annotations

import time

from PIL import Image, ImageChops

from generation.protocols import OnStep
from generation.results import Files, GenerationResult, RemoteResult, Result
from generation.types import GenerationRequest, Step


class SleepingEngine:
    """Takes *seconds* for a picture with the grain of a photograph, and next to no CPU.

    Args:
        seconds: Time that a picture takes.
        preview: Bytes of the preview after each step; 0 for none.
        encodes: Whether each picture is encoded, and not the first of a size alone.
    """

    is_alive = True

    def __init__(self, seconds: float = 0.0, preview: int = 0, *, encodes: bool = True) -> None:
        self._seconds = seconds
        self._preview = b"\xff\xd8" + bytes(preview) if preview else None
        self._encodes = encodes
        self._images: dict[tuple[int, int], Image.Image] = {}
        self._files: dict[tuple[int, int], Files] = {}

    def load(self) -> None:
        """There is nothing to load."""

    def generate(self, request: GenerationRequest, on_step: OnStep) -> Result:
        began, size = time.monotonic(), (request.width, request.height)
        if size not in self._images:
            grain = Image.effect_noise(size, 8).convert("RGB")
            self._images[size] = ImageChops.add(
                Image.new("RGB", size, "orange"), grain, offset=-128
            )
            self._files[size] = GenerationResult(self._images[size], 0.0).files()
        for number in range(1, request.steps_taken + 1):
            left = began + self._seconds * number / request.steps_taken - time.monotonic()
            if left > 0:
                time.sleep(left)
            on_step(Step(number, self._preview))
        passed = time.monotonic() - began
        if self._encodes:
            return GenerationResult(self._images[size].copy(), passed)
        files = self._files[size]
        return RemoteResult(passed, None, lambda: files)

    def close(self) -> None:
        """There is nothing to give back."""

    @property
    def device(self) -> str:
        return "cpu"

    @property
    def loaded(self) -> dict[str, int]:
        return {}

"""Pictures of words alone, and pictures drawn over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from generation.checks import check_number
from generation.kinds.base import Enlarging, Kind, check_a_step_is_left, steps_left


@dataclass(frozen=True, kw_only=True, slots=True)
class TextToImage(Kind):
    """A picture of the words alone."""

    name: ClassVar[str] = "text-to-image"
    label: ClassVar[str] = "the prompt"


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageToImage(Enlarging):
    """The attached picture drawn over.

    Attributes:
        strength: How far to leave the picture: 0 keeps it, 1 forgets it.
    """

    name: ClassVar[str] = "image-to-image"
    label: ClassVar[str] = "image to image"
    key: ClassVar[str | None] = "strength"
    strength_field: ClassVar[str | None] = "strength"

    strength: float

    def __post_init__(self) -> None:
        Enlarging.__post_init__(self)
        check_number("strength", self.strength, 0, 1)

    @property
    def begins_with_picture(self) -> bool:
        return True

    def steps_taken(self, num_inference_steps: int) -> int:
        return steps_left(num_inference_steps, self.strength)

    def check(
        self, *, lora: str | None, num_inference_steps: int = 1, true_cfg_scale: float = 1.0
    ) -> None:
        check_a_step_is_left(num_inference_steps, self.strength)

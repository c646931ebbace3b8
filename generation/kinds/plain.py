"""Pictures of words alone, and pictures drawn over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from generation.checks import check_number
from generation.kinds.base import Enlarging, Kind, OverAPicture


@dataclass(frozen=True, kw_only=True, slots=True)
class TextToImage(Kind):
    """A picture of the words alone."""

    name: ClassVar[str] = "text-to-image"
    label: ClassVar[str] = "the prompt"


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageToImage(OverAPicture, Enlarging):
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

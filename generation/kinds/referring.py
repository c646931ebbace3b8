"""A picture of words that takes after other pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from generation.checks import check_number
from generation.kinds.base import CONTROL_IMAGES, Kind, Numbers
from generation.wanted import WeightsRole


@dataclass(frozen=True, kw_only=True, slots=True)
class Redux(Kind):
    """A picture of the words that takes after one to four attached pictures: what is in them, their
    colours and their style, but not their layout (`FluxPriorReduxPipeline`).

    Attributes:
        redux: Repository id or folder of an encoder of pictures, such as FLUX.1-Redux-dev.
        image_embeds_scale: Weight of the pictures beside the words, 0 to 2.
    """

    name: ClassVar[str] = "redux"
    label: ClassVar[str] = "reference pictures"
    key: ClassVar[str | None] = "redux"
    pictures: ClassVar[tuple[str, ...]] = CONTROL_IMAGES[:1]
    strength_field: ClassVar[str | None] = "image_embeds_scale"

    redux: str
    image_embeds_scale: float = 1.0

    def __post_init__(self) -> None:
        check_number("image_embeds_scale", self.image_embeds_scale, 0, 2)

    @property
    def more_pictures(self) -> tuple[str, ...]:
        return CONTROL_IMAGES[1:]

    @property
    def weights(self) -> tuple[tuple[str, WeightsRole], ...]:
        return ((self.redux, "prior"),)

    @property
    def scale_setting(self) -> Numbers | None:
        return self.image_embeds_scale

    def shown_size(
        self, picture: tuple[int, int], drawn: tuple[int, int]
    ) -> tuple[int, int] | None:
        """Its own: the encoder sees the whole of it."""
        return picture

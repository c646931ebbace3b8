"""A larger version of a picture, drawn tile by tile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from generation.checks import check_number, check_size
from generation.errors import InvalidRequest
from generation.kinds.base import MAX_UPSCALE, OverAPicture
from generation.wanted import WeightsRole


@dataclass(frozen=True, kw_only=True, slots=True)
class Upscale(OverAPicture):
    """A larger version of the attached picture, with detail drawn in, tile by tile: image to image,
    and with a ControlNet for upscaling where one is named.

    Attributes:
        upscale: The picture is so many times larger than the attached one, 2 to 4.
        strength: How far to leave the picture, above 0 to 1. Without a ControlNet that holds the
            layout, more than 0.4 draws things that are not there.
        tile_size: The longest side of a tile in pixels, 128 to 2048, a multiple of 16: what the
            model draws best.
        controlnet: Repository id or folder of a ControlNet that is shown each tile.
        control_mode: Mode number of a Union checkpoint, 0 to 9; None for others.
        controlnet_conditioning_scale: Weight of the ControlNet, 0 to 2.
    """

    name: ClassVar[str] = "upscale"
    label: ClassVar[str] = "tiles"
    pictures: ClassVar[tuple[str, ...]] = ("control_image",)
    strength_field: ClassVar[str | None] = "strength"
    takes_negative_prompt: ClassVar[bool] = False

    upscale: int = 2
    strength: float = 0.3
    tile_size: int = 1024
    controlnet: str | None = None
    control_mode: int | None = None
    controlnet_conditioning_scale: float = 0.7

    def __post_init__(self) -> None:
        check_number("upscale", self.upscale, 2, MAX_UPSCALE, whole=True)
        check_number("strength", self.strength, 0, 1)
        check_size("tile_size", self.tile_size)
        check_number("controlnet_conditioning_scale", self.controlnet_conditioning_scale, 0, 2)
        if self.control_mode is not None:
            check_number("control_mode", self.control_mode, 0, 9, whole=True)

    @property
    def weights(self) -> tuple[tuple[str, WeightsRole], ...]:
        return () if self.controlnet is None else ((self.controlnet, "controlnet"),)

    @property
    def enlargement(self) -> int | None:
        return self.upscale

    def pixels_drawn(self, width: int, height: int, pictures: int = 1) -> int:
        tiles = len(tile_starts(width, self.tile_size)) * len(tile_starts(height, self.tile_size))
        return tiles * min(width, self.tile_size) * min(height, self.tile_size)

    def words(self, prompt: str) -> str:
        """None where nothing holds the layout: each tile would draw all that the prompt names."""
        return "" if self.controlnet is None else prompt

    def check(
        self, *, lora: str | None, num_inference_steps: int = 1, true_cfg_scale: float = 1.0
    ) -> None:
        OverAPicture.check(self, lora=lora, num_inference_steps=num_inference_steps)
        if true_cfg_scale > 1:
            raise InvalidRequest(
                "a picture that is made larger in tiles follows no negative prompt: leave it out",
                field="negative_prompt",
            )


def tile_starts(length: int, tile_size: int) -> tuple[int, ...]:
    """Where tiles of *tile_size* pixels begin on a side of *length* pixels, multiples of 16: as few
    as overlap by a quarter at least, evenly spread."""
    if length <= tile_size:
        return (0,)
    count = 1 + -(-(length - tile_size) // (tile_size * 3 // 4))
    step = (length - tile_size) / (count - 1)
    return tuple(round(number * step / 16) * 16 for number in range(count))

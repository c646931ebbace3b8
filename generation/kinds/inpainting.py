"""A part of a picture drawn anew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from generation.checks import check_number
from generation.errors import InvalidRequest
from generation.kinds.base import (
    MASK_IMAGE,
    Kind,
    Numbers,
    OverAPicture,
    Preprocessor,
)
from generation.kinds.controlled import check_controlnet, moved_span
from generation.wanted import WeightsRole


@dataclass(frozen=True, kw_only=True, slots=True)
class Inpaint(OverAPicture):
    """A part of the attached picture drawn anew; the rest keeps its pixels.

    Attributes:
        strength: How far to leave what was there: above 0 to 1, which forgets it.
        mask_feather: Pixels inside of the mask's edge over which old and new blend, 0 to 64.
        fill: Repository id or folder of a model made for filling, whose transformer sees the mask
            (`FluxFillPipeline`); None draws with the model's own.
        sees_picture: Whether the transformer is shown the picture beside what it draws, as that of
            FLUX.2-klein is (`Flux2KleinInpaintPipeline`).
        controlnet: As in `ControlNet`, like all below: it follows the picture below the mask too.
            None without one.
    """

    name: ClassVar[str] = "inpaint"
    label: ClassVar[str] = "inpainting"
    pictures: ClassVar[tuple[str, ...]] = ("control_image", MASK_IMAGE)
    strength_field: ClassVar[str | None] = "strength"

    strength: float = 1.0
    mask_feather: int = 8
    fill: str | None = None
    sees_picture: bool = False
    controlnet: str | None = None
    control_mode: int | None = None
    preprocessor: Preprocessor = "none"
    controlnet_conditioning_scale: float = 0.7
    control_guidance_start: float = 0.0
    control_guidance_end: float = 1.0

    def __post_init__(self) -> None:
        check_number("strength", self.strength, 0, 1)
        check_number("mask_feather", self.mask_feather, 0, 64, whole=True)
        if self.fill is not None and self.controlnet is not None:
            raise InvalidRequest(
                "a preset that inpaints has either a fill or a controlnet, not both", field="fill"
            )
        check_controlnet(self)

    @property
    def weights(self) -> tuple[tuple[str, WeightsRole], ...]:
        if self.fill is not None:
            return ((self.fill, "transformer"),)
        return () if self.controlnet is None else ((self.controlnet, "controlnet"),)

    def pixels_drawn(self, width: int, height: int, pictures: int = 1) -> int:
        """As many as the picture has, and again where the transformer is shown it: a token stands
        for 16 × 16 pixels, and to (width / 16) × (height / 16) of what is drawn come as many of the
        picture, which has that size. A `fill` is shown it in the channels of the same tokens."""
        return (1 + self.sees_picture) * width * height

    @property
    def control_maps(self) -> tuple[Preprocessor, ...]:
        return () if self.controlnet is None else (self.preprocessor,)

    @property
    def scale_setting(self) -> Numbers | None:
        return None if self.controlnet is None else self.controlnet_conditioning_scale

    @property
    def span_setting(self) -> tuple[Numbers, Numbers] | None:
        if self.controlnet is None:
            return None
        return self.control_guidance_start, self.control_guidance_end

    def with_span(self, start: Numbers | None, end: Numbers | None, preset: str) -> Self:
        if self.controlnet is None:
            return Kind.with_span(self, start, end, preset)
        return replace(self, **moved_span(self, start, end, preset))

    def check(
        self, *, lora: str | None, num_inference_steps: int = 1, true_cfg_scale: float = 1.0
    ) -> None:
        OverAPicture.check(self, lora=lora, num_inference_steps=num_inference_steps)
        if self.fill is not None and lora is not None:
            raise InvalidRequest(
                "a preset has either a fill or a lora, not both: the LoRA was not made for the"
                " model that fills",
                field="fill",
            )
        if self.fill is not None and true_cfg_scale > 1:
            raise InvalidRequest(
                "a preset made with a model that fills follows no negative prompt: leave it out,"
                " or choose another preset",
                field="negative_prompt",
            )

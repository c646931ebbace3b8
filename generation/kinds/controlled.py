"""Pictures that follow the control map of another: its edges, its depth, a pose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, Self

from generation.checks import check_number
from generation.errors import InvalidRequest
from generation.kinds.base import Enlarging, Preprocessor, check_preprocessor
from generation.wanted import WeightsRole


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlNet(Enlarging):
    """A picture that follows the control map of the attached one, by a `FluxControlNetModel`.

    Attributes:
        controlnet: Repository id or folder of the ControlNet.
        control_mode: Mode number of a Union checkpoint, 0 to 9; None for others.
        preprocessor: Makes the control map of the attached picture.
        controlnet_conditioning_scale: Weight of the ControlNet, 0 to 2.
        control_guidance_start: Share of the steps after which it begins, 0 to 1.
        control_guidance_end: Share of the steps after which it ends, 0 to 1.
    """

    name: ClassVar[str] = "controlnet"
    label: ClassVar[str] = "a ControlNet"
    key: ClassVar[str | None] = "controlnet"
    strength_field: ClassVar[str | None] = "controlnet_conditioning_scale"

    controlnet: str
    control_mode: int | None = None
    preprocessor: Preprocessor = "none"
    controlnet_conditioning_scale: float = 0.7
    control_guidance_start: float = 0.0
    control_guidance_end: float = 1.0

    def __post_init__(self) -> None:
        Enlarging.__post_init__(self)
        check_controlnet(self)

    @property
    def span_setting(self) -> tuple[float, float] | None:
        return self.control_guidance_start, self.control_guidance_end

    def with_span(self, start: float | None, end: float | None, preset: str) -> Self:
        return replace(self, **moved_span(self, start, end))

    @property
    def weights(self) -> tuple[tuple[str, WeightsRole], ...]:
        return ((self.controlnet, "controlnet"),)

    @property
    def control_map(self) -> Preprocessor | None:
        return self.preprocessor


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlLora(Enlarging):
    """A picture that follows the control map of the attached one, by a LoRA that widens the
    transformer's input, such as Black Forest Labs' own for canny and depth
    (`FluxControlPipeline`).

    Attributes:
        control_lora: Repository id or folder of the LoRA.
        preprocessor: Makes the control map of the attached picture.
    """

    name: ClassVar[str] = "control-lora"
    label: ClassVar[str] = "a Control LoRA"
    key: ClassVar[str | None] = "control_lora"
    takes_negative_prompt: ClassVar[bool] = False
    strengthless: ClassVar[str] = "whose Control LoRA follows the picture as it does"

    control_lora: str
    preprocessor: Preprocessor = "none"

    def __post_init__(self) -> None:
        Enlarging.__post_init__(self)
        check_preprocessor(self.preprocessor)

    @property
    def weights(self) -> tuple[tuple[str, WeightsRole], ...]:
        return ((self.control_lora, "lora"),)

    @property
    def control_map(self) -> Preprocessor | None:
        return self.preprocessor

    def check(
        self, *, lora: str | None, num_inference_steps: int = 1, true_cfg_scale: float = 1.0
    ) -> None:
        if lora is not None:
            raise InvalidRequest(
                "a preset has either a control_lora or a lora, not both", field="control_lora"
            )
        if true_cfg_scale > 1:
            raise InvalidRequest(
                "a preset made with a Control LoRA follows no negative prompt: leave it out,"
                " or choose another preset",
                field="negative_prompt",
            )


class FollowsAMap(Protocol):
    """A kind that has the fields of a `ControlNet`."""

    @property
    def control_mode(self) -> int | None: ...
    @property
    def preprocessor(self) -> Preprocessor: ...
    @property
    def controlnet_conditioning_scale(self) -> float: ...
    @property
    def control_guidance_start(self) -> float: ...
    @property
    def control_guidance_end(self) -> float: ...


def check_controlnet(kind: FollowsAMap) -> None:
    """Raise InvalidRequest where a field of *kind* is out of range."""
    check_preprocessor(kind.preprocessor)
    check_number("controlnet_conditioning_scale", kind.controlnet_conditioning_scale, 0, 2)
    check_number("control_guidance_start", kind.control_guidance_start, 0, 1)
    check_number("control_guidance_end", kind.control_guidance_end, 0, 1)
    if kind.control_guidance_start >= kind.control_guidance_end:
        raise InvalidRequest(
            f"control_guidance_start ({kind.control_guidance_start}) must be below"
            f" control_guidance_end ({kind.control_guidance_end})",
            field="control_guidance_start",
        )
    if kind.control_mode is not None:
        check_number("control_mode", kind.control_mode, 0, 9, whole=True)


def moved_span(kind: FollowsAMap, start: float | None, end: float | None) -> dict[str, Any]:
    """The fields of *kind* whose ControlNet begins at *start* and ends at *end*."""
    first = kind.control_guidance_start if start is None else start
    last = kind.control_guidance_end if end is None else end
    if first >= last:
        raise InvalidRequest(
            f"the ControlNet must begin before it ends, not at {first:g} and end at {last:g}:"
            " set control-start below control-end",
            field="control_guidance_start" if start is not None else "control_guidance_end",
        )
    return {"control_guidance_start": first, "control_guidance_end": last}

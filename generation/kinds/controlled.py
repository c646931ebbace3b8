"""Pictures that follow the control map of another: its edges, its depth, a pose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Protocol, Self

from generation.checks import check_number
from generation.errors import InvalidRequest
from generation.kinds.base import (
    CONTROL_IMAGES,
    Enlarging,
    Kind,
    Numbers,
    OverAPicture,
    Preprocessor,
    check_preprocessor,
    one_for_each,
)
from generation.wanted import WeightsRole


class Controlled(OverAPicture):
    """A kind that follows ControlNets, and may begin with a picture too: then ``--strength`` says
    how far to leave it, else how firmly they are followed."""

    __slots__ = ()

    @property
    def strength_setting(self) -> Numbers | None:
        return self.scale_setting if self.strength is None else self.strength

    def with_strength(self, strength: Numbers, preset: str) -> Self:
        if self.strength is None:
            return self.with_scale(strength, preset)
        (value,) = one_for_each(strength, 1, "strength", "strength", preset)
        return replace(self, strength=value)  # type: ignore[call-arg]  # of both subclasses

    def with_scale(self, scale: Numbers, preset: str) -> Self:
        """This kind, with *scale* as the weight of its ControlNets."""
        raise NotImplementedError

    def check(
        self, *, lora: str | None, num_inference_steps: int = 1, true_cfg_scale: float = 1.0
    ) -> None:
        OverAPicture.check(self, lora=lora, num_inference_steps=num_inference_steps)
        if self.strength is not None and true_cfg_scale > 1:
            raise InvalidRequest(
                "a preset that draws over a picture with a ControlNet follows no negative prompt:"
                " leave it out, or choose another preset",
                field="negative_prompt",
            )


class OfOneMap(Kind):
    """A kind that follows one control map: that of the attached picture, or the picture itself."""

    __slots__ = ()

    preprocessor: Preprocessor
    is_map: bool

    @property
    def control_maps(self) -> tuple[Preprocessor, ...]:
        return ("none" if self.is_map else self.preprocessor,)

    @property
    def shows_maps(self) -> bool:
        return self.is_map


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlNet(Controlled, OfOneMap, Enlarging):
    """A picture that follows the control map of the attached one, by a `FluxControlNetModel`.

    Attributes:
        controlnet: Repository id or folder of the ControlNet.
        control_mode: Mode number of a Union checkpoint, 0 to 9; None for others.
        preprocessor: Makes the control map of the attached picture.
        controlnet_conditioning_scale: Weight of the ControlNet, 0 to 2.
        control_guidance_start: Share of the steps after which it begins, 0 to 1.
        control_guidance_end: Share of the steps after which it ends, 0 to 1.
        is_map: Whether the attached picture is a control map itself, whatever the preprocessor.
        strength: Draws over the attached picture too, or over a second one: how far to leave it,
            above 0 to 1, which forgets it; None begins with noise alone.
    """

    name: ClassVar[str] = "controlnet"
    label: ClassVar[str] = "a ControlNet"
    key: ClassVar[str | None] = "controlnet"

    controlnet: str
    control_mode: int | None = None
    preprocessor: Preprocessor = "none"
    controlnet_conditioning_scale: float = 0.7
    control_guidance_start: float = 0.0
    control_guidance_end: float = 1.0
    is_map: bool = False
    strength: float | None = None

    def __post_init__(self) -> None:
        Enlarging.__post_init__(self)
        check_controlnet(self)
        if self.strength is not None:
            check_number("strength", self.strength, 0, 1)

    @property
    def more_pictures(self) -> tuple[str, ...]:
        return () if self.strength is None else CONTROL_IMAGES[1:2]

    def with_scale(self, scale: Numbers, preset: str) -> Self:
        (value,) = one_for_each(scale, 1, "strength", "strength", preset)
        return replace(self, controlnet_conditioning_scale=value)

    @property
    def scale_setting(self) -> Numbers | None:
        return self.controlnet_conditioning_scale

    @property
    def span_setting(self) -> tuple[Numbers, Numbers] | None:
        return self.control_guidance_start, self.control_guidance_end

    def with_span(self, start: Numbers | None, end: Numbers | None, preset: str) -> Self:
        return replace(self, **moved_span(self, start, end, preset))

    @property
    def weights(self) -> tuple[tuple[str, WeightsRole], ...]:
        return ((self.controlnet, "controlnet"),)

    def with_maps(self, preset: str) -> Self:
        return replace(self, is_map=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlNets(Controlled):
    """A picture that follows several control maps at once, each by a ControlNet of its own: maps of
    one attached picture, or each of another.

    Attributes:
        controlnets: The ControlNets, 2 to 4, each with its own weight and reach; one checkpoint may
            stand there more than once, as for several modes of a Union.
        strength: Draws over the first picture too: how far to leave it, above 0 to 1, which forgets
            it; None begins with noise alone.
    """

    name: ClassVar[str] = "controlnets"
    label: ClassVar[str] = "several ControlNets"
    key: ClassVar[str | None] = "controlnets"
    pictures: ClassVar[tuple[str, ...]] = CONTROL_IMAGES[:1]

    controlnets: tuple[ControlNet, ...]
    strength: float | None = None

    def __post_init__(self) -> None:
        if not 2 <= len(self.controlnets) <= len(CONTROL_IMAGES):
            raise InvalidRequest(
                f"controlnets must be a list of 2 to {len(CONTROL_IMAGES)} ControlNets, not"
                f" {len(self.controlnets)}",
                field="controlnets",
            )
        if any(net.upscale is not None or net.strength is not None for net in self.controlnets):
            raise InvalidRequest(
                "upscale and strength belong to no single one of several ControlNets: leave them"
                " out there",
                field="controlnets",
            )
        if self.strength is not None:
            check_number("strength", self.strength, 0, 1)

    @property
    def more_pictures(self) -> tuple[str, ...]:
        return CONTROL_IMAGES[1 : len(self.controlnets)]

    def names_of(self, count: int) -> tuple[str, ...] | None:
        """One picture, of which all maps are made, or one for each ControlNet."""
        return CONTROL_IMAGES[:count] if count in (1, len(self.controlnets)) else None

    @property
    def weights(self) -> tuple[tuple[str, WeightsRole], ...]:
        names = dict.fromkeys(net.controlnet for net in self.controlnets)
        return tuple((name, "controlnet") for name in names)

    @property
    def control_maps(self) -> tuple[Preprocessor, ...]:
        return tuple(each for net in self.controlnets for each in net.control_maps)

    @property
    def shows_maps(self) -> bool:
        return all(net.is_map for net in self.controlnets)

    def with_maps(self, preset: str) -> Self:
        nets = tuple(net.with_maps(preset) for net in self.controlnets)
        return replace(self, controlnets=nets)

    @property
    def scale_setting(self) -> Numbers | None:
        return _together(net.controlnet_conditioning_scale for net in self.controlnets)

    def with_scale(self, scale: Numbers, preset: str) -> Self:
        scales = one_for_each(scale, len(self.controlnets), "strength", "strength", preset)
        return replace(
            self,
            controlnets=tuple(
                replace(net, controlnet_conditioning_scale=each)
                for net, each in zip(self.controlnets, scales, strict=True)
            ),
        )

    @property
    def span_setting(self) -> tuple[Numbers, Numbers] | None:
        return (
            _together(net.control_guidance_start for net in self.controlnets),
            _together(net.control_guidance_end for net in self.controlnets),
        )

    def with_span(self, start: Numbers | None, end: Numbers | None, preset: str) -> Self:
        count = len(self.controlnets)
        nothing = (None,) * count
        spans = zip(
            self.controlnets,
            _shares(start, count, "start", preset) or nothing,
            _shares(end, count, "end", preset) or nothing,
            strict=True,
        )
        return replace(
            self,
            controlnets=tuple(net.with_span(first, last, preset) for net, first, last in spans),
        )

    def to_dict(self) -> dict[str, Any]:
        nets = [net.to_dict() for net in self.controlnets]
        for net in nets:
            del net["upscale"], net["strength"]
        return {"controlnets": nets, "strength": self.strength}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        nets = tuple(ControlNet.from_dict(net) for net in values["controlnets"])
        return cls(**{**values, "controlnets": nets})


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlLora(OfOneMap, Enlarging):
    """A picture that follows the control map of the attached one, by a LoRA that widens the
    transformer's input, such as Black Forest Labs' own for canny and depth
    (`FluxControlPipeline`).

    Attributes:
        control_lora: Repository id or folder of the LoRA.
        preprocessor: Makes the control map of the attached picture.
        is_map: Whether the attached picture is a control map itself, whatever the preprocessor.
    """

    name: ClassVar[str] = "control-lora"
    label: ClassVar[str] = "a Control LoRA"
    key: ClassVar[str | None] = "control_lora"
    takes_negative_prompt: ClassVar[bool] = False
    strengthless: ClassVar[str] = "whose Control LoRA follows the picture as it does"

    control_lora: str
    preprocessor: Preprocessor = "none"
    is_map: bool = False

    def __post_init__(self) -> None:
        Enlarging.__post_init__(self)
        check_preprocessor(self.preprocessor)

    @property
    def weights(self) -> tuple[tuple[str, WeightsRole], ...]:
        return ((self.control_lora, "lora"),)

    def with_maps(self, preset: str) -> Self:
        return replace(self, is_map=True)

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


def moved_span(
    kind: FollowsAMap, start: Numbers | None, end: Numbers | None, preset: str
) -> dict[str, Any]:
    """The fields of *kind* of *preset* whose ControlNet begins at *start* and ends at *end*."""
    (first,) = _shares(start, 1, "start", preset) or (kind.control_guidance_start,)
    (last,) = _shares(end, 1, "end", preset) or (kind.control_guidance_end,)
    if first >= last:
        raise InvalidRequest(
            f"the ControlNet must begin before it ends, not at {first:g} and end at {last:g}:"
            " set control-start below control-end",
            field="control_guidance_start" if start is not None else "control_guidance_end",
        )
    return {"control_guidance_start": first, "control_guidance_end": last}


def _shares(
    numbers: Numbers | None, count: int, edge: Literal["start", "end"], preset: str
) -> tuple[float, ...]:
    """Where *count* ControlNets of *preset* begin or end; empty where nobody says it."""
    if numbers is None:
        return ()
    return one_for_each(numbers, count, f"control-{edge}", f"control_guidance_{edge}", preset)


def _together(numbers: Iterable[float]) -> Numbers:
    """*numbers*, as one where all are the same."""
    each = tuple(numbers)
    return each[0] if len(set(each)) == 1 else each

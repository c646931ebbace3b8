"""The kinds of presets: how a picture comes about, and which pictures and weights that takes.

A kind is a frozen value that stands in a `Preset` and in every `GenerationRequest` made with
it. Each is one class here, one line in `KINDS`, and one drawing function in every family of
models that draws it (``generation/families/``). Nothing else asks which kind there is: it asks
the kind.

In ``config.toml``, in the database and in the HTTP API the fields of a kind lie flat beside
those of the preset or request; `kind_of` and `Kind.to_dict` go to and fro.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from functools import cache
from typing import Any, ClassVar, Literal, Self, get_args

from generation.checks import check_number, check_size
from generation.errors import InvalidRequest
from generation.wanted import WeightsRole

Preprocessor = Literal["none", "canny", "depth", "pose", "soft-edge", "gray", "blur"]

#: The name of the picture that says which part of another is drawn.
MASK_IMAGE = "mask_image"

#: Largest factor by which a preset enlarges an attached picture.
MAX_UPSCALE = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A way to make a picture. Subclasses add fields of their own.

    Attributes:
        name: Word for machines, unique among `KINDS`; may stand as ``kind`` in a preset.
        label: Words for people, as in "made with image to image".
        key: The field whose presence chooses this kind where ``kind`` is not named; None
            where only the name does.
        pictures: Pictures that it needs, in the order in which people attach them, by
            diffusers' argument names.
        strength_field: The field that people set with ``--strength``; None without one.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    key: ClassVar[str | None] = None
    pictures: ClassVar[tuple[str, ...]] = ()
    strength_field: ClassVar[str | None] = None
    #: Whether a negative prompt has an effect.
    takes_negative_prompt: ClassVar[bool] = True
    #: Whether the drawing begins with the picture, so that the layout is its.
    begins_with_picture: ClassVar[bool] = False
    #: Why ``--strength`` sets nothing, as the end of a sentence.
    strengthless: ClassVar[str] = "which takes no picture"

    @property
    def weights(self) -> tuple[tuple[str, WeightsRole], ...]:
        """Repositories or folders that it draws with beside the model, each with its role."""
        return ()

    @property
    def conditioning_model(self) -> str | None:
        """The repository or folder of the weights that follow a picture; None without any."""
        return next((name for name, _ in self.weights), None)

    @property
    def takes_mask(self) -> bool:
        """Whether a mask says which part of the picture is drawn."""
        return MASK_IMAGE in self.pictures

    @property
    def control_map(self) -> Preprocessor | None:
        """The preprocessor that makes a control map of the first picture; None where the
        picture itself is used, or none is."""
        return None

    @property
    def enlargement(self) -> int | None:
        """The factor between the sides of the attached picture and of the result; None
        where the size is chosen in another way."""
        return None

    @property
    def strength_setting(self) -> float | None:
        """The value of what ``--strength`` sets, 0 to 1 (a ControlNet's scale up to 2); None
        where it sets nothing."""
        return None if self.strength_field is None else getattr(self, self.strength_field)

    def with_strength(self, strength: float, preset: str) -> Self:
        """This kind, with the field that ``--strength`` sets at *strength*.

        Args:
            preset: Name of the preset, for the sentence.

        Raises:
            InvalidRequest: It sets nothing here, or the value is out of range.
        """
        if self.strength_field is None:
            raise InvalidRequest(
                f"strength means nothing to the preset {preset}, {self.strengthless}: leave it out",
                field="strength",
            )
        return replace(self, **{self.strength_field: strength})

    @property
    def span_setting(self) -> tuple[float, float] | None:
        """The shares of the steps after which a ControlNet begins and ends; None without one."""
        return None

    def with_span(self, start: float | None, end: float | None, preset: str) -> Self:
        """This kind, with a ControlNet that begins at *start* and ends at *end*, shares of the
        steps; None leaves either as it is.

        Args:
            preset: Name of the preset, for the sentence.

        Raises:
            InvalidRequest: There is no ControlNet here, or it would end before it begins.
        """
        if start is None and end is None:
            return self
        raise InvalidRequest(
            f"control-start and control-end mean nothing to the preset {preset}, which follows no"
            " ControlNet: leave them out",
            field="control_guidance_start" if start is not None else "control_guidance_end",
        )

    def steps_taken(self, num_inference_steps: int) -> int:
        """Denoising steps that really run of *num_inference_steps*."""
        return num_inference_steps

    def pixels_drawn(self, width: int, height: int) -> int:
        """Pixels that each step computes for a picture of *width* x *height*."""
        return width * height

    def words(self, prompt: str) -> str:
        """The words that the model is given for *prompt*."""
        return prompt

    def check(
        self, *, lora: str | None, num_inference_steps: int = 1, true_cfg_scale: float = 1.0
    ) -> None:
        """Raise InvalidRequest where this kind does not go together with these arguments."""

    def to_dict(self) -> dict[str, Any]:
        """All flat fields of all kinds as JSON types, those of the others at their neutral
        values, and ``kind``."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**_flat(tuple(KINDS.values())), **own, "kind": self.name}


@dataclass(frozen=True, kw_only=True, slots=True)
class TextToImage(Kind):
    """A picture of the words alone."""

    name: ClassVar[str] = "text-to-image"
    label: ClassVar[str] = "the prompt"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Enlarging(Kind):
    """A kind that starts from a picture, and may make a larger one of it.

    Attributes:
        upscale: The picture is so many times larger than the attached one, 2 to 4; None
            leaves the size to the request.
    """

    pictures: ClassVar[tuple[str, ...]] = ("control_image",)

    upscale: int | None = None

    def __post_init__(self) -> None:
        if self.upscale is not None:
            check_number("upscale", self.upscale, 2, MAX_UPSCALE, whole=True)

    @property
    def enlargement(self) -> int | None:
        return self.upscale


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageToImage(_Enlarging):
    """The attached picture drawn over.

    Attributes:
        strength: How far to leave the picture: 0 keeps it, 1 forgets it.
    """

    name: ClassVar[str] = "image-to-image"
    label: ClassVar[str] = "image to image"
    key: ClassVar[str | None] = "strength"
    strength_field: ClassVar[str | None] = "strength"
    begins_with_picture: ClassVar[bool] = True

    strength: float

    def __post_init__(self) -> None:
        _Enlarging.__post_init__(self)
        check_number("strength", self.strength, 0, 1)

    def steps_taken(self, num_inference_steps: int) -> int:
        return _steps_left(num_inference_steps, self.strength)

    def check(
        self, *, lora: str | None, num_inference_steps: int = 1, true_cfg_scale: float = 1.0
    ) -> None:
        _check_a_step_is_left(num_inference_steps, self.strength)


@dataclass(frozen=True, kw_only=True, slots=True)
class Upscale(Kind):
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
    begins_with_picture: ClassVar[bool] = True
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

    def steps_taken(self, num_inference_steps: int) -> int:
        return _steps_left(num_inference_steps, self.strength)

    def pixels_drawn(self, width: int, height: int) -> int:
        tiles = len(tile_starts(width, self.tile_size)) * len(tile_starts(height, self.tile_size))
        return tiles * min(width, self.tile_size) * min(height, self.tile_size)

    def words(self, prompt: str) -> str:
        """None where nothing holds the layout: each tile would draw all that the prompt names."""
        return "" if self.controlnet is None else prompt

    def check(
        self, *, lora: str | None, num_inference_steps: int = 1, true_cfg_scale: float = 1.0
    ) -> None:
        _check_a_step_is_left(num_inference_steps, self.strength)
        if true_cfg_scale > 1:
            raise InvalidRequest(
                "a picture that is made larger in tiles follows no negative prompt: leave it out",
                field="negative_prompt",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlNet(_Enlarging):
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
        _Enlarging.__post_init__(self)
        _check_controlnet(self)

    @property
    def span_setting(self) -> tuple[float, float] | None:
        return self.control_guidance_start, self.control_guidance_end

    def with_span(self, start: float | None, end: float | None, preset: str) -> Self:
        return replace(self, **_span(self, start, end))

    @property
    def weights(self) -> tuple[tuple[str, WeightsRole], ...]:
        return ((self.controlnet, "controlnet"),)

    @property
    def control_map(self) -> Preprocessor | None:
        return self.preprocessor


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlLora(_Enlarging):
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
        _Enlarging.__post_init__(self)
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Inpaint(Kind):
    """A part of the attached picture drawn anew; the rest keeps its pixels.

    Attributes:
        strength: How far to leave what was there: above 0 to 1, which forgets it.
        mask_feather: Pixels inside of the mask's edge over which old and new blend, 0 to 64.
        fill: Repository id or folder of a model made for filling, whose transformer sees the mask
            (`FluxFillPipeline`); None draws with the model's own.
        controlnet: As in `ControlNet`, like all below: it follows the picture below the mask too.
            None without one.
    """

    name: ClassVar[str] = "inpaint"
    label: ClassVar[str] = "inpainting"
    pictures: ClassVar[tuple[str, ...]] = ("control_image", MASK_IMAGE)
    strength_field: ClassVar[str | None] = "strength"
    begins_with_picture: ClassVar[bool] = True

    strength: float = 1.0
    mask_feather: int = 8
    fill: str | None = None
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
        _check_controlnet(self)

    @property
    def weights(self) -> tuple[tuple[str, WeightsRole], ...]:
        if self.fill is not None:
            return ((self.fill, "transformer"),)
        return () if self.controlnet is None else ((self.controlnet, "controlnet"),)

    @property
    def control_map(self) -> Preprocessor | None:
        return None if self.controlnet is None else self.preprocessor

    @property
    def span_setting(self) -> tuple[float, float] | None:
        if self.controlnet is None:
            return None
        return self.control_guidance_start, self.control_guidance_end

    def with_span(self, start: float | None, end: float | None, preset: str) -> Self:
        if self.controlnet is None:
            return Kind.with_span(self, start, end, preset)
        return replace(self, **_span(self, start, end))

    def steps_taken(self, num_inference_steps: int) -> int:
        return _steps_left(num_inference_steps, self.strength)

    def check(
        self, *, lora: str | None, num_inference_steps: int = 1, true_cfg_scale: float = 1.0
    ) -> None:
        _check_a_step_is_left(num_inference_steps, self.strength)
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


#: Every kind, by its name.
KINDS: dict[str, type[Kind]] = {
    kind.name: kind
    for kind in (TextToImage, ImageToImage, ControlNet, ControlLora, Upscale, Inpaint)
}


def tile_starts(length: int, tile_size: int) -> tuple[int, ...]:
    """Where tiles of *tile_size* pixels begin on a side of *length* pixels, multiples of 16: as few
    as overlap by a quarter at least, evenly spread."""
    if length <= tile_size:
        return (0,)
    count = 1 + -(-(length - tile_size) // (tile_size * 3 // 4))
    step = (length - tile_size) / (count - 1)
    return tuple(round(number * step / 16) * 16 for number in range(count))


def _check_controlnet(kind: ControlNet | Inpaint) -> None:
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


def _span(kind: ControlNet | Inpaint, start: float | None, end: float | None) -> dict[str, Any]:
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


def _steps_left(num_inference_steps: int, strength: float) -> int:
    """Denoising steps that really run from a picture: the first ones are skipped, as diffusers'
    FluxImg2ImgPipeline.get_timesteps counts them."""
    begun = min(num_inference_steps * strength, num_inference_steps)
    return num_inference_steps - int(max(num_inference_steps - begun, 0))


def _check_a_step_is_left(num_inference_steps: int, strength: float) -> None:
    if _steps_left(num_inference_steps, strength) < 1:
        raise InvalidRequest(
            f"strength {strength:g} leaves no step to take: use more than 0", field="strength"
        )


def kind_of(values: Mapping[str, Any]) -> Kind:
    """The kind that the flat *values* of a preset or a request describe.

    Fields of other kinds and of the preset or request itself are passed over, so that what
    older versions wrote beside them can still be read.

    Raises:
        InvalidRequest: They describe none, or several, or a value is out of range.
    """
    chosen = _chosen(values)
    if values.get("upscale") is not None and not chosen.pictures:
        raise InvalidRequest(
            "upscale enlarges an attached picture: set a controlnet, a control_lora or a strength"
            " too",
            field="upscale",
        )
    given = {
        field.name: values[field.name]
        for field in fields(chosen)
        # None is what other kinds leave of a field that they share.
        if field.name in values and (values[field.name] is not None or field.default is MISSING)
    }
    return chosen(**given)


def flat_names() -> tuple[str, ...]:
    """The names of the flat fields of all kinds, each once."""
    return tuple(_flat(tuple(KINDS.values())))


@cache
def _flat(kinds: tuple[type[Kind], ...]) -> Mapping[str, Any]:
    """The flat fields of *kinds* at their neutral values, which the first that has a field decides.
    Kept, since every row is read by it."""
    return {
        field.name: None if field.default is MISSING else field.default
        for kind in reversed(kinds)
        for field in fields(kind)
    }


def picture_names() -> tuple[str, ...]:
    """The names of all pictures that any kind needs, each once."""
    return tuple(dict.fromkeys(name for kind in KINDS.values() for name in kind.pictures))


def check_preprocessor(name: object) -> None:
    """Raise InvalidRequest unless *name* is one of the preprocessors."""
    if name not in get_args(Preprocessor):
        raise InvalidRequest(
            f"preprocessor must be one of {', '.join(get_args(Preprocessor))}, not {name!r}",
            field="preprocessor",
        )


def _chosen(values: Mapping[str, Any]) -> type[Kind]:
    name = values.get("kind")
    if name is not None:
        if name not in KINDS:
            raise InvalidRequest(
                f"there is no kind {name!r}: choose one of {', '.join(KINDS)}", field="kind"
            )
        return KINDS[name]
    found = [kind for kind in KINDS.values() if kind.key and values.get(kind.key) is not None]
    if len(found) > 1:
        # The one that is found first is the one to give up.
        first, second = found[:2]
        raise InvalidRequest(
            f"a preset has either a {second.key} or a {_with_label(first)}, not both",
            field=first.key,
        )
    return found[0] if found else TextToImage


def _with_label(kind: type[Kind]) -> str:
    """The key of *kind*, explained where it does not say by itself what it means."""
    plain = kind.label.removeprefix("a ").lower().replace(" ", "_")
    return f"{kind.key}" if plain == kind.key else f"{kind.key} ({kind.label})"

"""What all kinds have in common, and what several of them share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, Self, get_args

from generation.checks import check_number
from generation.errors import InvalidRequest
from generation.wanted import WeightsRole

Preprocessor = Literal["none", "canny", "depth", "pose", "soft-edge", "gray", "blur"]

#: The names of attached pictures, in their order; a mask has a name of its own.
CONTROL_IMAGES = ("control_image", "control_image_2", "control_image_3", "control_image_4")

#: The name of the picture that says which part of another is drawn.
MASK_IMAGE = "mask_image"

#: One number, or one for each of several ControlNets.
Numbers = float | tuple[float, ...]

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
    #: Whether the words say what to change in the picture, not what to draw.
    edits: ClassVar[bool] = False
    #: Width and height in pixels to choose from where nobody asks for a size: the one whose shape
    #: is nearest to the picture's. Empty where any will do.
    preferred_sizes: ClassVar[tuple[tuple[int, int], ...]] = ()
    #: Why ``--strength`` sets nothing, as the end of a sentence.
    strengthless: ClassVar[str] = "which takes no picture"

    @property
    def weights(self) -> tuple[tuple[str, WeightsRole], ...]:
        """Repositories or folders that it draws with beside the model, each with its role."""
        return ()

    @property
    def conditioning_model(self) -> str | None:
        """The repositories or folders of the weights that follow a picture, with commas between
        them; None without any."""
        return ", ".join(name for name, _ in self.weights) or None

    @property
    def more_pictures(self) -> tuple[str, ...]:
        """Pictures that may come with those that it needs, in the order in which people attach
        them."""
        return ()

    def names_of(self, count: int) -> tuple[str, ...] | None:
        """The names of *count* attached pictures; None where it does not take so many."""
        if not len(self.pictures) <= count <= len(self.pictures) + len(self.more_pictures):
            return None
        return (*self.pictures, *self.more_pictures)[:count]

    @property
    def counts(self) -> tuple[int, ...]:
        """The numbers of attached pictures that it takes, in ascending order."""
        most = len(self.pictures) + len(self.more_pictures)
        return tuple(count for count in range(most + 1) if self.names_of(count) is not None)

    @property
    def begins_with_picture(self) -> bool:
        """Whether the drawing begins with the picture, so that the layout is its."""
        return False

    @property
    def takes_loras(self) -> bool:
        """Whether people may add LoRAs: they were made for the model's own transformer."""
        return not any(role in ("lora", "transformer") for _, role in self.weights)

    @property
    def takes_mask(self) -> bool:
        """Whether a mask says which part of the picture is drawn."""
        return MASK_IMAGE in self.pictures

    @property
    def control_maps(self) -> tuple[Preprocessor, ...]:
        """The preprocessors that make control maps, each of the picture in its place or else of
        the first one; empty where pictures themselves are used, or none are."""
        return ()

    @property
    def shows_maps(self) -> bool:
        """Whether attached pictures are control maps themselves, since somebody said so."""
        return False

    def with_maps(self, preset: str) -> Self:
        """This kind, for which attached pictures are control maps themselves.

        Args:
            preset: Name of the preset, for the sentence.

        Raises:
            InvalidRequest: It follows no control map.
        """
        raise InvalidRequest(
            f"map says that your picture is a control map itself, and the preset {preset} follows"
            " none: leave it out, or choose another preset",
            field="is_map",
        )

    @property
    def enlargement(self) -> int | None:
        """The factor between the sides of the attached picture and of the result; None
        where the size is chosen in another way."""
        return None

    def shown_size(
        self, picture: tuple[int, int], drawn: tuple[int, int]
    ) -> tuple[int, int] | None:
        """Width and height at which the model is shown the whole of a picture, for a result of
        that many pixels *drawn*; None where the picture takes the result's size, cropped or padded.
        """
        return None

    @property
    def strength_setting(self) -> Numbers | None:
        """The value of what ``--strength`` sets, 0 to 1 (a ControlNet's scale up to 2); None
        where it sets nothing."""
        return None if self.strength_field is None else getattr(self, self.strength_field)

    def with_strength(self, strength: Numbers, preset: str) -> Self:
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
        (value,) = one_for_each(strength, 1, "strength", "strength", preset)
        return replace(self, **{self.strength_field: value})

    @property
    def scale_setting(self) -> Numbers | None:
        """How firmly a ControlNet or reference pictures are followed, 0 to 2, or each of several
        ControlNets; None without any."""
        return None

    @property
    def span_setting(self) -> tuple[Numbers, Numbers] | None:
        """The shares of the steps after which a ControlNet begins and ends; None without one."""
        return None

    def with_span(self, start: Numbers | None, end: Numbers | None, preset: str) -> Self:
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

    def pixels_drawn(self, width: int, height: int, pictures: int = 1) -> int:
        """Pixels that each step computes for a picture of *width* x *height*, with so many
        *pictures* attached."""
        return width * height

    def words(self, prompt: str) -> str:
        """The words that the model is given for *prompt*."""
        return prompt

    def check(
        self, *, lora: str | None, num_inference_steps: int = 1, true_cfg_scale: float = 1.0
    ) -> None:
        """Raise InvalidRequest where this kind does not go together with these arguments."""

    def to_dict(self) -> dict[str, Any]:
        """Its own fields as JSON types."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            InvalidRequest: A value is out of its range.
        """
        return cls(**values)


def one_for_each(
    numbers: Numbers, count: int, option: str, field: str, preset: str
) -> tuple[float, ...]:
    """*numbers*, one for each of the *count* things of which *preset* takes them.

    Raises:
        InvalidRequest: There are neither one nor *count* of them; the message calls them *option*.
    """
    if not isinstance(numbers, tuple):
        return (numbers,) * count
    if len(numbers) == 1:
        return numbers * count
    if len(numbers) != count:
        raise InvalidRequest(
            f"{option} is one number for the preset {preset}, not {len(numbers)}"
            if count == 1
            else f"{option} is one number for the preset {preset}, or {count} with commas between"
            f" them, not {len(numbers)}",
            field=field,
        )
    return numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class Enlarging(Kind):
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


class OverAPicture(Kind):
    """A kind that begins with a picture, as far as its `strength` says; None begins with noise
    alone."""

    __slots__ = ()

    strength: float | None

    @property
    def begins_with_picture(self) -> bool:
        return self.strength is not None

    def steps_taken(self, num_inference_steps: int) -> int:
        """All but the first ones, as diffusers' FluxImg2ImgPipeline.get_timesteps counts them."""
        if self.strength is None:
            return num_inference_steps
        begun = min(num_inference_steps * self.strength, num_inference_steps)
        return num_inference_steps - int(max(num_inference_steps - begun, 0))

    def check(
        self, *, lora: str | None, num_inference_steps: int = 1, true_cfg_scale: float = 1.0
    ) -> None:
        if self.strength is not None and self.steps_taken(num_inference_steps) < 1:
            raise InvalidRequest(
                f"strength {self.strength:g} leaves no step to take: use more than 0",
                field="strength",
            )


def check_preprocessor(name: object) -> None:
    """Raise InvalidRequest unless *name* is one of the preprocessors."""
    if name not in get_args(Preprocessor):
        raise InvalidRequest(
            f"preprocessor must be one of {', '.join(get_args(Preprocessor))}, not {name!r}",
            field="preprocessor",
        )

"""The vocabulary of image generation: presets, requests, results.

Free of torch and diffusers, so that the chat side may import it. Field names are
diffusers' argument names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from generation import evaluations
from generation.checks import (
    MAX_LORA_SCALE,
    MAX_LORAS,
    MAX_SEED,
    MAX_STEPS,
    MAX_TOLERANCE,
    check_number,
    check_size,
    check_text,
    is_blank,
)
from generation.errors import InvalidRequest
from generation.kinds import Kind, TextToImage, flat_names, flat_values, kind_of, picture_names

#: How a control image of another shape meets the picture: cut to fill it, or
#: framed in black to fit inside it.
Fit = Literal["crop", "pad"]

#: Which part of a picture is kept where it is cropped: shares of what is cut away that are cut
#: away at the left and at the top, 0 to 1.
Centering = tuple[float, float]
MIDDLE: Centering = (0.5, 0.5)

#: Parts of a picture that have a name: left, top, right and bottom, as shares of its sides.
REGIONS: dict[str, tuple[float, float, float, float]] = {
    "top-left": (0, 0, 0.5, 0.5),
    "top": (0, 0, 1, 0.5),
    "top-right": (0.5, 0, 1, 0.5),
    "left": (0, 0, 0.5, 1),
    "center": (0.25, 0.25, 0.75, 0.75),
    "right": (0.5, 0, 1, 1),
    "bottom-left": (0, 0.5, 0.5, 1),
    "bottom": (0, 0.5, 1, 1),
    "bottom-right": (0.5, 0.5, 1, 1),
}

#: Fields of a picture along each side; they are numbered as the keys of a telephone are.
FIELDS_ACROSS = 3

WORDS_ALONE = TextToImage()


def field_box(number: int) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the field *number*, 1 to 9, as shares of a picture's sides."""
    down, across = divmod(number - 1, FIELDS_ACROSS)
    left, top, right, bottom = (
        each / FIELDS_ACROSS for each in (across, down, across + 1, down + 1)
    )
    return left, top, right, bottom


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """A named way of making pictures, as ``[presets.NAME]`` in ``config.toml``.

    A value that is None is left to the model's own default.

    Attributes:
        name: The word after ``--preset``; lower case, no spaces.
        description: One line for people who choose.
        kind: How a picture comes about, with the settings of that kind.
        model: Repository id ("owner/name" or "owner/name@revision") or folder of the model that it
            draws with; None for the main one.
        num_inference_steps: Denoising steps, 1 to 50.
        guidance_scale: Strength of FLUX's distilled guidance, 0 to 30.
        width: Pixels, a multiple of 16.
        height: Pixels, a multiple of 16.
        lora: Repository id or folder of a LoRA for the transformer; of a repository with
            several, "owner/name/file.safetensors".
        lora_scale: Weight of the LoRA, -2 to 2; below 0 it does the opposite.
        prompt_template: Text with ``{prompt}`` in it, given to the model.

    Raises:
        InvalidRequest: A value is out of its range.
    """

    name: str
    description: str = ""
    kind: Kind = WORDS_ALONE
    model: str | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    width: int | None = None
    height: int | None = None
    lora: str | None = None
    lora_scale: float = 1.0
    prompt_template: str = "{prompt}"

    def __post_init__(self) -> None:
        if self.num_inference_steps is not None:
            check_number("num_inference_steps", self.num_inference_steps, 1, MAX_STEPS, whole=True)
        if self.guidance_scale is not None:
            check_number("guidance_scale", self.guidance_scale, 0, 30)
        for name, pixels in (("width", self.width), ("height", self.height)):
            if pixels is not None:
                check_size(name, pixels)
        if "{prompt}" not in self.prompt_template:
            raise InvalidRequest(
                f"prompt_template must contain {{prompt}}, not {self.prompt_template!r}",
                field="prompt_template",
            )
        check_number("lora_scale", self.lora_scale, -MAX_LORA_SCALE, MAX_LORA_SCALE)
        # The steps are the request's to check: at 50 every strength above 0 takes one.
        self.kind.check(lora=self.lora, num_inference_steps=MAX_STEPS)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preset:
        """The preset that flat *values* describe: its own fields, beside those of its kind.

        Raises:
            InvalidRequest: A value is out of its range, or there is no such kind.
        """
        own = {field.name for field in fields(cls)} - {"kind"}
        return cls(
            **{name: value for name, value in values.items() if name in own}, kind=kind_of(values)
        )

    def to_dict(self) -> dict[str, Any]:
        """The inverse of `from_dict`, without those fields that say nothing."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        flat = {**own, **flat_values(self.kind)}
        return {name: value for name, value in flat.items() if value is not None}

    @property
    def needs_image(self) -> bool:
        """Whether a person must attach a picture."""
        return bool(self.kind.pictures)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lora:
    """A LoRA that somebody asked for, beside that of the preset.

    Attributes:
        name: The operator's name for it.
        lora: Repository id, folder or file.
        lora_scale: Its weight, -2 to 2; below 0 it does the opposite.
        trigger_words: Words that it was trained on, which the prompt is to have.
    """

    name: str
    lora: str
    lora_scale: float = 1.0
    trigger_words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_number("lora_scale", self.lora_scale, -MAX_LORA_SCALE, MAX_LORA_SCALE)


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationRequest:
    """One picture to make, completely specified.

    Nothing in it depends on a library's default or on the configuration, so the
    same request makes the same pixels on the same model and device.

    Attributes:
        prompt: The person's own words; 1 to 2000 characters.
        num_inference_steps: Denoising steps, 1 to 50. Time grows linearly.
        guidance_scale: Strength of FLUX's distilled guidance, 0 to 30; unitless.
        width: Picture width in pixels, a multiple of 16 from 64 to 2048.
        height: Picture height in pixels, likewise.
        seed: Seed of the initial noise, 0 <= seed < 2**32.
        negative_prompt: Words for things to avoid; they act through true classifier-free
            guidance, which doubles the time of a step.
        true_cfg_scale: Strength of that guidance, 1 (off) to 20.
        step_cache_tolerance: How far steps may be guessed instead of being computed, 0 (never) to
            2; see ``generation/diffusion/step_cache.py``.
        preset: Name of the preset the numbers came from, for people.
        prompt_template: Text with ``{prompt}`` in it, given to the model.
        kind: How the picture comes about, with the settings of that kind.
        pictures: Clean RGB PNG files, as ``generation/control_images.py`` makes them, by the
            names that the kind has for them.
        fit: How attached pictures meet a size of another shape.
        crop_x: Which part of an attached picture that is wider is kept, where it is cropped: 0 the
            left, 0.5 the middle, 1 the right.
        crop_y: Which of one that is taller: 0 the top, 0.5 the middle, 1 the bottom.
        lora: Repository id, folder or file of the preset's LoRA for the transformer.
        lora_scale: Weight of the LoRA, -2 to 2; below 0 it does the opposite.
        loras: LoRAs beside that of the preset, each once, at most `MAX_LORAS`.
        model: Name of the model that draws it: repository, revision and transformer, as
            ``bot/models.py`` puts them together. An engine draws with its main model what names
            none that it knows.
        final_num_inference_steps: Of a draft, the steps of the picture that may come of it; None
            for any other picture, like both sides.
        final_width: Of a draft, the width of that picture in pixels, at least `width`.
        final_height: Its height, likewise.

    Raises:
        InvalidRequest: A field is out of range; the message names the field, the
            value given and the values allowed.
    """

    prompt: str
    num_inference_steps: int
    guidance_scale: float
    width: int
    height: int
    seed: int
    negative_prompt: str = ""
    true_cfg_scale: float = 1.0
    step_cache_tolerance: float = 0.0
    preset: str = ""
    prompt_template: str = "{prompt}"
    kind: Kind = WORDS_ALONE
    pictures: Mapping[str, Path] = field(default_factory=dict)
    fit: Fit = "crop"
    crop_x: float = 0.5
    crop_y: float = 0.5
    lora: str | None = None
    lora_scale: float = 1.0
    loras: tuple[Lora, ...] = ()
    model: str = ""
    final_num_inference_steps: int | None = None
    final_width: int | None = None
    final_height: int | None = None

    def __post_init__(self) -> None:
        check_text("prompt", self.prompt)
        if is_blank(self.prompt):
            raise InvalidRequest(
                "the prompt is empty: say what to draw, for example “a red circle”", field="prompt"
            )
        check_text("negative_prompt", self.negative_prompt)
        check_number("num_inference_steps", self.num_inference_steps, 1, MAX_STEPS, whole=True)
        check_number("guidance_scale", self.guidance_scale, 0, 30)
        check_number("true_cfg_scale", self.true_cfg_scale, 1, 20)
        check_number("step_cache_tolerance", self.step_cache_tolerance, 0, MAX_TOLERANCE)
        check_number("seed", self.seed, 0, MAX_SEED, whole=True)
        check_size("width", self.width)
        check_size("height", self.height)
        check_number("crop_x", self.crop_x, 0, 1)
        check_number("crop_y", self.crop_y, 0, 1)
        if self.final_size is not None:
            check_size("final_width", self.final_size[0])
            check_size("final_height", self.final_size[1])
        check_number("lora_scale", self.lora_scale, -MAX_LORA_SCALE, MAX_LORA_SCALE)
        self._check_loras()
        self.kind.check(
            lora=self.lora,
            num_inference_steps=self.num_inference_steps,
            true_cfg_scale=self.true_cfg_scale,
        )
        names = self.kind.names_of(len(self.pictures))
        if names is None or set(self.pictures) != set(names):
            raise InvalidRequest(_needed(self.kind), field="control_image")

    def _check_loras(self) -> None:
        if self.loras and not self.kind.takes_loras:
            raise InvalidRequest(
                f"the preset {self.preset} takes no LoRAs, since it is made with"
                f" {self.kind.label}: leave them out, or choose another preset",
                field="loras",
            )
        if len(self.loras) > MAX_LORAS:
            raise InvalidRequest(
                f"a picture takes {MAX_LORAS} LoRAs at most, not {len(self.loras)}: leave some out",
                field="loras",
            )

    @property
    def lora_scales(self) -> dict[str, float]:
        """The weight of each LoRA that counts, by repository id, folder or file. Of the same LoRAs
        in another order it is the same, so that they make the same pixels."""
        scales = {self.lora: self.lora_scale} if self.lora is not None else {}
        for each in self.loras:
            scales[each.lora] = scales.get(each.lora, 0.0) + each.lora_scale
        return {name: scales[name] for name in sorted(scales) if scales[name]}

    @property
    def is_draft(self) -> bool:
        """Whether a picture with more steps and pixels may come of this one."""
        return self.final_num_inference_steps is not None

    @property
    def final_size(self) -> tuple[int, int] | None:
        """Width and height of that picture in pixels; None where this is no draft."""
        if self.final_width is None or self.final_height is None:
            return None
        return self.final_width, self.final_height

    @property
    def control_image(self) -> Path | None:
        """The picture that was attached first; None without any."""
        return next((self.pictures[name] for name in self.kind.pictures), None)

    @property
    def templated_prompt(self) -> str:
        """The text that the model is given."""
        prompt = self.prompt
        if added := self.added_trigger_words:
            prompt = ", ".join((prompt.rstrip(" ,;."), *added))
        return self.kind.words(self.prompt_template.replace("{prompt}", prompt))

    @property
    def added_trigger_words(self) -> tuple[str, ...]:
        """Trigger words of its LoRAs that neither prompt nor template has; they are added to the
        prompt."""
        text = self.prompt_template.replace("{prompt}", self.prompt)
        words = dict.fromkeys(word for each in self.loras for word in each.trigger_words)
        return tuple(
            word for word in words if not re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.I)
        )

    @property
    def steps_taken(self) -> int:
        """Denoising steps that really run; some kinds skip the first ones."""
        return self.kind.steps_taken(self.num_inference_steps)

    @property
    def expected_evaluations(self) -> float:
        """Times that the model is likely to be asked for a step; twice for each with a negative
        prompt."""
        is_guided = self.true_cfg_scale > 1
        computed = evaluations.expected(
            self.steps_taken, self.step_cache_tolerance, has_negative_prompt=is_guided
        )
        return computed * (2 if is_guided else 1)

    def to_dict(self) -> dict[str, Any]:
        """Everything in it as JSON types, flat; pictures as file names alone."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        del own["kind"], own["pictures"]
        own["loras"] = [asdict(each) for each in self.loras]
        names = dict.fromkeys(picture_names()) | {
            name: path.name for name, path in self.pictures.items()
        }
        return {**own, **flat_values(self.kind), **names}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], folder: Path) -> GenerationRequest:
        """The inverse of `to_dict`, for pictures that lie in *folder*; reads the rows of all
        older versions too.

        Raises:
            InvalidRequest: A value is out of range.
            TypeError: A field is missing, or unknown to this version.
        """
        kind = kind_of(values)
        flat = {*flat_names(), *picture_names(), "kind"}
        names = (*kind.pictures, *kind.more_pictures)
        pictures = {name: folder / values[name] for name in names if values.get(name)}
        own = {name: value for name, value in values.items() if name not in flat}
        own["loras"] = tuple(
            Lora(**{**each, "trigger_words": tuple(each["trigger_words"])})
            for each in values.get("loras", ())
        )
        return cls(**own, kind=kind, pictures=pictures)


def _needed(kind: Kind) -> str:
    """The refusal of a request that has other pictures than *kind* takes."""
    fewest, most = kind.counts[0], kind.counts[-1]
    if not most:
        return "this preset takes no control image: leave it out, or choose another preset"
    if len(kind.counts) > 2:
        return f"this preset takes {fewest} to {most} pictures: attach as many"
    if fewest != most:
        return f"this preset takes {fewest} or {most} pictures: attach as many"
    if most == 1:
        return "this preset needs a control image: attach one"
    return f"this preset needs {most} pictures: attach as many"


@dataclass(frozen=True, slots=True)
class Step:
    """A denoising step that is done, or other work that people wait for.

    Attributes:
        number: 1 to the request's `steps_taken`; 0 before the first one is done.
        preview: A JPEG of the picture so far, an eighth of its size; None where
            none was made.
        note: Words for the engine's work other than drawing, such as "downloading canny's
            ControlNet, 43 %"; empty while it draws.
    """

    number: int
    preview: bytes | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """The C2PA manifest of a file.

    Attributes:
        is_valid: Whether the file is as it was signed.
        signer: Name in the certificate. Anybody can make a certificate with any name.
        is_by_ai: Whether it says that a model had a part in the picture.
    """

    is_valid: bool
    signer: str = ""
    is_by_ai: bool = False


@dataclass(frozen=True, slots=True)
class Canvas:
    """The place of an attached picture in a larger one.

    Attributes:
        width: Of the larger one, in pixels.
        height: Likewise.
        left: Where the picture begins in it.
        top: Likewise.
        inner_width: Size of the picture there.
        inner_height: Likewise.
    """

    width: int
    height: int
    left: int
    top: int
    inner_width: int
    inner_height: int


@dataclass(frozen=True, slots=True)
class CleanImage:
    """A picture that a stranger sent, made safe.

    Attributes:
        png: The pixels, encoded anew as an RGB PNG without metadata.
        width: Pixels, after the EXIF rotation.
        height: Pixels, likewise.
        remarks: Sentences for the person, such as that only the first frame is used.
        mask: What is transparent, white on black, as an RGB PNG of the same size; None where
            nothing is.
    """

    png: bytes
    width: int
    height: int
    remarks: tuple[str, ...] = ()
    mask: bytes | None = None

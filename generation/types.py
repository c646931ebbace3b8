"""The vocabulary of image generation: presets, requests, results.

Free of torch and diffusers, so that the chat side may import it. Field names are
diffusers' argument names.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from generation.checks import MAX_SEED, MAX_STEPS, check_number, check_size, check_text, is_blank
from generation.errors import InvalidRequest

if TYPE_CHECKING:
    from PIL.Image import Image

Preprocessor = Literal["none", "canny", "depth", "pose", "soft-edge", "gray", "blur"]
#: How a control image of another shape meets the picture: cut to fill it, or
#: framed in black to fit inside it.
Fit = Literal["crop", "pad"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """A named way of making pictures, as ``[presets.NAME]`` in ``config.toml``.

    A value that is None is left to the model's own default.

    Attributes:
        name: What people type after ``--preset``; lower case, no spaces.
        description: One line for people who choose.
        controlnet: Repository id or folder of a ``FluxControlNetModel``; with it
            the preset needs a control image.
        control_mode: Mode number of a Union checkpoint, 0 to 9; None for others.
        preprocessor: What turns the attached picture into a control map.
        controlnet_conditioning_scale: Weight of the ControlNet, 0 to 2.
        control_guidance_start: Share of the steps after which the ControlNet begins, 0 to 1.
        control_guidance_end: Share of the steps after which it ends, 0 to 1.
        strength: With it the preset redraws the attached picture (image to image):
            0 keeps it, 1 forgets it.
        num_inference_steps: Denoising steps, 1 to 50.
        guidance_scale: Strength of FLUX's distilled guidance, 0 to 30.
        width: Pixels, a multiple of 16.
        height: Pixels, a multiple of 16.
        lora: Repository id or folder of a LoRA for the transformer; of a repository with
            several, "owner/name/file.safetensors".
        lora_scale: Weight of the LoRA, 0 to 2.
        control_lora: Repository id or folder of a Control LoRA, such as Black Forest
            Labs' own for canny and depth (`FluxControlPipeline`); with it the preset
            needs a control image, as with a ControlNet.
        prompt_template: Text with ``{prompt}`` in it, given to the model.
        upscale: With it the picture is so many times larger than the attached one, 2 to 4.
    """

    name: str
    description: str = ""
    controlnet: str | None = None
    control_mode: int | None = None
    preprocessor: Preprocessor = "none"
    controlnet_conditioning_scale: float = 0.7
    control_guidance_start: float = 0.0
    control_guidance_end: float = 1.0
    strength: float | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    width: int | None = None
    height: int | None = None
    lora: str | None = None
    lora_scale: float = 1.0
    control_lora: str | None = None
    prompt_template: str = "{prompt}"
    upscale: int | None = None

    #: Read by pydantic, which builds presets from config.toml.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        """Raise InvalidRequest where a value is out of the ranges above."""
        check_number("controlnet_conditioning_scale", self.controlnet_conditioning_scale, 0, 2)
        check_number("control_guidance_start", self.control_guidance_start, 0, 1)
        check_number("control_guidance_end", self.control_guidance_end, 0, 1)
        if self.control_mode is not None:
            check_number("control_mode", self.control_mode, 0, 9, whole=True)
        if self.strength is not None:
            check_number("strength", self.strength, 0, 1)
        if self.num_inference_steps is not None:
            check_number("num_inference_steps", self.num_inference_steps, 1, MAX_STEPS, whole=True)
        if self.guidance_scale is not None:
            check_number("guidance_scale", self.guidance_scale, 0, 30)
        for field, pixels in (("width", self.width), ("height", self.height)):
            if pixels is not None:
                check_size(field, pixels)
        if self.upscale is not None:
            check_number("upscale", self.upscale, 2, 4, whole=True)
            if not self.needs_image:
                raise InvalidRequest(
                    "upscale enlarges an attached picture: set a controlnet, a control_lora or a"
                    " strength too",
                    field="upscale",
                )
        if "{prompt}" not in self.prompt_template:
            raise InvalidRequest(
                f"prompt_template must contain {{prompt}}, not {self.prompt_template!r}",
                field="prompt_template",
            )
        check_number("lora_scale", self.lora_scale, 0, 2)
        check_kind(self)

    @property
    def needs_image(self) -> bool:
        """Whether a person must attach a picture."""
        return self.has_control_map or self.strength is not None

    @property
    def has_control_map(self) -> bool:
        """Whether the picture becomes a map that guides, rather than being redrawn."""
        return self.controlnet is not None or self.control_lora is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationRequest:
    """One picture to make, completely specified.

    Nothing in it depends on a library's default or on the configuration, so the
    same request makes the same pixels on the same model and device.

    Attributes:
        prompt: What to draw, as the person wrote it; 1 to 2000 characters.
        num_inference_steps: Denoising steps, 1 to 50. Time grows linearly.
        guidance_scale: Strength of FLUX's distilled guidance, 0 to 30; unitless.
        width: Picture width in pixels, a multiple of 16 from 64 to 2048.
        height: Picture height in pixels, likewise.
        seed: Seed of the initial noise, 0 <= seed < 2**32.
        negative_prompt: What to avoid; it acts through true classifier-free
            guidance, which doubles the time of a step.
        true_cfg_scale: Strength of that guidance, 1 (off) to 20.
        preset: Name of the preset the numbers came from, for people.
        prompt_template: Text with ``{prompt}`` in it that the model is given.
        controlnet: Repository id or folder of a ``FluxControlNetModel``.
        control_mode: Mode number of a Union checkpoint.
        preprocessor: What turns ``control_image`` into a control map.
        controlnet_conditioning_scale: Weight of the ControlNet, 0 to 2.
        control_guidance_start: Share of the steps before it acts, 0 to 1.
        control_guidance_end: Share of the steps after which it no longer acts, 0 to 1.
        strength: Image to image: how far to leave ``control_image``, above 0 to 1;
            None for text to image and for ControlNets.
        control_image: A clean RGB PNG file, as ``generation/control_images.py`` makes it.
        fit: How ``control_image`` meets a picture of another shape.
        lora: Repository id, folder or file of a LoRA for the transformer.
        lora_scale: Weight of the LoRA, 0 to 2.
        control_lora: Repository id or folder of a Control LoRA.
        model: Repository and revision of the weights, for the record.

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
    preset: str = ""
    prompt_template: str = "{prompt}"
    controlnet: str | None = None
    control_mode: int | None = None
    preprocessor: Preprocessor = "none"
    controlnet_conditioning_scale: float = 0.7
    control_guidance_start: float = 0.0
    control_guidance_end: float = 1.0
    strength: float | None = None
    control_image: Path | None = None
    fit: Fit = "crop"
    lora: str | None = None
    lora_scale: float = 1.0
    control_lora: str | None = None
    model: str = ""

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
        check_number("seed", self.seed, 0, MAX_SEED, whole=True)
        check_size("width", self.width)
        check_size("height", self.height)
        check_number("controlnet_conditioning_scale", self.controlnet_conditioning_scale, 0, 2)
        check_number("control_guidance_start", self.control_guidance_start, 0, 1)
        check_number("control_guidance_end", self.control_guidance_end, 0, 1)
        if self.control_guidance_start >= self.control_guidance_end:
            raise InvalidRequest(
                f"control_guidance_start ({self.control_guidance_start}) must be below"
                f" control_guidance_end ({self.control_guidance_end})",
                field="control_guidance_start",
            )
        if self.strength is not None:
            check_number("strength", self.strength, 0, 1)
            if self.steps_taken < 1:
                raise InvalidRequest(
                    f"strength {self.strength:g} leaves no step to take: use more than 0",
                    field="strength",
                )
        check_number("lora_scale", self.lora_scale, 0, 2)
        check_kind(self)
        if self.control_lora is not None and self.true_cfg_scale > 1:
            raise InvalidRequest(
                "a preset made with a Control LoRA follows no negative prompt: leave it out,"
                " or choose another preset",
                field="negative_prompt",
            )
        if self.preprocessor not in get_args(Preprocessor):
            raise InvalidRequest(
                f"preprocessor must be one of {', '.join(get_args(Preprocessor))},"
                f" not {self.preprocessor!r}",
                field="preprocessor",
            )
        if (self.control_image is not None) != self.uses_image:
            raise InvalidRequest(
                "this preset needs a control image: attach one"
                if self.uses_image
                else "this preset takes no control image: leave it out, or choose another preset",
                field="control_image",
            )

    @property
    def uses_image(self) -> bool:
        """Whether ``control_image`` takes part."""
        return self.has_control_map or self.strength is not None

    @property
    def has_control_map(self) -> bool:
        """Whether ``control_image`` becomes a map that guides, rather than being redrawn."""
        return self.controlnet is not None or self.control_lora is not None

    @property
    def templated_prompt(self) -> str:
        """The text that the model is given."""
        return self.prompt_template.replace("{prompt}", self.prompt)

    @property
    def steps_taken(self) -> int:
        """Denoising steps that really run: image to image skips the first ones."""
        if self.strength is None:
            return self.num_inference_steps
        # As diffusers' FluxImg2ImgPipeline.get_timesteps counts them.
        begun = min(self.num_inference_steps * self.strength, self.num_inference_steps)
        return self.num_inference_steps - int(max(self.num_inference_steps - begun, 0))

    def to_dict(self) -> dict[str, Any]:
        """Everything in it as JSON types; ``control_image`` as a file name alone."""
        values = asdict(self)
        values["control_image"] = self.control_image and self.control_image.name
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any], control_images: Path) -> GenerationRequest:
        """The inverse of `to_dict`, for files that lie in the folder *control_images*."""
        name = values.get("control_image")
        return cls(**{**values, "control_image": control_images / name if name else None})


def check_kind(made: Preset | GenerationRequest) -> None:
    """Raise InvalidRequest where *made* is of two kinds at once, which no pipeline draws."""
    if made.has_control_map and made.strength is not None:
        name = "controlnet" if made.controlnet is not None else "control_lora"
        raise InvalidRequest(
            f"a preset has either a {name} or a strength (image to image), not both",
            field="strength",
        )
    if made.control_lora is not None and (made.controlnet or made.lora) is not None:
        name = "controlnet" if made.controlnet is not None else "lora"
        raise InvalidRequest(
            f"a preset has either a control_lora or a {name}, not both", field="control_lora"
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One denoising step that is done, or something else that people wait for.

    Attributes:
        number: 1 to the request's `steps_taken`; 0 before the first one is done.
        preview: A JPEG of the picture so far, an eighth of its size; None where
            none was made.
        note: What the engine does instead of drawing, such as "downloading canny's
            ControlNet, 43 %"; empty while it draws.
    """

    number: int
    preview: bytes | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """A picture and what it cost.

    Attributes:
        image: Mode RGB, of the requested size.
        seconds: Time on the engine's thread, without what a first use downloads and loads.
        control_map: What the ControlNet was shown, of the same size; None without one.
        peak_memory: Bytes of device memory at the highest; None where it is not measured.
    """

    image: Image
    seconds: float
    control_map: Image | None = None
    peak_memory: int | None = None


@dataclass(frozen=True, slots=True)
class CleanImage:
    """A picture that a stranger sent, made safe.

    Attributes:
        png: The pixels, encoded anew as an RGB PNG without metadata.
        width: Pixels, after the EXIF rotation.
        height: Pixels, likewise.
        remarks: Sentences for the person, such as that only the first frame is used.
    """

    png: bytes
    width: int
    height: int
    remarks: tuple[str, ...] = ()

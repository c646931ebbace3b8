"""The vocabulary of image generation: requests, results, errors, engines.

This is the one module of ``generation`` that the chat side imports, so it stays
free of torch and diffusers. Field names are diffusers' argument names.

The errors form one tree. ``str(error)`` is a sentence for the person who asked;
``error.code`` is a stable word for machines; ``error.field`` names the argument
that is at fault, in diffusers' terms, where there is one::

    FluxbotError
    ├── InvalidRequest           can never succeed as written; nothing was spent
    │   └── InvalidImage         the attached file is no usable picture
    ├── GenerationError          a picture could not be made; the job is refunded
    │   ├── ModelUnavailable     the weights cannot be loaded; an operator must act
    │   ├── OutOfMemory          the request does not fit on this device
    │   ├── DegenerateResult     the numbers overflowed, or the picture is blank
    │   ├── EngineLost           what drew has died; a fresh one may succeed
    │   └── GenerationCancelled  unwinds the denoising loop; people never see it
    └── Refused                  (bot/refusals.py) a sound request, but not now or not you
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, get_args

if TYPE_CHECKING:
    from PIL.Image import Image

#: FLUX packs 8x-downsampled latents into 2x2 patches. diffusers silently rounds
#: any other size down, so we refuse it instead.
SIZE_MULTIPLE = 16
MIN_SIZE, MAX_SIZE = 64, 2048
MAX_PROMPT_LENGTH = 2000
MAX_STEPS = 50
MAX_SEED = 2**32 - 1

Preprocessor = Literal["none", "canny", "depth", "pose", "soft-edge", "gray", "blur"]
#: How a control image of another shape meets the picture: cut to fill it, or
#: framed in black to fit inside it.
Fit = Literal["crop", "pad"]


class FluxbotError(Exception):
    """Whatever can be said to a person who asked for something."""

    code: ClassVar[str] = "error"

    def __init__(self, sentence: str, *, field: str | None = None) -> None:
        super().__init__(sentence)
        self.field = field


class InvalidRequest(FluxbotError, ValueError):
    """The request can never succeed as written; retrying will not help."""

    code = "invalid_request"


class InvalidImage(InvalidRequest):
    """The attached file is not a picture that we can use."""

    code = "invalid_image"


class GenerationError(FluxbotError):
    """A picture could not be made."""

    code = "generation_failed"


class ModelUnavailable(GenerationError):
    """The weights cannot be loaded; an operator must act."""

    code = "model_unavailable"


class OutOfMemory(GenerationError):
    """The request does not fit on this device."""

    code = "out_of_memory"


class DegenerateResult(GenerationError):
    """The numbers overflowed, or the picture is of one colour; a fluke, or so each time."""

    code = "degenerate_result"


class EngineLost(GenerationError):
    """The engine has died or had to be ended, and must be started anew before it draws."""

    code = "engine_lost"


class GenerationCancelled(GenerationError):
    """Raised inside the denoising loop to unwind it; people never see it."""

    code = "cancelled"

    def __init__(self) -> None:
        super().__init__("the generation was cancelled")


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


def is_blank(text: str) -> bool:
    """Whether nothing in *text* can be seen (spaces, zero-width and control characters)."""
    return all(
        character.isspace() or unicodedata.category(character) in ("Cf", "Cc")
        for character in unicodedata.normalize("NFKC", text)
    )


def check_text(field: str, text: object) -> None:
    """Raise InvalidRequest unless *text* is a string of at most 2000 encodable characters."""
    name = field.replace("_", " ")
    if not isinstance(text, str):
        raise InvalidRequest(f"the {name} must be text, not {shortened(text)}", field=field)
    if len(text) > MAX_PROMPT_LENGTH:
        raise InvalidRequest(
            f"the {name} has {len(text)} characters; at most {MAX_PROMPT_LENGTH} are allowed:"
            " shorten it",
            field=field,
        )
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidRequest(
            f"the {name} contains characters that are no text (NUL or half of a pair): remove them",
            field=field,
        )


def check_number(
    field: str, value: object, lowest: float, highest: float, *, whole: bool = False
) -> None:
    """Raise InvalidRequest unless *value* is a finite number in [*lowest*, *highest*]."""
    kinds = int if whole else (int, float)
    if (
        isinstance(value, bool)
        or not isinstance(value, kinds)
        or not lowest <= value <= highest  # nor is NaN
    ):
        number = "a whole number" if whole else "a number"
        is_endless = isinstance(value, int) and abs(value) >= 10**40  # too long to be written out
        shown = "one of more than 40 digits" if is_endless else shortened(value)
        raise InvalidRequest(
            f"{field} must be {number} between {lowest} and {highest}, not {shown}", field=field
        )


def shortened(value: object) -> str:
    """*value* as a sentence shows it: in quotes if it is text, and not much of it."""
    try:
        shown = repr(value)
    except ValueError:  # Python writes out no whole number of more than 4300 digits
        return "something of too many digits"
    return shown if len(shown) <= 42 else shown[:40] + "…"


def check_size(field: str, pixels: object) -> None:
    """Raise InvalidRequest unless *pixels* is a multiple of 16 from 64 to 2048."""
    check_number(field, pixels, MIN_SIZE, MAX_SIZE, whole=True)
    assert isinstance(pixels, int)
    if pixels % SIZE_MULTIPLE:
        below = pixels - pixels % SIZE_MULTIPLE
        raise InvalidRequest(
            f"{field} must be a multiple of {SIZE_MULTIPLE}, not {pixels}:"
            f" try {below} or {below + SIZE_MULTIPLE}",
            field=field,
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


OnStep = Callable[[Step], None]


class Engine(Protocol):
    """Owns pipelines on one device. Blocking; touched by exactly one thread."""

    def load(self) -> None:
        """Bring the weights into memory.

        Raises:
            ModelUnavailable: They are missing, refused or damaged.
            EngineLost: It died meanwhile.
        """

    def generate(self, request: GenerationRequest, on_step: OnStep) -> GenerationResult:
        """Make one picture, calling *on_step* after each denoising step, and with a
        note while something is downloaded or loaded first.

        What *on_step* raises ends the generation and is raised here.

        Raises:
            EngineLost: It died meanwhile, and draws nothing more; close it.
            GenerationError: There is no picture.
        """

    def close(self) -> None:
        """Give the memory back. May be called more than once."""

    @property
    def loaded(self) -> dict[str, int]:
        """Bytes of each repository's weights that are in memory. Any thread may ask."""
        ...


class Executor(Protocol):
    """The async face of one engine.

    Cancelling the coroutine that `generate` returns cancels the generation; it
    raises ``CancelledError`` only once the device is free again.
    """

    async def start(self) -> None:
        """Load the engine, unless it is. Whatever loading raises is raised here.

        After `EngineLost` it loads a fresh one.
        """

    async def generate(self, request: GenerationRequest, on_step: OnStep) -> GenerationResult:
        """Make one picture; *on_step* is called on the event loop's thread."""
        ...

    async def close(self) -> None:
        """End the thread. May be called more than once."""

    @property
    def loaded(self) -> dict[str, int]:
        """Bytes of each repository's weights that the engine has in memory."""
        ...


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


class ControlImages(Protocol):
    """What the bot needs to do with attached pictures. Blocking; thread-safe."""

    def clean(self, data: bytes) -> CleanImage:
        """Decode bytes from a stranger.

        Raises:
            InvalidImage: They are no PNG, JPEG or WebP, damaged, or too large.
        """
        ...

    def control_map(
        self, png: bytes, preprocessor: Preprocessor, width: int, height: int, fit: Fit
    ) -> Image:
        """The RGB image of *width* x *height* that a ControlNet would be shown for
        a picture that `clean` returned."""
        ...

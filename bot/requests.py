"""From what a person said to a request in which nothing is left open.

What nobody says is filled in from the person's own defaults, then from the preset, then
from ``[model]`` in ``config.toml``. All functions are pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from bot.commands import ImagineCommand, fit_size
from bot.config import Config, Limits, Model
from generation.checks import check_number, check_text, shortened
from generation.errors import InvalidRequest
from generation.types import GenerationRequest, Preset

#: An attached picture decides the shape of the output, between 1:2 and 2:1.
MAX_ASPECT = 2.0

#: Fields of `ImagineCommand` that may be somebody's own default.
SETTINGS = (
    "preset",
    "num_inference_steps",
    "width",
    "height",
    "aspect_ratio",
    "guidance_scale",
    "images",
)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A clean control image: where its PNG lies, and its size in pixels."""

    path: Path
    width: int
    height: int


class Presets:
    """The presets by name; *read* reads them anew from the configuration.

    Attributes:
        by_name: All that are configured.
        disabled: Names of those that an admin has switched off, configured or not.
    """

    def __init__(self, presets: dict[str, Preset], read: Callable[[], dict[str, Preset]]) -> None:
        self.by_name = presets
        self.disabled: frozenset[str] = frozenset()
        self._read = read

    @property
    def available(self) -> dict[str, Preset]:
        """Those that people may choose."""
        return {name: each for name, each in self.by_name.items() if name not in self.disabled}

    def __getitem__(self, name: str) -> Preset:
        """The preset called *name*.

        Raises:
            InvalidRequest: There is none, or it is switched off; the message names those
                that there are.
        """
        self.check_enabled(name)
        if name not in self.by_name:
            raise InvalidRequest(
                f"there is no preset {shortened(name)}: choose one of {', '.join(self.available)}",
                field="preset",
            )
        return self.by_name[name]

    def check_enabled(self, name: str) -> None:
        """Raise InvalidRequest where an admin has switched the preset *name* off."""
        if name in self.disabled:
            raise InvalidRequest(
                f"an admin has switched the preset {name} off: choose one of"
                f" {', '.join(self.available)}",
                field="preset",
            )

    def enlarging(self) -> Preset | None:
        """The first preset that makes a picture larger."""
        return next((each for each in self.available.values() if each.upscale), None)

    def redrawing(self) -> Preset | None:
        """The first preset that starts from a picture and keeps its size."""
        return next(
            (
                each
                for each in self.available.values()
                if each.strength is not None and not each.upscale
            ),
            None,
        )

    def reload(self) -> None:
        """Read them anew. Blocks.

        Raises:
            ConfigError: They cannot be used; the old ones stay.
        """
        self.by_name = self._read()

    def check_attachment(self, preset: Preset, is_attached: bool) -> None:
        """Raise InvalidRequest where *preset* needs a picture and has none, or the reverse."""
        if is_attached and not preset.needs_image:
            takers = [each.name for each in self.available.values() if each.needs_image]
            raise InvalidRequest(
                f"the preset {preset.name} takes no control image: leave the picture out"
                + (f", or choose {' or '.join(takers)}" if takers else ""),
                field="control_image",
            )
        if not is_attached and preset.needs_image:
            raise InvalidRequest(
                f"the preset {preset.name} needs a control image: attach a PNG, JPEG or WebP",
                field="control_image",
            )


def complete(
    command: ImagineCommand,
    user_defaults: Mapping[str, Any],
    preset: Preset,
    attachment: Attachment | None,
    config: Config,
    seed: int,
) -> tuple[GenerationRequest, int]:
    """The request that *command* means, and how many pictures.

    Args:
        user_defaults: The person's own defaults, a subset of `SETTINGS`.
        seed: For people who name none.

    Raises:
        InvalidRequest: A value is out of range, or above ``[limits]``.
    """
    model = config.model
    said = command.options
    width, height = picture_size(command, user_defaults, preset, attachment, model)
    scale, strength = strengths(preset, command.strength)
    negative_prompt = command.negative_prompt or ""

    def chosen(name: str) -> Any:
        sources = (
            said.get(name),
            user_defaults.get(name),
            getattr(preset, name),
            getattr(model, name),
        )
        return next(value for value in sources if value is not None)

    request = GenerationRequest(
        prompt=command.prompt,
        num_inference_steps=chosen("num_inference_steps"),
        guidance_scale=chosen("guidance_scale"),
        width=width,
        height=height,
        seed=seed if command.seed is None else command.seed,
        negative_prompt=negative_prompt,
        true_cfg_scale=true_cfg_scale(negative_prompt, model),
        fit=config.control_images.fit,
        control_image=None if attachment is None else attachment.path,
        model=model_name(model),
        **{**_of_preset(preset), "controlnet_conditioning_scale": scale, "strength": strength},
    )
    images = next(n for n in (command.images, user_defaults.get("images"), 1) if n is not None)
    check_limits(request, images, config.limits)
    return request, images


def model_name(model: Model) -> str:
    """What a record says of the weights: repository, and revision where it is pinned."""
    return f"{model.repository}@{model.revision}" if model.revision else model.repository


def command_of(request: GenerationRequest, images: int) -> ImagineCommand:
    """What somebody would ask for to get *request* again."""
    strength = request.strength
    if request.controlnet is not None:
        strength = request.controlnet_conditioning_scale
    return ImagineCommand(
        prompt=request.prompt,
        preset=request.preset or None,
        num_inference_steps=request.num_inference_steps,
        width=request.width,
        height=request.height,
        guidance_scale=request.guidance_scale,
        seed=request.seed,
        images=images if images > 1 else None,
        strength=strength,
        negative_prompt=request.negative_prompt or None,
    )


def change(
    request: GenerationRequest,
    images: int,
    changes: ImagineCommand,
    presets: Presets,
    config: Config,
) -> tuple[GenerationRequest, int]:
    """*request* with what *changes* says in place of what it had.

    Raises:
        InvalidRequest: As for `complete`.
    """
    said = changes.options
    names = {field.name for field in fields(GenerationRequest)} - {"preset", "strength"}
    values = {name: value for name, value in said.items() if name in names}
    if changes.prompt:
        values["prompt"] = changes.prompt
    if changes.preset is not None:
        preset = presets[changes.preset]
        presets.check_attachment(preset, preset.needs_image and request.control_image is not None)
        values |= _of_preset(preset)
        if not preset.needs_image:
            values["control_image"] = None
    if changes.strength is not None:
        scale, strength = strengths(presets[changes.preset or request.preset], changes.strength)
        values |= {"controlnet_conditioning_scale": scale, "strength": strength}
    if changes.aspect_ratio is not None:
        pixels = request.width * request.height
        values["width"], values["height"] = fit_size(changes.aspect_ratio, pixels)
    if changes.negative_prompt is not None:
        values["true_cfg_scale"] = true_cfg_scale(changes.negative_prompt, config.model)
    return replace(request, **values), images if changes.images is None else changes.images


def picture_size(
    command: ImagineCommand,
    user_defaults: Mapping[str, Any],
    preset: Preset,
    attachment: Attachment | None,
    model: Model,
) -> tuple[int, int]:
    """Width and height in pixels, multiples of 16.

    A preset that enlarges multiplies those of the attached picture. What nobody says
    follows the shape of an attached picture, with as many pixels as the preset or the
    model would have.
    """
    width, height = preset.width or model.width, preset.height or model.height
    if preset.upscale is not None and attachment is not None:
        across, down = (side * preset.upscale for side in (attachment.width, attachment.height))
        return fit_size((across, down), across * down)
    if command.width is not None or command.height is not None:
        return command.width or width, command.height or height
    if command.aspect_ratio is not None:
        return fit_size(command.aspect_ratio, width * height)
    if "width" in user_defaults and "height" in user_defaults:
        return user_defaults["width"], user_defaults["height"]
    if "aspect_ratio" in user_defaults:
        across, down = user_defaults["aspect_ratio"]
        return fit_size((across, down), width * height)
    if attachment is not None and preset.width is None and preset.height is None:
        aspect = min(MAX_ASPECT, max(1 / MAX_ASPECT, attachment.width / attachment.height))
        return fit_size((round(aspect * 1000), 1000), width * height)
    return width, height


def strengths(preset: Preset, strength: float | None) -> tuple[float, float | None]:
    """ControlNet scale and image-to-image strength, where the person said *strength* or not.

    People have one word for both: how much the preset does what it is there for.

    Raises:
        InvalidRequest: *preset* knows no strength.
    """
    if strength is None:
        return preset.controlnet_conditioning_scale, preset.strength
    if not preset.needs_image:
        raise InvalidRequest(
            f"strength means nothing to the preset {preset.name}, which takes no picture:"
            " leave it out",
            field="strength",
        )
    if preset.controlnet is not None:
        return strength, None
    if preset.control_lora is not None:
        raise InvalidRequest(
            f"strength means nothing to the preset {preset.name}, whose Control LoRA follows the"
            " picture as it does: leave it out",
            field="strength",
        )
    return preset.controlnet_conditioning_scale, strength


def true_cfg_scale(negative_prompt: str, model: Model) -> float:
    """Strength of true classifier-free guidance: 1, which is off, without a negative prompt."""
    check_text("negative_prompt", negative_prompt)
    return model.true_cfg_scale if negative_prompt.strip() else 1.0


def check_limits(request: GenerationRequest, images: int, limits: Limits) -> None:
    """Raise InvalidRequest where *request* asks for more than the operator allows."""
    check_number(
        "num_inference_steps",
        request.num_inference_steps,
        1,
        limits.num_inference_steps,
        whole=True,
    )
    check_number("images", images, 1, limits.images, whole=True)
    pixels = request.width * request.height
    if pixels > limits.pixels:
        raise InvalidRequest(
            f"{request.width}x{request.height} is {pixels} pixels; at most {limits.pixels} are"
            " drawn here: ask for a smaller size",
            field="width",
        )


def check_settings(changes: ImagineCommand, presets: Presets, config: Config) -> None:
    """Raise InvalidRequest where *changes* cannot be somebody's own defaults."""
    for name in changes.options:
        if name not in SETTINGS:
            raise InvalidRequest(
                f"{name} belongs to one picture and cannot be a default: leave it out", field=name
            )
    if changes.preset is not None and presets[changes.preset].needs_image:
        raise InvalidRequest(
            f"the preset {changes.preset} needs a control image with every prompt, so it cannot be"
            " a default: choose it together with the picture",
            field="preset",
        )
    # What every picture would be refused for is refused here already.
    plain = Preset(name="plain")
    complete(replace(changes, prompt="anything", preset=None), {}, plain, None, config, seed=0)


def merged_settings(user_defaults: Mapping[str, Any], changes: ImagineCommand) -> dict[str, Any]:
    """*user_defaults* defaults with *changes*; a size replaces an aspect ratio and the reverse."""
    said = changes.options
    kept = dict(user_defaults)
    if "aspect_ratio" in said:
        kept.pop("width", None)
        kept.pop("height", None)
    if "width" in said:
        kept.pop("aspect_ratio", None)
    return {**kept, **said}


def _of_preset(preset: Preset) -> dict[str, Any]:
    """The fields of a request that come from its preset alone."""
    return {
        "preset": preset.name,
        "prompt_template": preset.prompt_template,
        "controlnet": preset.controlnet,
        "control_mode": preset.control_mode,
        "preprocessor": preset.preprocessor,
        "controlnet_conditioning_scale": preset.controlnet_conditioning_scale,
        "control_guidance_start": preset.control_guidance_start,
        "control_guidance_end": preset.control_guidance_end,
        "strength": preset.strength,
        "lora": preset.lora,
        "lora_scale": preset.lora_scale,
        "control_lora": preset.control_lora,
    }

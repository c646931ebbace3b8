"""Complete requests from the words of a person.

Options that the person leaves open are filled in from their own defaults, then from the preset,
then from ``[model]`` in ``config.toml``. All functions are pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bot import loras
from bot.commands import ImagineCommand, Variation, fit_size
from bot.config import Config
from bot.jobs import Job
from bot.models import model_name, model_of
from bot.presets import Presets
from bot.refusals import NotFound
from bot.sections import Draft, Limits, ListedLora, Model, Variations
from generation.checks import MAX_SIZE, MIN_SIZE, SIZE_MULTIPLE, check_number, check_text
from generation.errors import InvalidRequest
from generation.kinds import Kind
from generation.types import MIDDLE, GenerationRequest, Preset

#: An attached picture decides the shape of the output, between 1:2 and 2:1.
MAX_ASPECT = 2.0

#: A ControlNet that holds from the first step to the last.
WHOLE_SPAN = (0.0, 1.0)

#: Fields of a request that is no draft.
NO_DRAFT = dict.fromkeys(("final_num_inference_steps", "final_width", "final_height"))
#: Settings of a person that are no defaults of a picture.
BESIDE = ("notify", "showcase", "remix")
NOTHING: Mapping[str, Any] = MappingProxyType({})

#: Fields of `ImagineCommand` that may be a person's own default.
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
    """A clean control image: the path of its PNG, and its size in pixels."""

    path: Path
    width: int
    height: int


def complete(
    command: ImagineCommand,
    user_defaults: Mapping[str, Any],
    preset: Preset,
    attachments: Sequence[Attachment],
    config: Config,
    seed: int,
    listed: Mapping[str, ListedLora] = NOTHING,
) -> tuple[GenerationRequest, int]:
    """The request that *command* means, and the number of pictures.

    Args:
        attachments: Attached pictures, in the order of ``preset.kind.pictures``.
        user_defaults: The person's own defaults, a subset of `SETTINGS`.
        seed: Seed for requests without one.
        listed: LoRAs that may be asked for.

    Raises:
        InvalidRequest: A value is out of range, or above ``[limits]``.
    """
    model = config.model_for(preset.model)
    said = command.options
    attachment = next(iter(attachments), None)
    check_about_picture(command, preset.kind, preset.name)
    width, height = picture_size(command, user_defaults, preset, attachment, model)
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
        step_cache_tolerance=model.step_cache_tolerance,
        fit=config.control_images.fit,
        crop_x=MIDDLE[0] if command.crop_x is None else command.crop_x,
        crop_y=MIDDLE[1] if command.crop_y is None else command.crop_y,
        model=model_name(model),
        loras=loras.chosen(command.loras or (), listed),
        kind=_kind(preset.kind, command, preset.name),
        pictures={
            name: attachment.path
            for name, attachment in zip(
                preset.kind.names_of(len(attachments)) or (), attachments, strict=True
            )
        },
        **_of_preset(preset),
    )
    loras.check_made_for(request.loras, listed, model, preset.name)
    if command.draft:
        request = drafted(request, config.draft)
    images = next(n for n in (command.images, user_defaults.get("images"), 1) if n is not None)
    check_limits(request, images, config.limits)
    return request, images


def command_of(request: GenerationRequest, images: int) -> ImagineCommand:
    """The command that makes *request* again."""
    start, end = request.kind.span_setting or WHOLE_SPAN
    is_middle = (request.crop_x, request.crop_y) == MIDDLE
    return ImagineCommand(
        prompt=request.prompt,
        preset=request.preset or None,
        num_inference_steps=request.num_inference_steps,
        width=request.width,
        height=request.height,
        guidance_scale=request.guidance_scale,
        seed=request.seed,
        images=images if images > 1 else None,
        strength=request.kind.strength_setting,
        control_guidance_start=None if start == WHOLE_SPAN[0] else start,
        control_guidance_end=None if end == WHOLE_SPAN[1] else end,
        crop_x=None if is_middle else request.crop_x,
        crop_y=None if is_middle else request.crop_y,
        negative_prompt=request.negative_prompt or None,
        loras=loras.asked_of(request),
        is_map=request.kind.shows_maps or None,
    )


def recipe(request: GenerationRequest, images: int) -> ImagineCommand:
    """The command to type to have *request* again; of a draft with all that its final picture will
    have."""
    command = command_of(request, images)
    if not request.is_draft:
        return command
    return replace(
        command,
        num_inference_steps=request.final_num_inference_steps,
        width=request.final_width,
        height=request.final_height,
        draft=True,
    )


def check_remembered(job: Job) -> None:
    """Raise NotFound where the words of *job* are forgotten, so that it cannot be drawn again."""
    if job.is_forgotten:
        raise NotFound(
            f"the prompt of {job.id} was forgotten for its age: write anew what to draw",
            field="id",
        )


def check_picture_number(job: Job, number: int) -> None:
    """Raise NotFound where *job* has no picture *number* (from 1)."""
    if not 1 <= number <= job.images:
        raise NotFound(f"{job.id} has pictures 1 to {job.images}, not {number}", field="number")


def keeps_seed(job: Job, changes: ImagineCommand | None) -> bool:
    """Whether drawing *job* again with *changes* takes its seed: where a person gave it, and where
    something of what is drawn changes, so that only that is different."""
    return job.is_seed_given or is_changed(changes)


def is_changed(changes: ImagineCommand | None) -> bool:
    """Whether *changes* are more than another number of pictures."""
    return changes is not None and (
        bool(changes.prompt) or bool(changes.options.keys() - {"images"})
    )


def varied(
    request: GenerationRequest,
    preset: Preset,
    variations: Variations,
    images: int,
    how: Variation | None = None,
) -> ImagineCommand:
    """The command for so many variations of *request*, drawn by *preset* over its picture; *how*
    far they go is the preset's own matter where that is None, or where it knows no strength."""
    strength = None
    if how is not None and preset.kind.strength_setting is not None:
        asked = variations.subtle if how == "subtle" else variations.strong
        strength = max(asked, 1 / request.num_inference_steps)  # one step at least
    return ImagineCommand(
        prompt=request.prompt,
        preset=preset.name,
        images=images,
        strength=strength,
        width=request.width,
        height=request.height,
        num_inference_steps=request.num_inference_steps,
        guidance_scale=request.guidance_scale,
        negative_prompt=request.negative_prompt or None,
        loras=loras.asked_of(request) if preset.kind.takes_loras else None,
    )


def drafted(request: GenerationRequest, draft: Draft) -> GenerationRequest:
    """A draft of the picture that *request* makes.

    Raises:
        InvalidRequest: The preset makes a given picture larger, of which there are no drafts.
    """
    if request.kind.enlargement is not None:
        raise InvalidRequest(
            f"the preset {request.preset} makes a picture larger, and there are no drafts of that:"
            " leave --draft out",
            field="draft",
        )
    width, height = (
        max(MIN_SIZE, side // draft.reduction // SIZE_MULTIPLE * SIZE_MULTIPLE)
        for side in (request.width, request.height)
    )
    return replace(
        request,
        num_inference_steps=min(request.num_inference_steps, draft.num_inference_steps),
        step_cache_tolerance=max(request.step_cache_tolerance, draft.step_cache_tolerance),
        width=width,
        height=height,
        final_num_inference_steps=request.num_inference_steps,
        final_width=request.width,
        final_height=request.height,
    )


def finished(request: GenerationRequest, preset: Preset, model: Model) -> ImagineCommand:
    """The changes that make the final picture of *request*, which need not be a draft: a picture
    of fewer steps or pixels than *preset* or *model* has is finished by these.

    Raises:
        InvalidRequest: It has all of them already.
    """
    if request.is_draft:
        steps = request.final_num_inference_steps
        width, height = request.final_size or (request.width, request.height)
    else:
        steps = max(
            request.num_inference_steps, preset.num_inference_steps or model.num_inference_steps
        )
        pixels = (preset.width or model.width) * (preset.height or model.height)
        width, height = fit_size((request.width, request.height), pixels)
        if request.kind.enlargement is not None or width * height <= request.width * request.height:
            width, height = request.width, request.height
        if (steps, width, height) == (
            request.num_inference_steps,
            request.width,
            request.height,
        ):
            raise InvalidRequest(
                "that picture has all its steps and pixels already: upscale makes it larger, and"
                " --steps finer",
                field="id",
            )
    return ImagineCommand(num_inference_steps=steps, width=width, height=height, draft=False)


def upscaled(request: GenerationRequest, preset: Preset) -> ImagineCommand:
    """The command for a larger version of *request*, drawn by *preset* over its picture."""
    return ImagineCommand(
        prompt=request.prompt,
        preset=preset.name,
        images=1,
        seed=request.seed,
        negative_prompt=(request.negative_prompt or None)
        if preset.kind.takes_negative_prompt
        else None,
        loras=loras.asked_of(request) if preset.kind.takes_loras else None,
    )


def can_be_enlarged(request: GenerationRequest, preset: Preset | None, limits: Limits) -> bool:
    """Whether *preset* makes the picture of *request* larger, within *limits*."""
    enlargement = None if preset is None else preset.kind.enlargement
    if enlargement is None:
        return False
    width, height = request.width * enlargement, request.height * enlargement
    return max(width, height) <= MAX_SIZE and width * height <= limits.upscaled_pixels


def change(
    request: GenerationRequest,
    images: int,
    changes: ImagineCommand,
    presets: Presets,
    config: Config,
    pictures: Sequence[Path] = (),
) -> tuple[GenerationRequest, int]:
    """*request* with *changes*, and the number of pictures.

    Args:
        pictures: Pictures to draw from in the place of those of *request*, in the order of the
            kind's; empty keeps them.

    Raises:
        InvalidRequest: As for `complete`.
    """
    said = changes.options
    names = {field.name for field in fields(GenerationRequest)} - {"preset", "loras", "model"}
    values = {name: value for name, value in said.items() if name in names}
    if changes.loras is not None:
        values["loras"] = loras.chosen(changes.loras, presets.loras)
    if changes.prompt:
        values["prompt"] = changes.prompt
    if changes.preset is not None:
        preset = presets[changes.preset]
        kept = _kept(request, preset.kind)
        presets.check_pictures(preset, len(pictures or kept))
        values |= _of_preset(preset)
        values["kind"] = preset.kind
        values["pictures"] = kept
        values = {**_of_model(request, preset, config), **values}
    kind = values.get("kind", request.kind)
    if request.kind.shows_maps and kind.control_maps and not kind.takes_mask:
        kind = kind.with_maps(changes.preset or request.preset)
    if pictures:
        values["pictures"] = dict(zip(kind.names_of(len(pictures)) or (), pictures, strict=True))
    values["kind"] = _kind(kind, changes, changes.preset or request.preset)
    check_about_picture(changes, kind, changes.preset or request.preset)
    sides = (values.get("width", request.width), values.get("height", request.height))
    is_other_size = sides != (request.width, request.height) or changes.aspect_ratio is not None
    if changes.draft is False or (is_other_size and not changes.draft):
        values |= NO_DRAFT
        if request.is_draft:
            values["step_cache_tolerance"] = config.model.step_cache_tolerance
    if changes.aspect_ratio is not None:
        pixels = request.width * request.height
        values["width"], values["height"] = fit_size(changes.aspect_ratio, pixels)
    changed = replace(request, **values)
    model = model_of(changed, config, presets.by_name)
    if changes.negative_prompt is not None:
        scale = true_cfg_scale(changes.negative_prompt, model)
        changed = replace(changed, true_cfg_scale=scale)
    loras.check_made_for(changed.loras, presets.loras, model, changed.preset)
    if changes.draft and (is_other_size or not request.is_draft):
        changed = drafted(changed, config.draft)
    return changed, images if changes.images is None else changes.images


def _of_model(request: GenerationRequest, preset: Preset, config: Config) -> dict[str, Any]:
    """The fields of *request* that change with its model, where *preset* draws with another: a
    step of one model is not a step of another."""
    model = config.model_for(preset.model)
    if model_name(model) == request.model:
        return {}
    guidance, tolerance = preset.guidance_scale, model.step_cache_tolerance
    steps = all_steps = preset.num_inference_steps or model.num_inference_steps
    if request.is_draft:
        steps = min(steps, config.draft.num_inference_steps)
        tolerance = max(tolerance, config.draft.step_cache_tolerance)
    return {
        "model": model_name(model),
        "num_inference_steps": steps,
        "final_num_inference_steps": all_steps if request.is_draft else None,
        "guidance_scale": model.guidance_scale if guidance is None else guidance,
        "true_cfg_scale": true_cfg_scale(request.negative_prompt, model),
        "step_cache_tolerance": tolerance,
    }


def _kept(request: GenerationRequest, kind: Kind) -> dict[str, Path]:
    """The pictures of *request* that go over to another *kind*: all that it takes, or the first."""
    taken = (*kind.pictures, *kind.more_pictures)
    kept = {name: path for name, path in request.pictures.items() if name in taken}
    if kind.names_of(len(kept)) is None and kind.names_of(1):
        kept = dict(list(kept.items())[:1])
    return kept


def picture_size(
    command: ImagineCommand,
    user_defaults: Mapping[str, Any],
    preset: Preset,
    attachment: Attachment | None,
    model: Model,
) -> tuple[int, int]:
    """Width and height in pixels, multiples of 16.

    A preset that enlarges multiplies the size of the attached picture. Without a size the output
    has the shape of an attached picture, with as many pixels as the preset or the model would have;
    where the preset prefers some shapes the nearest of these, whatever the person's defaults are.
    """
    width, height = preset.width or model.width, preset.height or model.height
    enlargement = preset.kind.enlargement
    if enlargement is not None and attachment is not None:
        across, down = (side * enlargement for side in (attachment.width, attachment.height))
        return fit_size((across, down), across * down)
    if command.width is not None or command.height is not None:
        return command.width or width, command.height or height
    if command.aspect_ratio is not None:
        return fit_size(command.aspect_ratio, width * height)
    is_open = attachment is not None and preset.width is None and preset.height is None
    if attachment is not None and is_open and preset.kind.preferred_sizes:
        return _preferred(preset.kind.preferred_sizes, attachment, width * height)
    if "width" in user_defaults and "height" in user_defaults:
        return user_defaults["width"], user_defaults["height"]
    if "aspect_ratio" in user_defaults:
        across, down = user_defaults["aspect_ratio"]
        return fit_size((across, down), width * height)
    if attachment is not None and is_open:
        aspect = min(MAX_ASPECT, max(1 / MAX_ASPECT, attachment.width / attachment.height))
        return fit_size((round(aspect * 1000), 1000), width * height)
    return width, height


def _preferred(
    sizes: Sequence[tuple[int, int]], picture: Attachment, pixels: int
) -> tuple[int, int]:
    """That of the preferred *sizes* whose shape is nearest to the *picture*'s, brought to so many
    *pixels* at most: as diffusers' FluxKontextPipeline does it for a megapixel."""
    shape = picture.width / picture.height
    across, down = min(sizes, key=lambda size: (abs(shape - size[0] / size[1]), size))
    width, height = (
        max(MIN_SIZE, round(math.sqrt(pixels * ratio)) // SIZE_MULTIPLE * SIZE_MULTIPLE)
        for ratio in (across / down, down / across)
    )
    return width, height


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
    if request.kind.enlargement is None and pixels > limits.pixels:
        raise InvalidRequest(
            f"{request.width}x{request.height} is {pixels} pixels; at most {limits.pixels} are"
            " drawn here: ask for a smaller size",
            field="width",
        )
    if request.kind.enlargement is not None and pixels > limits.upscaled_pixels:
        raise InvalidRequest(
            f"the larger picture would be {request.width}x{request.height}, {pixels} pixels; at"
            f" most {limits.upscaled_pixels} are made here: start from a smaller one",
            field="width",
        )


def check_settings(changes: ImagineCommand, presets: Presets, config: Config) -> None:
    """Raise InvalidRequest where *changes* cannot be a person's own defaults."""
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
    # Defaults that every picture would be refused for are refused here already.
    plain = Preset(name="plain")
    complete(replace(changes, prompt="anything", preset=None), {}, plain, (), config, seed=0)


def changed_settings(
    user_defaults: Mapping[str, Any],
    changes: ImagineCommand | None,
    *,
    is_private: bool | None = None,
    is_complete: bool = False,
    beside: Mapping[str, Any] = NOTHING,
) -> dict[str, Any]:
    """*user_defaults* with *changes*; a size replaces an aspect ratio and the reverse.

    Args:
        changes: None forgets all defaults.
        is_private: Value for ``private``; None keeps it.
        is_complete: Whether *changes* replace all defaults but ``private`` and those of `BESIDE`.
        beside: Values for some of these.
    """
    kept = {} if changes is None else dict(user_defaults)
    said = {} if changes is None else changes.options
    if is_complete:
        kept = {name: value for name, value in kept.items() if name in ("private", *BESIDE)}
    if "aspect_ratio" in said:
        kept.pop("width", None)
        kept.pop("height", None)
    if "width" in said:
        kept.pop("aspect_ratio", None)
    private = {} if is_private is None else {"private": is_private}
    return {**kept, **said, **private, **beside}


def _kind(kind: Kind, command: ImagineCommand, preset: str) -> Kind:
    """*kind* of the preset called *preset*, with all that *command* sets of it.

    Raises:
        InvalidRequest: The kind does not know that.
    """
    if command.strength is not None:
        kind = kind.with_strength(command.strength, preset)
    if command.is_map:
        kind = kind.with_maps(preset)
    return kind.with_span(command.control_guidance_start, command.control_guidance_end, preset)


def check_about_picture(command: ImagineCommand, kind: Kind, preset: str) -> None:
    """Raise InvalidRequest where *command* crops a picture, or masks or continues it, and *preset*
    of *kind* does not do that."""
    if command.crop_x is not None and not kind.pictures:
        raise InvalidRequest(
            f"crop says which part of an attached picture is kept, and the preset {preset} takes"
            " none: leave it out",
            field="crop_x",
        )
    if command.crop_x is not None and kind.takes_mask:
        raise InvalidRequest(
            f"the preset {preset} crops no picture, it draws what is missing: leave crop out",
            field="crop_x",
        )
    if command.crop_x is not None and kind.edits:
        raise InvalidRequest(
            f"the preset {preset} crops no picture, it shows all of it to the model: leave crop"
            " out",
            field="crop_x",
        )
    for field in ("mask", "outpaint"):
        if getattr(command, field) is not None and not kind.takes_mask:
            raise InvalidRequest(
                f"{field} is for a preset that inpaints, and {preset} does not: leave it out, or"
                " choose another preset",
                field=field,
            )


def _of_preset(preset: Preset) -> dict[str, Any]:
    """The fields of a request that come from its preset alone, without its kind."""
    return {
        "preset": preset.name,
        "prompt_template": preset.prompt_template,
        "lora": preset.lora,
        "lora_scale": preset.lora_scale,
    }

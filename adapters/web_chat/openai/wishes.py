"""Bodies of OpenAI's images API, and the commands that they mean.

Parameters that nothing here depends on are tolerated, as OpenAI's own servers do: ``quality``,
``style``, ``moderation``, ``user``, ``output_compression`` and whatever else comes.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from adapters.web_chat.openai import refusals
from bot.commands import ImagineCommand, read_option
from bot.commands.vocabulary import MAX_IMAGES
from bot.service import Service
from generation.checks import MAX_SEED, MAX_STEPS
from generation.types import Preset

#: The model that stands for one's own default, and the beginning of those that name a preset.
MODEL = "flux"
#: What programs ask for that know OpenAI's models alone.
THEIRS = re.compile(r"(dall-e|gpt-image|chatgpt-image)[\w.-]*")
SIZE = re.compile(r"\s*(\d{1,5})\s*[xX×]\s*(\d{1,5})\s*")
#: Most partial pictures of a stream.
MAX_PARTIAL = 3
#: What a picture is drawn over with where no words come with it.
VARIATION = "a variation of this picture"

Steps = Annotated[int, Field(ge=1, le=MAX_STEPS)]


class WishBody(BaseModel):
    """A wish in OpenAI's words, and further options in ours.

    Numbers may be texts, as they are in forms.
    """

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    model: str = MODEL
    n: int = Field(1, ge=1, le=MAX_IMAGES)
    size: str = "auto"
    response_format: Literal["b64_json", "url"] = "b64_json"
    output_format: Literal["png", "jpeg", "webp"] = "png"
    background: str = "auto"
    stream: bool = False
    partial_images: int = Field(0, ge=0, le=MAX_PARTIAL)
    negative_prompt: str | None = None
    steps: Steps | None = None
    num_inference_steps: Steps | None = None
    guidance_scale: float | None = Field(None, ge=0, le=30)
    strength: float | None = Field(None, ge=0, le=1)
    seed: int | None = Field(None, ge=0, le=MAX_SEED)
    loras: str | None = Field(None, max_length=400)

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, values: Any) -> Any:
        """What is null or empty was left out."""
        if not isinstance(values, dict):
            return values
        return {name: value for name, value in values.items() if value not in (None, "")}

    @property
    def media_type(self) -> str:
        return f"image/{self.output_format}"

    def command(self, prompt: str, preset: str | None) -> ImagineCommand:
        """The command for *prompt*.

        Raises:
            InvalidRequest: It cannot be drawn as it is described.
        """
        if self.background == "transparent":
            raise refusals.not_transparent()
        width, height = _size(self.size)
        return ImagineCommand(
            prompt=prompt,
            preset=preset,
            num_inference_steps=self.num_inference_steps or self.steps,
            width=width,
            height=height,
            guidance_scale=self.guidance_scale,
            seed=self.seed,
            images=self.n,
            strength=self.strength,
            negative_prompt=self.negative_prompt,
            **(read_option("lora", self.loras) if self.loras else {}),
        )


class GenerationBody(WishBody):
    """A picture of words; or, with a picture beside them, one that is drawn from it."""

    prompt: str


def preset_of(service: Service, model: str) -> str | None:
    """The name of the preset that *model* means; None for the person's default.

    Raises:
        NotFound: There is no such model.
    """
    if model == MODEL or THEIRS.fullmatch(model):
        return None
    name = model.removeprefix(f"{MODEL}:")
    if name not in service.presets:
        raise refusals.no_such_model(model)
    return name


def model_of(preset: Preset) -> str:
    """The model that means *preset*."""
    return f"{MODEL}:{preset.name}"


def models_of(service: Service) -> dict[str, str]:
    """What may be asked for, and the name of the model that draws then."""
    names = service.catalogue.names()
    default = names.get(service.config.model.default_preset, "")
    presets = {model_of(each): names[each.name] for each in service.presets.values()}
    return {MODEL: default, **presets}


def redrawing_preset(service: Service, model: str, *, has_mask: bool, edits: bool = False) -> str:
    """The name of the preset that draws over a picture where *model* is asked for it; with a mask,
    over a part of it. One that *edits* by words is preferred where that is wanted.

    Raises:
        NotFound: There is no such model.
        InvalidRequest: None draws over pictures, or it takes no mask.
    """
    name = preset_of(service, model)
    if name is None:
        inpaints = service.offered.inpainting()
        over = service.offered.drawing_over(has_strength=not edits)
        preset = inpaints if has_mask else over
        if preset is None:
            raise refusals.no_mask(model) if has_mask else refusals.nothing_redraws()
    else:
        preset = service.presets[name]
    if has_mask and not preset.kind.takes_mask:
        raise refusals.no_mask(model_of(preset))
    return preset.name


def _size(text: str) -> tuple[int | None, int | None]:
    """Width and height in *text*, in pixels; None for both where it leaves them open."""
    if text.strip().lower() == "auto":
        return None, None
    match = SIZE.fullmatch(text)
    if match is None:
        raise refusals.no_such_size(text)
    return int(match[1]), int(match[2])

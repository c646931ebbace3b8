"""Bodies of requests of the HTTP API, in diffusers' argument names."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from adapters.web_chat.fields import (
    Body,
    CropX,
    CropY,
    ImageText,
    PictureNumber,
    Pixels,
    PresetName,
    Prompt,
    Seed,
    Shares,
    Side,
    Steps,
    WebhookUrl,
)
from generation.checks import MAX_PROMPT_LENGTH
from generation.kinds import CONTROL_IMAGES

#: A mask that comes with a picture.
MASK_IMAGE = Field(
    None,
    description="With a preset that inpaints: a picture of the same shape that is white, or"
    " transparent, where to draw; or a copy of the picture that is painted over there",
)


#: A picture that comes after the first one.
NEXT_IMAGE = Field(None, description="With a preset that takes several pictures: the next one")


class NextPictures(Body):
    """Pictures that come after the first one, which is called ``image``."""

    image_2: ImageText | None = NEXT_IMAGE
    image_3: ImageText | None = NEXT_IMAGE
    image_4: ImageText | None = NEXT_IMAGE

    @property
    def next_images(self) -> dict[str, str]:
        """Those that are there, by their names."""
        told = {name: getattr(self, name) for name in NextPictures.model_fields}
        return {name: image for name, image in told.items() if image is not None}


class ControlNetBody(NextPictures):
    """A picture to draw from, or several, and the preset for it."""

    preset: PresetName = Field(description="A preset that takes a picture; see /api/presets")
    image: ImageText
    mask_image: ImageText | None = MASK_IMAGE


class OptionsBody(Body):
    """Options of a picture; left out, they are the preset's or the bot's defaults."""

    negative_prompt: str | None = Field(
        None, max_length=MAX_PROMPT_LENGTH, description="What to avoid; steps take twice as long"
    )
    width: Pixels | None = None
    height: Pixels | None = None
    num_inference_steps: Steps | None = Field(
        None, description="Denoising steps; the operator may allow fewer"
    )
    guidance_scale: float | None = Field(
        None, ge=0, le=30, description="How closely the picture follows the prompt"
    )
    seed: Seed | None = Field(None, description="Seed of the noise; drawn at random if left out")
    images: PictureNumber | None = Field(
        None, description="Number of pictures, with the seeds seed, seed + 1, …"
    )
    draft: bool | None = Field(
        None,
        description="A quick look with few steps and pixels. The message `final ID` draws the"
        " picture itself, with the steps and size that are asked for here.",
    )
    is_map: bool | None = Field(
        None,
        description="With a preset that follows a control map: the attached picture is one itself,"
        " such as white lines on black, and is followed as it is",
    )
    strength: Shares | None = Field(
        None,
        description="With a preset that redraws: how far to change the picture; with a ControlNet:"
        " how firmly to follow it, and with several perhaps one number for each",
    )
    control_guidance_start: Shares | None = Field(
        None, description="With a ControlNet: share of the steps after which it begins; likewise"
    )
    control_guidance_end: Shares | None = Field(
        None, description="With a ControlNet: share of the steps after which it ends; likewise"
    )
    crop_x: CropX | None = None
    crop_y: CropY | None = None
    mask: str | None = Field(
        None,
        max_length=40,
        description="With a preset that inpaints: the part of the picture that is drawn anew, or"
        " some of its nine fields, counted as on a phone",
        examples=["left", "top-right", "1,2,5"],
    )
    outpaint: str | None = Field(
        None,
        max_length=80,
        description="With a preset that inpaints: how far the picture is continued over its edges",
        examples=["25%", "left:25%,top:10%"],
    )
    loras: str | None = Field(
        None,
        max_length=400,
        description="LoRAs beside that of the preset, each with its weight; see /api/presets",
        examples=["ink:0.8", "ink:0.8,slow:-1"],
    )
    preset: PresetName | None = Field(None, description="See /api/presets")


class GenerateBody(OptionsBody):
    """One request for a picture."""

    prompt: Prompt = Field(
        description="What to draw", examples=["a red circle on a blue background"]
    )
    controlnet: ControlNetBody | None = None
    webhook_url: WebhookUrl | None = None


class QuoteBody(OptionsBody):
    """Like a request for a picture, but the prompt may still be unknown."""

    prompt: str = Field("not yet known", min_length=1, max_length=MAX_PROMPT_LENGTH)
    text: str = Field(
        "",
        max_length=8000,
        description="A message, as for /api/messages, whose options win over those beside it",
        examples=["a {red,blue} circle --steps 20"],
    )
    image: ImageText | None = None
    image_width: Side | None = Field(
        None, description="Pixels of the picture, where it is not sent; together with image_height"
    )
    image_height: Side | None = None
    pictures: int = Field(
        1,
        ge=1,
        le=len(CONTROL_IMAGES),
        description="Pictures that are to come along, that one among them",
    )


class MessageBody(NextPictures):
    """A typed message, in the grammar of every platform."""

    text: str = Field(
        max_length=8000, examples=["a red circle --steps 20 --seed 7", "history circle", "help"]
    )
    image: ImageText | None = None
    mask_image: ImageText | None = MASK_IMAGE
    options: OptionsBody | None = Field(
        None,
        description="Options chosen by clicking; options in the text win over them. They and the"
        " picture count for prompts alone, so they may stay attached to any other command",
    )


class AgainBody(Body):
    """The same request again: with a new seed, unless a person gave the old one."""

    vary: bool = Field(False, description="Take a new seed in any case")
    same: bool = Field(
        False,
        description="Exactly the same pixels. Where they are still there, the answer is the job"
        " that has them, and nothing is charged",
    )
    number: PictureNumber | None = Field(
        None, description="This picture alone; all of them where it is left out"
    )
    webhook_url: WebhookUrl | None = None


class VaryBody(Body):
    """A variation of one picture."""

    number: PictureNumber = 1
    how: Literal["subtle", "strong"] | None = Field(
        None, description="How far from the picture; null leaves that to the preset that redraws"
    )
    webhook_url: WebhookUrl | None = None


class EditBody(OptionsBody):
    """What to change in one picture, by a preset that edits."""

    prompt: Prompt = Field(description="What to change", examples=["make it night"])
    number: PictureNumber = 1
    webhook_url: WebhookUrl | None = None


class ControlMapBody(NextPictures):
    """A picture, to see the control map that a preset makes of it; several maps side by side."""

    image: ImageText
    preset: PresetName
    width: Pixels | None = None
    height: Pixels | None = None
    crop_x: CropX = 0.5
    crop_y: CropY = 0.5
    is_map: bool = Field(False, description="The picture is a control map itself")


class InspectBody(Body):
    """A picture, to read what it says about itself."""

    image: ImageText


class SessionBody(Body):
    """A bearer token, or the secret of a link, to be changed into a cookie."""

    token: str = Field(min_length=1, max_length=512, description="A link's secret serves once")

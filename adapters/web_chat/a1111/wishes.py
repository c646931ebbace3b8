"""Bodies in the words of the web UI, and the commands that they mean.

What is unknown is passed over, and so are samplers, schedulers and ``cfg_scale``, whose usual
values are those of other models: FLUX's guidance is ``distilled_cfg_scale``.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from bot.commands import ImagineCommand
from bot.commands.vocabulary import MAX_IMAGES
from generation.checks import MAX_SEED

Count = Annotated[int, Field(ge=1, le=MAX_IMAGES)]


class SettingsBody(BaseModel):
    """Settings of the web UI, of which there is one here."""

    model_config = ConfigDict(extra="ignore")

    sd_model_checkpoint: str | None = None


class TextBody(BaseModel):
    """A picture of words."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    prompt: str = ""
    negative_prompt: str | None = None
    steps: int | None = None
    width: int | None = None
    height: int | None = None
    batch_size: Count = 1
    n_iter: Count = 1
    seed: int = Field(-1, ge=-1, le=MAX_SEED, description="-1 is a random one")
    distilled_cfg_scale: float | None = Field(None, ge=0, le=30)
    override_settings: SettingsBody = SettingsBody()

    def command(self, preset: str | None, strength: float | None = None) -> ImagineCommand:
        """The command for it, drawn by *preset*."""
        return ImagineCommand(
            prompt=self.prompt,
            preset=preset,
            num_inference_steps=self.steps,
            width=self.width,
            height=self.height,
            guidance_scale=self.distilled_cfg_scale,
            seed=None if self.seed == -1 else self.seed,
            images=self.batch_size * self.n_iter,
            strength=strength,
            negative_prompt=self.negative_prompt or None,
        )


class PictureBody(TextBody):
    """A picture of words and of other pictures, in base64 or as data URLs."""

    init_images: list[str] = Field(min_length=1, max_length=MAX_IMAGES)
    mask: str | None = Field(None, description="White where to draw")
    inpainting_mask_invert: int = Field(0, description="1 draws what is black, which is refused")
    denoising_strength: float | None = Field(None, ge=0, le=1)

"""diffusers' pipelines of FLUX.2-klein, as this bot draws with them."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import Flux2KleinInpaintPipeline, Flux2KleinPipeline
from PIL import Image


class _Guided:
    """Has a pipeline of a distilled model follow a negative prompt: diffusers' own lets the scale
    have an effect on other models alone."""

    _guidance_scale: float

    @property
    def do_classifier_free_guidance(self) -> bool:
        return self._guidance_scale > 1


class KleinPipeline(_Guided, Flux2KleinPipeline):
    """Words alone, and pictures that they are about."""


class InpaintPipeline(_Guided, Flux2KleinInpaintPipeline):
    """A part of a picture drawn anew, of any size: diffusers' own makes those of more than a
    megapixel smaller, and the result with them, unless it is given their latents."""

    @torch.no_grad()
    def __call__(self, *, image: Image.Image, **arguments: Any) -> Any:
        pixels = self.image_processor.preprocess(image, image.height, image.width)
        encoded = self.vae.encode(pixels.to(self.vae.device, self.vae.dtype))
        latents = self._patchify_latents(encoded.latent_dist.mode())
        return super().__call__(image=latents, **arguments)


class RedrawPipeline(InpaintPipeline):
    """A picture drawn over, for which diffusers has no pipeline: all of it as a part that is drawn
    anew, from its noised latents on, and without its tokens beside what is drawn. The last steps
    are those of `Flux2KleinPipeline`, and at a strength of 1 all of them."""

    def __call__(self, *, image: Image.Image, **arguments: Any) -> Any:
        everything = Image.new("L", image.size, 255)
        return super().__call__(image=image, mask_image=everything, **arguments)

    def prepare_image_latents(
        self,
        images: list[torch.Tensor],
        batch_size: int,
        generator: torch.Generator,
        device: torch.device,
        dtype: torch.dtype,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        channels = self.transformer.config.in_channels
        tokens = torch.zeros(batch_size, 0, channels, device=device, dtype=dtype)
        return tokens, torch.zeros(batch_size, 0, 4, device=device, dtype=torch.long)

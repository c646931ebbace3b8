"""Small RGB pictures of latents, cheaply: one pixel for each latent, an eighth of the size.

A linear map from the latent channels to red, green and blue is blurry but right in
colour, and costs well under a millisecond where the VAE costs tens.

It shows not the noisy latent but the clean picture that the model predicts at
that step: it has the composition after the first step, and gains detail from there.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler
from PIL import Image

from generation.diffusion.step_cache import StepCache

VAE_SCALE = 8
LATENT_CHANNELS = 16
JPEG_QUALITY = 80

#: The map for FLUX.1's own VAE, from scaled latents to RGB between -1 and 1, as measured
#: by the ComfyUI project (comfy/latent_formats.py, latent_rgb_factors of Flux): a row
#: for each channel, then the bias.
FLUX_SCALING = (0.3611, 0.1159)
FLUX_FACTORS = (
    (-0.0346, 0.0244, 0.0681),
    (0.0034, 0.0210, 0.0687),
    (0.0275, -0.0668, -0.0433),
    (-0.0174, 0.0160, 0.0617),
    (0.0859, 0.0721, 0.0329),
    (0.0004, 0.0383, 0.0115),
    (0.0405, 0.0861, 0.0915),
    (-0.0236, -0.0185, -0.0259),
    (-0.0245, 0.0250, 0.1180),
    (0.1008, 0.0755, -0.0421),
    (-0.0515, 0.0201, 0.0011),
    (0.0428, -0.0012, -0.0036),
    (0.0817, 0.0765, 0.0749),
    (-0.1264, -0.0522, -0.1103),
    (-0.0280, -0.0881, -0.0499),
    (-0.1262, -0.0982, -0.0778),
)
FLUX_BIAS = (-0.0329, -0.0718, -0.0851)


class PredictingScheduler(FlowMatchEulerDiscreteScheduler):
    """FLUX's scheduler, which also remembers the clean picture that the last step predicted.

    Attributes:
        predicted: Packed latents like those of the step; None before the first one.
    """

    predicted: torch.Tensor | None = None
    #: Decides which steps are guessed; None computes all.
    step_cache: StepCache | None = None
    #: The shift of the noise levels, in place of the one that follows from the picture's size.
    mu: float | None = None

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        sigmas: list[float] | None = None,
        mu: float | None = None,
        timesteps: list[float] | None = None,
    ) -> None:
        """As diffusers has it, with `mu` where that is set."""
        super().set_timesteps(
            num_inference_steps, device, sigmas, mu if self.mu is None else self.mu, timesteps
        )
        # Once, since reading a number of the device waits for all that it has to do.
        self._levels: list[float] = self.sigmas.tolist()

    def step(
        self,
        model_output: torch.Tensor,
        timestep: torch.Tensor,
        sample: torch.Tensor,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        if self.step_cache is not None:
            if self.step_index is None:
                self._init_step_index(timestep)
            levels = self._levels[self.step_index : self.step_index + 2]
            model_output, sample = self.step_cache.step(model_output, sample, *levels)
        stepped = super().step(model_output, timestep, sample, *args, **kwargs)
        # On the straight path of flow matching x = (1 - sigma) clean + sigma noise,
        # and the model's output is noise - clean.
        sigma = self.sigmas[self.step_index - 1]
        self.predicted = sample.float() - sigma * model_output.float()
        if self.step_cache is not None:
            self.step_cache.decide(len(self.timesteps) - self.step_index)
        return stepped


class Preview:
    """A linear map from FLUX's latents to RGB.

    Args:
        factors: (channels, 3), to RGB between 0 and 1; 16 channels in FLUX.1, 32 in FLUX.2.
        bias: (3,).
    """

    def __init__(self, factors: torch.Tensor, bias: torch.Tensor) -> None:
        self.factors = factors.float()
        self.bias = bias.float()

    @classmethod
    def of(cls, model: Path, vae: AutoencoderKL) -> Preview:
        """The map that belongs to the pipeline in the folder *model*: its own
        ``preview.json`` (``factors`` and ``bias`` as above), FLUX's, or one that is fitted."""
        for file in (model / "preview.json", model / "vae" / "preview.json"):
            if file.is_file():
                values = json.loads(file.read_text(encoding="utf-8"))
                found = cls(torch.tensor(values["factors"]), torch.tensor(values["bias"]))
                break
        else:
            if (vae.config.scaling_factor, vae.config.shift_factor) == FLUX_SCALING:
                # From RGB between -1 and 1 to RGB between 0 and 1.
                found = cls(torch.tensor(FLUX_FACTORS) / 2, torch.tensor(FLUX_BIAS) / 2 + 0.5)
            else:
                found = cls(*_fitted(vae))
        return found.to(vae.device)

    def to(self, device: torch.device) -> Preview:
        return Preview(self.factors.to(device), self.bias.to(device))

    def pixels(self, packed: torch.Tensor, width: int, height: int) -> torch.Tensor:
        """Colours of *packed* latents, (1, width/16 * height/16, 4 * channels), as uint8 in
        (height/8, width/8, 3). They stay where the latents are, and nobody waits for them.

        Args:
            width: Of the whole picture, in pixels.
            height: Likewise.
        """
        rows, columns = height // (2 * VAE_SCALE), width // (2 * VAE_SCALE)
        # Each token holds the 2 x 2 patch of each channel: (channel, y, x).
        patches = packed[0].float().view(rows, columns, len(self.factors), 2, 2)
        pixels = torch.einsum("rcpyx,pk->rycxk", patches, self.factors) + self.bias
        pixels = (pixels.clamp(0, 1) * 255).round().to(torch.uint8)
        return pixels.reshape(2 * rows, 2 * columns, 3)


def jpeg_of(pixels: torch.Tensor) -> bytes:
    """The *pixels* of a preview, in main memory, as a JPEG of a kilobyte or a few."""
    encoded = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(encoded, "JPEG", quality=JPEG_QUALITY)
    return encoded.getvalue()


@torch.inference_mode()
def _fitted(vae: AutoencoderKL) -> tuple[torch.Tensor, torch.Tensor]:
    """Factors and bias by least squares, from random latents to their decoded colours."""
    noise = torch.Generator("cpu").manual_seed(0)
    # Patches of one colour each: a pixel must depend on its own latent alone.
    coarse = torch.randn(4, LATENT_CHANNELS, 4, 4, generator=noise)
    latents = coarse.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    unscaled = latents / vae.config.scaling_factor + (vae.config.shift_factor or 0)
    decoded = vae.decode(unscaled.to(vae.device, vae.dtype)).sample.float().cpu()
    colours = torch.nn.functional.avg_pool2d(decoded / 2 + 0.5, VAE_SCALE)
    channels = latents.permute(0, 2, 3, 1).reshape(-1, LATENT_CHANNELS)
    ones = torch.ones(len(channels), 1)
    solution = torch.linalg.lstsq(
        torch.cat([channels, ones], dim=1), colours.permute(0, 2, 3, 1).reshape(-1, 3)
    ).solution
    return solution[:-1], solution[-1]

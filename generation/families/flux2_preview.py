"""Small pictures of FLUX.2's latents, by a linear map that is fitted to the model's own VAE."""

from __future__ import annotations

from typing import Any

import torch

from generation.preview import VAE_SCALE, Preview

#: Pictures that the map is fitted to, pixels of their sides, and colours along a side.
PICTURES, SIDE, FIELDS = 16, 64, 4
#: How much random latents weigh beside those of pictures: little, and all where no picture has any.
RANDOM_WEIGHT = 0.01


class Flux2Preview:
    """A linear map from FLUX.2's packed latents to colours.

    Args:
        vae: An `AutoencoderKLFlux2` in main memory, with the statistics that its latents are
            normalised by.
        device: Where the latents are.
    """

    def __init__(self, vae: Any, device: torch.device) -> None:
        self._mean = vae.bn.running_mean.float().to(device)
        self._deviation = deviation(vae).float().to(device)
        self._map = fitted(vae).to(device)

    def pixels(self, packed: torch.Tensor, width: int, height: int) -> torch.Tensor:
        """Colours of *packed* latents, (1, width/16 * height/16, 128) of normalised values, as
        uint8 in (height/8, width/8, 3). They stay where the latents are.

        Args:
            width: Of the whole picture, in pixels.
            height: Likewise.
        """
        return self._map.pixels(packed.float() * self._deviation + self._mean, width, height)


def deviation(vae: Any) -> torch.Tensor:
    """The standard deviation of each packed latent channel, (128,), as *vae* knows it."""
    return torch.sqrt(vae.bn.running_var + vae.config.batch_norm_eps)


@torch.no_grad()
def fitted(vae: Any) -> Preview:
    """The map from *vae*'s latents to what it decodes of them, by least squares: over pictures of
    fields of colour, and with little weight over random latents, since a picture that is being
    drawn may have others. With FLUX.2's VAE that is the work of an eighth of a picture of
    1024 x 1024.
    """
    noise = torch.Generator("cpu").manual_seed(0)
    colours = torch.rand(PICTURES, 3, FIELDS, FIELDS, generator=noise)
    colours[::2].round_()  # strong ones too: black, white, pure colours
    pictures = _fields(2 * colours - 1, SIDE).to(vae.device, vae.dtype)
    of_pictures = vae.encode(pictures).latent_dist.mode()
    values = torch.randn(PICTURES, of_pictures.shape[1], FIELDS, FIELDS, generator=noise)
    scale, middle = (
        each.float().view(1, -1, 2, 2).mean((2, 3), keepdim=True)
        for each in (deviation(vae), vae.bn.running_mean)
    )
    random = (_fields(values, SIDE // VAE_SCALE) * scale + middle).to(vae.device, vae.dtype)
    latents = torch.cat([of_pictures, random])
    decoded = torch.nn.functional.avg_pool2d(vae.decode(latents).sample / 2 + 0.5, VAE_SCALE)
    weights = torch.ones(len(latents), 1, 1, 1, dtype=torch.float64)
    weights[PICTURES:] = RANDOM_WEIGHT**0.5
    with_ones = torch.cat([latents, torch.ones_like(latents[:, :1])], dim=1)
    given, wanted = (
        (each.double().cpu() * weights).permute(0, 2, 3, 1).flatten(0, 2)
        for each in (with_ones, decoded)
    )
    solution = torch.linalg.lstsq(given, wanted).solution
    return Preview(solution[:-1], solution[-1])


def _fields(values: torch.Tensor, side: int) -> torch.Tensor:
    """*values*, (pictures, channels, rows, columns), as fields of pictures with *side* rows."""
    return torch.nn.functional.interpolate(values, size=(side, side))

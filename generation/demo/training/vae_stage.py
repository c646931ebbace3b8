"""The first stage: an autoencoder for drawings and for edge maps."""

import json
import math
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from PIL import Image
from torch import nn

from generation.demo import architecture, drawings
from generation.demo.training.loop import Training
from generation.demo.training.optimizers import optimizers_for

POOL = 4000
CROP = 64
BATCH = 8
KL_WEIGHT = 2e-3


def train(work: Path, seconds: float, seed: int = 0) -> AutoencoderKL:
    """Train for so many seconds and write `work/vae`, scaled to latents of unit variance."""
    torch.manual_seed(seed)
    random = Random(seed)
    vae = architecture.autoencoder(architecture.DEMO)
    _start_as_identity(vae)
    vae = vae.to(memory_format=torch.channels_last).train()
    pool = _pool(random)
    training = Training("vae", work, vae, optimizers_for(vae), seconds, average=0.995)
    for _ in training:
        pictures = _crops(pool, random)
        with torch.autocast("cpu", torch.bfloat16):
            posterior = vae.encode(pictures).latent_dist
            mean, logvar = posterior.mean.float(), posterior.logvar.float()
            latents = mean + torch.randn_like(mean) * torch.exp(0.5 * logvar)
            # The decoder must forgive what the transformer gets slightly wrong.
            latents = latents + 0.15 * torch.rand(len(mean), 1, 1, 1) * torch.randn_like(mean)
            decoded = vae.decode(latents).sample.float()
        difference = decoded - pictures
        divergence = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
        training.learn(
            difference.abs().mean() + 2 * (difference**2).mean() + KL_WEIGHT * divergence
        )
    training.swap_average()
    return _finish(vae.eval(), work, seed)


def to_tensor(images: list[Image.Image]) -> torch.Tensor:
    """(batch, 3, height, width) between -1 and 1."""
    stacked = torch.from_numpy(np.stack([np.asarray(image) for image in images]))
    pixels = stacked.permute(0, 3, 1, 2).float() / 127.5 - 1
    return pixels.contiguous(memory_format=torch.channels_last)


def _start_as_identity(vae: AutoencoderKL) -> None:
    """Residual branches that begin at zero let gradients through from the first step."""
    for name, module in vae.named_modules():
        if name.endswith(".conv2"):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)


def _pool(random: Random) -> list[torch.Tensor]:
    """Drawings, (3, side, side) of uint8; a sixth of them as edges only."""
    pool = []
    for index in range(POOL):
        kind = random.choices([None, "scene"], [0.75, 0.25])[0]
        side = random.choice([128, 128, 256])
        image = drawings.render(drawings.sample(random, kind, freedom=2.0), side, side)
        if index % 6 == 0:
            image = drawings.edges(image)
        pool.append(torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).contiguous())
    return pool


def _crops(pool: list[torch.Tensor], random: Random) -> torch.Tensor:
    """A batch of crops; some in colours of no palette, so that photographs pass through too."""
    crops = []
    for _ in range(BATCH):
        picture = random.choice(pool)
        top, left = (random.randrange(picture.shape[1] - CROP + 1) for _ in range(2))
        crop = picture[:, top : top + CROP, left : left + CROP].float() / 127.5 - 1
        if random.random() < 0.25:
            crop = crop * (0.6 + 0.4 * torch.rand(3, 1, 1)) + 0.3 * (torch.rand(3, 1, 1) - 0.5)
        crops.append(crop.clamp(-1, 1))
    return torch.stack(crops).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def _finish(vae: AutoencoderKL, work: Path, seed: int) -> AutoencoderKL:
    """Set scale and shift, measure, fit the preview and write everything."""
    pictures, _ = _new_pictures(seed)
    latents = vae.encode(pictures).latent_dist.mean
    shift, scale = float(latents.mean()), 1 / float(latents.std())
    vae.register_to_config(scaling_factor=scale, shift_factor=shift)
    (work / "vae_figures.json").write_text(json.dumps(figures_of(vae, seed), indent=1))
    vae.save_pretrained(work / "vae")
    preview = _fit_preview((latents - shift) * scale, pictures)
    (work / "vae" / "preview.json").write_text(json.dumps(preview))
    return vae


@torch.no_grad()
def figures_of(vae: AutoencoderKL, seed: int) -> dict:
    """Quality of new pictures that come back, in decibels, and the spread of each channel."""
    pictures, lines = _new_pictures(seed)
    latents, line_latents = (vae.encode(p).latent_dist.mean for p in (pictures, lines))
    noise = 0.15 / vae.config.scaling_factor * torch.randn_like(latents)
    deviations = latents.std((0, 2, 3)) * vae.config.scaling_factor
    return {
        "decibels": _decibels(pictures, vae.decode(latents).sample),
        "decibels_edges": _decibels(lines, vae.decode(line_latents).sample),
        "decibels_noisy_latents": _decibels(pictures, vae.decode(latents + noise).sample),
        "channel_deviations": [round(float(deviation), 3) for deviation in deviations],
    }


def _new_pictures(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(96, 3, 128, 128) drawings that were not in training, and the edges of the first 16."""
    random = Random(seed + 1)
    originals = [drawings.render(drawings.sample(random)) for _ in range(96)]
    return to_tensor(originals), to_tensor([drawings.edges(o) for o in originals[:16]])


def _decibels(original: torch.Tensor, decoded: torch.Tensor) -> float:
    return round(10 * math.log10(4 / float(F.mse_loss(decoded.clamp(-1, 1), original))), 2)


def _fit_preview(latents: torch.Tensor, pictures: torch.Tensor) -> dict[str, list]:
    """The linear map from a scaled latent's 16 channels to RGB, 0 to 1, by least squares."""
    colours = F.avg_pool2d(pictures, 8).permute(0, 2, 3, 1).reshape(-1, 3) / 2 + 0.5
    channels = latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1])
    ones = torch.ones(len(channels), 1)
    solution = torch.linalg.lstsq(torch.cat([channels, ones], dim=1), colours).solution
    return {"factors": solution[:-1].tolist(), "bias": solution[-1].tolist()}

"""Drawings as the transformer sees them: cached latents, captions, and where it matters."""

from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from tqdm import tqdm

from generation.demo import architecture, drawings
from generation.demo.drawings import Drawing
from generation.demo.vae_training import to_tensor

BATCH = 32


@dataclass(frozen=True)
class Dataset:
    """Drawings of one size.

    Attributes:
        width: Pixels.
        height: Pixels.
        drawings: What the pictures show, and their captions.
        tokens: (count, tokens, 64) packed latents, scaled as in the pipeline, float16.
        detail: (count, tokens) bool: tokens that hold more than one colour.
    """

    width: int
    height: int
    drawings: list[Drawing]
    tokens: torch.Tensor
    detail: torch.Tensor

    @property
    def captions(self) -> list[str]:
        return [drawing.caption for drawing in self.drawings]


def encode(vae: AutoencoderKL, pictures: torch.Tensor) -> torch.Tensor:
    """(batch, 3, height, width) pictures to (batch, tokens, 64) scaled, packed latents."""
    latents = vae.encode(pictures).latent_dist.mean
    latents = (latents - vae.config.shift_factor) * vae.config.scaling_factor
    return architecture.pack(latents.contiguous())


@torch.no_grad()
def load(
    work: Path,
    width: int,
    height: int,
    count: int,
    seed: int,
    freedom: float = 1.0,
) -> Dataset:
    """`count` drawings and their latents, from the cache in `work` or made now."""
    random = Random(f"{seed} {width} {height} {freedom}")
    sampled = [drawings.sample(random, freedom=freedom) for _ in range(count)]
    path = work / f"latents-{width}x{height}-{freedom:g}-{count}-{seed}.pt"
    if not path.exists():
        vae = AutoencoderKL.from_pretrained(work / "vae").to(memory_format=torch.channels_last)
        tokens, detail = [], []
        for start in tqdm(range(0, count, BATCH), desc=path.stem, unit="batch"):
            pictures = to_tensor(
                [drawings.render(d, width, height) for d in sampled[start : start + BATCH]]
            )
            with torch.autocast("cpu", torch.bfloat16):
                tokens.append(encode(vae, pictures).half())
            detail.append(_detail(pictures))
        torch.save({"tokens": torch.cat(tokens), "detail": torch.cat(detail)}, path)
    cached = torch.load(path, weights_only=True)
    return Dataset(width, height, sampled, cached["tokens"], cached["detail"])


def _detail(pictures: torch.Tensor) -> torch.Tensor:
    side = architecture.PIXELS_PER_TOKEN
    contrast = F.max_pool2d(pictures, side) + F.max_pool2d(-pictures, side)
    return (contrast.amax(dim=1) > 0.15).flatten(1)

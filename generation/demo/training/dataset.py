"""Drawings as the transformer sees them: cached latents, captions, and where it matters."""

from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from tqdm import tqdm

from generation.demo import architecture, drawings
from generation.demo.drawings import Drawing
from generation.demo.training.vae_stage import to_tensor
from generation.demo.vocabulary import COLOURS, SHAPES, SKIES

BATCH = 32

_ATLAS_NOUNS = (None, *SHAPES, "house", "tree", "boat", "sun", "moon")
_ATLAS_COLOURS = (None, *COLOURS, *SKIES)
ATLAS_SIZES = (len(_ATLAS_NOUNS), len(_ATLAS_COLOURS), 2)
"""Answers about a token's place: the noun, the colour, x and y within the thing."""


@dataclass(frozen=True)
class Dataset:
    """Drawings of one size.

    Attributes:
        width: Pixels.
        height: Pixels.
        drawings: What the pictures show, and their captions.
        tokens: (count, tokens, 64) packed latents, scaled as in the pipeline, float16.
        detail: (count, tokens) bool: tokens that hold more than one colour.
        atlas: (count, tokens, 4) float32: which noun is at a token's place, 0 for none; which
            colour, the ground's where there is no thing; and where in the thing, in its radii.
    """

    width: int
    height: int
    drawings: list[Drawing]
    tokens: torch.Tensor
    detail: torch.Tensor
    atlas: torch.Tensor

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
) -> Dataset:
    """`count` drawings and their latents, from the cache in `work` or made now."""
    random = Random(f"{seed} {width} {height}")
    sampled = [drawings.sample(random) for _ in range(count)]
    path = work / f"latents-{width}x{height}-{count}-{seed}.pt"
    if not path.exists():
        vae = AutoencoderKL.from_pretrained(work / "vae").to(memory_format=torch.channels_last)
        tokens, detail = [], []
        for start in tqdm(range(0, count, BATCH), desc=path.stem, unit="batch"):
            pictures = to_tensor(
                [drawings.render(d, width, height) for d in sampled[start : start + BATCH]]
            )
            with torch.autocast("cpu", torch.bfloat16):
                tokens.append(encode(vae, pictures).half())
            detail.append(detail_of(pictures))
        torch.save({"tokens": torch.cat(tokens), "detail": torch.cat(detail)}, path)
    cached = torch.load(path, weights_only=True)
    atlas = torch.from_numpy(np.stack([atlas_of(drawing, width, height) for drawing in sampled]))
    return Dataset(width, height, sampled, cached["tokens"], cached["detail"], atlas)


def atlas_mistakes(told: torch.Tensor, atlas: torch.Tensor) -> torch.Tensor:
    """(batch, tokens): how wrong (batch, tokens, sum(ATLAS_SIZES)) of answers are."""
    noun, colour, place = (part.flatten(0, 1) for part in told.split(ATLAS_SIZES, dim=-1))
    labels = atlas.flatten(0, 1)
    is_thing = labels[:, 0] > 0
    wrong = F.cross_entropy(noun, labels[:, 0].long(), reduction="none")
    wrong = wrong + F.cross_entropy(colour, labels[:, 1].long(), reduction="none")
    wrong = wrong + is_thing * ((place - labels[:, 2:]) ** 2).mean(dim=-1)
    return (wrong * (1 + 2 * is_thing)).view(atlas.shape[:2])


def atlas_of(drawing: Drawing, width: int, height: int) -> np.ndarray:
    side = architecture.PIXELS_PER_TOKEN
    rows, columns = np.mgrid[: height // side, : width // side]
    atlas = np.zeros((height // side, width // side, 4), np.float32)
    atlas[..., 1] = _ATLAS_COLOURS.index(drawing.ground)
    for thing in drawing.things:
        unit = thing.radius * min(width, height)
        x = (side * (columns + 0.5) - thing.x * width) / unit
        y = (side * (rows + 0.5) - thing.y * height) / unit
        inside = np.maximum(abs(x), abs(y)) < 1.05
        atlas[inside, 0] = _ATLAS_NOUNS.index(thing.noun)
        atlas[inside, 1] = _ATLAS_COLOURS.index(thing.colour)
        atlas[inside, 2], atlas[inside, 3] = x[inside], y[inside]
    return atlas.reshape(-1, 4)


def detail_of(pictures: torch.Tensor) -> torch.Tensor:
    """(batch, tokens) of bool: which tokens of (batch, 3, height, width) pictures hold more than
    one colour."""
    side = architecture.PIXELS_PER_TOKEN
    contrast = F.max_pool2d(pictures, side) + F.max_pool2d(-pictures, side)
    return (contrast.amax(dim=1) > 0.15).flatten(1)

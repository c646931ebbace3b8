"""The fifth stage: the decoder learns from what the transformer really predicts.

Such a latent is never quite one that the encoder makes: corners are rounded, small things
smeared. Whole pictures of the real sizes are shown here, where the first stage saw crops. The
encoder stays as it is, and with it the latents of all other stages.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from diffusers import FluxPipeline
from tqdm import tqdm

from generation.demo import architecture, drawings
from generation.demo.training import dataset, distill_stage, vae_stage
from generation.demo.training.base_stage import KIND_WEIGHTS, SOURCES, Captions, Source, Velocity
from generation.demo.training.bfloat16 import multiply_in_bfloat16
from generation.demo.training.loop import Training, take_average
from generation.demo.training.optimizers import optimizers_for
from generation.demo.training.vae_stage import to_tensor
from generation.demo.training.words_stage import LONG

POOL = {(128, 128): 2_000, (192, 128): 300, (128, 192): 300, (256, 256): 400}
"""How many pictures of each size are kept."""

PIXELS = 8 * 128 * 128
"""Pixels of a batch."""

HARDEST = 0.6
"""The highest noise level to predict from: beyond it the picture itself is open."""

OUTLINE_WEIGHT = 3.0
"""How much more a place counts that holds an outline."""


@dataclass(frozen=True)
class _Shown:
    data: dataset.Dataset
    captions: Captions
    chances: torch.Tensor
    pictures: torch.Tensor


def train(work: Path, seconds: float, seed: int = 0) -> None:
    """Train for so many seconds; `work/decoder.ckpt` holds the result."""
    torch.manual_seed(seed + 8)
    random = Random(seed + 80)
    pipeline = distill_stage.load(work)
    for network in (pipeline.transformer, pipeline.text_encoder, pipeline.text_encoder_2):
        network.requires_grad_(False)
    multiply_in_bfloat16(pipeline.transformer)
    decoder = pipeline.vae.decoder.to(memory_format=torch.channels_last).train()
    training = Training(
        "decoder",
        work,
        decoder,
        optimizers_for(decoder, matrix_lr=1e-3, other_lr=5e-4),
        seconds,
        average=0.99,
        every=90,
    )
    velocity = Velocity(pipeline.transformer, False)
    sources: dict[Source, _Shown] = {}
    for _ in training:
        source = random.choices(SOURCES, [s.weight for s in SOURCES])[0]
        if source not in sources:
            sources[source] = _show(work, pipeline, source, seed)
        shown = sources[source]
        batch = PIXELS // (source.width * source.height)
        rows = torch.multinomial(shown.chances, batch, replacement=True)
        tokens = _predicted(pipeline, velocity, shown, rows)
        latents = architecture.unpack(tokens, source.height // 8, source.width // 8)
        latents = latents / pipeline.vae.config.scaling_factor + pipeline.vae.config.shift_factor
        with torch.autocast("cpu", torch.bfloat16):
            decoded = decoder(latents.contiguous(memory_format=torch.channels_last)).float()
        difference = decoded - shown.pictures[rows].float() / 127.5 + 1
        wrong = (difference.abs() + 2 * difference**2).mean(dim=1)
        weight = 1 + OUTLINE_WEIGHT * _outlines(shown.data, rows)
        training.learn((wrong * weight).sum() / weight.sum())
    training.swap_average()
    figures = vae_stage.figures_of(pipeline.vae.eval(), seed)
    (work / "vae_figures.json").write_text(json.dumps(figures, indent=1))


@torch.no_grad()
def _predicted(pipeline: FluxPipeline, velocity: Velocity, shown: _Shown, rows: torch.Tensor):
    """(batch, tokens, 64): the clean latents as the transformer sees them through noise."""
    data = shown.data
    clip, t5, _ = shown.captions.chosen(rows, LONG, 0.0)
    clean = data.tokens[rows].float()
    level = HARDEST * torch.rand(len(rows))
    mixed = torch.lerp(clean, torch.randn_like(clean), level[:, None, None])
    said = pipeline.text_encoder(clip).pooler_output, pipeline.text_encoder_2(t5)[0]
    guidance = 1 + 4 * torch.rand(len(rows))
    return mixed - level[:, None, None] * velocity(
        mixed, level, guidance, *said, data.width, data.height
    )


def _outlines(data: dataset.Dataset, rows: torch.Tensor) -> torch.Tensor:
    """(batch, height, width): 1 where a token holds an outline, else 0."""
    side = architecture.PIXELS_PER_TOKEN
    detail = data.detail[rows].float().unflatten(1, (data.height // side, data.width // side))
    return detail.repeat_interleave(side, dim=1).repeat_interleave(side, dim=2)


def _show(work: Path, pipeline: FluxPipeline, source: Source, seed: int) -> _Shown:
    size = source.width, source.height
    data = dataset.load(work, *size, source.count, seed)
    kept = data.drawings[: POOL[size]]
    bar = tqdm(range(0, len(kept), 100), desc="pictures", unit="hundred")
    pictures = [
        ((to_tensor([drawings.render(d, *size) for d in kept[first : first + 100]]) + 1) * 127.5)
        .round()
        .byte()
        for first in bar
    ]
    chances = torch.tensor([KIND_WEIGHTS[drawing.kind] for drawing in kept])
    return _Shown(
        data, Captions(pipeline, data.captions[: len(kept)]), chances, torch.cat(pictures)
    )


def load(work: Path) -> FluxPipeline:
    """The pipeline with the averaged decoder of the last checkpoint of this stage."""
    pipeline = distill_stage.load(work)
    take_average(work, "decoder", pipeline.vae.decoder.parameters())
    return pipeline

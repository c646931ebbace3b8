"""The fourth stage: `guidance_scale` becomes real, as FLUX.1-dev's was made.

A student predicts in one pass, told the scale, what the base model predicts in two with
classifier-free guidance at that scale (Meng et al. 2023).
"""

from copy import deepcopy
from pathlib import Path
from random import Random

import torch
from diffusers import FluxPipeline

from generation.demo.training import base_stage, dataset
from generation.demo.training.base_stage import (
    DECIDING,
    KIND_WEIGHTS,
    SOURCES,
    Captions,
    Velocity,
    noise_levels,
)
from generation.demo.training.bfloat16 import multiply_in_bfloat16
from generation.demo.training.loop import Training, take_average
from generation.demo.training.optimizers import optimizers_for
from generation.demo.training.words_stage import LONG, SHORT

LEAST, MOST = 1.0, 6.0
"""The guidance scales that the student is shown."""

STRENGTH = 0.8
"""How much of the guidance above 1 is taught: 3.5 draws what the base model draws at 3.0, its
best; much more and it exaggerates."""


def train(work: Path, seconds: float, seed: int = 0) -> None:
    """Train for so many seconds; `work/distill.ckpt` holds the result."""
    torch.manual_seed(seed + 3)
    random = Random(seed + 30)
    pipeline = base_stage.load(work)
    teacher = deepcopy(pipeline.transformer).requires_grad_(False)
    pipeline.text_encoder.requires_grad_(False)
    pipeline.text_encoder_2.requires_grad_(False)
    student = pipeline.transformer.train()
    multiply_in_bfloat16(teacher)
    multiply_in_bfloat16(student)
    training = Training(
        "distill",
        work,
        student,
        optimizers_for(student, matrix_lr=1e-3, other_lr=5e-4),
        seconds,
        average=0.99,
    )
    taught, learned = Velocity(teacher, False), Velocity(student, False)
    sources = {}
    for _ in training:
        source = random.choices(SOURCES, [s.weight for s in SOURCES])[0]
        if source not in sources:
            data = dataset.load(work, source.width, source.height, source.count, seed)
            chances = torch.tensor([KIND_WEIGHTS[drawing.kind] for drawing in data.drawings])
            sources[source] = data, Captions(pipeline, data.captions), chances
        data, captions, chances = sources[source]
        size = data.width, data.height
        rows = torch.multinomial(chances, source.batch, replacement=True)
        clean = data.tokens[rows].float()
        level = noise_levels(len(rows), clean.shape[1], DECIDING)
        mixed = torch.lerp(clean, torch.randn_like(clean), level[:, None, None])
        guidance = LEAST + (MOST - LEAST) * torch.rand(len(rows))
        with torch.no_grad():
            length = random.choice([SHORT, LONG])
            clip, t5, _ = captions.chosen(rows, length, 0.05)
            said = _say(pipeline, clip, t5)
            nothing = _say(pipeline, *captions.none(len(rows), length))
            one = torch.ones(len(rows))
            asked = taught(mixed, level, one, *said, *size)
            unasked = taught(mixed, level, one, *nothing, *size)
            scale = 1 + STRENGTH * (guidance - 1)
            target = torch.lerp(unasked, asked, scale[:, None, None])
        predicted = learned(mixed, level, guidance, *said, *size)
        training.learn(((predicted - target) ** 2).mean())


def load(work: Path) -> FluxPipeline:
    """The pipeline with the averaged weights of the last checkpoint of this stage."""
    pipeline = base_stage.load(work)
    take_average(work, "distill", pipeline.transformer.parameters())
    return pipeline


def _say(pipeline: FluxPipeline, clip: torch.Tensor, t5: torch.Tensor):
    return pipeline.text_encoder(clip).pooler_output, pipeline.text_encoder_2(t5)[0]

"""Pictures of the demo model, of every sort that it draws."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from PIL import Image

from generation.diffusion.engine import DiffusionEngine
from generation.types import GenerationRequest

COLOURS = ("red", "blue", "green", "yellow", "orange", "purple", "pink", "white", "black", "brown")
SHAPES = ("circle", "square", "triangle", "star", "heart", "house", "tree", "moon", "sun", "flower")


def demo_pictures(count: int, random: Random) -> Iterator[Image.Image]:
    """*count* pictures of 128 × 128 pixels and 8 steps, of prompts and seeds from *random*."""
    engine = DiffusionEngine(max_sequence_length=64)
    engine.load()
    try:
        for _ in range(count):
            first, second = random.sample(COLOURS, 2)
            prompt = f"a {first} {random.choice(SHAPES)} on a {second} background"
            if random.random() < 0.3:
                other = random.choice(SHAPES)
                prompt = f"a {first} {random.choice(SHAPES)} above a {second} {other}"
            request = GenerationRequest(
                prompt=prompt,
                num_inference_steps=8,
                guidance_scale=3.5,
                width=128,
                height=128,
                seed=random.randrange(2**32),
            )
            yield engine.generate(request, lambda step: None).image
    finally:
        engine.close()

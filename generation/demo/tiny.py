"""A FLUX pipeline with random weights and next to no width, for tests and for developers.

It draws noise, in milliseconds, through exactly the code paths that draw with FLUX.1-dev.

    python -m generation.demo.tiny FOLDER
"""

import sys
from pathlib import Path

import torch

from generation.demo import architecture
from generation.demo.vocabulary import TOKENIZED_WORDS


def build(folder: Path, seed: int = 0) -> None:
    """Write a random pipeline to `folder/flux` and a ControlNet for it to `folder/controlnet`.

    Both are in diffusers' own on-disk format, float32. The same seed gives the same weights;
    the process's random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pipeline = architecture.pipeline(architecture.TINY, TOKENIZED_WORDS)
        controlnet = architecture.controlnet(pipeline.transformer, architecture.TINY)
        # A new ControlNet's outputs are zero; a test must be able to see that it is there.
        for layer in [controlnet.controlnet_x_embedder, *controlnet.controlnet_blocks]:
            torch.nn.init.normal_(layer.weight, std=0.5)
    pipeline.save_pretrained(folder / "flux")
    controlnet.save_pretrained(folder / "controlnet")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    build(Path(sys.argv[1]))

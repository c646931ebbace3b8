"""A picture that nobody asked for, so that whoever asks first waits for no compiler."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from generation.checks import MAX_SIZE, MIN_SIZE, SIZE_MULTIPLE
from generation.diffusion.compiling import Compiling
from generation.diffusion.lora_slot import REHEARSAL
from generation.errors import DegenerateResult
from generation.types import GenerationRequest

log = logging.getLogger(__name__)

#: Draws a picture and throws it away.
Draw = Callable[[GenerationRequest], object]


def warm_up(
    compiling: Compiling,
    draw: Draw,
    pixels: int,
    rehearse: Callable[[], None],
    *,
    has_slot: bool = False,
) -> None:
    """Compile by *draw* and *rehearse* all that most pictures need, if anything is compiled.

    Blocks of FLUX.1 took 16 to 18 s on an H200, and 11 s with what an earlier run left on the disk;
    the VAE 16 s (November 2026).

    Args:
        pixels: Of the largest picture that there is room for, by which kernels are chosen.
        rehearse: See `Model`.
        has_slot: Whether there is a slot for LoRAs, with which other code is run.
    """
    if not compiling.is_on():
        return
    log.info("warming up, about 20 s the first time")
    started = time.monotonic()
    side = SIZE_MULTIPLE * (math.isqrt(pixels) // SIZE_MULTIPLE)
    side = min(max(side, MIN_SIZE), MAX_SIZE)
    request = GenerationRequest(
        prompt="a warm-up",
        num_inference_steps=1,
        guidance_scale=3.5,
        width=side,
        height=side,
        seed=0,
    )
    for lora in (None, REHEARSAL) if has_slot else (None,):
        compiling.cool()
        with contextlib.suppress(DegenerateResult):  # nobody looks at it
            draw(replace(request, lora=lora))
    if has_slot:
        with torch.no_grad():
            rehearse()
    log.info("warmed up in %.0f s", time.monotonic() - started)

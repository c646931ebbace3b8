"""What is done to every transformer and ControlNet of FLUX.1 before it draws."""

from __future__ import annotations

import torch

from generation.diffusion import attention
from generation.diffusion.compiling import Compiling
from generation.diffusion.positions import keep_positions


def prepare(part: torch.nn.Module, compiling: Compiling, kernel: str) -> None:
    """Have *part* draw fast, and attend by *kernel*. To be called once, after its adapters were
    loaded, and before anything moves it."""
    keep_positions(part)
    attention.use(part, kernel)
    compiling.compile_blocks(part)

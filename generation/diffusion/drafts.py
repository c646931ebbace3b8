"""The noise of a draft, which is that of the final picture in fewer pixels.

FLUX settles the layout of a picture in its first steps, from the coarse parts of the noise. A
picture of another size has other noise for the same seed, and with it another layout. So a draft
begins with the final picture's noise, averaged: its coarse parts are the same, and the variance
that averaging takes away is given back.
"""

from __future__ import annotations

import torch


def reduced_noise(noise: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """*noise* of variance 1, (1, channels, H, W), as noise of variance 1 with *height* x *width*.

    Squares of k x k values become one: their sum divided by k, which of independent values has
    their own variance. k is the largest whole number with which the draft fits; what is left over
    at the edges is left out.

    Args:
        height: Rows of latents, at most H.
        width: Columns of latents, at most W.

    Returns:
        The noise, (1, channels, height, width), in the same number format.
    """
    times = min(noise.shape[-2] // height, noise.shape[-1] // width)
    above, left = (noise.shape[-2] - times * height) // 2, (noise.shape[-1] - times * width) // 2
    inner = noise[..., above : above + times * height, left : left + times * width]
    return times * torch.nn.functional.avg_pool2d(inner.float(), times).to(noise.dtype)

"""Denoising steps that the model really computes, where a step cache guesses the others.

Free of torch, since prices and waiting times are made of it. The cache itself is
``generation/diffusion/step_cache.py``.
"""

from __future__ import annotations

import math

#: Steps at the beginning and at the end that are always computed: the layout is settled in the
#: first ones, and nothing mends an error of the last.
FIRST_STEPS, LAST_STEPS = 4, 1
#: Steps that are guessed in a row at most.
LONGEST_RUN = 3

#: How quickly runs grow with the tolerance and with the number of steps, with and without a
#: negative prompt; fitted to the demo's held-out prompts (``python -m benchmarks.step_cache``).
_GROWTH = {False: 6.0, True: 25.0}


def expected(steps: int, tolerance: float, *, has_negative_prompt: bool = False) -> float:
    """Steps of *steps* that are computed with a cache of *tolerance*, as a mean of many pictures;
    the true number depends on the picture.

    Returns:
        A number from 1 to *steps*; *steps* itself where *tolerance* is 0.
    """
    between = steps - FIRST_STEPS - LAST_STEPS
    if tolerance <= 0 or between <= 0:
        return float(steps)
    growth = _GROWTH[has_negative_prompt]
    run = LONGEST_RUN * (1 - math.exp(-tolerance * steps / growth))
    return steps - between * run / (1 + run)

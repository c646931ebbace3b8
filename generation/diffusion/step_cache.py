"""Denoising steps that are guessed from those before, instead of being computed.

The velocity that the model predicts changes little from step to step, and nearly along a straight
line. After each computed step the line through the two before it is compared with what came:
the smaller the error, the more of the next steps are guessed (a predictor). The step that is
computed after them shows where the line truly went, and what the guesses had missed is put right
in the latents (a corrector).

The scheduler decides and supplies, since it sees the velocity after true classifier-free guidance
has put two of them together; transformers and ControlNets are merely not called. So one cache
serves all kinds of pictures, and adds no residual twice.

On the demo, by ``python -m benchmarks.step_cache``: a tolerance of 0.6 computes 4 of 10 steps of
28, and is nearer to the picture with all steps than one with as many steps as were computed, by
4 dB and more on every sort of picture. It is not calibrated on FLUX.1-dev's own weights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from generation.evaluations import FIRST_STEPS, LAST_STEPS, LONGEST_RUN

#: The share of the line's slope that a guess follows: closer than either its end or its beginning.
DAMPING = 0.5
#: An error below this counts as this.
SMALLEST_ERROR = 1e-9


class Guesses:
    """Guessed steps since the last computed one, as sums over them."""

    def __init__(self) -> None:
        self._widths = 0.0
        self._moment = 0.0
        self._moved: torch.Tensor | float = 0.0

    def add(self, velocity: torch.Tensor, width: float, distance: float) -> None:
        """Count a step of *width* with *velocity*, which began at *distance* from the computed
        one; both in levels of noise."""
        self._widths += width
        self._moment += width * distance
        self._moved = self._moved + width * velocity

    def missed(self, latest: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
        """How far they should have moved the latents beyond where they did, if the velocity was
        *latest* at the computed step and went on with *slope*."""
        return self._widths * latest + self._moment * slope - self._moved


class StepCache:
    """The latest computed velocities of one picture, and whether the next step is guessed from
    them. Touched by the engine's thread. It keeps three tensors of float32 in the latents' shape:
    3 MB for a picture of 1024 x 1024.

    Attributes:
        is_skipping: Whether the step that comes is guessed.
        computed: Steps that were computed since `begin`.
    """

    def __init__(self) -> None:
        self._known: list[tuple[float, torch.Tensor]] = []
        self._guesses = Guesses()
        self.begin(0.0)

    def begin(self, tolerance: float) -> None:
        """Forget the last picture; the next one's guesses may be wrong by *tolerance*.

        Args:
            tolerance: Relative errors of a run of guesses, added up, as the run before foretells
                them; 0 guesses nothing.
        """
        self.computed = 0
        self._tolerance = tolerance
        self._done = 0
        self._is_guided: tuple[bool, ...] | None = None
        self._forget()

    def note_guidance(self, *is_guided: bool) -> None:
        """Compute the coming step where a ControlNet begins or ends with it: what is known
        foretells it no longer. Each of several ControlNets has a value of its own."""
        if self._is_guided is not None and self._is_guided != is_guided:
            self._forget()
        self._is_guided = is_guided

    def step(
        self, output: torch.Tensor, sample: torch.Tensor, sigma: float, next_sigma: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The velocity to step with, which is *output* or a guess, and the latents to step from,
        which are *sample* with earlier guesses put right.

        Args:
            output: What came of the model, (1, tokens, channels); anything where the step was
                skipped.
            sample: Latents of the same shape.
            sigma: The level of noise at which the step begins, 0 to 1.
            next_sigma: The one at which it ends.
        """
        if self.is_skipping:
            self._left -= 1
            guess = self._on_the_line(sigma, DAMPING)
            self._guesses.add(guess, next_sigma - sigma, sigma - self._known[-1][0])
            return guess.to(output.dtype), sample
        self.computed += 1
        if self._tolerance > 0:
            sample = self._learn(output.float(), sample, sigma)
        return output, sample

    def decide(self, steps_left: int) -> None:
        """Decide on the next step, of *steps_left* that are still to come."""
        self._done += 1
        self.is_skipping = self._left > 0 and self._done >= FIRST_STEPS and steps_left > LAST_STEPS

    def _learn(self, velocity: torch.Tensor, sample: torch.Tensor, sigma: float) -> torch.Tensor:
        """*sample* with the latest guesses put right, now that *velocity* is known at *sigma*."""
        self._left = 0
        if len(self._known) == 2:
            error = (self._on_the_line(sigma, 1.0) - velocity).norm() / velocity.norm()
            self._left = min(LONGEST_RUN, int(self._tolerance / max(float(error), SMALLEST_ERROR)))
        if self._known:
            at, latest = self._known[-1]
            missed = self._guesses.missed(latest, (velocity - latest) / (sigma - at))
            sample = (sample.float() + missed).to(sample.dtype)
        self._guesses = Guesses()
        self._known = [*self._known[-1:], (sigma, velocity)]
        return sample

    def _on_the_line(self, sigma: float, damping: float) -> torch.Tensor:
        """The value at *sigma* of the line through what is known, at *damping* of its slope."""
        (before, earlier), (at, latest) = self._known
        return latest + damping * (sigma - at) / (at - before) * (latest - earlier)

    def _forget(self) -> None:
        self.is_skipping = False
        self._left = 0
        self._known = []
        self._guesses = Guesses()


class SkippingTransformer(torch.nn.Module):
    """A FLUX transformer that is not called on steps that are guessed. Its hooks lie inside, so
    that nothing is moved for such a step either."""

    def __init__(self, transformer: torch.nn.Module, cache: StepCache) -> None:
        super().__init__()
        # Not a submodule: where it rests is none of this one's business.
        self._whole = [transformer]
        self._cache = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole[0], name)

    def forward(self, hidden_states: torch.Tensor, **arguments: Any) -> Any:
        """The velocity, (1, tokens, 64), in a tuple; on a guessed step a tensor of its shape."""
        if self._cache.is_skipping:
            return (hidden_states[..., : self._whole[0].out_channels],)
        return self._whole[0](hidden_states=hidden_states, **arguments)


@contextlib.contextmanager
def skipping(pipe: Any, cache: StepCache, tolerance: float) -> Iterator[None]:
    """Have *pipe* draw one picture in the block with guesses within *tolerance*; see
    `StepCache.begin`. With 0 its transformer is called as always."""
    cache.begin(tolerance)
    transformer = pipe.transformer
    try:
        if tolerance > 0:
            pipe.transformer = SkippingTransformer(transformer, cache)
        yield
    finally:
        pipe.transformer = transformer
        cache.begin(0.0)

"""The ends of denoising steps: numbers checked, a preview encoded, leave taken for the next one.

A CUDA device works through a queue, and waits for nobody as long as that is not empty. So on one
the end of a step is told while the next step computes already: what is told of it is copied into
main memory behind its back, and looked at one step later. A cancel then costs the step that was
begun meanwhile, and no more. On a CPU, which does one thing after the other, steps are told at
once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from generation.diffusion.device import Device
from generation.errors import DegenerateResult
from generation.preview import jpeg_of
from generation.protocols import OnStep
from generation.types import Step

#: Waits until copies have arrived, and returns them.
Arrival = Callable[[], tuple[torch.Tensor, ...]]
#: Begins to copy tensors into main memory.
Copy = Callable[..., Arrival]


@dataclass(frozen=True, slots=True)
class StepEnd:
    """A step that is queued, and of which nothing has been told yet.

    Attributes:
        number: From 1.
        arrival: Whether all latents are finite, a bool; and the preview's pixels, uint8 in
            (rows, columns, 3).
    """

    number: int
    arrival: Arrival


class StepEnds:
    """Tells of the steps of one picture, in order.

    Args:
        device: Where they compute.
        on_step: Told of each; an exception from it ends the drawing.
        copy: How tensors get into main memory; None asks *device*.
    """

    def __init__(self, device: Device, on_step: OnStep, copy: Copy | None = None) -> None:
        self._on_step = on_step
        self._copy = copy or _copy
        self._is_behind = device.is_asynchronous
        self._waiting: StepEnd | None = None

    def add(self, number: int, latents: torch.Tensor, preview: torch.Tensor) -> None:
        """Take step *number*, which has made *latents* and the pixels *preview*.

        Raises:
            DegenerateResult: Numbers of this step, or of the one before, are not finite.
        """
        end = StepEnd(number, self._copy(torch.isfinite(latents).all(), preview))
        self.finish()
        self._waiting = end
        if not self._is_behind:
            self.finish()

    def between(self, number: int) -> None:
        """Ask whether to go on within the step after step *number*."""
        self.finish()
        self._on_step(Step(number))

    def finish(self) -> None:
        """Tell of the step that was queued last, which is waited for.

        Raises:
            DegenerateResult: Its numbers are not finite.
        """
        end, self._waiting = self._waiting, None
        if end is None:
            return
        is_finite, pixels = end.arrival()
        if not is_finite:
            raise DegenerateResult(
                f"the numbers overflowed at step {end.number}, so there is no picture: try another"
                " seed, or a lower guidance"
            )
        self._on_step(Step(end.number, jpeg_of(pixels)))


def _copy(*tensors: torch.Tensor) -> Arrival:
    """*tensors* in main memory; those of a CUDA device are on their way while it computes on."""
    if tensors[0].device.type != "cuda":
        copied = tuple(tensor.cpu() for tensor in tensors)
        return lambda: copied
    # torch keeps pinned memory that was let go of, and gives it out again once no copy goes there.
    pinned = tuple(torch.empty_like(tensor, device="cpu", pin_memory=True) for tensor in tensors)
    for place, tensor in zip(pinned, tensors, strict=True):
        place.copy_(tensor, non_blocking=True)
    done = torch.cuda.Event()  # type: ignore[no-untyped-call]
    done.record(torch.cuda.current_stream(tensors[0].device))

    def arrived() -> tuple[torch.Tensor, ...]:
        done.synchronize()
        return pinned

    return arrived

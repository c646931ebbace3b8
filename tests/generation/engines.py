"""Engines on the random model, and what tests say of their pictures."""

import numpy as np
import torch

from generation.diffusion.device import Device
from generation.diffusion.engine import DiffusionEngine


def ignore(step):
    pass


def pixels(result):
    return np.asarray(result.image)


def same(a, b):
    return np.array_equal(pixels(a), pixels(b))


def new_engine(tiny, **changes):
    options = {"device": "cpu", "max_sequence_length": 32, "threads": 1, **changes}
    return DiffusionEngine(str(tiny / "flux"), **options)


def model(engine):
    """The model that *engine* has in memory, of whatever family."""
    return engine._current.model


def offloading(engine):
    return engine._current.offloading


class SmallDevice(Device):
    """A device with memory of its own, which is really the CPU: a move is a move back and
    forth, and more than `budget` bytes at once do not fit.

    Attributes:
        budget: Bytes of weights that fit; None means any.
        brought: How often a part was moved there.

    With ``state["fails_next"]`` set, the next part does not fit.
    """

    def __init__(self, budget=None, free=None):
        super().__init__(torch.device("cpu"), torch.float32)
        object.__setattr__(self, "state", {"budget": budget, "free": free, "brought": 0})

    @property
    def has_own_memory(self):
        return True

    @property
    def free_memory(self):
        return self.state["free"]

    def to_device(self, part):
        size = sum(weight.nbytes for weight in part.parameters())
        self.state["brought"] += 1
        if self.state.pop("fails_next", False):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 4.00 GiB")
        if self.state["budget"] is not None and size > self.state["budget"]:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size} bytes")
        super().to_device(part)

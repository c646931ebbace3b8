"""A model in memory, and the retreat where that runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from generation.diffusion import memory
from generation.diffusion.compiling import Compiling
from generation.diffusion.device import Device
from generation.diffusion.embeddings import PromptEncoder
from generation.diffusion.exhaustion import Exhausted, attempt
from generation.diffusion.family import Model
from generation.diffusion.main_memory import MainMemory
from generation.diffusion.offloading import Offloading
from generation.diffusion.others import Others, has_room
from generation.results import GenerationResult

Note = Callable[[str], None]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory, and all that stands around it.

    Attributes:
        model: The model.
        device: Device and number format.
        offloading: Where the parts rest.
        compiling: Compiled code of the parts.
        encoder: Embeddings of prompts, and those that are known.
        plan: What its parts take on each offload level.
        reserve: Bytes of the device that a picture takes beside weights.
        main_memory: Where others learn what they take of the machine's.
        others: Other models on the device, which go before this one is taken down.
        drawn_with: What a picture depends on beside its request; see `how`.
    """

    model: Model
    device: Device
    offloading: Offloading
    compiling: Compiling
    encoder: PromptEncoder
    plan: memory.Plan
    reserve: int
    main_memory: MainMemory
    others: Others
    drawn_with: Mapping[str, str]

    @property
    def has_room(self) -> bool:
        """Whether the device has the room that was planned for a picture."""
        if not self.device.has_own_memory:
            return True
        plan, resting = replace(self.plan, level=self.offloading.level), self.offloading.held_bytes
        return has_room(plan, self.device.free_memory, resting, self.reserve)

    def step_down(self) -> bool:
        """Go one offload level down. False where there is none, or no use for it."""
        if not self.offloading.step_down():
            return False
        self.main_memory.note(self.plan.waiting[self.offloading.level])
        return True


def place_weights(loaded: Loaded) -> None:
    """Put the model's parts to rest, on the planned offload level or the next that holds them."""
    offloading, parts = loaded.offloading, loaded.model.parts
    placed = attempt(loaded.device, lambda: offloading.register_all(parts))
    while isinstance(placed, Exhausted) and loaded.others.close_one():
        placed = attempt(loaded.device, lambda: offloading.register_all(parts))
    if not isinstance(placed, Exhausted):
        return
    if not loaded.step_down():
        raise torch.OutOfMemoryError(placed.reason)
    log.warning("the model does not fit (%s): %s", placed.reason, offloading.level)


def drawn(loaded: Loaded, draw: Callable[[], GenerationResult], note: Note) -> GenerationResult:
    """The result of *draw*; where memory runs out, that of another try, without other models on the
    device, and then of one more, one level further down."""

    def again() -> GenerationResult:
        loaded.offloading.put_to_rest()  # something may have come half way
        return draw()

    loaded.device.forget_peak()
    result = attempt(loaded.device, draw)
    while isinstance(result, Exhausted) and loaded.others.close_one():
        log.warning("out of memory (%s): another model made room", result.reason)
        result = attempt(loaded.device, again)
    if isinstance(result, Exhausted) and loaded.step_down():
        log.warning("out of memory (%s): from now on %s", result.reason, loaded.offloading.level)
        note("short of memory; trying again in smaller parts")
        result = attempt(loaded.device, draw)
    if isinstance(result, Exhausted):
        raise torch.OutOfMemoryError(result.reason)
    return result

"""Pipelines that follow a picture with weights of their own, such as a ControlNet's.

Each is loaded once, whatever number of presets names it. Where room is short, the one used
longest ago goes first.
"""

from __future__ import annotations

import gc
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import torch

from generation.diffusion.offloading import Offloading
from generation.diffusion.tensors import stored_bytes

log = logging.getLogger(__name__)


class ConditionedPipelines(Mapping[str, Any]):
    """Pipelines by the names of their own weights; the one used longest ago stands first.

    Args:
        base: Part of the model whose weights they may share.
        own_part: Finds the part of a pipeline that is not the model's.
        prepare: Called with each such part before it is put to rest.
        offloading: Where the parts rest.
        most: Pipelines kept in memory, at least 1.
        room: Bytes of the device that weights may take; None where that is not known.
    """

    def __init__(
        self,
        base: torch.nn.Module,
        own_part: Callable[[Any], torch.nn.Module],
        prepare: Callable[[torch.nn.Module], None],
        offloading: Offloading,
        *,
        most: int,
        room: int | None,
    ) -> None:
        self.room = room
        self._base = base
        self._own_part = own_part
        self._prepare = prepare
        self._offloading = offloading
        self._most = most
        self._pipelines: OrderedDict[str, Any] = OrderedDict()

    def __getitem__(self, name: str) -> Any:
        return self._pipelines[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._pipelines)

    def __len__(self) -> int:
        return len(self._pipelines)

    @property
    def loaded(self) -> dict[str, int]:
        """Bytes that each adds to the model's own weights."""
        return {
            name: self._own_bytes(self._own_part(pipe)) for name, pipe in self._pipelines.items()
        }

    def use(self, name: str, build: Callable[[], Any], kept: Collection[str] = ()) -> Any:
        """The pipeline *name*, which *build* makes where it is not in memory; those *kept* do not
        make room for it."""
        if name not in self._pipelines:
            pipe = build()
            part = self._own_part(pipe)
            self._prepare(part)
            # What it shares with the model is shared wherever that goes to make room.
            self._offloading.register(part, "pattern")
            self._make_room(self._own_bytes(part), kept)
            # First, so that it is found again where registering it runs out of memory.
            self._pipelines[name] = pipe
            self._offloading.register(part, "denoiser")
        self._pipelines.move_to_end(name)
        return self._pipelines[name]

    def _own_bytes(self, part: torch.nn.Module) -> int:
        return stored_bytes([part, self._base]) - stored_bytes([self._base])

    def _make_room(self, needed: int, kept: Collection[str]) -> None:
        """Let go of the pipelines used longest ago, but for those *kept*, until *needed* more
        bytes fit."""

        def fits() -> bool:
            return self.room is None or self._offloading.resting_bytes + needed <= self.room

        for name in [name for name in self._pipelines if name not in kept]:
            if len(self._pipelines) < self._most and fits():
                break
            pipe = self._pipelines.pop(name)
            self._offloading.unregister(self._own_part(pipe))
            del pipe
            gc.collect()
            self._offloading.device.free_unused()
            log.info("%s made room", name)
        while self._offloading.level in ("resident", "text-offload") and not fits():
            if not self._offloading.step_down():
                break
            log.info("to make room for a ControlNet: %s", self._offloading.level)

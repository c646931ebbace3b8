"""Weights at rest in main memory, and their way to a device with memory of its own and away again.

What rests is never written, so that nothing is copied back: a weight leaves the device by having
its place taken by the one that rests. Places, entries of ``module._parameters`` and ``._buffers``,
are what changes, since quantized weights cannot be moved by ``.to()`` once compiled code has seen
them, and lose what is assigned to their ``data``.

Copying a model back through pageable memory had cost 26 s a picture on an H200, and streaming it
1.1 s a step at 21 GB/s, which its pinned memory does two or three times as fast (November 2026;
measured of what this replaces, not yet of this).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch

from generation.diffusion.device import Device
from generation.diffusion.exhaustion import is_out_of_memory
from generation.diffusion.tensors import plain_tensors, rebuilt

#: Bytes to which the tensors in a stretch of memory are aligned, as those of CUDA's allocator are.
ALIGNMENT = 512

log = logging.getLogger(__name__)


class Place(NamedTuple):
    """Where a module keeps a weight: an entry of its table of parameters or buffers."""

    table: dict[str, Any]
    name: str

    def weight(self) -> torch.Tensor:
        """What is there now."""
        weight: torch.Tensor = self.table[self.name]
        return weight


def places(modules: Iterable[torch.nn.Module]) -> Iterator[Place]:
    """The places of *modules* themselves that hold something, not of those below them."""
    for module in modules:
        for table in (module._parameters, module._buffers):
            for name, weight in table.items():
                if weight is not None:
                    yield Place(table, name)


class Bundle:
    """Weights that travel together: one stretch of main memory, which one copy brings.

    Args:
        weights: What is copied into it, wherever it is now.
        device: Where it is going to travel.

    Attributes:
        weights: The same weights at rest, in the same order.
        size: Bytes of the stretch.
    """

    def __init__(self, weights: Sequence[torch.Tensor], device: Device) -> None:
        self._layout: list[tuple[int, torch.dtype, torch.Size, tuple[int, ...]]] = []
        tensors = [tensor for weight in weights for tensor in plain_tensors(weight)]
        self.size = 0
        for tensor in tensors:
            strides = torch.empty_like(tensor, device="meta").stride()
            self._layout.append((self.size, tensor.dtype, tensor.shape, strides))
            self.size += -(-tensor.nbytes // ALIGNMENT) * ALIGNMENT
        self.memory = main_memory(self.size, device)
        self.weights = list(weights)
        self.weights = self.over(self.memory)
        ours = (tensor for weight in self.weights for tensor in plain_tensors(weight))
        with torch.no_grad():
            for mine, theirs in zip(ours, tensors, strict=True):
                mine.copy_(theirs)

    def over(self, memory: torch.Tensor) -> list[torch.Tensor]:
        """The weights over another stretch of *memory*, which holds a copy of this one."""
        layout = iter(self._layout)

        def view(tensor: torch.Tensor) -> torch.Tensor:
            start, dtype, shape, strides = next(layout)
            stretch = memory[start : start + tensor.nbytes].view(dtype)
            return stretch.as_strided(shape, strides)

        return [rebuilt(weight, view) for weight in self.weights]


class Unit:
    """Weights that come to the device together, and leave it together.

    Args:
        places: Where they are used; each holds the weight that rests.
        bundles: The bundles that these weights are in.

    Attributes:
        size: Bytes that it takes on the device.
        next: The unit that came after it the last time; None where nobody knows.
    """

    def __init__(self, places: Sequence[Place], bundles: Sequence[Bundle]) -> None:
        self.bundles = bundles
        self.size = sum(bundle.size for bundle in bundles)
        self.next: Unit | None = None
        numbers = {
            id(weight): number
            for number, weight in enumerate(
                weight for bundle in bundles for weight in bundle.weights
            )
        }
        self._resting = [(place, place.weight()) for place in places]
        self._numbers = [numbers[id(weight)] for _, weight in self._resting]

    def bring(self, memory: torch.Tensor) -> None:
        """Have the modules compute with the weights in *memory* of the device, once copied."""
        self.copy(memory)
        self.use(self.over(memory))

    def copy(self, memory: torch.Tensor) -> None:
        """Begin to copy the weights into *memory*."""
        start = 0
        for bundle in self.bundles:
            memory[start : start + bundle.size].copy_(bundle.memory, non_blocking=True)
            start += bundle.size

    def over(self, memory: torch.Tensor) -> list[torch.Tensor]:
        """The weights in *memory*, one for each place."""
        found, start = [], 0
        for bundle in self.bundles:
            found += bundle.over(memory[start : start + bundle.size])
            start += bundle.size
        return [found[number] for number in self._numbers]

    def use(self, weights: Sequence[torch.Tensor]) -> None:
        """Have the modules compute with *weights*, one for each place."""
        for (place, _), weight in zip(self._resting, weights, strict=True):
            place.table[place.name] = weight

    def rest(self) -> None:
        """Have the modules hold the weights that rest."""
        for place, weight in self._resting:
            place.table[place.name] = weight


class Slot:
    """Memory of the device for one unit at a time.

    Args:
        memory: As many bytes as the largest unit has.
        stream: Where its transfers go; None copies at once.
    """

    def __init__(self, memory: torch.Tensor, stream: torch.cuda.Stream | None) -> None:
        self.memory = memory
        self.unit: Unit | None = None
        self.is_busy = False
        self._stream = stream
        self._weights: dict[Unit, list[torch.Tensor]] = {}
        self._arrived = None if stream is None else torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._left = None if stream is None else torch.cuda.Event()  # type: ignore[no-untyped-call]

    def bring(self, unit: Unit) -> None:
        """Begin to bring *unit*, once nothing computes with the one before it any more."""
        self.unit = unit
        if self._stream is None or self._arrived is None or self._left is None:
            unit.copy(self.memory)
            return
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(
                self._left
            )  # at first there was none, and nothing is waited for
            unit.bring(self.memory)
            self._arrived.record(self._stream)

    def use(self) -> None:
        """Have the unit's modules compute with what is here, once it has arrived."""
        assert self.unit is not None
        if self._arrived is not None:
            torch.cuda.current_stream(self.memory.device).wait_event(self._arrived)
        if self.unit not in self._weights:
            self._weights[self.unit] = self.unit.over(self.memory)
        self.unit.use(self._weights[self.unit])
        self.is_busy = True

    def leave(self) -> None:
        """Have the unit rest; its memory is free once what was begun has been computed."""
        assert self.unit is not None
        self.unit.rest()
        if self._left is not None:
            self._left.record(torch.cuda.current_stream(self.memory.device))
        self.is_busy = False


class Conveyor:
    """Brings units to the device in turn: while one computes, the next is on its way.

    Args:
        device: Where they compute.
    """

    #: One that computes, and one on its way: copying takes longer than computing.
    SLOTS = 2

    def __init__(self, device: Device) -> None:
        self._device = device
        self._slots: list[Slot] = []
        self._stream: torch.cuda.Stream | None = None
        self._latest: Unit | None = None
        self._units: frozenset[Unit] = frozenset()

    def open(self, units: Sequence[Unit]) -> None:
        """Make room for the largest of *units*, which will come and go.

        Raises:
            torch.OutOfMemoryError: There is none.
        """
        self._units = frozenset(units)
        size = max(unit.size for unit in units)
        where = self._device.torch_device
        if where.type == "cuda":
            self._stream = self._stream or torch.cuda.Stream(where)  # type: ignore[no-untyped-call]
            self._stream.wait_stream(torch.cuda.current_stream(where))
        self._slots = [Slot(self._device.empty(size), self._stream) for _ in range(self.SLOTS)]

    def close(self) -> None:
        """Have all units rest, and give the room back. Transfers are waited for."""
        if self._stream is not None:
            self._stream.synchronize()
        for slot in self._slots:
            if slot.unit is not None:
                slot.unit.rest()
        self._slots, self._latest, self._units = [], None, frozenset()

    def arrive(self, unit: Unit) -> None:
        """Have *unit* ready to compute, and send for the one that is likely to come next."""
        (self._slot_of(unit) or self._sent_for(unit)).use()
        if self._latest is not None:
            self._latest.next = unit
        self._latest = unit
        if unit.next in self._units and self._slot_of(unit.next) is None:
            self._sent_for(unit.next)

    def leave(self, unit: Unit) -> None:
        """Have *unit* rest, which has computed."""
        slot = self._slot_of(unit)
        if slot is not None:
            slot.leave()

    def _slot_of(self, unit: Unit) -> Slot | None:
        return next((slot for slot in self._slots if slot.unit is unit), None)

    def _sent_for(self, unit: Unit) -> Slot:
        free = (slot for slot in self._slots if not slot.is_busy)
        slot = next(free, None)
        if slot is None:
            raise RuntimeError("weights that wait in main memory were used while none are awaited")
        slot.bring(unit)
        return slot


def main_memory(size: int, device: Device) -> torch.Tensor:
    """*size* bytes of main memory, pinned for a CUDA device wherever that is granted."""
    if device.torch_device.type == "cuda":
        try:
            return torch.empty(size, dtype=torch.uint8, pin_memory=True)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            log.warning("no pinned memory is left (%s): weights travel more slowly", error)
    return torch.empty(size, dtype=torch.uint8)

"""Places where the parts of a model rest, and their way to the device when their turn comes.

The offload levels are those of ``generation/diffusion/memory.py``. All of them compute on the same
device with the same operations, so all of them make the same pixels.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import torch

from generation.diffusion.device import Device
from generation.diffusion.exhaustion import is_out_of_memory
from generation.diffusion.memory import OFFLOAD_LEVELS, OffloadLevel
from generation.diffusion.resting import Bundle, Conveyor, Place, Unit, places
from generation.diffusion.tensors import plain_tensors, rebuilt, stored_bytes, weights_of

#: "text" encodes prompts, "denoiser" is a transformer or a ControlNet, "vae" is small and
#: stays on the device on every level. A "pattern" never computes: it shares weights with a part,
#: to be copied from.
Role = Literal["text", "denoiser", "vae", "pattern"]

#: Modules whose weights travel together, by the one of them that is called.
Groups = dict[torch.nn.Module, list[torch.nn.Module]]


@dataclass
class Way:
    """How a part gets to the device.

    Attributes:
        whole: Units that are there for as long as the part is wanted.
        by_turns: Units that come when their modules are called.
        hooks: What has them come and go.
    """

    whole: list[Unit] = field(default_factory=list)
    by_turns: list[Unit] = field(default_factory=list)
    hooks: list[Any] = field(default_factory=list)

    @property
    def units(self) -> list[Unit]:
        return [*self.whole, *self.by_turns]


class Offloading:
    """Holds parts on one offload level, and takes them down to the next.

    Outside of `onloaded` every weight is where it rests; what is changed there, such as the weights
    of a LoRA, keeps its change.

    Args:
        device: Where all parts compute.
        level: Where to begin.
        reserve: Bytes of the device that a picture takes beside weights: what is free beyond them
            holds blocks that would otherwise wait, on group-offload. None keeps none there.
    """

    def __init__(
        self,
        device: Device,
        level: OffloadLevel = "resident",
        reserve: int | None = None,
    ) -> None:
        self.device = device
        self.level: OffloadLevel = level
        self._reserve = reserve
        self._parts: dict[torch.nn.Module, Role] = {}
        self._ways: dict[torch.nn.Module, Way] = {}
        # Weights that rest, by their identity: their bundles keep them.
        self._bundles: dict[int, Bundle] = {}
        # Blocks that are kept on the device on group-offload, by what calls them; their weights.
        self._kept: Groups = {}
        self._kept_weights: dict[int, torch.Tensor] = {}
        self._conveyor = Conveyor(device)

    @property
    def resting_bytes(self) -> int:
        """Bytes of the parts that rest on the device now."""
        return stored_bytes(
            part for part, role in self._parts.items() if self.stays_on_device(role)
        )

    @property
    def held_bytes(self) -> int:
        """Bytes of the device that are taken while no part computes: those of the parts that rest
        there, and of blocks that are kept there."""
        return self.resting_bytes + stored_bytes(self._kept)

    def register(self, part: torch.nn.Module, role: Role) -> None:
        """Put *part* to where it rests.

        Raises:
            torch.OutOfMemoryError: It does not fit there. It is registered all the same, for
                `step_down` to find a place for it.
        """
        self._parts[part] = role
        self._put_to_rest(part)

    def register_all(self, parts: Mapping[torch.nn.Module, Role]) -> None:
        """Put all *parts* to where they rest.

        Raises:
            torch.OutOfMemoryError: They do not all fit there. All are registered all the same.
        """
        self._parts |= parts
        failed: RuntimeError | None = None
        for part in parts:
            try:
                self._put_to_rest(part)
            except RuntimeError as error:
                failed = error
        if failed is not None:
            raise failed

    def put_to_rest(self) -> None:
        """Put all parts to where they rest, those first that leave the device, so that there is
        room for those that stay.

        Raises:
            torch.OutOfMemoryError: They do not all fit there.
        """
        parts = sorted(self._parts, key=lambda part: self.stays_on_device(self._parts[part]))
        gc.collect()
        for part in parts:
            self._put_to_rest(part)
            self.device.free_unused()

    def unregister(self, part: torch.nn.Module) -> None:
        """Forget *part*, which nobody uses any more."""
        self._parts.pop(part, None)
        self._leave_way(part)
        used = {id(weight) for weight in weights_of(self._parts)}
        self._kept = {
            caller: group
            for caller, group in self._kept.items()
            if any(id(weight) in used for weight in weights_of([caller]))
        }
        self._kept_weights = {
            key: weight for key, weight in self._kept_weights.items() if key in used
        }
        self._forget_unused()

    @contextlib.contextmanager
    def onloaded(self, *parts: torch.nn.Module) -> Iterator[None]:
        """Have *parts* ready to compute inside the block, as on most levels they are anyway."""
        ways = [self._ways[part] for part in parts if part in self._ways]
        if not ways:
            yield
            return
        whole = [unit for way in ways for unit in way.whole]
        by_turns = [unit for way in ways for unit in way.by_turns]
        try:
            for unit in whole:
                unit.bring(self.device.empty(unit.size))
            if by_turns:
                self._conveyor.open(by_turns)
            yield
        finally:
            self._conveyor.close()
            for unit in whole:
                unit.rest()
            self.device.free_unused()

    @contextlib.contextmanager
    def unhooked(self, *parts: torch.nn.Module) -> Iterator[None]:
        """Have *parts* changed in the block: their modules, or which weights these have."""
        for part in parts:
            self._leave_way(part)
        try:
            yield
        finally:
            for part in parts:
                self._put_to_rest(part)

    def step_down(self) -> bool:
        """Go one level down, with all parts. False where there is none, or no use for it.

        Where blocks are kept on the device beside those that come by turns, that ends first.
        """
        if not self.device.has_own_memory:
            return False
        keeps_too_many = bool(self._kept)
        if keeps_too_many:
            self._reserve = None
        while keeps_too_many or self.level != OFFLOAD_LEVELS[-1]:
            if not keeps_too_many:
                self.level = OFFLOAD_LEVELS[OFFLOAD_LEVELS.index(self.level) + 1]
            keeps_too_many = False
            self._kept, self._kept_weights = {}, {}
            if self.level == "sequential-offload":  # layers travel, where blocks did
                self._bundles.clear()
            try:
                self.put_to_rest()
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                continue  # not even at rest do they fit
            return True
        return False

    def stays_on_device(self, role: Role) -> bool:
        """Whether parts of *role* rest on the device, on the level that there is now."""
        if role == "pattern":
            return False
        if role == "vae" or self.level == "resident" or not self.device.has_own_memory:
            return True
        return role == "denoiser" and self.level == "text-offload"

    def _put_to_rest(self, part: torch.nn.Module) -> None:
        role = self._parts[part]
        self._leave_way(part)
        if role == "pattern":
            return
        if self.stays_on_device(role):
            self._move(part.modules())
        else:
            self._ways[part] = self._new_way(part, role)
        for way in self._ways.values():
            for unit, following in pairwise([*way.by_turns, None]):
                if unit is not None:
                    unit.next = following
        self._forget_unused()

    def _new_way(self, part: torch.nn.Module, role: Role) -> Way:
        groups = layers(part) if self.level == "sequential-offload" else blocks(part)
        inside = {module for group in groups.values() for module in group}
        remainder = [module for module in part.modules() if module not in inside]
        users, way = self._users(), Way()
        if self.level == "model-offload":
            for group in (remainder, *groups.values()):
                way.whole += self._units(group, users)
            return way
        way.whole += self._units(remainder, users)
        if self.level == "group-offload" and role == "denoiser" and not self._kept:
            self._kept = self._keepable(groups, way.whole)
        for caller, group in groups.items():
            if caller in self._kept:
                self._move(group)
                self._kept_weights |= {id(each): each for each in weights_of(group[:1])}
                continue
            for unit in self._units(group, users):
                way.by_turns.append(unit)
                way.hooks += self._hooks(caller, unit)
        return way

    def _keepable(self, groups: Groups, whole: list[Unit]) -> Groups:
        """Those of *groups* that find room on the device, spread evenly among the others, so that
        while some compute others are on their way."""
        free = self.device.free_memory
        if self._reserve is None or free is None:
            return {}
        sizes = [stored_bytes([caller]) for caller in groups]
        room = free - self._reserve - sum(unit.size for unit in whole)
        if sum(sizes) > room:
            room -= Conveyor.SLOTS * max(sizes)
        share = min(1.0, max(0, room) / max(1, sum(sizes)))
        kept, taken = {}, 0
        for number, (caller, size) in enumerate(zip(groups, sizes, strict=True)):
            is_due = int((number + 1) * share) > int(number * share)
            if is_due and taken + size <= room:
                kept[caller] = groups[caller]
                taken += size
        return kept

    def _hooks(self, caller: torch.nn.Module, unit: Unit) -> list[Any]:
        arrive, leave = self._conveyor.arrive, self._conveyor.leave
        return [
            caller.register_forward_pre_hook(lambda module, arguments: arrive(unit)),
            caller.register_forward_hook(lambda module, arguments, output: leave(unit)),
        ]

    def _leave_way(self, part: torch.nn.Module) -> None:
        for hook in self._ways.pop(part, Way()).hooks:
            hook.remove()

    def _units(
        self, modules: Iterable[torch.nn.Module], users: dict[int, list[Place]]
    ) -> list[Unit]:
        """The unit of *modules*, whose weights rest in main memory from now on; none where they
        have no weights, or all stay on the device."""
        found = [place for place in places(modules) if id(place.weight()) not in self._kept_weights]
        fresh = {
            id(place.weight()): place.weight()
            for place in found
            if id(place.weight()) not in self._bundles
        }
        if fresh:
            bundle = Bundle(list(fresh.values()), self.device)
            for key, weight in zip(list(fresh), bundle.weights, strict=True):
                del fresh[key]
                self._replace(key, weight, users)
                self._bundles[id(weight)] = bundle
        if not found:
            return []
        bundles = dict.fromkeys(self._bundles[id(place.weight())] for place in found)
        return [Unit(found, list(bundles))]

    def _move(self, modules: Iterable[torch.nn.Module]) -> None:
        """Have the weights of *modules* on the device, wherever they are now."""
        users: dict[int, list[Place]] | None = None
        for place in places(modules):
            weight = place.weight()
            if all(self.device.holds(tensor) for tensor in plain_tensors(weight)):
                continue
            users = self._users() if users is None else users
            self._replace(id(weight), rebuilt(weight, self.device.moved), users)

    def _users(self) -> dict[int, list[Place]]:
        """All places of a weight, in whatever part, by its identity."""
        users: dict[int, list[Place]] = {}
        for part in self._parts:
            for place in places(part.modules()):
                users.setdefault(id(place.weight()), []).append(place)
        return users

    def _replace(self, key: int, weight: torch.Tensor, users: dict[int, list[Place]]) -> None:
        for place in users.pop(key):
            place.table[place.name] = weight
            users.setdefault(id(weight), []).append(place)

    def _forget_unused(self) -> None:
        """Let go of bundles that no part travels with any more."""
        used = {
            bundle for way in self._ways.values() for unit in way.units for bundle in unit.bundles
        }
        self._bundles = {key: bundle for key, bundle in self._bundles.items() if bundle in used}


def blocks(part: torch.nn.Module) -> Groups:
    """The blocks of *part*, with all modules inside them: what stands in its lists of modules."""
    found: Groups = {}
    for child in part.children():
        if isinstance(child, torch.nn.ModuleList):
            found |= {block: list(block.modules()) for block in child}
        else:
            found |= blocks(child)
    return found


def layers(part: torch.nn.Module) -> Groups:
    """The layers of *part*: modules with weights and no module with weights below them, and those
    that peft has put around another, which look at each other's weights."""
    found: Groups = {}
    for child in part.children():
        below = any(True for module in child.modules() if module is not child and _has_own(module))
        if hasattr(child, "base_layer") or (_has_own(child) and not below):
            found[child] = list(child.modules())
        else:
            found |= layers(child)
    return found


def _has_own(module: torch.nn.Module) -> bool:
    return any(True for _ in places([module]))

"""Places where the parts of a model rest, and their way to the device when their turn comes.

The offload levels are those of ``generation/diffusion/memory.py``. All of them compute on the same
device with the same operations, so all of them make the same pixels.
"""

from __future__ import annotations

import contextlib
import gc
import logging
from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from accelerate import cpu_offload
from accelerate.hooks import remove_hook_from_submodules
from diffusers.hooks import HookRegistry, apply_group_offloading

from generation.diffusion.device import Device, is_out_of_memory
from generation.diffusion.memory import OFFLOAD_LEVELS, OffloadLevel
from generation.diffusion.tensors import stored_bytes

#: "text" encodes prompts, "denoiser" is a transformer or a ControlNet, "vae" is small and
#: stays on the device on every level.
Role = Literal["text", "denoiser", "vae"]

GROUP_HOOKS = ("group_offloading", "lazy_prefetch_group_offloading", "layer_execution_tracker")

log = logging.getLogger(__name__)


class Offloading:
    """Holds parts on one offload level, and takes them down to the next.

    Args:
        device: Where all parts compute.
        level: Where to begin.
    """

    def __init__(self, device: Device, level: OffloadLevel = "resident") -> None:
        self.device = device
        self.level: OffloadLevel = level
        self._parts: dict[torch.nn.Module, Role] = {}

    @property
    def resting_bytes(self) -> int:
        """Bytes of the parts that rest on the device now."""
        return stored_bytes(
            part for part, role in self._parts.items() if self.stays_on_device(role)
        )

    def register(self, part: torch.nn.Module, role: Role) -> None:
        """Put *part* to where it rests.

        Raises:
            torch.OutOfMemoryError: It does not fit there. It is registered all the same, for
                `step_down` to find a place for it.
        """
        self._parts[part] = role
        self._put_to_rest(part, role)

    def register_all(self, parts: Mapping[torch.nn.Module, Role]) -> None:
        """Put all *parts* to where they rest.

        Raises:
            torch.OutOfMemoryError: They do not all fit there. All are registered all the same.
        """
        failed: RuntimeError | None = None
        for part, role in parts.items():
            try:
                self.register(part, role)
            except RuntimeError as error:
                failed = error
        if failed is not None:
            raise failed

    def unregister(self, part: torch.nn.Module) -> None:
        """Forget *part*, which nobody uses any more."""
        self._parts.pop(part, None)

    @contextlib.contextmanager
    def onloaded(self, *parts: torch.nn.Module) -> Iterator[None]:
        """Have *parts* ready to compute inside the block, as on most levels they are anyway."""
        guests = [
            part
            for part in parts
            if self.level == "model-offload" and not self.stays_on_device(self._parts[part])
        ]
        try:
            for part in guests:
                self.device.to_device(part)
            yield
        finally:
            for part in guests:
                part.to("cpu")
            if guests:
                self.device.free_unused()

    @contextlib.contextmanager
    def unhooked(self, *parts: torch.nn.Module) -> Iterator[None]:
        """Take the hooks off that move *parts*, so that their modules can be changed in the block.

        diffusers would otherwise lay hooks of its own, over the whole pipeline.
        """
        hooked = {part for part in parts if remove_hooks(part)}
        try:
            yield
        finally:
            for part in parts:
                role = self._parts[part]
                if part in hooked or self.stays_on_device(role):
                    self._put_to_rest(part, role)

    def step_down(self) -> bool:
        """Go one level down, with all parts. False where there is none, or no use for it."""
        if not self.device.has_own_memory or self.level == OFFLOAD_LEVELS[-1]:
            return False
        while self.level != OFFLOAD_LEVELS[-1]:
            self.level = OFFLOAD_LEVELS[OFFLOAD_LEVELS.index(self.level) + 1]
            for part, role in self._parts.items():
                remove_hooks(part)
                if role != "vae":
                    part.to("cpu")
            gc.collect()
            self.device.free_unused()
            try:
                for part, role in self._parts.items():
                    self._put_to_rest(part, role)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                continue  # not even at rest do they fit
            return True
        return False

    def stays_on_device(self, role: Role) -> bool:
        """Whether parts of *role* rest on the device, on the level that there is now."""
        if role == "vae" or self.level == "resident" or not self.device.has_own_memory:
            return True
        return role == "denoiser" and self.level == "text-offload"

    def _put_to_rest(self, part: torch.nn.Module, role: Role) -> None:
        if self.stays_on_device(role):
            self.device.to_device(part)
        elif self.level == "model-offload":
            part.to("cpu")
        elif self.level == "sequential-offload":
            cpu_offload(part, self.device.torch_device, offload_buffers=True)
        else:
            is_denoiser = role == "denoiser"
            has_streams = self.device.torch_device.type == "cuda"
            apply_group_offloading(
                part,
                onload_device=self.device.torch_device,
                offload_device=torch.device("cpu"),
                offload_type="block_level" if is_denoiser else "leaf_level",
                num_blocks_per_group=1 if is_denoiser else None,
                use_stream=has_streams,
                # Pinning all of a model at once would take its size in main memory again.
                low_cpu_mem_usage=has_streams,
            )


def remove_hooks(part: torch.nn.Module) -> bool:
    """Take the hooks out that move *part*; its weights are then where it rested."""
    registries = [
        module._diffusers_hook for module in part.modules() if hasattr(module, "_diffusers_hook")
    ]
    has_group_hooks = any(
        isinstance(registry, HookRegistry) and registry.get_hook(name) is not None
        for registry in registries
        for name in GROUP_HOOKS
    )
    if has_group_hooks:
        registry = HookRegistry.check_if_exists_or_initialize(part)
        for name in GROUP_HOOKS:
            registry.remove_hook(name, recurse=True)
    has_hooks = any(hasattr(module, "_hf_hook") for module in part.modules())
    if has_hooks:
        remove_hook_from_submodules(part)
    return has_group_hooks or has_hooks

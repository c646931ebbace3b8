"""LoRAs over the weights of a model: several in memory, and any of them active."""

from __future__ import annotations

import logging
import re
import warnings
from collections import OrderedDict
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer

from generation.diffusion import lora_files
from generation.diffusion.family import Open
from generation.diffusion.lora_files import Change, LoraFile
from generation.diffusion.lora_layout import Names, the_file
from generation.diffusion.offloading import Offloading
from generation.errors import ModelUnavailable

log = logging.getLogger(__name__)


class Loras:
    """LoRAs of one model, whose pipelines share its parts.

    Args:
        parts: Parts that a LoRA may change, by the pipeline's names.
        known: The names that their layers go by.
        offloading: Where the parts rest.
        most: LoRAs kept in memory, at least 1; the one used longest ago goes first. A picture
            that takes more of them has all of its own.

    Attributes:
        adapters: PEFT's names of the LoRAs in memory, by ours; the one used longest ago
            stands first.
    """

    def __init__(
        self,
        parts: Mapping[str, torch.nn.Module],
        known: Names,
        offloading: Offloading,
        *,
        most: int,
    ) -> None:
        self.adapters: OrderedDict[str, str] = OrderedDict()
        self._parts = dict(parts)
        self._known = known
        self._sizes = layer_sizes(parts)
        self._offloading = offloading
        self._most = most
        self._loaded_so_far = 0
        self._changing_text: set[str] = set()

    def changes_text(self, name: str) -> bool:
        """Whether the LoRA *name*, once loaded, changes a text encoder."""
        return name in self._changing_text

    def use(self, scales: Mapping[str, float], open: Open) -> None:
        """Make the LoRAs that *scales* names the active ones, each with its weight.

        Raises:
            ModelUnavailable: One cannot be had, or not all of it has a place in this model.
        """
        for name in scales:
            if name not in self.adapters:
                self._load(name, scales, open)
        for name in scales:
            self.adapters.move_to_end(name)
        chosen = {self.adapters[name]: scale for name, scale in scales.items()}
        for part in self._parts:
            self._switch(part, chosen)

    def read(self, found: Path, *, is_control: bool = False) -> LoraFile:
        """The LoRA in *found*, a file or a folder with one; it is laid over nothing yet.

        Raises:
            ModelUnavailable: Not all of it has a place in this model.
        """
        file = the_file(found)
        return lora_files.read(file, self._known, self._sizes, is_control=is_control)

    def _load(self, name: str, wanted: Container[str], open: Open) -> None:
        """Lay the LoRA *name* over the parts, in the place of none that is *wanted*. Where it
        cannot be had, nothing is changed."""
        try:
            lora = open(name, "lora", self.read)
        except ModelUnavailable as error:
            # Whoever asked is told too, but cannot mend it.
            log.warning("nothing is drawn with the LoRA %s: %s", name, error)
            raise
        with self._offloading.unhooked(*self._changed_by_loading):
            others = [each for each in self.adapters if each not in wanted]
            for oldest in others[: max(len(self.adapters) + 1 - self._most, 0)]:
                self._remove(self.adapters.pop(oldest))
            self._loaded_so_far += 1
            adapter = f"lora_{self._loaded_so_far}"
            try:
                for part, changes in lora.parts.items():
                    self._keep(part, changes, adapter)
            except BaseException:
                self._remove(adapter)
                raise
        self.adapters[name] = adapter
        if any(lora.text_encoders.values()):
            self._changing_text.add(name)

    @property
    def _changed_by_loading(self) -> tuple[torch.nn.Module, ...]:
        """Parts whose layers are others once a LoRA is in memory."""
        return tuple(self._parts.values())

    def _keep(self, part: str, changes: Mapping[str, Change], adapter: str) -> None:
        """Keep *changes* of *part* in memory as *adapter*, from which they can be switched on."""
        lay(self._parts[part], changes, adapter)

    def _switch(self, part: str, chosen: Mapping[str, float]) -> None:
        """Have *part* draw with the adapters *chosen*, each with its weight."""
        for _, layer in layers_of(self._parts[part]):
            layer.enable_adapters(bool(chosen))
            if not chosen:
                continue
            own = [adapter for adapter in chosen if adapter in layer.lora_A]
            layer.set_adapter(own, inference_mode=True)
            for adapter in own:
                layer.set_scale(adapter, chosen[adapter])

    def _remove(self, adapter: str) -> None:
        for part in self._parts.values():
            take_off(part, adapter)


def layer_sizes(
    parts: Mapping[str, torch.nn.Module],
) -> dict[str, dict[str, tuple[int, int]]]:
    """Outputs and inputs of the linear layers of *parts*, by part and name."""
    return {
        name: {
            layer: (module.out_features, module.in_features)
            for layer, module in part.named_modules()
            if isinstance(module, torch.nn.Linear)
        }
        for name, part in parts.items()
    }


def layers_of(part: torch.nn.Module) -> Iterator[tuple[str, LoraLayer]]:
    """Layers of *part* that LoRAs lie over, by name."""
    return (
        (name, module) for name, module in part.named_modules() if isinstance(module, LoraLayer)
    )


def lay(part: torch.nn.Module, changes: Mapping[str, Change], adapter: str) -> None:
    """Lay *changes* over *part*, as PEFT's adapter *adapter*, with the weight 1."""
    if not changes:
        return
    by_rank: dict[int, list[str]] = {}
    for name, change in changes.items():
        by_rank.setdefault(change.rank, []).append(re.escape(name))
    # One pattern for each rank, and each whole: PEFT would take "proj_out" for that of any block.
    patterns = {f"^(?:{'|'.join(names)})": rank for rank, names in by_rank.items()}
    config = LoraConfig(
        r=max(by_rank),
        lora_alpha=max(by_rank),
        rank_pattern=patterns,
        alpha_pattern=patterns,
        target_modules="|".join(name for names in by_rank.values() for name in names),
        lora_bias=any(change.bias is not None for change in changes.values()),
    )
    with warnings.catch_warnings():
        # Several LoRAs in one model are meant; which of them is active is said at each use.
        warnings.filterwarnings("ignore", "Already found a `peft_config`", UserWarning)
        inject_adapter_in_model(config, part, adapter)
    layers = dict(layers_of(part))
    with torch.no_grad():
        for name, change in changes.items():
            layer = layers[name]
            layer.lora_A[adapter].weight.copy_(change.down)
            layer.lora_B[adapter].weight.copy_(change.scaled_up)
            if layer.lora_B[adapter].bias is not None:
                bias = change.scaled_bias
                layer.lora_B[adapter].bias.copy_(torch.zeros(()) if bias is None else bias)
    part.requires_grad_(False)


def take_off(part: torch.nn.Module, adapter: str) -> None:
    """Take *adapter* off *part*; a layer that no other lies over is as it was before."""
    for name, layer in list(layers_of(part)):
        if adapter in layer.lora_A:
            layer.set_adapter([], inference_mode=True)
            layer.delete_adapter(adapter)
        if not layer.lora_A:
            parent, _, own = name.rpartition(".")
            setattr(part.get_submodule(parent), own, layer.get_base_layer())
    configs: Any = getattr(part, "peft_config", {})
    configs.pop(adapter, None)

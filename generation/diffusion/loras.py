"""LoRAs over the weights of a model: several in memory, at most one of them active."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

from generation.diffusion.family import Open
from generation.diffusion.offloading import Offloading
from generation.errors import ModelUnavailable


class Loras:
    """LoRAs of one pipeline, and of all that share its parts.

    Args:
        pipe: A pipeline of diffusers that loads LoRAs.
        parts: Parts of it that a LoRA may change.
        offloading: Where the parts rest.
        most: LoRAs kept in memory, at least 1; the one used longest ago goes first.

    Attributes:
        adapters: diffusers' names of the LoRAs in memory, by ours; the one used longest ago
            stands first.
    """

    def __init__(
        self, pipe: Any, parts: tuple[torch.nn.Module, ...], offloading: Offloading, *, most: int
    ) -> None:
        self.adapters: OrderedDict[str, str] = OrderedDict()
        self._pipe = pipe
        self._parts = parts
        self._offloading = offloading
        self._most = most
        self._loaded_so_far = 0
        self._changing_text: set[str] = set()

    def changes_text(self, name: str | None) -> bool:
        """Whether the LoRA *name*, once loaded, changes a text encoder."""
        return name in self._changing_text

    def use(self, name: str | None, scale: float, open: Open) -> None:
        """Make the LoRA *name* the active one, with the weight *scale*; None means none."""
        if name is None:
            if self.adapters:
                self._pipe.disable_lora()
            return
        if name not in self.adapters:
            self._load(name, open)
        self.adapters.move_to_end(name)
        self._pipe.enable_lora()
        self._pipe.set_adapters([self.adapters[name]], [scale])

    def _load(self, name: str, open: Open) -> None:
        while len(self.adapters) >= self._most:
            _, oldest = self.adapters.popitem(last=False)
            with self._offloading.unhooked(*self._parts):
                self._pipe.delete_adapters(oldest)
        self._loaded_so_far += 1
        adapter = f"lora_{self._loaded_so_far}"

        def load(found: Path) -> None:
            with self._offloading.unhooked(*self._parts):
                load_lora(self._pipe, found, adapter)

        open(name, "lora", load)
        self.adapters[name] = adapter
        if "text_encoder" in self._pipe.get_list_adapters():
            self._changing_text.add(name)


def load_lora(pipe: Any, found: Path, adapter: str) -> None:
    """Load the LoRA in *found*, a file or a folder with one, into *pipe* as *adapter*.

    Raises:
        ModelUnavailable: There is none in safetensors format, or more than one.
    """
    files = [found] if found.is_file() else sorted(found.glob("*.safetensors"))
    if len(files) != 1:
        raise ModelUnavailable(
            f"there are {len(files)} LoRAs in {found}: name one as owner/name/file.safetensors"
            if files
            else f"there is no LoRA in {found}: only safetensors files are read"
        )
    with warnings.catch_warnings():
        # Several LoRAs in one model are meant; which of them is active is said at each use.
        warnings.filterwarnings("ignore", "Already found a `peft_config`", UserWarning)
        # Nothing is ever merged into quantized weights.
        warnings.filterwarnings("ignore", "TorchaoLoraLinear was instantiated", UserWarning)
        pipe.load_lora_weights(
            files[0].parent,
            weight_name=files[0].name,
            adapter_name=adapter,
            use_safetensors=True,
            local_files_only=True,
        )

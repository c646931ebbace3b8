"""LoRAs of a compiled transformer: copied into layers that are always there.

A layer that comes or goes, or has another rank, would need new graphs. So there is a slot: small
matrices over every linear layer, laid before anything is compiled, which take any LoRA of their
rank or less, at any scale, and several side by side, as many as their ranks together allow: the
sum of their changes is one change, whose matrices are theirs one beside the other. LoRAs
themselves wait in main memory, and cost the device nothing.

diffusers' own hot swap scales by the first LoRA's alpha, refuses layers that it lacked, and then
forgets the slot.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from generation.diffusion.compiling import Compiling, freeze
from generation.diffusion.family import LoadOptions, Open
from generation.diffusion.lora_files import Change
from generation.diffusion.lora_layout import Names, highest_rank, read_head, the_file
from generation.diffusion.loras import Loras, layer_sizes, layers_of, take_off
from generation.diffusion.loras import lay as lay_over
from generation.diffusion.offloading import Offloading
from generation.diffusion.tensors import plain_tensors
from generation.errors import ModelUnavailable

#: PEFT's name of the slot.
SLOT = "slot"
#: The part that has one, by the pipeline's name.
SLOTTED = "transformer"
#: The name of no LoRA: the slot is drawn with, and empty.
REHEARSAL = "rehearsal of a LoRA"

#: Ranks are multiples of so many, which cards multiply at full speed.
MULTIPLE = 8
#: The rank where LoRAs are wanted, and not here yet: for FLUX.1-dev 0.35 GB in 16 bits (computed),
#: and what most trainers take at most.
USUAL_RANK = 32
#: The rank up to which there is room for several at once from the start; beyond it, blocks are
#: compiled anew when they are first asked for. For FLUX.1-dev 0.7 GB in 16 bits (computed).
RANK_FOR_SEVERAL = 64

log = logging.getLogger(__name__)


class SlottedLoras(Loras):
    """LoRAs of one model whose transformer is compiled.

    Args:
        compiling: Compiled code of the transformer.
        rank: The largest rank that the slot takes at first; 0 lays none before one is needed.

    See `Loras` for the others. To be made before the transformer is compiled.
    """

    def __init__(
        self,
        parts: Mapping[str, torch.nn.Module],
        known: Names,
        offloading: Offloading,
        compiling: Compiling,
        *,
        most: int,
        rank: int,
    ) -> None:
        super().__init__(parts, known, offloading, most=most)
        self.rank = 0
        self._part = parts[SLOTTED]
        # PEFT lays none over layers of fewer bits.
        self._takes_bias = all(map(_is_plain, self._part.parameters()))
        self._compiling = compiling
        self._layers: dict[str, Any] = {}
        self._changes: dict[str, Mapping[str, Change]] = {}
        #: The adapters in the slot, and their scales.
        self._content: dict[str, float] | None = None
        if rank:
            self._lay(rank)

    def use(self, scales: Mapping[str, float], open: Open) -> None:
        """As `Loras` does; `REHEARSAL` draws with a slot that adds nothing."""
        if REHEARSAL not in scales:
            super().use(scales, open)
            return
        self._fill({})
        self._enable(True)

    @property
    def _changed_by_loading(self) -> tuple[torch.nn.Module, ...]:
        return tuple(part for name, part in self._parts.items() if name != SLOTTED)

    def _keep(self, part: str, changes: Mapping[str, Change], adapter: str) -> None:
        if part != SLOTTED:
            super()._keep(part, changes, adapter)
            return
        if not self._takes_bias and any(each.bias is not None for each in changes.values()):
            raise ModelUnavailable(
                "this LoRA has biases, which layers of fewer bits do not take: choose another, or"
                ' set model.quantization to "none"'
            )
        self._changes[adapter] = changes

    def _switch(self, part: str, chosen: Mapping[str, float]) -> None:
        if part != SLOTTED:
            super()._switch(part, chosen)
            return
        # Those of text encoders alone have no part in it.
        content = {adapter: scale for adapter, scale in chosen.items() if self._changes[adapter]}
        if content and content != self._content:
            self._make_room(content)
            self._fill(content)
        self._enable(bool(content))

    def _make_room(self, adapters: Iterable[str]) -> None:
        """Have the slot take all of *adapters* at once."""
        ranks: Counter[str] = Counter()
        for adapter in adapters:
            ranks.update({name: change.rank for name, change in self._changes[adapter].items()})
        rank = max(ranks.values())
        if rank > self.rank:
            log.info("LoRAs of rank %d need more room: blocks are compiled anew", rank)
            with self._offloading.unhooked(self._part):
                self._lay(rank)
            self._compiling.cool()

    def _remove(self, adapter: str) -> None:
        self._changes.pop(adapter, None)
        for part in self._changed_by_loading:
            take_off(part, adapter)

    def _lay(self, rank: int) -> None:
        """Lay an empty slot for *rank* and less in place of the one that there is."""
        self.rank, self._content = 0, None
        take_off(self._part, SLOT)
        rank = MULTIPLE * -(-rank // MULTIPLE)
        zero = torch.zeros(())
        empty = {
            name: Change(
                zero.expand(rank, inputs),
                zero.expand(outputs, rank),
                1.0,
                zero.expand(outputs) if self._takes_bias else None,
            )
            for name, (outputs, inputs) in layer_sizes({SLOTTED: self._part})[SLOTTED].items()
        }
        lay_over(self._part, empty, SLOT)
        self._layers = dict(layers_of(self._part))
        self.rank = rank
        self._enable(False)

    @torch.no_grad()
    def _fill(self, content: Mapping[str, float]) -> None:
        """Have the slot hold the adapters of *content*, each times its scale, wherever it rests
        now."""
        self._content = None
        for name, layer in self._layers.items():
            down, up = layer.lora_A[SLOT].weight, layer.lora_B[SLOT].weight
            bias = layer.lora_B[SLOT].bias
            up.zero_()
            if bias is not None:
                bias.zero_()
            start = 0
            for adapter, scale in content.items():
                if (change := self._changes[adapter].get(name)) is None:
                    continue
                if not start:
                    down.zero_()
                factor, end = scale * change.factor, start + change.rank
                down[start:end].copy_(change.down)
                up[:, start:end].copy_(change.up.float() * factor)
                if change.bias is not None:
                    bias.add_((change.bias.float() * factor).to(bias.device))
                start = end
        self._content = dict(content)

    def _enable(self, is_on: bool) -> None:
        for layer in self._layers.values():
            if layer.disable_adapters == is_on:
                layer.enable_adapters(is_on)
        freeze(self._part)


def new_loras(parts: Mapping[str, torch.nn.Module], known: Names, options: LoadOptions) -> Loras:
    """LoRAs over *parts*, with a slot where the transformer is compiled. To be made before it is.

    Args:
        parts: Those that a LoRA may change, by the pipeline's names.
        known: The names that their layers go by.
    """
    if not options.compiling.is_wanted:
        return Loras(parts, known, options.offloading, most=options.max_loras)
    return SlottedLoras(
        parts,
        known,
        options.offloading,
        options.compiling,
        most=options.max_loras,
        rank=options.lora_rank,
    )


def _is_plain(weight: torch.Tensor) -> bool:
    """Whether *weight* is kept in the numbers that it is computed with."""
    tensors = list(plain_tensors(weight))
    return weight.dtype.is_floating_point and len(tensors) == 1 and tensors[0] is weight


def needed_rank(
    names: Iterable[str], find: Callable[[str], Path | None], *, is_several: bool = False
) -> int:
    """The rank of a slot for all LoRAs *names*; 0 without any.

    Args:
        find: The file or folder of a name; None where it is not here yet.
        is_several: Whether a picture may be drawn with several of them.
    """
    ranks = [_rank(name, find) for name in names]
    together = min(sum(ranks), RANK_FOR_SEVERAL) if is_several else 0
    return max([*ranks, together])


def _rank(name: str, find: Callable[[str], Path | None]) -> int:
    """The largest rank in the LoRA *name*. One that cannot be had is its own preset's trouble."""
    try:
        if (found := find(name)) is None:
            return USUAL_RANK
        shapes = read_head(the_file(found)).shapes
    except Exception as error:  # of any damage
        log.warning("no room is made for the LoRA %s: %s", name, error)
        return 0
    return highest_rank(shapes) or USUAL_RANK

"""Positions of tokens, computed once for each size.

diffusers makes sines and cosines of every token anew at each step, in float64.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch

#: Sizes that are kept for each part: those of a prompt and a negative one, of a whole picture and
#: of its tiles. FLUX.1's take 4.7 MB each at 1024 x 1024.
KEPT = 4

#: Ids of the picture's tokens and of the text's.
Ids = tuple[torch.Tensor, torch.Tensor]


class KeptPositions(torch.nn.Module):
    """The positions that *embed* makes of token ids, kept as long as a picture needs them.

    A picture's ids are the same tensors at each step, by which positions are found again without
    asking the device what stands in them.

    Args:
        embed: Sines and cosines of ids; diffusers' ``FluxPosEmbed``.
    """

    def __init__(self, embed: torch.nn.Module) -> None:
        super().__init__()
        self.embed = embed
        self._kept: OrderedDict[tuple[int, int], tuple[Ids, Any]] = OrderedDict()
        self._ids: Ids | None = None

    def take(self, part: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        """Learn the ids that *part* is called with; a hook that runs before it."""
        image, text = kwargs.get("img_ids"), kwargs.get("txt_ids")
        self._ids = None if image is None or text is None else (image, text)

    def forward(self, ids: torch.Tensor) -> Any:
        """As *embed* does."""
        named, self._ids = self._ids, None
        if named is None:
            return self.embed(ids)
        key = (id(named[0]), id(named[1]))
        if key not in self._kept:
            # With the tensors, so that nothing else can get their ids.
            self._kept[key] = (named, self.embed(ids))
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key][1]


def keep_positions(part: Any) -> None:
    """Have *part*, a transformer or a ControlNet of FLUX.1, compute positions once for each size.
    To be called before hooks are laid."""
    part.pos_embed = kept = KeptPositions(part.pos_embed)
    part.register_forward_pre_hook(kept.take, with_kwargs=True)

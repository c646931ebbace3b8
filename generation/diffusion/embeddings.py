"""Embeddings of prompts, and a cache of them.

The text encoders are a third of FLUX.1-dev's weights and work once for each prompt. With a
cache, further pictures of the same words never wait for them, nor for their way to a device
that they do not rest on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

#: Bytes of embeddings that are kept in main memory: FLUX.1-dev's take 4.2 MB a prompt.
CACHE_BYTES = 256_000_000


@dataclass(frozen=True, slots=True)
class Embeddings:
    """A prompt in the form that the transformer reads.

    Attributes:
        tensors: By the pipeline's argument names, such as ``prompt_embeds``.
    """

    tensors: Mapping[str, torch.Tensor]

    def to(self, device: torch.device) -> Embeddings:
        return Embeddings({name: tensor.to(device) for name, tensor in self.tensors.items()})

    @property
    def as_negative(self) -> dict[str, torch.Tensor]:
        """Its tensors by the pipeline's names for those of a negative prompt."""
        return {f"negative_{name}": tensor for name, tensor in self.tensors.items()}

    @property
    def bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors.values())


class PromptEncoder:
    """Encodes prompts, and remembers.

    Args:
        encode: Makes the embeddings of a prompt, with text encoders that are on the device.
        device: Where the embeddings are used.
        max_bytes: Bytes of embeddings that are kept; those used longest ago go first.
    """

    def __init__(
        self,
        encode: Callable[[str], Embeddings],
        device: torch.device,
        max_bytes: int = CACHE_BYTES,
    ) -> None:
        self._encode = encode
        self._device = device
        self._max_bytes = max_bytes
        self._known: OrderedDict[tuple[str, str], Embeddings] = OrderedDict()

    def encode(
        self, prompt: str, variant: str, encoders_onloaded: AbstractContextManager[None]
    ) -> Embeddings:
        """Embeddings of *prompt* on the device, from the cache where they are known.

        Args:
            variant: Names what else changes them, such as a LoRA of the text encoder.
            encoders_onloaded: Entered only to encode a prompt that is not known yet.
        """
        key = (variant, prompt)
        if key not in self._known:
            with encoders_onloaded:
                self._keep(key, self._encode(prompt))
        self._known.move_to_end(key)
        return self._known[key].to(self._device)

    def forget(self) -> None:
        """Empty the cache."""
        self._known.clear()

    @property
    def kept_bytes(self) -> int:
        """Bytes of all embeddings in the cache."""
        return sum(each.bytes for each in self._known.values())

    def _keep(self, key: tuple[str, str], embeddings: Embeddings) -> None:
        self._known[key] = embeddings.to(torch.device("cpu"))
        while self.kept_bytes > self._max_bytes and len(self._known) > 1:
            self._known.popitem(last=False)

"""Prompts to embeddings, and a cache of them.

The text encoders are a third of FLUX.1-dev's weights and work once for each prompt. With a
cache, further pictures of the same words never wait for them, nor for their way to a device
that they do not rest on.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from diffusers import FluxPipeline

#: Bytes of embeddings that are kept in main memory: FLUX.1-dev's take 4.2 MB a prompt.
CACHE_BYTES = 256_000_000


@dataclass(frozen=True, slots=True)
class Embeddings:
    """What the transformer is told of a prompt.

    Attributes:
        prompt: T5's, (1, tokens, joint_attention_dim).
        pooled: CLIP's, (1, pooled_projection_dim).
    """

    prompt: torch.Tensor
    pooled: torch.Tensor

    def to(self, device: torch.device) -> Embeddings:
        return Embeddings(self.prompt.to(device), self.pooled.to(device))

    @property
    def bytes(self) -> int:
        return self.prompt.nbytes + self.pooled.nbytes


class PromptEncoder:
    """Encodes prompts on *device*, and remembers.

    Args:
        pipe: Any FLUX pipeline; its text encoders must be able to compute when called.
        max_sequence_length: Tokens of T5, 1 to 512; what is longer is cut off.
        max_bytes: Of embeddings that are kept; those used longest ago go first.
    """

    def __init__(
        self,
        pipe: FluxPipeline,
        device: torch.device,
        max_sequence_length: int,
        max_bytes: int = CACHE_BYTES,
    ) -> None:
        self._pipe = pipe
        self._device = device
        self._max_sequence_length = max_sequence_length
        self._max_bytes = max_bytes
        self._known: OrderedDict[tuple[str, str], Embeddings] = OrderedDict()

    def encode(
        self, prompt: str, variant: str, encoders_onloaded: AbstractContextManager[None]
    ) -> Embeddings:
        """The embeddings of *prompt* on the device.

        Args:
            variant: Names what else changes them, such as a LoRA of the text encoder.
            encoders_onloaded: Entered for prompts alone that are not known yet.
        """
        key = (variant, prompt)
        if key not in self._known:
            with encoders_onloaded:
                self._keep(key, self._encoded(prompt))
        self._known.move_to_end(key)
        return self._known[key].to(self._device)

    def forget(self) -> None:
        """Empty the cache."""
        self._known.clear()

    @property
    def kept_bytes(self) -> int:
        return sum(each.bytes for each in self._known.values())

    def _encoded(self, prompt: str) -> Embeddings:
        embeddings, pooled, _ = self._pipe.encode_prompt(
            prompt=prompt,
            prompt_2=None,
            device=self._device,
            max_sequence_length=self._max_sequence_length,
        )
        return Embeddings(embeddings, pooled)

    def _keep(self, key: tuple[str, str], embeddings: Embeddings) -> None:
        self._known[key] = embeddings.to(torch.device("cpu"))
        while self.kept_bytes > self._max_bytes and len(self._known) > 1:
            self._known.popitem(last=False)

"""Qwen3 as FLUX.2-klein reads it: the states behind three of its layers, side by side.

What comes after the last of them, a quarter of the layers and the head that would choose words,
is never computed, and neither loaded nor given room.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase, Qwen3Config, Qwen3Model

#: Numbers of the layers, from 1, as diffusers' Flux2KleinPipeline has them.
LAYERS = (9, 18, 27)

#: The table of words, which is no linear layer, by its name in the files.
KEPT = ("model.embed_tokens",)

#: Layers by their number, from 0, in the files.
_LAYER = re.compile(r"model\.layers\.(\d+)\.")


def load(folder: Path, dtype: torch.dtype) -> Qwen3Model:
    """The text encoder in *folder*, up to the last of `LAYERS`, in main memory."""
    config = Qwen3Config.from_pretrained(folder, local_files_only=True)
    config.num_hidden_layers = LAYERS[-1]
    config.layer_types = config.layer_types[: LAYERS[-1]]
    encoder: Qwen3Model = Qwen3Model.from_pretrained(
        folder, config=config, dtype=dtype, use_safetensors=True, local_files_only=True
    )
    # The states are read as they leave their layer; Qwen3 would norm those of its last one.
    encoder.norm = torch.nn.Identity()
    return encoder.eval()


def is_read(name: str) -> bool:
    """Whether the tensor *name* of the files is loaded."""
    layer = _LAYER.match(name)
    return name.startswith(KEPT) if layer is None else int(layer[1]) < LAYERS[-1]


def encode(
    encoder: Qwen3Model,
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    max_sequence_length: int,
    device: torch.device,
) -> torch.Tensor:
    """Embeddings of *prompt*, (1, max_sequence_length, 3 * width), as diffusers'
    `Flux2KleinPipeline` makes them: of a message to an assistant that is not to think.

    Args:
        device: Where *encoder* computes, wherever its weights rest.
    """
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}],
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=False,
    )
    tokens = tokenizer(
        text,
        return_tensors="pt",
        padding="max_length",
        truncation=True,
        max_length=max_sequence_length,
    )
    states = encoder(
        input_ids=tokens["input_ids"].to(device),
        attention_mask=tokens["attention_mask"].to(device),
        output_hidden_states=True,
        use_cache=False,
    ).hidden_states
    return torch.cat([states[number] for number in LAYERS], dim=-1)

"""A pipeline of FLUX.2-klein's classes with random weights and next to no width.

It draws noise, in milliseconds, through exactly the code paths that draw with FLUX.2-klein-4B.

    python -m generation.demo.tiny_flux2 FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
)
from tokenizers import AddedToken, pre_tokenizers
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3ForCausalLM

#: As in FLUX.2: a token of the picture holds 2 x 2 of these.
LATENT_CHANNELS = 32
TEXT_WIDTH = 16
#: Two more than are read, like the genuine one, of whose 36 layers 27 are.
TEXT_LAYERS = 29

ENDS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
THOUGHTS = ("<think>", "</think>")

#: What Qwen3's own template makes of one message by a person, where it is not to think.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}"
    "{{- '<|im_start|>assistant\\n' -}}"
    "{%- if enable_thinking is defined and enable_thinking is false -%}"
    "{{- '<think>\\n\\n</think>\\n\\n' -}}"
    "{%- endif -%}"
    "{%- endif -%}"
)


def tokenizer() -> Qwen2Tokenizer:
    """A byte-level tokenizer that has learned no word, with a template for chats."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = Qwen2Tokenizer(
        vocab={token: number for number, token in enumerate(alphabet)},
        merges=[],
        eos_token=ENDS[2],
        pad_token=ENDS[0],
        model_max_length=131072,
    )
    tokens.add_special_tokens({"additional_special_tokens": [ENDS[1]]})
    tokens.add_tokens([AddedToken(token, normalized=False) for token in THOUGHTS])
    tokens.chat_template = CHAT_TEMPLATE
    return tokens


def pipeline() -> Flux2KleinPipeline:
    """A whole pipeline with the weights that torch's random state makes."""
    words = tokenizer()
    text_encoder = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(words),
            hidden_size=TEXT_WIDTH,
            intermediate_size=2 * TEXT_WIDTH,
            num_hidden_layers=TEXT_LAYERS,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=8,
            tie_word_embeddings=True,
        )
    )
    transformer = Flux2Transformer2DModel(
        in_channels=4 * LATENT_CHANNELS,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=3 * TEXT_WIDTH,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=1,
        sample_size=1024,
        mid_block_add_attention=False,
    )
    # Of a trained one they are the statistics of its latents.
    vae.bn.running_mean.normal_(std=0.5)
    vae.bn.running_var.uniform_(0.5, 2)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    return Flux2KleinPipeline(
        scheduler=scheduler,
        vae=vae.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=words,
        transformer=transformer.eval(),
        is_distilled=True,
    )


def build(folder: Path, seed: int = 0) -> None:
    """Write a random pipeline to *folder*, in diffusers' own on-disk format, float32.

    The same seed gives the same weights; the process's random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = pipeline()
    made.save_pretrained(folder)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    build(Path(sys.argv[1]))

"""FLUX.1-dev and a ControlNet at full size with random weights, since neither time nor memory
depends on their values: no download, no token, no licence."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, FluxControlNetModel, FluxPipeline, FluxTransformer2DModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from generation.demo import architecture
from generation.demo.tokenization import clip_tokenizer, t5_tokenizer
from generation.demo.vocabulary import TOKENIZED_WORDS

#: Double blocks of Shakker Labs' Union-Pro-2.0.
UNION_BLOCKS = 6


def build(folder: Path, device: str) -> None:
    """Write FLUX.1-dev's shapes with random bfloat16 weights to *folder*: ``flux``,
    ``controlnet`` and ``lora``. They are made on *device*, which takes less than a second on a GPU
    and minutes on a CPU."""
    words = list(TOKENIZED_WORDS)
    clip_words, t5_words = clip_tokenizer(words), t5_tokenizer(words)
    clip = CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_attention_heads=12, num_hidden_layers=12,
        projection_dim=768, vocab_size=49408, bos_token_id=clip_words.bos_token_id,
        eos_token_id=clip_words.eos_token_id, pad_token_id=clip_words.pad_token_id,
    )  # fmt: skip
    t5 = T5Config(
        d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64, vocab_size=32128,
        feed_forward_proj="gated-gelu", is_encoder_decoder=False, tie_word_embeddings=False,
    )  # fmt: skip
    vae = {
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "latent_channels": 16,
        "layers_per_block": 2,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
        "scaling_factor": 0.3611,
        "shift_factor": 0.1159,
        # As FLUX.1's own says: by itself it would tile nothing up to there.
        "sample_size": 1024,
    }
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            parts = {
                "vae": AutoencoderKL(**vae),
                "text_encoder": CLIPTextModel(clip),
                "text_encoder_2": T5EncoderModel(t5),
                "transformer": FluxTransformer2DModel(guidance_embeds=True),
            }
            net = FluxControlNetModel(
                guidance_embeds=True, num_layers=UNION_BLOCKS, num_single_layers=0
            )
            # A new one's outputs are zero, and cost nothing to add.
            for layer in (net.controlnet_x_embedder, *net.controlnet_blocks):
                torch.nn.init.normal_(layer.weight, std=0.01)
        pipe = FluxPipeline(
            scheduler=architecture.scheduler(),
            tokenizer=clip_words,
            tokenizer_2=t5_words,
            **parts,
        )
        pipe.save_pretrained(folder / "flux")
        net.save_pretrained(folder / "controlnet")
    finally:
        torch.set_default_dtype(before)
    write_lora(parts["transformer"], folder / "lora")


def write_lora(transformer: FluxTransformer2DModel, folder: Path, rank: int = 16) -> None:
    """Write a random LoRA of the attention of *transformer*'s blocks to *folder*, as diffusers
    names its layers."""
    tensors = {}
    for name, layer in transformer.named_modules():
        if name.rpartition(".")[2] in ("to_q", "to_k", "to_v"):
            rows, columns = layer.weight.shape
            tensors[f"transformer.{name}.lora_A.weight"] = 0.01 * torch.randn(rank, columns)
            tensors[f"transformer.{name}.lora_B.weight"] = 0.01 * torch.randn(rows, rank)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "lora.safetensors")

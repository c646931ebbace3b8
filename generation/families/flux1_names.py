"""Names that FLUX.1's layers go by, in the files of those who train them, and in diffusers.

In a single-stream block BFL has one matrix for queries, keys, values and the MLP, which are four
in diffusers. The tables follow its ``convert_flux_transformer_checkpoint_to_diffusers``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from generation.diffusion.lora_layout import Place, Rows
from generation.diffusion.lora_names import (
    OTHERS,
    QKV,
    Table,
    TransformerNames,
    swapped,
    told_by,
    whole,
)


def of_linear1(number: int) -> Rows:
    """A part of a single-stream block's first layer: queries, keys and values, as wide as what
    goes in, or with 3 all the rest, which is the MLP."""

    def rows_of(rows: int, columns: int) -> tuple[slice, ...]:
        return (slice(columns * number, rows if number == 3 else columns * (number + 1)),)

    return rows_of


#: What BFL fuses in it.
LINEAR1 = tuple(of_linear1(number) for number in range(4))

#: Layers of a double-stream block: BFL's name, diffusers' names, and how the rows are cut.
DOUBLE: Table = (
    ("img_attn.qkv", ("attn.to_q", "attn.to_k", "attn.to_v"), QKV),
    ("img_attn.proj", ("attn.to_out.0",), (whole,)),
    ("txt_attn.qkv", ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"), QKV),
    ("txt_attn.proj", ("attn.to_add_out",), (whole,)),
    ("img_mlp.0", ("ff.net.0.proj",), (whole,)),
    ("img_mlp.2", ("ff.net.2",), (whole,)),
    ("txt_mlp.0", ("ff_context.net.0.proj",), (whole,)),
    ("txt_mlp.2", ("ff_context.net.2",), (whole,)),
    ("img_mod.lin", ("norm1.linear",), (whole,)),
    ("txt_mod.lin", ("norm1_context.linear",), (whole,)),
)

#: Those of a single-stream block.
SINGLE: Table = (
    ("linear1", ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"), LINEAR1),
    ("linear2", ("proj_out",), (whole,)),
    ("modulation.lin", ("norm.linear",), (whole,)),
)

#: Those outside of blocks.
OUTSIDE: Table = (
    ("img_in", ("x_embedder",), (whole,)),
    ("txt_in", ("context_embedder",), (whole,)),
    ("time_in.in_layer", ("time_text_embed.timestep_embedder.linear_1",), (whole,)),
    ("time_in.out_layer", ("time_text_embed.timestep_embedder.linear_2",), (whole,)),
    ("vector_in.in_layer", ("time_text_embed.text_embedder.linear_1",), (whole,)),
    ("vector_in.out_layer", ("time_text_embed.text_embedder.linear_2",), (whole,)),
    ("guidance_in.in_layer", ("time_text_embed.guidance_embedder.linear_1",), (whole,)),
    ("guidance_in.out_layer", ("time_text_embed.guidance_embedder.linear_2",), (whole,)),
    ("final_layer.linear", ("proj_out",), (whole,)),
    ("final_layer.adaLN_modulation.1", ("norm_out.linear",), (swapped,)),
)

#: XLabs' LoRAs hang on its attention processors, of double- and single-stream blocks.
XLABS_DOUBLE: Table = (
    ("processor.qkv_lora1", ("attn.to_q", "attn.to_k", "attn.to_v"), QKV),
    ("processor.proj_lora1", ("attn.to_out.0",), (whole,)),
    ("processor.qkv_lora2", ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"), QKV),
    ("processor.proj_lora2", ("attn.to_add_out",), (whole,)),
)
XLABS_SINGLE: Table = (
    ("processor.qkv_lora", ("attn.to_q", "attn.to_k", "attn.to_v"), QKV),
    ("processor.proj_lora", ("proj_out",), (whole,)),
)

#: Norms, whose weights a Control LoRA replaces: BFL's name and diffusers', of both kinds of block.
NORMS = {
    "img_attn.norm.query_norm": "attn.norm_q",
    "img_attn.norm.key_norm": "attn.norm_k",
    "txt_attn.norm.query_norm": "attn.norm_added_q",
    "txt_attn.norm.key_norm": "attn.norm_added_k",
    "norm.query_norm": "attn.norm_q",
    "norm.key_norm": "attn.norm_k",
}

#: Layers of the text encoders, as transformers names them.
CLIP_LAYER = (
    *(f"self_attn.{name}_proj" for name in ("q", "k", "v", "out")),
    *(f"mlp.fc{number}" for number in (1, 2)),
)
T5_LAYER = (
    *(f"layer.0.SelfAttention.{name}" for name in ("q", "k", "v", "o")),
    *(f"layer.1.DenseReluDense.{name}" for name in ("wi_0", "wi_1", "wo")),
)

#: What trainers put before the names of layers, with dots.
DOTTED = re.compile(r"^(base_model\.model|(model\.)?diffusion_model|transformer)\.")
OF_CLIP = re.compile(
    r"(?:lora_te1?_|text_encoder_|text_encoders_clip_l_transformer_|clip_l_transformer_)"
    r"(?:text_model_)?(?=encoder_layers_)"
)
#: kohya calls T5 the third text encoder, as SD 3 has it, others the second.
OF_T5 = re.compile(
    r"(?:lora_te[23]_|text_encoder_2_|text_encoders_t5xxl_transformer_|t5xxl_transformer_)"
    r"(?=encoder_block_)"
)

#: Names that only layers of FLUX.2 have.
FLUX2 = re.compile(r"(double|single)_stream_modulation|to_qkv_mlp_proj|ff_context_linear_in")


def places(name: str) -> tuple[Place, ...]:
    """Where the matrix of the layer *name* belongs, as some trainer spells it; none if nowhere.

    Args:
        name: "transformer.transformer_blocks.0.attn.to_q", "lora_unet_single_blocks_3_linear1",
            "double_blocks.0.img_attn.qkv" and so on.
    """
    flat = name.replace(".", "_")
    for part, prefix, block, layers in (
        ("text_encoder", OF_CLIP, "encoder.layers", CLIP_LAYER),
        ("text_encoder_2", OF_T5, "encoder.block", T5_LAYER),
    ):
        if found := prefix.match(flat):
            return _in_text_encoder(flat[found.end() :], part, block, layers)
    return _NAMES.places(name)


def norm(name: str) -> str | None:
    """diffusers' name of the norm *name*; None where it is none."""
    name = DOTTED.sub("", name)
    if re.fullmatch(r"(single_)?transformer_blocks\.\d+\.attn\.norm_(added_)?[qk]", name):
        return name
    found = re.fullmatch(r"(double|single)_blocks\.(\d+)\.(.+)", name)
    if found is None or found[3] not in NORMS:
        return None
    block = "transformer_blocks" if found[1] == "double" else "single_transformer_blocks"
    return f"{block}.{found[2]}.{NORMS[found[3]]}"


def other_family(names: Iterable[str]) -> str | None:
    """The family, in words, that a layer of *names* belongs to; None where none tells."""
    return told_by(names, ((FLUX2, "FLUX.2"), *OTHERS))


def _in_text_encoder(
    flat: str, part: str, block: str, layers: tuple[str, ...]
) -> tuple[Place, ...]:
    """The layer of the text encoder *part*, with layers named so in each *block*."""
    found = re.fullmatch(rf"{block.replace('.', '_')}_(\d+)_(.+)", flat)
    if found is None:
        return ()
    return tuple(
        Place(part, f"{block}.{found[1]}.{layer}", whole)
        for layer in layers
        if layer.replace(".", "_") == found[2]
    )


_NAMES = TransformerNames.of(DOUBLE, SINGLE, OUTSIDE, XLABS_DOUBLE, XLABS_SINGLE)

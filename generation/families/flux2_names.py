"""Names that FLUX.2's layers go by, in the files of those who train them, and in diffusers.

The tables follow diffusers' ``convert_flux2_transformer_checkpoint_to_diffusers``. Text encoders
are not among them: nobody trains Qwen3 along.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from generation.diffusion.lora_layout import Place
from generation.diffusion.lora_names import (
    OTHERS,
    QKV,
    Table,
    TransformerNames,
    swapped,
    told_by,
    whole,
)

#: Layers of a double-stream block.
DOUBLE: Table = (
    ("img_attn.qkv", ("attn.to_q", "attn.to_k", "attn.to_v"), QKV),
    ("img_attn.proj", ("attn.to_out.0",), (whole,)),
    ("txt_attn.qkv", ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"), QKV),
    ("txt_attn.proj", ("attn.to_add_out",), (whole,)),
    ("img_mlp.0", ("ff.linear_in",), (whole,)),
    ("img_mlp.2", ("ff.linear_out",), (whole,)),
    ("txt_mlp.0", ("ff_context.linear_in",), (whole,)),
    ("txt_mlp.2", ("ff_context.linear_out",), (whole,)),
)

#: Those of a single-stream block.
SINGLE: Table = (
    ("linear1", ("attn.to_qkv_mlp_proj",), (whole,)),
    ("linear2", ("attn.to_out",), (whole,)),
)

#: Those outside of blocks, which share their modulation.
OUTSIDE: Table = (
    ("img_in", ("x_embedder",), (whole,)),
    ("txt_in", ("context_embedder",), (whole,)),
    ("time_in.in_layer", ("time_guidance_embed.timestep_embedder.linear_1",), (whole,)),
    ("time_in.out_layer", ("time_guidance_embed.timestep_embedder.linear_2",), (whole,)),
    ("double_stream_modulation_img.lin", ("double_stream_modulation_img.linear",), (whole,)),
    ("double_stream_modulation_txt.lin", ("double_stream_modulation_txt.linear",), (whole,)),
    ("single_stream_modulation.lin", ("single_stream_modulation.linear",), (whole,)),
    ("final_layer.linear", ("proj_out",), (whole,)),
    ("final_layer.adaLN_modulation.1", ("norm_out.linear",), (swapped,)),
)

#: Names that only layers of FLUX.1 have: a modulation for each block, other MLPs, T5 and CLIP.
FLUX1 = re.compile(
    r"(img|txt)_mod_lin|blocks_\d+_modulation_lin|norm1?_(context_)?linear|ff_(context_)?net_"
    r"|proj_mlp|single_transformer_blocks_\d+_(attn_to_[qkv]|proj_out)|vector_in|time_text_embed"
    r"|lora_te\d?_|text_encoder"
)


def places(name: str) -> tuple[Place, ...]:
    """Where the matrix of the layer *name* belongs, as some trainer spells it; none if nowhere."""
    return _NAMES.places(name)


def norm(name: str) -> str | None:
    """None: there are no Control LoRAs, which would replace norms."""
    return None


def other_family(names: Iterable[str]) -> str | None:
    """The family, in words, that a layer of *names* belongs to; None where none tells."""
    return told_by(names, (*OTHERS, (FLUX1, "FLUX.1")))


_NAMES = TransformerNames.of(DOUBLE, SINGLE, OUTSIDE)

"""Transformers of the FLUX.1 family in single files, as people keep and trade them.

Such a file holds what Black Forest Labs' own code calls the model, in 16 bits, in fp8 or in GGUF's
packed blocks, and perhaps text encoders and a VAE beside it, which are left in there: those of the
repository are used. Its names lead to diffusers' layers by the same tables as those of LoRAs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import FluxTransformer2DModel
from safetensors import safe_open

from generation.diffusion import memory, weight_files
from generation.diffusion.memory import Format, is_quantized
from generation.diffusion.weight_files import GGUF, Stored
from generation.errors import ModelUnavailable
from generation.families import flux1_names, unfit

#: Beginnings of names that are other parts of a whole checkpoint.
OTHER_PARTS = ("text_encoders.", "vae.", "first_stage_model.", "conditioner.", "cond_stage_model.")

#: Ends of names beside an fp8 weight: a factor for it, and what nothing is drawn with here (scales
#: of activations, and marks of ComfyUI's).
SCALES = (".scale_weight", ".weight_scale")
BESIDE = (*SCALES, ".scale_input", ".input_scale", ".comfy_quant", "scaled_fp8")

#: Formats that are packed in ways of their own, by what betrays them in a tensor's name.
PACKED = {
    ".quant_state.": "in bitsandbytes' 4 bits",
    ".absmax": "in bitsandbytes' 4 bits",
    "qweight": "in Nunchaku's 4 bits",
    ".weight_scale_2": "in NVIDIA's 4 bits",
}
FLOAT8 = (torch.float8_e4m3fn, torch.float8_e5m2)

Shapes = dict[str, tuple[int, ...]]


def transformer_of(
    found: Path, folder: Path, dtype: torch.dtype, kept: tuple[str, ...]
) -> FluxTransformer2DModel:
    """The transformer in *found*, a file or a folder, for the other parts of the model in *folder*.

    Raises:
        ModelUnavailable: It is none that draws with these parts; with the way out.
    """
    config = json.loads((folder / "transformer" / "config.json").read_text(encoding="utf-8"))
    return transformer_beside(found, config, dtype, kept)


def transformer_beside(
    found: Path, config: Mapping[str, Any], dtype: torch.dtype, kept: tuple[str, ...]
) -> FluxTransformer2DModel:
    """The transformer in *found*, a file or a folder, for the other parts of a model whose own has
    the configuration *config*.

    Raises:
        ModelUnavailable: It is none that draws with these parts; with the way out.
    """
    if found.is_file():
        return load_transformer(found, config, dtype, kept)
    own = weight_files.transformer_folder(found)
    if (sentence := unfit.transformer(own, config)) is not None:
        raise ModelUnavailable(sentence)
    transformer: FluxTransformer2DModel = FluxTransformer2DModel.from_pretrained(
        own, dtype=dtype, use_safetensors=True, local_files_only=True
    )
    return transformer


def check(found: Path, folder: Path, wanted: str) -> None:
    """Raise ModelUnavailable where the transformer in *found*, a file or a folder, does not go with
    the other parts of the model in *folder*, or not with what is *wanted* of its bits. Loads
    nothing."""
    weight_files.check_packing(found, wanted)
    config = json.loads((folder / "transformer" / "config.json").read_text(encoding="utf-8"))
    if found.is_file():
        _config(found, config, converted_shapes(found, weight_files.read(found)))
    elif sentence := unfit.transformer(weight_files.transformer_folder(found), config):
        raise ModelUnavailable(sentence)


def load_transformer(
    file: Path, config: Mapping[str, Any], dtype: torch.dtype, kept: tuple[str, ...]
) -> FluxTransformer2DModel:
    """The transformer in *file*, in main memory.

    Args:
        config: That of the repository's transformer, whose text encoders and VAE it draws with.
        dtype: What is computed with, and what all but packed weights are kept in.
        kept: Names of layers that are unpacked in any case.

    Raises:
        ModelUnavailable: It is none that draws with these parts; with the way out.
    """
    stored = weight_files.read(file)
    shapes = converted_shapes(file, stored)
    own = _config(file, config, shapes)
    with init_empty_weights():
        model: FluxTransformer2DModel = FluxTransformer2DModel.from_config(own)
    expected = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    if shapes != expected:
        odd = sorted(
            name for name in {*shapes, *expected} if shapes.get(name) != expected.get(name)
        )
        raise ModelUnavailable(
            f"{file.name} is no whole transformer of FLUX.1: {len(odd)} of its"
            f" {len(expected)} weights are missing or of another size, such as {odd[0]}"
        )
    weights = _packed(file, dtype) if file.suffix == GGUF else _plain(file, dtype)
    for name, weight in weights:
        columns = _columns(name, stored)
        for module, rows in _targets(name, columns, weight.shape[0]):
            _put(model, module, _cut(weight, rows), dtype, kept)
    model.requires_grad_(False)
    return model.eval()


def converted_shapes(file: Path, stored: Mapping[str, Stored]) -> Shapes:
    """Shapes of the transformer in *file*, by the names of its weights in diffusers.

    Raises:
        ModelUnavailable: Tensors of *file* have no place in it; with the way out.
    """
    names = [name for name in stored if _belongs(name)]
    for mark, words in PACKED.items():
        if any(mark in name for name in names):
            raise ModelUnavailable(
                f"{file.name} is {words}, which is not read from single files: name one in 16"
                " bits, fp8 or GGUF"
            )
    shapes: Shapes = {}
    left_over = []
    for name in names:
        rows_of = _targets(name, _columns(name, stored), _rows(stored[name]))
        for target, rows in rows_of:
            count = sum(each.stop - each.start for each in rows)
            shapes[target] = (count, *stored[name].shape[1:])
        if not rows_of:
            left_over.append(name)
    if left_over or not shapes:
        family = flux1_names.other_family(left_over)
        reason = (
            f"it is made for {family}"
            if family
            else f"{len(left_over)} of its {len(stored)} tensors have no place in FLUX.1's"
            f" transformer ({', '.join(left_over[:3])})"
        )
        raise ModelUnavailable(f"{file.name} cannot be drawn with: {reason}; name another file")
    return shapes


def sizes(found: Path, form: Format) -> tuple[int, int, int]:
    """Bytes that the transformer in *found*, a file or a folder, takes in memory, those of its
    largest block, and those of all that stands in none.

    Args:
        form: How plain numbers are kept; packed ones stay as they are.
    """
    blocks: dict[str, int] = {}
    total = 0
    for name, taken in _taken(found, form):
        total += taken
        if block := re.match(r"(single_)?transformer_blocks\.\d+", name):
            blocks[block[0]] = blocks.get(block[0], 0) + taken
    return total, max(blocks.values(), default=0), total - sum(blocks.values())


def _taken(found: Path, form: Format) -> Iterator[tuple[str, int]]:
    """Bytes that each weight of the transformer in *found* takes, by its name in diffusers."""
    if found.is_dir():
        own = weight_files.transformer_folder(found)
        if weight_files.packing(found) is not None:
            yield from weight_files.stored_bytes(own).items()
            return
        for name, shape in memory.shapes(own).items():
            yield name, form.bytes({name: shape})
        return
    stored = weight_files.read(found)
    for name, tensor in stored.items():
        if not _belongs(name):
            continue
        for target, rows in _targets(name, _columns(name, stored), _rows(tensor)):
            count = sum(each.stop - each.start for each in rows)
            layer = target.rpartition(".")[0]
            if tensor.packed is not None and is_quantized(layer, form.kept):
                yield target, tensor.bytes * count // tensor.shape[0]
            else:
                yield target, form.bytes({target: (count, *tensor.shape[1:])})


def _belongs(name: str) -> bool:
    """Whether the tensor *name* is a weight of the transformer."""
    return not name.startswith(OTHER_PARTS) and not name.endswith(BESIDE)


def _rows(tensor: Stored) -> int:
    return tensor.shape[0] if tensor.shape else 0


def _columns(name: str, stored: Mapping[str, Stored]) -> int:
    """Columns of the layer that the tensor *name* belongs to."""
    weight = stored.get(f"{name.rpartition('.')[0]}.weight")
    return weight.shape[-1] if weight is not None else 0


def _targets(name: str, columns: int, rows: int) -> list[tuple[str, tuple[slice, ...]]]:
    """diffusers' weights that the tensor *name* of so many *rows* holds, and their rows of it."""
    layer, _, kind = name.rpartition(".")
    if (norm := flux1_names.norm(layer)) is not None:
        return [(f"{norm}.weight", (slice(0, rows),))]
    if kind not in ("weight", "bias"):
        return []
    return [
        (f"{place.module}.{kind}", place.rows(rows, columns))
        for place in flux1_names.places(layer)
        if place.part == "transformer"
    ]


def _config(file: Path, config: Mapping[str, Any], shapes: Shapes) -> dict[str, Any]:
    """The *config* of the repository's transformer, as the one in *file* is."""

    def count(block: str) -> int:
        numbers = (re.match(rf"{block}\.(\d+)\.", name) for name in shapes)
        return 1 + max((int(found[1]) for found in numbers if found), default=-1)

    try:
        channels = shapes["x_embedder.weight"][1]
        width = shapes["x_embedder.weight"][0]
        head = shapes["transformer_blocks.0.attn.norm_q.weight"][0]
        words = shapes["context_embedder.weight"][1]
        pooled = shapes["time_text_embed.text_embedder.linear_1.weight"][1]
    except KeyError as error:
        raise ModelUnavailable(
            f"{file.name} is no whole transformer of FLUX.1: it has no {error.args[0]}"
        ) from None
    own = {
        "in_channels": channels,
        "joint_attention_dim": words,
        "pooled_projection_dim": pooled,
    }
    if (sentence := unfit.widths(file.name, own, config)) is not None:
        raise ModelUnavailable(sentence)
    kept = {key: value for key, value in config.items() if key != "quantization_config"}
    return {
        **kept,
        "in_channels": channels,
        "out_channels": shapes["proj_out.weight"][0] if "proj_out.weight" in shapes else None,
        "num_layers": count("transformer_blocks"),
        "num_single_layers": count("single_transformer_blocks"),
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "guidance_embeds": any("guidance_embedder" in name for name in shapes),
    }


def _plain(file: Path, dtype: torch.dtype) -> Iterator[tuple[str, torch.Tensor]]:
    """Weights of a safetensors *file*, in *dtype*."""
    with safe_open(file, framework="pt") as opened:
        names = set(opened.keys())
        for name in filter(_belongs, sorted(names)):
            weight: torch.Tensor = opened.get_tensor(name)
            if not weight.is_floating_point():
                raise ModelUnavailable(
                    f"{file.name} keeps {name} as {str(weight.dtype).removeprefix('torch.')}, which"
                    " is not read: name a file in 16 bits, fp8 or GGUF"
                )
            layer = name.removesuffix(".weight")
            scale = next((layer + end for end in SCALES if layer + end in names), None)
            if weight.dtype in FLOAT8 and scale is not None:
                factor: torch.Tensor = opened.get_tensor(scale).float()
                factor = factor.reshape(-1, 1) if factor.numel() > 1 else factor.reshape(())
                weight = weight.float() * factor
            yield name, weight.to(dtype)


def _packed(file: Path, dtype: torch.dtype) -> Iterator[tuple[str, torch.Tensor]]:
    """Weights of a GGUF *file*: packed ones as they are, others in *dtype*."""
    from diffusers.models.model_loading_utils import load_gguf_checkpoint
    from diffusers.quantizers.gguf.utils import (
        UNQUANTIZED_TYPES,
        GGUFParameter,
        dequantize_gguf_tensor,
    )

    for name, weight in load_gguf_checkpoint(file).items():
        is_packed = isinstance(weight, GGUFParameter)
        if is_packed and weight.quant_type in UNQUANTIZED_TYPES:
            weight, is_packed = dequantize_gguf_tensor(weight), False
        yield name, weight if is_packed else weight.to(dtype)


def _cut(weight: torch.Tensor, rows: Iterable[slice]) -> torch.Tensor:
    """These *rows* of *weight*; each row of a packed one is packed for itself."""
    kind = getattr(weight, "quant_type", None)
    plain = weight if kind is None else weight.as_tensor()  # type: ignore[attr-defined]
    whole = torch.cat([plain[each] for each in rows]).contiguous()
    if kind is None:
        return whole
    from diffusers.quantizers.gguf.utils import GGUFParameter

    packed: torch.Tensor = GGUFParameter(whole, quant_type=kind)
    return packed


def _put(
    model: torch.nn.Module,
    name: str,
    weight: torch.Tensor,
    dtype: torch.dtype,
    kept: tuple[str, ...],
) -> None:
    """Give *model* the *weight* of this *name*; its layer becomes one that unpacks it."""
    path, _, own = name.rpartition(".")
    layer = model.get_submodule(path)
    if not hasattr(weight, "quant_type"):
        setattr(layer, own, torch.nn.Parameter(weight, False))
        return
    from diffusers.quantizers.gguf.utils import GGUFLinear, dequantize_gguf_tensor

    if not isinstance(layer, torch.nn.Linear) or not is_quantized(path, kept):
        setattr(layer, own, torch.nn.Parameter(dequantize_gguf_tensor(weight).to(dtype), False))
        return
    with init_empty_weights():
        unpacking = GGUFLinear(
            layer.in_features, layer.out_features, layer.bias is not None, compute_dtype=dtype
        )
    unpacking.weight = weight
    unpacking.bias = layer.bias
    parent, _, last = path.rpartition(".")
    setattr(model.get_submodule(parent), last, unpacking)

"""LoRA files of all trainers, read as changes of the model's own layers.

A change of a layer's weight W (out, in) is ``W + scale * factor * up @ down``. Whatever way a file
writes it, it comes out as these two matrices, exactly: LoHa, the product of two changes, value by
value, and LoKr, a Kronecker product, are sums of as many columns times rows as their ranks
multiplied. A file is taken up whole, or not at all.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from generation.diffusion.lora_layout import (
    Head,
    Layer,
    Names,
    Place,
    complaint,
    layout,
    read_head,
)
from generation.errors import ModelUnavailable

#: Number formats that matrices keep; smaller ones become the first.
KEPT = (torch.bfloat16, torch.float16, torch.float32)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one layer.

    Attributes:
        down: (rank, in).
        up: (out, rank).
        factor: What `up` is multiplied with beside the scale of whoever draws: alpha / rank.
        bias: (out,), added likewise, times the factor; None without one.
    """

    down: torch.Tensor
    up: torch.Tensor
    factor: float
    bias: torch.Tensor | None = None

    @property
    def rank(self) -> int:
        """Columns of `up`, and rows of `down`."""
        return self.up.shape[1]

    @property
    def scaled_up(self) -> torch.Tensor:
        """`up` times the factor, in its own number format."""
        return (self.up.float() * self.factor).to(self.up.dtype)

    @property
    def scaled_bias(self) -> torch.Tensor | None:
        """`bias` times the factor, likewise."""
        return None if self.bias is None else (self.bias.float() * self.factor).to(self.bias.dtype)


@dataclass(frozen=True, slots=True)
class LoraFile:
    """A LoRA, read whole.

    Attributes:
        transformer: Changes by the layer's name in diffusers, "transformer_blocks.0.attn.to_q".
        text_encoders: The same of "text_encoder" (CLIP in FLUX.1) and "text_encoder_2" (T5), by
            the pipeline's name of the part; parts that it does not change are left out.
        norms: Weights that replace those of norms, by the parameter's name in the transformer;
            only Control LoRAs have such.
    """

    transformer: Mapping[str, Change]
    text_encoders: Mapping[str, Mapping[str, Change]]
    norms: Mapping[str, torch.Tensor]

    @property
    def parts(self) -> dict[str, Mapping[str, Change]]:
        """All changes, by the pipeline's name of the part."""
        return {"transformer": self.transformer, **self.text_encoders}

    def state_dict(self) -> dict[str, torch.Tensor]:
        """All of it under the names that diffusers saves LoRAs with, factors multiplied in."""
        named = {f"transformer.{name}": weight for name, weight in self.norms.items()}
        for part, changes in self.parts.items():
            # Where one layer has a bias, PEFT gives one to all of them.
            has_biases = any(change.bias is not None for change in changes.values())
            for name, change in changes.items():
                named[f"{part}.{name}.lora_A.weight"] = change.down
                named[f"{part}.{name}.lora_B.weight"] = change.scaled_up
                if has_biases:
                    bias = change.scaled_bias
                    zeros = change.up.new_zeros(change.up.shape[0])
                    named[f"{part}.{name}.lora_B.bias"] = zeros if bias is None else bias
        return named


def read(
    file: Path,
    known: Names,
    model: Mapping[str, Mapping[str, tuple[int, int]]],
    *,
    is_control: bool = False,
) -> LoraFile:
    """The LoRA in *file*.

    Args:
        known: The names of the model's layers.
        model: Rows and columns of its layers' weights, by part and name.
        is_control: Whether a Control LoRA is meant, which widens the first layer.

    Raises:
        ModelUnavailable: Some of it has no place in this model, or is no number; with the way out.
        Exception: What the libraries raise on a damaged file.
    """
    head = read_head(file)
    if (sentence := complaint(head, known, model, is_control=is_control)) is not None:
        raise ModelUnavailable(f"{file.name} cannot be used: {sentence}")
    found = layout(head.shapes, known)
    changes: dict[str, dict[str, Change]] = {"transformer": {}}
    with safe_open(file, framework="pt") as opened:

        def tensor(name: str) -> torch.Tensor:
            value: torch.Tensor = opened.get_tensor(name)
            value = value if value.dtype in KEPT else value.to(KEPT[0])
            if not torch.isfinite(value).all():
                raise ModelUnavailable(
                    f"{file.name} cannot be used: its {name} holds values that are no numbers (NaN"
                    " or infinite), so that its training has failed: take an earlier one"
                )
            return value

        for layer in found.layers:
            whole = _change(layer, {role: tensor(name) for role, name in layer.tensors.items()})
            for place in layer.places:
                factor = _declared_factor(head, place, whole.rank)
                rows = place.rows(whole.up.shape[0], whole.down.shape[1])
                into = changes.setdefault(place.part, {})
                if place.module in into:
                    raise ModelUnavailable(
                        f"{file.name} cannot be used: it changes {place.part}.{place.module} twice,"
                        f" the second time in {layer.name}: have it saved anew by its trainer"
                    )
                if "alpha" in layer.tensors or factor is None:
                    factor = whole.factor
                into[place.module] = _cut(whole, rows, factor)
        norms = {name: tensor(key) for name, key in found.norms.items()}
    return LoraFile(changes.pop("transformer"), changes, norms)


def _change(layer: Layer, of: Mapping[str, torch.Tensor]) -> Change:
    """The change of *layer*, of its tensors by their roles."""
    if "down" in of:
        down, up = of["down"].flatten(1), of["up"].flatten(1)
        rank = down.shape[0]
    elif "hada_w1_a" in of:
        down, up = _of_loha(of)
        rank = of["hada_w1_b"].shape[0]
    else:
        down, up = _of_lokr(of)
        small = of.get("lokr_w1_b", of.get("lokr_w2_b"))
        # LyCORIS takes no notice of alpha where neither factor is a product.
        rank = 0 if small is None else small.shape[0]
    alpha = float(of["alpha"]) if "alpha" in of else float(rank)
    return Change(down, up, alpha / rank if rank else 1.0, of.get("bias"))


def _of_loha(of: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Down and up of ``(w1_a @ w1_b) * (w2_a @ w2_b)``."""
    up = torch.einsum("op,oq->opq", of["hada_w1_a"], of["hada_w2_a"]).flatten(1)
    down = torch.einsum("pi,qi->pqi", of["hada_w1_b"], of["hada_w2_b"]).flatten(0, 1)
    return down, up


def _of_lokr(of: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Down and up of ``kron(w1, w2)``, each of which may be a product ``a @ b`` itself."""
    (first_up, first_down), (second_up, second_down) = (
        (of[f"{name}_a"], of[f"{name}_b"]) if name not in of else _factors(of[name])
        for name in ("lokr_w1", "lokr_w2")
    )
    return torch.kron(first_down, second_down), torch.kron(first_up, second_up)


def _factors(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Two matrices whose product is *matrix*, of the smallest rank that needs no arithmetic."""
    rows, columns = matrix.shape
    one = torch.eye(min(rows, columns), dtype=matrix.dtype)
    return (one, matrix) if rows <= columns else (matrix, one)


def _cut(whole: Change, rows: tuple[slice, ...], factor: float) -> Change:
    """The part of *whole* with these *rows*.

    Trainers that fuse separate LoRAs write zeros where they do not meet; what is multiplied by
    nothing but zeros is left out, so that the rank is that of before.
    """
    up = torch.cat([whole.up[each] for each in rows])
    bias = None if whole.bias is None else torch.cat([whole.bias[each] for each in rows])
    down = whole.down
    used = (up != 0).any(dim=0)
    if up.shape[0] < whole.up.shape[0] and used.any():
        up, down = up[:, used], down[used]
    return Change(down.contiguous(), up.contiguous(), factor, bias)


def _declared_factor(head: Head, place: Place, rank: int) -> float | None:
    """alpha / rank of the layer at *place*, as PEFT's configuration in the file's metadata says
    (diffusers writes it, for each part); None where it says nothing."""
    try:
        config: dict[str, Any] = json.loads(head.metadata["lora_adapter_metadata"])
    except (KeyError, ValueError):
        return None
    prefix = f"{place.part}."
    own = {key.removeprefix(prefix): value for key, value in config.items() if prefix in key}
    patterns = own.get("alpha_pattern") or {}
    fitting = (
        alpha
        for pattern, alpha in patterns.items()
        if re.fullmatch(rf"(.*\.)?({pattern})", place.module)
    )
    alpha = next(fitting, own.get("lora_alpha"))
    if alpha is None:
        return None
    return float(alpha) / (math.sqrt(rank) if own.get("use_rslora") else rank)

"""Weights in fewer bits, for cards that they do not fit on otherwise.

Quantized weights draw other pixels than bfloat16's, so this is a setting and never an
offload level. They are read in 16 bits and quantized layer by layer, on the card where there is
one, so that it is the same for every file that weights come from.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import torch

from generation.diffusion.device import Device
from generation.diffusion.memory import is_quantized
from generation.diffusion.tensors import rebuilt
from generation.errors import ModelUnavailable

#: What an operator may ask for.
Quantization = Literal["none", "auto", "fp8", "int8", "4bit"]
#: The same for the text encoder, whose activations stay in 16 bits.
TextQuantization = Literal["none", "int8", "4bit"]

#: What is done about it:
#:
#: fp8          weights and activations in float8, one scale for each row, multiplied as such
#: fp8-weights  weights in float8, computed with in 16 bits or more: what a CPU can do
#: int8         weights in 8 bits, one scale for each row, computed with in 16 bits
#: 4bit         bitsandbytes' NF4, computed with in 16 bits
Kind = Literal["none", "fp8", "fp8-weights", "int8", "4bit"]

#: The first NVIDIA generation that multiplies float8 (Ada; Hopper is 9.0).
FP8_CAPABILITY = (8, 9)

#: The package that each kind needs, as pip names it.
PACKAGES: dict[Kind, str] = {
    "fp8": "torchao",
    "fp8-weights": "torchao",
    "int8": "torchao",
    "4bit": "bitsandbytes",
}
#: Bytes of a value of a quantized layer: NF4 has 4 bits, a scale of 8 bits for every 64 values, and
#: for every 256 of these one of 32. The scales of whole rows are lost in the rounding.
BYTES: dict[Kind, float] = {
    "fp8": 1.0,
    "fp8-weights": 1.0,
    "int8": 1.0,
    "4bit": 0.5 + 1 / 64 + 4 / (64 * 256),
}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Precision:
    """Number formats of the parts of a model.

    Attributes:
        dtype: Of all that is not quantized, and of what is computed with.
        text_dtype: The same of the text encoders.
        transformer: Kind of the transformer's linear layers.
        text: Kind of those of the large text encoder.
    """

    dtype: torch.dtype
    text_dtype: torch.dtype
    transformer: Kind = "none"
    text: Kind = "none"


def precision(setting: Quantization, text_setting: TextQuantization, device: Device) -> Precision:
    """The number formats that the operator's words mean on *device*.

    Raises:
        ModelUnavailable: This device or installation cannot do it.
    """
    dtype = device.dtype
    return Precision(
        dtype,
        text_dtype(dtype),
        choose(setting, device),
        choose_for_text(text_setting, device),
    )


def choose(setting: Quantization, device: Device) -> Kind:
    """The kind that *setting* means on *device*.

    "auto" is fp8 where the device multiplies it, 4 bits on other cards, and int8 on a CPU. "fp8"
    on cards that do not multiply it keeps 8 bits all the same, and computes in 16: as int8, which
    Triton can read there (it knows no float8 before Ada), and which is more exact (a layer of 512 x
    256 uniform weights was off by 0.8 % on a CPU, in float8 by 3.7 %).

    Raises:
        ModelUnavailable: This device or installation cannot do it.
    """
    kind = meaning(setting, device)
    if kind == "none":
        return kind
    words = f"model.quantization is {setting!r}"
    _check_device(device, words)
    _check_installed(kind, words)
    if kind != setting != "auto":
        log.info("this device does not multiply float8 in its number format: %s it is", kind)
    return kind


def meaning(setting: Quantization, device: Device) -> Kind:
    """The kind that *setting* means on *device*, whether or not it can be had here."""
    if setting == "none":
        return setting
    if device.torch_device.type != "cuda":
        return {"auto": "int8", "fp8": "fp8-weights"}.get(setting, setting)  # type: ignore[return-value]
    has_fp8 = torch.cuda.get_device_capability(device.torch_device) >= FP8_CAPABILITY
    if setting == "auto":
        return "fp8" if has_fp8 else "4bit"
    if setting == "fp8" and not (has_fp8 and device.dtype is torch.bfloat16):
        return "int8"
    return setting


def choose_for_text(setting: TextQuantization, device: Device) -> Kind:
    """The kind that *setting* of the text encoder means on *device*.

    Raises:
        ModelUnavailable: This device or installation cannot do it.
    """
    if setting == "none":
        return "none"
    words = f"model.text_encoder_quantization is {setting!r}"
    _check_device(device, words)
    _check_installed(setting, words)
    return setting


def text_dtype(dtype: torch.dtype) -> torch.dtype:
    """The text encoders' number format beside *dtype*: they are spared float16, whose range T5's
    activations leave (diffusers' own advice for FLUX on Turing cards, issue 9096)."""
    return torch.float32 if dtype is torch.float16 else dtype


def _check_device(device: Device, words: str) -> None:
    if device.torch_device.type not in ("cuda", "cpu"):
        raise ModelUnavailable(
            f'{words}, which needs an NVIDIA GPU or a CPU; on {device} set it to "none"'
        )


def _check_installed(kind: Kind, words: str) -> None:
    package = PACKAGES[kind]
    if importlib.util.find_spec(package) is None:
        raise ModelUnavailable(f"{words}, which needs {package}: pip install {package}")


def quantize(
    part: torch.nn.Module,
    kind: Kind,
    device: torch.device,
    *,
    kept: Collection[str] = (),
    stays: bool = False,
) -> None:
    """Put the linear layers of *part* into fewer bits, in place and one after the other.

    Args:
        device: Where it is done; dynamic fp8 can be made on a card alone.
        kept: Names of modules that keep their bits.
        stays: Whether the layers are left on *device*, since that is where they will rest.
    """
    if kind == "none":
        return
    back = device if stays else torch.device("cpu")
    layers = [
        (name, layer)
        for name, layer in part.named_modules()
        if isinstance(layer, torch.nn.Linear) and is_quantized(name, kept)
    ]
    for name, layer in layers:
        if kind == "4bit":
            changed = _in_4_bits(layer, device)
            parent, _, last = name.rpartition(".")
            setattr(part.get_submodule(parent), last, changed)
        else:
            changed = layer
            _by_torchao(layer, kind, device)
        if changed.weight.device != back:
            changed.weight = rebuilt(changed.weight, lambda tensor: tensor.to(back))


def _by_torchao(layer: torch.nn.Linear, kind: Kind, device: torch.device) -> None:
    from torchao.quantization import quantize_

    layer.weight = torch.nn.Parameter(layer.weight.detach().to(device), False)
    quantize_(layer, _config(kind))


def _config(kind: Kind) -> Any:
    """torchao's words for *kind*, which leave inductor's settings alone: with torchao's compiling
    took 225 s instead of 20 on an H200 and gained 2 % (measured in November 2026)."""
    from torchao import quantization

    if kind == "fp8":
        return quantization.Float8DynamicActivationFloat8WeightConfig(
            granularity=quantization.PerRow(), set_inductor_config=False
        )
    if kind == "int8":
        return quantization.Int8WeightOnlyConfig(set_inductor_config=False)
    return quantization.Float8WeightOnlyConfig(set_inductor_config=False)


def _in_4_bits(layer: torch.nn.Linear, device: torch.device) -> torch.nn.Linear:
    from bitsandbytes.nn import Linear4bit, Params4bit

    has_bias = layer.bias is not None
    made = Linear4bit(
        layer.in_features,
        layer.out_features,
        bias=has_bias,
        compute_dtype=layer.weight.dtype,
        quant_type="nf4",
        device="meta",
    )
    made.weight = Params4bit(
        layer.weight.detach().contiguous(),
        requires_grad=False,
        quant_type="nf4",
        # So that whoever asks for its format hears what it computes with: T5 casts to that.
        quant_storage=layer.weight.dtype,
        module=made,
    ).to(device)
    made.bias = layer.bias
    # It would lay the weights out anew at their first use, and then nobody could move them.
    made.support_avx512bf16_for_cpu = False
    quantized: torch.nn.Linear = made.eval()
    return quantized

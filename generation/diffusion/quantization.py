"""The transformer in fewer bits, for cards that it does not fit on otherwise.

Quantized weights draw other pixels than bfloat16's, so this is a setting and never an
offload level.
"""

from __future__ import annotations

import importlib.util
from typing import Any, Literal

import torch

from generation.diffusion.device import Device
from generation.errors import ModelUnavailable

Quantization = Literal["none", "auto", "fp8", "4bit"]

#: The first NVIDIA generation that multiplies float8 (Ada; Hopper is 9.0).
FP8_CAPABILITY = (8, 9)

#: The package that each format needs, as pip names it, and bytes of a value of the
#: transformer: NF4 has 4 bits and a scale of 32 for every 64 values.
PACKAGES = {"fp8": "torchao", "4bit": "bitsandbytes"}
BYTES = {"none": 2.0, "fp8": 1.0, "4bit": 0.5625}


def choose(setting: Quantization, device: Device) -> Quantization:
    """*setting* with "auto" decided: fp8 where the device multiplies it, 4 bits elsewhere.

    Raises:
        ModelUnavailable: This device or installation cannot do it.
    """
    if setting == "none":
        return setting
    if device.torch_device.type != "cuda":
        raise ModelUnavailable(
            f"model.quantization is {setting!r}, which needs an NVIDIA GPU; on {device}"
            ' set it to "none"'
        )
    has_fp8 = torch.cuda.get_device_capability(device.torch_device) >= FP8_CAPABILITY
    if setting == "fp8" and not has_fp8:
        raise ModelUnavailable(
            'model.quantization is "fp8", which this GPU does not multiply (it takes an Ada,'
            ' Hopper or newer one): set it to "4bit"'
        )
    chosen: Quantization = ("fp8" if has_fp8 else "4bit") if setting == "auto" else setting
    package = PACKAGES[chosen]
    if importlib.util.find_spec(package) is None:
        raise ModelUnavailable(
            f"model.quantization is {setting!r}, which needs {package}: pip install {package}"
        )
    return chosen


def config(chosen: Quantization, dtype: torch.dtype) -> Any:
    """The ``quantization_config`` of diffusers' ``from_pretrained``; None for "none"."""
    if chosen == "fp8":
        from diffusers import TorchAoConfig
        from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, PerRow

        return TorchAoConfig(Float8DynamicActivationFloat8WeightConfig(granularity=PerRow()))
    if chosen == "4bit":
        from diffusers import BitsAndBytesConfig

        return BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
        )
    return None

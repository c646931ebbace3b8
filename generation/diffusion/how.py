"""What the pixels of a picture depend on beside its request: the card, number formats, versions.

The same request makes the same pixels where all of this is the same, on whatever offload level.
"""

from __future__ import annotations

import importlib.metadata

import torch

from generation.diffusion.compiling import Compiling
from generation.diffusion.device import Device
from generation.diffusion.quantization import Precision


def settings(device: Device, precision: Precision, attention: str) -> dict[str, str]:
    """Words for what stays as it is while a model is loaded.

    Args:
        attention: The kernel that is used.
    """
    values = {
        "device": _name(device.torch_device),
        "dtype": str(precision.dtype).removeprefix("torch."),
        "quantization": precision.transformer,
        "text_encoder_quantization": precision.text,
        "attention": attention,
        "torch": torch.__version__,
        "diffusers": importlib.metadata.version("diffusers"),
    }
    return {name: value for name, value in values.items() if value not in ("none", "native")}


def compiled(compiling: Compiling) -> dict[str, str]:
    """What was drawn with compiled code, in the words of `settings`."""
    names = [each for each in ("blocks", "VAE") if compiling.is_on(each)]
    return {"compiled": ", ".join(names)} if names else {}


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return device.type

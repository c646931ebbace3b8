"""Kernels for attention, by diffusers' names of them."""

from __future__ import annotations

import logging
from typing import Any, Literal

import torch
from diffusers.models.attention_dispatch import dispatch_attention_fn

from generation.diffusion.device import Device
from generation.errors import ModelUnavailable

#: What an operator may ask for. Kernels that diffusers would fetch as code from the Hub are not
#: among them.
Attention = Literal[
    "auto",
    "native",
    "_native_cudnn",
    "_native_flash",
    "_native_efficient",
    "_native_math",
    "flash",
    "_flash_3",
    "sage",
    "_sage_qk_int8_pv_fp8_cuda",
    "_sage_qk_int8_pv_fp8_cuda_sm90",
    "_sage_qk_int8_pv_fp16_cuda",
    "_sage_qk_int8_pv_fp16_triton",
]

#: The first NVIDIA generation on which cuDNN's kernel is taken (Hopper): 0.41 ms for FLUX's 4,608
#: tokens on an H200, and flash attention 0.83 (November 2026).
CUDNN_CAPABILITY = (9, 0)

#: Tokens, heads and their width of what a kernel is tried on; the width is FLUX's.
PROBE = (256, 4, 128)

log = logging.getLogger(__name__)


def choose(setting: Attention, device: Device) -> str:
    """The kernel that *setting* means on *device*, which has been tried there.

    Raises:
        ModelUnavailable: It is not installed, or does not work on this device.
    """
    if setting == "native":
        return setting
    if setting == "auto":
        if not _suits_cudnn(device):
            return "native"
        try:
            _error_of("_native_cudnn", device)
        except Exception as error:  # kernels raise whatever they like
            log.warning("attention by torch's own choice, since cuDNN's fails: %s", _first(error))
            return "native"
        return "_native_cudnn"
    try:
        off = _error_of(setting, device)
    except Exception as error:
        raise ModelUnavailable(
            f"model.attention is {setting!r}, which does not work on {device} ({_first(error)}):"
            ' set it to "auto"'
        ) from error
    log.info("attention by %s, which is off torch's own by %.2g of its values", setting, off)
    return setting


def use(part: torch.nn.Module, kernel: str) -> None:
    """Have *part*, a transformer or a ControlNet of diffusers, attend by *kernel*, and no other
    model in this process, as its own ``set_attention_backend`` would."""
    if kernel == "native":
        return
    for module in part.modules():
        processor: Any = getattr(module, "processor", None)
        if hasattr(processor, "_attention_backend"):
            processor._attention_backend = _named(kernel)


def _suits_cudnn(device: Device) -> bool:
    return (
        device.torch_device.type == "cuda"
        and device.dtype in (torch.bfloat16, torch.float16)
        and torch.cuda.get_device_capability(device.torch_device) >= CUDNN_CAPABILITY
    )


def _error_of(kernel: str, device: Device) -> float:
    """The relative error of *kernel* to torch's own, on random values."""
    random = torch.Generator("cpu").manual_seed(0)
    tokens, heads, width = PROBE
    query, key, value = (
        torch.randn(1, tokens, heads, width, generator=random).to(device.torch_device, device.dtype)
        for _ in range(3)
    )
    with torch.no_grad():
        one, other = (
            dispatch_attention_fn(query, key, value, backend=_named(name)).float()
            for name in ("native", kernel)
        )
    return float((other - one).norm() / one.norm())


def _named(kernel: str) -> Any:
    """diffusers' value for *kernel*, whose package is there.

    Raises:
        RuntimeError: It is not.
    """
    from diffusers.models import attention_dispatch

    found = attention_dispatch.AttentionBackendName(kernel)
    attention_dispatch._check_attention_backend_requirements(found)
    return found


def _first(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

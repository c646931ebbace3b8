"""Which device and which number format a model gets."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from generation.types import ModelUnavailable


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a model runs.

    Attributes:
        device: Such as ``cuda:0``, ``mps`` or ``cpu``.
        dtype: Format of weights and activations.
    """

    device: torch.device
    dtype: torch.dtype

    @property
    def has_own_memory(self) -> bool:
        """Whether weights can wait in the main memory while others are in the device's."""
        return self.device.type == "cuda"

    @property
    def peak_memory(self) -> int | None:
        """Bytes at the highest since `forget_peak`; None where the device does not tell."""
        if self.device.type != "cuda":
            return None
        return torch.cuda.max_memory_allocated(self.device)

    def forget_peak(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def free_unused(self) -> None:
        """Give cached memory back to the device."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        elif self.device.type == "mps":
            torch.mps.empty_cache()


def choose(device: str = "auto", dtype: str = "auto") -> Placement:
    """The placement for what the operator wrote.

    "auto" takes the first CUDA device, else Apple's GPU, else the CPU; bfloat16 on
    GPUs (float16 on those older than Ampere, which lack it) and float32 on the CPU.

    Raises:
        ModelUnavailable: That device is not there.
    """
    if device == "auto":
        if torch.cuda.is_available():
            device = "cuda"
        else:
            device = "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, number = device.partition(":")
    if kind == "cuda":
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(number or 0) >= found:
            raise ModelUnavailable(
                f"device {device} is not there: torch {torch.__version__} finds {found} CUDA"
                " device(s); set model.device to auto or cpu, or install a CUDA build of torch"
            )
    elif kind == "mps" and not torch.backends.mps.is_available():
        raise ModelUnavailable("device mps is not there: set model.device to auto or cpu")
    chosen = torch.device(kind, int(number or 0)) if kind == "cuda" else torch.device(kind)
    return Placement(chosen, _dtype(chosen) if dtype == "auto" else getattr(torch, dtype))


def _dtype(device: torch.device) -> torch.dtype:
    if device.type == "cpu":
        return torch.float32
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0):
        return torch.float16
    return torch.bfloat16

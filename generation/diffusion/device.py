"""The device and the number format of a model."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from generation.errors import ModelUnavailable


@dataclass(frozen=True, slots=True)
class Device:
    """The device that a model runs on, and the number format that it has there.

    Attributes:
        torch_device: Such as ``cuda:0``, ``mps`` or ``cpu``.
        dtype: Format of weights and activations.
    """

    torch_device: torch.device
    dtype: torch.dtype

    @property
    def has_own_memory(self) -> bool:
        """Whether weights can wait in the main memory while others are in the device's."""
        return self.torch_device.type == "cuda"

    @property
    def is_asynchronous(self) -> bool:
        """Whether it computes on while this process does something else."""
        return self.torch_device.type == "cuda"

    @property
    def free_memory(self) -> int | None:
        """Bytes of the device that nobody uses; None where it does not tell."""
        if self.torch_device.type == "cuda":
            return torch.cuda.mem_get_info(self.torch_device)[0]
        if self.torch_device.type == "mps":
            return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        return None

    @property
    def total_memory(self) -> int | None:
        """Bytes of the device, whoever uses them; None where it does not tell."""
        if self.torch_device.type == "cuda":
            return torch.cuda.mem_get_info(self.torch_device)[1]
        return self.free_memory

    @property
    def held_memory(self) -> int | None:
        """Bytes of tensors that there are now; None where the device does not tell."""
        if self.torch_device.type != "cuda":
            return None
        return torch.cuda.memory_allocated(self.torch_device)

    @property
    def peak_memory(self) -> int | None:
        """Bytes at the highest since `forget_peak`; None where the device does not tell."""
        if self.torch_device.type != "cuda":
            return None
        return torch.cuda.max_memory_allocated(self.torch_device)

    def __str__(self) -> str:
        return str(self.torch_device)

    def holds(self, tensor: torch.Tensor) -> bool:
        """Whether *tensor* is in the device's memory."""
        where = tensor.device
        return (where.type, where.index or 0) == (
            self.torch_device.type,
            self.torch_device.index or 0,
        )

    def moved(self, tensor: torch.Tensor) -> torch.Tensor:
        """*tensor* in the device's memory.

        Raises:
            torch.OutOfMemoryError: It does not fit there.
        """
        return tensor.to(self.torch_device)

    def empty(self, size: int) -> torch.Tensor:
        """*size* bytes of the device's memory.

        Raises:
            torch.OutOfMemoryError: They are not there.
        """
        return torch.empty(size, dtype=torch.uint8, device=self.torch_device)

    def forget_peak(self) -> None:
        if self.torch_device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.torch_device)

    def free_unused(self) -> None:
        """Give cached memory back to the device."""
        if self.torch_device.type == "cuda":
            torch.cuda.empty_cache()
        elif self.torch_device.type == "mps":
            torch.mps.empty_cache()

    def free_pinned(self) -> None:
        """Give main memory that was pinned for the device back to the machine: torch would keep it
        for other weights of just that size."""
        if self.torch_device.type == "cuda":
            torch._C._host_emptyCache()


#: Parameters from which on a model gains by bfloat16 on a CPU that multiplies it itself: a
#: layer of FLUX's width then took 46 ms instead of 138 (1024 x 3072 x 3072 on two cores with
#: AVX-512 BF16). The demo model gains nothing.
MANY_PARAMETERS = 10**9


def choose_device(device: str = "auto", dtype: str = "auto", parameters: int = 0) -> Device:
    """The device and number format that the operator's words mean.

    "auto" takes the first CUDA device, else Apple's GPU, else the CPU; bfloat16 on
    GPUs (float16 on those older than Ampere, which lack it); on the CPU float32, or
    bfloat16 for a model of many *parameters* where the CPU computes with it.

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
    if dtype == "auto":
        return Device(chosen, _dtype(chosen, parameters))
    return Device(chosen, getattr(torch, dtype))


def first_line(error: BaseException) -> str:
    """The first line of what *error* says, for a sentence."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _dtype(device: torch.device, parameters: int) -> torch.dtype:
    if device.type == "cpu":
        multiplies_it = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return torch.bfloat16 if multiplies_it and parameters >= MANY_PARAMETERS else torch.float32
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0):
        return torch.float16
    return torch.bfloat16

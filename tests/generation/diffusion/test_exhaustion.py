"""Memory that has run out is known by all its words, and by nothing that only sounds like it."""

import errno

import pytest
import torch

from generation.diffusion.exhaustion import as_out_of_memory, is_out_of_memory
from generation.errors import OutOfMemory


@pytest.mark.parametrize(
    "words",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.65 GiB",
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "CUDA driver error: out of memory",
        "HIP out of memory. Tried to allocate 20.00 MiB",
        "HIP error: hipErrorOutOfMemory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA error: HIPBLAS_STATUS_ALLOC_FAILED when calling `hipblasCreate(handle)`",
        "cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "FIND was unable to find an engine to execute this computation",
        "GET was unable to find an engine to execute this computation",
        "miopenStatusAllocFailed",
        "MPS backend out of memory (MPS allocated: 17.9 GB, other allocations: 1.2 GB)",
        "Invalid buffer size: 24.00 GiB",
        "[enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory:"
        " you tried to allocate 1099511627776 bytes. Error code 12 (Cannot allocate memory)",
        "DefaultCPUAllocator: not enough memory: you tried to allocate 17179869184 bytes.",
        "can't allocate memory",
    ],
)
def test_the_words_of_every_device_and_library_are_known(words):
    assert is_out_of_memory(RuntimeError(words))
    with pytest.raises(OutOfMemory, match="too large"), as_out_of_memory("too large"):
        raise RuntimeError(words)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_so_are_the_types(error):
    assert is_out_of_memory(error)


def test_an_error_is_known_by_what_it_was_raised_from():
    error = ValueError("the file cannot be read")
    error.__cause__ = torch.OutOfMemoryError("CUDA out of memory")

    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("out of resource: shared memory, Required: 163840, Hardware limit: 101376"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`"),
        RuntimeError("the LoRA loras/memory.safetensors ran out of memory in its training"),
        RuntimeError("Invalid buffer"),
        RuntimeError("unable to find an engine"),
        ValueError("CUDA out of memory"),
        FileNotFoundError(errno.ENOENT, "CUDA out of memory"),
    ],
)
def test_what_only_sounds_like_it_is_not(error):
    assert not is_out_of_memory(error)

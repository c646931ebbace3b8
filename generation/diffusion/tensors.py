"""Weights of any kind, taken apart into the plain tensors that they are made of, and put together.

A weight in fewer bits is a wrapper: torchao's around values and scales (torch calls such a class a
traceable wrapper subclass), bitsandbytes' around packed values with a state beside them. Its own
storage cannot be asked for ("Attempted to access the data pointer on an invalid python storage"),
it tells the bytes that it would have in 16 bits, and what is assigned to its ``data`` is lost.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

#: Tensors of the state that bitsandbytes keeps beside packed values (its ``QuantState``); the state
#: of the scales themselves, where they are packed too, is in ``state2``.
PACKED_STATE = ("absmax", "code", "offset")


def plain_tensors(weight: torch.Tensor) -> Iterator[torch.Tensor]:
    """The tensors with storages of their own within *weight*; of a plain one, itself."""
    if is_traceable_wrapper_subclass(weight):
        for name in weight.__tensor_flatten__()[0]:
            yield from plain_tensors(getattr(weight, name))
        return
    yield weight
    yield from _of_state(getattr(weight, "quant_state", None))


def rebuilt(weight: torch.Tensor, change: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """A weight of *weight*'s kind over what *change* makes of each of its plain tensors.

    They come in the order of `plain_tensors`. A parameter stays a parameter, without gradients.
    """
    if is_traceable_wrapper_subclass(weight):
        names, context = weight.__tensor_flatten__()
        inner = {name: rebuilt(getattr(weight, name), change) for name in names}
        made = type(weight).__tensor_unflatten__(inner, context, weight.shape, weight.stride())
        return torch.nn.Parameter(made, False) if _is_parameter(weight) else made
    changed = change(weight.detach())
    if _is_parameter(weight):
        changed = torch.Tensor._make_subclass(type(weight), changed, False)
        changed.__dict__.update(weight.__dict__)
    state = getattr(weight, "quant_state", None)
    if state is not None:
        changed.quant_state = _rebuilt_state(state, change)  # type: ignore[attr-defined]
    return changed


def weights_of(parts: Iterable[torch.nn.Module]) -> Iterator[torch.Tensor]:
    """Parameters and buffers of *parts*; those that several of them share come more than once."""
    for part in parts:
        yield from part.parameters()
        yield from part.buffers()


def stored_bytes(parts: Iterable[torch.nn.Module]) -> int:
    """Bytes of the weights of *parts*; those that several of them share count once."""
    sizes = {
        tensor.data_ptr(): tensor.nbytes
        for weight in weights_of(parts)
        for tensor in plain_tensors(weight)
        if tensor.device.type != "meta"
    }
    return sum(sizes.values())


def _is_parameter(weight: torch.Tensor) -> bool:
    return isinstance(weight, torch.nn.Parameter)


def _of_state(state: Any) -> Iterator[torch.Tensor]:
    if state is None:
        return
    for name in PACKED_STATE:
        tensor = getattr(state, name, None)
        if isinstance(tensor, torch.Tensor):
            yield tensor
    yield from _of_state(getattr(state, "state2", None))


def _rebuilt_state(state: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    made = copy.copy(state)
    for name in PACKED_STATE:
        tensor = getattr(state, name, None)
        if isinstance(tensor, torch.Tensor):
            setattr(made, name, change(tensor))
    if getattr(state, "state2", None) is not None:
        made.state2 = _rebuilt_state(state.state2, change)
    return made

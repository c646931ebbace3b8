"""diffusers' pipelines over weights that several of them share."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeVar

import torch

Part = TypeVar("Part", bound=torch.nn.Module)


def new_pipeline(kind: type[Any], components: Mapping[str, Any], device: torch.device) -> Any:
    """A pipeline of *kind* over *components* that computes on *device*, wherever they rest.

    diffusers would compute where the first component happens to be. Its ``from_pipe`` would
    cast the shared weights to float32.
    """
    placed = type(kind.__name__, (kind,), {"_execution_device": property(lambda self: device)})
    pipe: Any = placed(**components)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def shared_copy(part: Part) -> Part:
    """Another tree of modules over the very same weights, wherever these are moved."""
    weights = (*part.parameters(), *part.buffers())
    return copy.deepcopy(part, {id(weight): weight for weight in weights})

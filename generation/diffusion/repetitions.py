"""Compiled code that computes and stores what several layers are given once.

A layer in float8 quantizes what it is given, and Q, K, V and the MLP of a single block are given
the same. torch's compiler puts that into the kernel of the norm before it, but writes it once for
each layer that reads it. Such kernels were 17 of the 99 ms of a step on an H200 (November 2026);
what of it this saves has not been measured.
"""

from __future__ import annotations

from typing import Any

import torch
from torch._functorch.compile_utils import fx_graph_cse
from torch._inductor import config, lowering
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files


class WithoutRepetitions(CustomGraphPass):
    """Leaves, of calls of one function with the same arguments, the first in a graph.

    torch does so itself in graphs with gradients alone (`torch._functorch.config.cse`).
    """

    def __call__(self, graph: torch.fx.graph.Graph) -> None:
        module = graph.owning_module
        assert module is not None
        module.graph = fx_graph_cse(graph)

    def uuid(self) -> Any:
        """Part of the names of what is kept on the disk."""
        return get_hash_for_files((__file__,))


def drop_repetitions() -> None:
    """Have whatever is compiled from now on in this process do nothing twice."""
    config.post_grad_custom_pre_pass = WithoutRepetitions()
    # So that products read one copy of what they share, and not each its own.
    lowering.add_needs_realized_inputs(torch.ops.aten._scaled_mm.default)  # type: ignore[no-untyped-call]

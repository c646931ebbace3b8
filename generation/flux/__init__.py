"""FLUX through diffusers: the engine, its pipelines, and where their parts rest.

Importing this package imports torch and diffusers, which takes seconds: import it on
the engine's thread.
"""

from typing import Any

from generation.flux.engine import FluxEngine
from generation.preprocessors import Preprocessors

__all__ = ["FluxEngine", "engine_of"]


def engine_of(
    *, controlnets: list[str], preprocessors: dict[str, Any], **arguments: Any
) -> FluxEngine:
    """A `FluxEngine` from values that a pipe can carry: how a child process makes its own.

    Args:
        preprocessors: What `Preprocessors` is made with.
    """
    return FluxEngine(
        **arguments,
        controlnets=tuple(controlnets),
        preprocessors=Preprocessors(**preprocessors),
    )

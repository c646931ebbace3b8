"""FLUX through diffusers: the engine, its pipelines, and where their parts rest.

Importing this package imports torch and diffusers, which takes seconds: import it on
the engine's thread.
"""

from generation.flux.engine import FluxEngine

__all__ = ["FluxEngine"]

"""Parts that every family of diffusion models shares: the engine, memory, offloading, bits.

Importing `engine` imports torch and diffusers, which takes seconds: import it on the
engine's thread.
"""

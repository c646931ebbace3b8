"""diffusers' pipelines over weights that several of them share."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import torch

from generation.diffusion.family import StepDone
from generation.diffusion.step_cache import StepCache, skipping
from generation.preview import PredictingScheduler
from generation.types import GenerationRequest

#: Pixels of a side.
TILE_OF_VAE = 512

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


def watch_steps(pipe: Any) -> None:
    """Have *pipe*, and all that are made of its components, foretell the picture at each step, and
    guess steps where that is asked for."""
    scheduler = PredictingScheduler.from_config(pipe.scheduler.config)
    scheduler.step_cache = StepCache()
    pipe.register_modules(scheduler=scheduler)


def draw(
    pipe: Any,
    scheduler: Any,
    request: GenerationRequest,
    step_done: StepDone,
    arguments: Mapping[str, Any],
) -> torch.Tensor:
    """Latents of *request* as *pipe* returns them.

    Args:
        scheduler: A `PredictingScheduler`, by whose cache steps are guessed.
        step_done: See `Model.denoise`.
        arguments: Those that not all pipelines take, or not in the same way.
    """

    def step_end(
        pipe: Any, index: int, timestep: torch.Tensor | None, tensors: dict[str, Any]
    ) -> dict[str, Any]:
        step_done(index + 1, tensors["latents"])
        return tensors

    try:
        with skipping(pipe, scheduler.step_cache, request.step_cache_tolerance):
            latents: torch.Tensor = pipe(
                width=request.width,
                height=request.height,
                num_inference_steps=request.num_inference_steps,
                num_images_per_prompt=1,
                # On the CPU, so that a seed means the same picture on every device.
                generator=torch.Generator("cpu").manual_seed(request.seed),
                output_type="latent",
                callback_on_step_end=step_end,
                callback_on_step_end_tensor_inputs=["latents"],
                **arguments,
            ).images
    finally:
        scheduler.predicted = None
    return latents


@contextlib.contextmanager
def tiling(vae: Any) -> Iterator[None]:
    """Have *vae* encode and decode in overlapping tiles of `TILE_OF_VAE` pixels inside the block.

    By itself it would tile by its ``sample_size``, which is a whole picture for FLUX.1.
    """
    sizes = vae.tile_sample_min_size, vae.tile_latent_min_size
    scale = sizes[0] // sizes[1]
    tile = min(sizes[0], TILE_OF_VAE)
    vae.tile_sample_min_size, vae.tile_latent_min_size = tile, tile // scale
    vae.enable_tiling()
    try:
        yield
    finally:
        vae.disable_tiling()
        vae.tile_sample_min_size, vae.tile_latent_min_size = sizes


def shared_copy(part: Part) -> Part:
    """Another tree of modules over the very same weights, wherever these are moved."""
    weights = (*part.parameters(), *part.buffers())
    return copy.deepcopy(part, {id(weight): weight for weight in weights})

"""Larger pictures of the FLUX.1 family, in tiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from diffusers import FluxControlNetPipeline, FluxImg2ImgPipeline, FluxPipeline
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from PIL import Image

from generation.diffusion.pipelines import tiling
from generation.diffusion.tiles import Grid, TiledTransformer
from generation.families.flux1_controlnets import control_mode, shown_to_controlnet
from generation.kinds import Upscale


class TiledUpscaling:
    """Image to image in tiles, called like a pipeline of diffusers.

    Args:
        base: The pipeline for words alone.
        new_pipeline: Makes another over components of it.
        pipe: The pipeline of the ControlNet that is shown each tile; None without one.

    Attributes:
        transformer: The model's own, or what is to be called in its place.
    """

    def __init__(
        self,
        base: FluxPipeline,
        new_pipeline: Callable[[type[Any], Mapping[str, Any]], Any],
        kind: Upscale,
        pipe: FluxControlNetPipeline | None,
    ) -> None:
        self.transformer = base.transformer
        self._base = base
        self._new_pipeline = new_pipeline
        self._kind = kind
        self._pipe = pipe

    def __call__(
        self,
        *,
        image: Image.Image,
        width: int,
        height: int,
        guidance_scale: float,
        callback_on_step_end: Callable[..., Any],
        **arguments: Any,
    ) -> Any:
        """Latents of *image*, of *width* x *height*, drawn over."""
        base, grid = self._base, Grid(width, height, self._kind.tile_size)
        done = -1

        def step_end(pipe: Any, index: int, *more: Any) -> Any:
            nonlocal done
            done = index
            return callback_on_step_end(pipe, index, *more)

        def between() -> None:
            callback_on_step_end(None, done, None, {"latents": None})

        residuals = None
        if self._pipe is not None:
            residuals = self._residuals(self._pipe, grid, image, guidance_scale)
        transformer = TiledTransformer(self.transformer, grid, residuals, between)
        pipe = self._new_pipeline(
            FluxImg2ImgPipeline, {**base.components, "transformer": transformer}
        )
        scheduler = base.scheduler
        # Each tile is denoised as a picture of its own size is.
        scheduler.mu = calculate_shift(
            grid.tokens,
            scheduler.config.get("base_image_seq_len", 256),
            scheduler.config.get("max_image_seq_len", 4096),
            scheduler.config.get("base_shift", 0.5),
            scheduler.config.get("max_shift", 1.15),
        )
        try:
            with tiling(base.vae):
                return pipe(
                    image=image,
                    width=width,
                    height=height,
                    strength=self._kind.strength,
                    guidance_scale=guidance_scale,
                    callback_on_step_end=step_end,
                    **arguments,
                )
        finally:
            scheduler.mu = None

    def _residuals(
        self,
        pipe: FluxControlNetPipeline,
        grid: Grid,
        image: Image.Image,
        guidance_scale: float,
    ) -> Callable[[int, dict[str, Any]], dict[str, Any]]:
        """What the ControlNet adds in each tile, which is encoded once."""
        net, device = pipe.controlnet, self._base._execution_device
        mode = control_mode(net, self._kind)
        given = {
            "controlnet_mode": None if mode is None else torch.tensor([[mode]], device=device),
            "conditioning_scale": self._kind.controlnet_conditioning_scale,
            "return_dict": False,
        }
        guidance = (
            torch.tensor([guidance_scale], device=device) if net.config.guidance_embeds else None
        )
        shown = [shown_to_controlnet(pipe, image.crop(box), device) for box in grid.boxes()]

        def residuals(number: int, arguments: dict[str, Any]) -> dict[str, Any]:
            blocks, singles = net(
                **{**arguments, **given, "guidance": guidance, "controlnet_cond": shown[number]}
            )
            return {
                "controlnet_block_samples": blocks,
                "controlnet_single_block_samples": singles,
                "controlnet_blocks_repeat": net.input_hint_block is not None,
            }

        return residuals

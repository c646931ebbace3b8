"""ControlNets of the FLUX.1 family."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import FluxControlNetModel, FluxControlNetPipeline, FluxTransformer2DModel
from PIL import Image

from generation.diffusion.step_cache import StepCache
from generation.errors import ModelUnavailable
from generation.kinds import ControlNet, Inpaint, Upscale

#: Widths in which a ControlNet must agree with the transformer.
SHARED_WIDTHS = (
    "num_attention_heads",
    "attention_head_dim",
    "joint_attention_dim",
    "pooled_projection_dim",
)


class StoppingControlNet(FluxControlNetModel):
    """A ControlNet that does not compute what is multiplied by zero, nor for a step that is
    guessed.

    Outside of ``control_guidance_start`` to ``control_guidance_end`` the pipeline calls it
    with a scale of 0 and adds the zeros that come of it. Nothing to add makes the same pixels.

    Attributes:
        step_cache: Guesses steps; None computes all.
    """

    step_cache: StepCache | None = None

    def forward(self, *args: Any, conditioning_scale: float = 1.0, **kwargs: Any) -> Any:
        is_guided = conditioning_scale != 0
        if self.step_cache is not None:
            self.step_cache.note_guidance(is_guided)
            if self.step_cache.is_skipping:
                return None, None
        if not is_guided:
            return None, None
        return super().forward(*args, conditioning_scale=conditioning_scale, **kwargs)


def check_belongs(
    net: FluxControlNetModel, transformer: FluxTransformer2DModel, name: str, repository: str
) -> None:
    """Raise ModelUnavailable unless *net* of the ControlNet *name* has the widths of
    *transformer*, of the model *repository*."""
    for key in SHARED_WIDTHS:
        if net.config[key] != transformer.config[key]:
            raise ModelUnavailable(
                f"the ControlNet {name} was not made for {repository}: its {key} is"
                f" {net.config[key]}, that of the model {transformer.config[key]}"
            )


def followed(net: FluxControlNetModel, kind: ControlNet | Inpaint) -> dict[str, Any]:
    """The arguments for the ControlNet *net*."""
    return {
        "control_mode": control_mode(net, kind),
        "controlnet_conditioning_scale": kind.controlnet_conditioning_scale,
        "control_guidance_start": kind.control_guidance_start,
        "control_guidance_end": kind.control_guidance_end,
    }


def control_mode(net: FluxControlNetModel, kind: ControlNet | Inpaint | Upscale) -> int | None:
    """The mode that a Union checkpoint is told; None for others, which take none."""
    if not net.union:
        return None
    modes = net.config.num_mode
    if kind.control_mode is None or kind.control_mode >= modes:
        raise ModelUnavailable(
            f"{kind.controlnet} is a Union ControlNet: its preset must set control_mode,"
            f" 0 to {modes - 1}, not {kind.control_mode}"
        )
    return kind.control_mode


def shown_to_controlnet(
    pipe: FluxControlNetPipeline, image: Image.Image, device: torch.device
) -> torch.Tensor:
    """*image* as its ControlNet takes it: packed latents, or pixels where it encodes by itself."""
    pixels: torch.Tensor = pipe.prepare_image(
        image=image,
        width=image.width,
        height=image.height,
        batch_size=1,
        num_images_per_prompt=1,
        device=device,
        dtype=pipe.vae.dtype,
    )
    if pipe.controlnet.input_hint_block is not None:
        return pixels
    config = pipe.vae.config
    latents = pipe.vae.encode(pixels).latent_dist.mode()
    latents = (latents - config.shift_factor) * config.scaling_factor
    packed: torch.Tensor = pipe._pack_latents(latents, *latents.shape)
    return packed

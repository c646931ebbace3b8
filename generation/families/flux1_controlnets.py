"""ControlNets of the FLUX.1 family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import (
    FluxControlNetModel,
    FluxControlNetPipeline,
    FluxControlPipeline,
    FluxMultiControlNetModel,
    FluxTransformer2DModel,
)
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

    def forward(
        self,
        *args: Any,
        conditioning_scale: float = 1.0,
        is_one_of_several: bool = False,
        **kwargs: Any,
    ) -> Any:
        if not is_one_of_several and not _is_due(self.step_cache, conditioning_scale):
            return None, None
        return super().forward(*args, conditioning_scale=conditioning_scale, **kwargs)


class SeveralControlNets(FluxMultiControlNetModel):
    """ControlNets that are followed at once: what they add to each block of the transformer is
    summed.

    diffusers' own drops what the second adds where the first has ended, and the last blocks of the
    one with more of them.

    Args:
        nets: The ControlNets; one may be there more than once.
        blocks: Double and single blocks of the transformer.
        step_cache: Guesses steps.
    """

    def __init__(
        self, nets: Sequence[StoppingControlNet], blocks: tuple[int, int], step_cache: StepCache
    ) -> None:
        super().__init__(nets)
        self._blocks = blocks
        self._step_cache = step_cache

    def forward(
        self,
        hidden_states: torch.Tensor,
        controlnet_cond: Sequence[torch.Tensor],
        controlnet_mode: Sequence[torch.Tensor],
        conditioning_scale: Sequence[float],
        **kwargs: Any,
    ) -> tuple[list[torch.Tensor] | None, list[torch.Tensor] | None]:
        if not _is_due(self._step_cache, *conditioning_scale):
            return None, None
        found = []
        for net, image, mode, scale in zip(
            self.nets, controlnet_cond, controlnet_mode, conditioning_scale, strict=True
        ):
            if scale == 0:
                continue
            samples = net(
                hidden_states=hidden_states,
                controlnet_cond=image,
                controlnet_mode=mode[:, None] if net.union else None,
                conditioning_scale=scale,
                is_one_of_several=True,
                **kwargs,
            )
            found.append((net.input_hint_block is not None, *samples))
        doubles, singles = self._blocks
        return (
            summed([(double, repeats) for repeats, double, _ in found], doubles),
            summed([(single, False) for _, _, single in found], singles),
        )


def _is_due(step_cache: StepCache | None, *scales: float) -> bool:
    """Whether ControlNets of these *scales*, which are 0 outside of their spans, add anything to
    the coming step."""
    is_guided = [scale != 0 for scale in scales]
    if step_cache is not None:
        step_cache.note_guidance(*is_guided)
        if step_cache.is_skipping:
            return False
    return any(is_guided)


def summed(
    found: Sequence[tuple[Sequence[torch.Tensor] | None, bool]], blocks: int
) -> list[torch.Tensor] | None:
    """What is added to each of so many *blocks*, where each ControlNet brings fewer tensors than
    there are: it gives each to several blocks in a row, or to every so manieth if it repeats them
    (diffusers' FluxTransformer2DModel.forward)."""
    given = [(samples, repeats) for samples, repeats in found if samples]
    if not given:
        return None
    sums: dict[tuple[int, ...], torch.Tensor] = {}
    places = []
    for block in range(blocks):
        place = tuple(
            block % len(samples) if repeats else block // -(-blocks // len(samples))
            for samples, repeats in given
        )
        places.append(place)
        if place not in sums:
            first, *others = (samples[at] for (samples, _), at in zip(given, place, strict=True))
            sums[place] = sum(others, start=first)
    return [sums[place] for place in places]


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


def check_go_together(nets: Mapping[str, FluxControlNetModel]) -> None:
    """Raise ModelUnavailable unless *nets*, by their names, can be followed at once: the pipeline
    gives all of them the same."""
    takes = {name: _takes(net) for name, net in nets.items()}
    first, *others = takes
    for other in others:
        if takes[other] != takes[first]:
            raise ModelUnavailable(
                f"the ControlNets {first} and {other} cannot be followed at once: one takes"
                f" {takes[first]}, the other {takes[other]}"
            )


def _takes(net: FluxControlNetModel) -> str:
    form = "latents" if net.input_hint_block is None else "pixels"
    return f"{form} and guidance" if net.config.guidance_embeds else form


def followed_together(
    nets: Sequence[FluxControlNetModel], kinds: Sequence[ControlNet]
) -> dict[str, Any]:
    """The arguments for several ControlNets, as lists."""
    each = [followed(net, kind) for net, kind in zip(nets, kinds, strict=True)]
    return {name: [arguments[name] for arguments in each] for name in each[0]}


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


def encoded_with_chance(pipe: Any) -> int:
    """Control images that *pipe* encodes before it draws its noise: the VAE takes a sample of each,
    which comes from the seed too."""
    if isinstance(pipe, FluxControlNetPipeline):
        net = pipe.controlnet
        nets = list(net.nets) if isinstance(net, SeveralControlNets) else [net]
        return len(nets) if nets[0].input_hint_block is None else 0
    return int(isinstance(pipe, FluxControlPipeline))


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

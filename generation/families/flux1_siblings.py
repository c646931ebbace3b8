"""Models of the FLUX.1 family that were made for one thing: filling, such as FLUX.1-Fill-dev, or
editing by words, such as FLUX.1-Kontext-dev.

A filling transformer sees noise, the picture without what lies below the mask, and the mask. An
editing one sees the tokens of the picture behind those of the noise. All other parts are those of
the model in memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffusers import FluxKontextPipeline, FluxTransformer2DModel

from generation.diffusion import weight_files
from generation.diffusion.family import LoadOptions
from generation.errors import ModelUnavailable
from generation.families import flux1_files, unfit

#: Channels of a packed token that come beside the noise: as many for the picture, and the mask's
#: 8 x 8 pixels in each of a token's four latent ones (`FluxFillPipeline.prepare_mask_latents`).
MASK_CHANNELS = 4 * 8 * 8


class EditingPipeline(FluxKontextPipeline):
    """`FluxKontextPipeline` for a picture of the size that is asked for, which is shown to the
    model as it is. diffusers' own makes a megapixel of any size, and one of a few shapes of any
    picture."""

    def __call__(self, *, width: int, height: int, **arguments: Any) -> Any:
        """As diffusers' own, whose other arguments it takes."""
        return super().__call__(
            width=width, height=height, max_area=width * height, _auto_resize=False, **arguments
        )


def load_filling(
    folder: Path, options: LoadOptions, kept: tuple[str, ...]
) -> FluxTransformer2DModel:
    """The transformer in *folder*, which is its own or a pipeline's, quantized but for the layers
    *kept*."""
    if folder.is_file():
        raise ModelUnavailable(
            f"{folder} is a file: a model that fills is named by its repository or its folder"
        )
    transformer: FluxTransformer2DModel = FluxTransformer2DModel.from_pretrained(
        weight_files.transformer_folder(folder),
        dtype=options.precision.dtype,
        use_safetensors=True,
        local_files_only=True,
    )
    options.quantize(transformer, options.precision.transformer, "denoiser", kept)
    return transformer


def load_editing(
    found: Path, base: FluxTransformer2DModel, options: LoadOptions, kept: tuple[str, ...]
) -> FluxTransformer2DModel:
    """The transformer in *found*, a file or a folder, which stands in for *base*, quantized but for
    the layers *kept*.

    Raises:
        ModelUnavailable: It does not go with the other parts; with the way out.
    """
    if (sentence := unfit.editor(found)) is not None:
        raise ModelUnavailable(sentence)
    weight_files.check_packing(found, options.precision.transformer)
    transformer = flux1_files.transformer_beside(found, base.config, options.precision.dtype, kept)
    options.quantize(transformer, options.precision.transformer, "denoiser", kept)
    return transformer


def check_fills(
    transformer: FluxTransformer2DModel, base: FluxTransformer2DModel, name: str, repository: str
) -> None:
    """Raise ModelUnavailable unless *transformer* of the model *name* fills, beside the parts of
    *repository*, whose own transformer is *base*."""
    channels = base.config.in_channels
    wanted = 2 * channels + MASK_CHANNELS
    if transformer.config.in_channels != wanted:
        raise ModelUnavailable(
            f"{name} is no model for filling: its transformer takes"
            f" {transformer.config.in_channels} channels, and one that sees a mask {wanted}: name"
            " another as fill, or leave it out"
        )
    for key in ("joint_attention_dim", "pooled_projection_dim"):
        if transformer.config[key] != base.config[key]:
            raise ModelUnavailable(
                f"the model {name} was not made for the parts of {repository}: its {key} is"
                f" {transformer.config[key]}, theirs {base.config[key]}"
            )

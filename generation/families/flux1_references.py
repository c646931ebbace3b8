"""Reference pictures of the FLUX.1 family, by FLUX.1-Redux."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from diffusers.pipelines.flux.modeling_flux import ReduxImageEncoder
from PIL import Image
from transformers import SiglipImageProcessorPil, SiglipVisionModel

from generation.diffusion.family import Call, LoadOptions, Open
from generation.errors import ModelUnavailable
from generation.kinds import CONTROL_IMAGES, Redux

#: Pictures whose embeddings are kept, 6 MB each for FLUX.1-dev.
KEPT_PICTURES = 8


class ReferenceEncoder(torch.nn.Module):
    """Tokens of pictures, which the transformer reads as it reads those of words.

    Args:
        image_encoder: Sees a picture.
        image_embedder: Says what it has seen in the transformer's words.
        processor: Brings a picture to the size that the encoder sees.
    """

    def __init__(
        self,
        image_encoder: SiglipVisionModel,
        image_embedder: ReduxImageEncoder,
        processor: SiglipImageProcessorPil,
    ) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.image_embedder = image_embedder
        self._processor = processor
        self._known: OrderedDict[bytes, torch.Tensor] = OrderedDict()

    @classmethod
    def load(cls, folder: Path, options: LoadOptions) -> Self:
        """The encoder in *folder*, that of a `FluxPriorReduxPipeline`."""
        given = {"use_safetensors": True, "local_files_only": True}
        dtype = options.precision.dtype
        # Nothing is read of what SigLIP's head makes, whose attention uses the weights of a layer
        # that it does not call: on sequential-offload they would never come.
        return cls(
            SiglipVisionModel.from_pretrained(
                folder / "image_encoder", dtype=dtype, vision_use_head=False, **given
            ),
            ReduxImageEncoder.from_pretrained(folder / "image_embedder", dtype=dtype, **given),
            SiglipImageProcessorPil.from_pretrained(
                folder / "feature_extractor", local_files_only=True
            ),
        )

    def check_belongs(
        self, transformer: FluxTransformer2DModel, name: str, repository: str
    ) -> None:
        """Raise ModelUnavailable unless the encoder *name* speaks to *transformer*, of the model
        *repository*."""
        said = self.image_embedder.config.txt_in_features
        read = transformer.config.joint_attention_dim
        if said != read:
            raise ModelUnavailable(
                f"the reference model {name} was not made for {repository}: its embeddings are"
                f" {said} wide, those of the model {read}"
            )

    def tokens(self, picture: Image.Image, device: torch.device) -> torch.Tensor:
        """Embeddings of *picture*, (1, tokens, width of the text embeddings)."""
        key = hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).digest()
        if key not in self._known:
            pixels = self._processor.preprocess(
                images=picture, do_resize=True, return_tensors="pt", do_convert_rgb=True
            )["pixel_values"]
            self._known[key] = self(pixels.to(device, self.image_embedder.dtype)).cpu()
            while len(self._known) > KEPT_PICTURES:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key].to(device)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embeddings of *pixels*, (pictures, 3, rows, columns)."""
        seen = self.image_encoder(pixel_values=pixels).last_hidden_state
        embeds: torch.Tensor = self.image_embedder(seen).image_embeds
        return embeds


def referring(model: Any, kind: Redux, open: Open) -> Call:
    """The call of *model*, a `Flux1`, for words beside reference pictures."""
    base = model.text_to_image

    def load(folder: Path) -> ReferenceEncoder:
        return ReferenceEncoder.load(folder, model.options)

    def build() -> ReferenceEncoder:
        encoder = open(kind.redux, "prior", load)
        encoder.check_belongs(base.transformer, kind.redux, model.options.name)
        return encoder

    encoder = model.conditioned.use(kind.redux, build)
    pipe = ReferringPipeline(base, encoder, kind.image_embeds_scale)
    return Call(pipe, (base.transformer, encoder), pictures=dict.fromkeys(CONTROL_IMAGES, "image"))


class ReferringPipeline:
    """A pipeline for words that reads reference pictures behind them, called like one of diffusers.

    Several pictures are blended: the mean of their tokens is read, as `FluxPriorReduxPipeline`
    sums them. The weight is that of the pictures alone, where diffusers' scales the words too.

    Args:
        pipe: The pipeline for words alone.
        encoder: Makes tokens of the pictures.
        scale: Weight of the pictures, 0 to 2.

    """

    def __init__(self, pipe: FluxPipeline, encoder: ReferenceEncoder, scale: float) -> None:
        self._pipe = pipe
        self._encoder = encoder
        self._scale = scale

    @property
    def transformer(self) -> torch.nn.Module:
        """The model's own, or what is to be called in its place."""
        own: torch.nn.Module = self._pipe.transformer
        return own

    @transformer.setter
    def transformer(self, instead: torch.nn.Module) -> None:
        self._pipe.transformer = instead

    def __call__(
        self,
        *,
        image: Image.Image | Sequence[Image.Image],
        prompt_embeds: torch.Tensor,
        negative_prompt_embeds: torch.Tensor | None = None,
        **arguments: Any,
    ) -> Any:
        """Latents of the words *prompt_embeds*, (1, tokens, width), beside *image*. Those of a
        negative prompt are read beside it too, so that it weighs against the words alone."""
        pictures = [image] if isinstance(image, Image.Image) else image
        device = self._pipe._execution_device
        found = torch.cat([self._encoder.tokens(each, device) for each in pictures])
        blend = found.mean(dim=0, keepdim=True) * self._scale

        def beside(words: torch.Tensor) -> torch.Tensor:
            return torch.cat([words, blend.to(words.dtype)], dim=1)

        if negative_prompt_embeds is not None:
            arguments["negative_prompt_embeds"] = beside(negative_prompt_embeds)
        return self._pipe(prompt_embeds=beside(prompt_embeds), **arguments)

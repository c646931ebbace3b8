"""FLUX.2-klein: its pipelines for the kinds of presets that it draws, over one set of weights."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import Flux2KleinPipeline
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image

from generation.checks import public_name
from generation.control_images import finished
from generation.diffusion import attention, memory, quantization, weight_files
from generation.diffusion.drafts import reduced_noise
from generation.diffusion.embeddings import Embeddings
from generation.diffusion.family import Call, LoadOptions, Model, Open, StepDone
from generation.diffusion.lora_slot import new_loras
from generation.diffusion.offloading import Role
from generation.diffusion.pipelines import draw, new_pipeline, tiling, watch_steps
from generation.diffusion.quantization import Precision
from generation.diffusion.tensors import stored_bytes
from generation.errors import ModelUnavailable
from generation.families import flux2_names, flux2_text
from generation.families.flux2_pipelines import InpaintPipeline, KleinPipeline, RedrawPipeline
from generation.families.flux2_preview import Flux2Preview
from generation.kinds import CONTROL_IMAGES, Edit, ImageToImage, Inpaint, Kind, TextToImage
from generation.types import GenerationRequest

#: Layers of the transformer that keep their bits: small ones, in which errors would be in every
#: token.
KEPT = (
    "x_embedder",
    "context_embedder",
    "time_guidance_embed",
    "double_stream_modulation_img",
    "double_stream_modulation_txt",
    "single_stream_modulation",
    "norm_out",
    "proj_out",
)


class Flux2:
    """A model of the FLUX.2-klein family: 4B, 9B, and fine-tunes.

    Args:
        base: A `Flux2KleinPipeline` whose text encoder is that of `flux2_text.load`.
        preview: Map from its latents to small pictures.
        options: See `LoadOptions`.

    Attributes:
        text_to_image: The pipeline for words alone, whose modules all others share.
        loras: The LoRAs in memory.
        options: See `LoadOptions`.
    """

    def __init__(
        self, base: Flux2KleinPipeline, preview: Flux2Preview, options: LoadOptions
    ) -> None:
        self.options = options
        self.text_to_image = self.new_pipeline(KleinPipeline, base.components)
        # Who attaches a narrow picture, or a small one, has it edited all the same.
        self.text_to_image.image_processor.check_image_input = _any_picture
        self._preview = preview
        self.loras = new_loras(self.changed_by_loras, flux2_names, options)
        attention.use(base.transformer, options.attention)
        options.compiling.compile_blocks(base.transformer)
        options.compiling.compile_decoder(base.vae)

    @staticmethod
    def read_sizes(
        folder: Path, precision: Precision, transformer: Path | None = None
    ) -> memory.Sizes:
        """Sizes of the model in *folder*, in these number formats."""
        value, text = precision.dtype.itemsize, precision.text_dtype.itemsize
        layers = quantization.BYTES.get
        formats = {
            "transformer": memory.Format(value, layers(precision.transformer), KEPT),
            "text_encoder": memory.Format(text, layers(precision.text), flux2_text.KEPT),
        }
        return memory.read_sizes(folder, value, formats, {"text_encoder": flux2_text.is_read})

    @classmethod
    def load(cls, folder: Path, options: LoadOptions) -> Model:
        """The model in *folder*, in main memory; its parts are not placed yet.

        Raises:
            ModelUnavailable: A transformer is named beside it.
        """
        precision = options.precision
        if options.transformer is not None:
            raise ModelUnavailable(
                "model.transformer stands in for a transformer of FLUX.1 alone: leave it out, and"
                " name a whole folder or repository of FLUX.2-klein as model.repository"
            )
        weight_files.check_packing(folder, precision.transformer)
        weight_files.check_packing(
            folder / "text_encoder", precision.text, "text_encoder_quantization"
        )
        base = Flux2KleinPipeline.from_pretrained(
            folder,
            text_encoder=flux2_text.load(folder / "text_encoder", precision.text_dtype),
            dtype=precision.dtype,
            use_safetensors=True,
            local_files_only=True,
        )
        preview = Flux2Preview(base.vae, options.device.torch_device)
        options.quantize(base.transformer, precision.transformer, "denoiser", KEPT)
        options.quantize(base.text_encoder, precision.text, "text")
        watch_steps(base)
        return cls(base, preview, options)

    @property
    def parts(self) -> Mapping[torch.nn.Module, Role]:
        """Transformer, VAE and text encoder."""
        base = self.text_to_image
        return {base.transformer: "denoiser", base.vae: "vae", base.text_encoder: "text"}

    @property
    def changed_by_loras(self) -> dict[str, torch.nn.Module]:
        """Parts that a LoRA may change, by the pipeline's names."""
        return {"transformer": self.text_to_image.transformer}

    @property
    def loaded(self) -> dict[str, int]:
        """Bytes of the weights in memory, by repository."""
        return {self.options.name: stored_bytes(self.parts)}

    def prepare(self, request: GenerationRequest, open: Open) -> Call:
        """The pipeline for *request*; LoRAs that are not in memory are loaded.

        Raises:
            ModelUnavailable: FLUX.2-klein draws no pictures of this kind, or a LoRA cannot be had.
        """
        if (sentence := undrawn(request.kind)) is not None:
            raise ModelUnavailable(f"{public_name(self.options.name)} {sentence}")
        self.loras.use(request.lora_scales, open)
        return DRAWING[type(request.kind)](self, request.kind)

    def rehearse(self) -> None:
        """Nothing: all kinds draw with the layers of a picture of words alone."""

    def text_variant(self, request: GenerationRequest) -> str:
        """Nothing beside the words decides the embeddings of a prompt."""
        return ""

    def encode(self, prompt: str) -> Embeddings:
        """Embeddings of *prompt*, (1, tokens, 7680)."""
        pipe = self.text_to_image
        embedded = flux2_text.encode(
            pipe.text_encoder,
            pipe.tokenizer,
            prompt,
            self.options.max_sequence_length,
            self.options.device.torch_device,
        )
        return Embeddings({"prompt_embeds": embedded.to(self.options.precision.dtype)})

    def denoise(
        self,
        call: Call,
        request: GenerationRequest,
        prompt: Embeddings,
        negative_prompt: Embeddings | None,
        pictures: Mapping[str, Image.Image],
        step_done: StepDone,
    ) -> torch.Tensor:
        """The latents that the VAE decodes, (1, 32, height/8, width/8)."""
        # The distilled model knows no guidance: what a request says of it has no effect.
        arguments: dict[str, Any] = {**call.arguments, **prompt.tensors, "guidance_scale": 1.0}
        if negative_prompt is not None:
            arguments["guidance_scale"] = request.true_cfg_scale
            arguments |= negative_prompt.as_negative
        arguments |= call.named(pictures)
        if request.final_size and not request.kind.begins_with_picture:
            arguments["latents"] = self._noise_of_a_draft(request, *request.final_size)
        return draw(call.pipe, self.text_to_image.scheduler, request, step_done, arguments)

    def _noise_of_a_draft(
        self, request: GenerationRequest, final_width: int, final_height: int
    ) -> torch.Tensor:
        """Noise, (1, 128, rows, columns) of tokens, with the coarse parts of that which is drawn
        for the final picture."""
        pipe = self.text_to_image
        scale = 2 * pipe.vae_scale_factor
        channels = pipe.transformer.config.in_channels
        noise = randn_tensor(
            (1, channels, final_height // scale, final_width // scale),
            generator=torch.Generator("cpu").manual_seed(request.seed),
            dtype=pipe.transformer.dtype,
        )
        whole = pipe._unpatchify_latents(noise)
        rows, columns = 2 * (request.height // scale), 2 * (request.width // scale)
        reduced: torch.Tensor = pipe._patchify_latents(reduced_noise(whole, rows, columns))
        return reduced

    def decode(
        self, latents: torch.Tensor, request: GenerationRequest, *, is_tiled: bool
    ) -> Image.Image:
        """The RGB picture of *latents*, decoded tile by tile if *is_tiled*."""
        pipe, vae = self.text_to_image, self.text_to_image.vae
        with tiling(vae) if is_tiled else contextlib.nullcontext():
            decoded = vae.decode(latents, return_dict=False)[0]
        image: Image.Image = pipe.image_processor.postprocess(decoded, output_type="pil")[0]
        return finished(image, request)

    def preview(self, request: GenerationRequest) -> torch.Tensor:
        """Pixels, an eighth of the size, of the picture as the latest step predicts it."""
        predicted = self.text_to_image.scheduler.predicted
        return self._preview.pixels(predicted, request.width, request.height)

    def new_pipeline(self, kind: type[Any], components: Mapping[str, Any]) -> Any:
        """A pipeline of *kind* that computes on the model's device."""
        return new_pipeline(kind, components, self.options.device.torch_device)


def by_words(model: Flux2, kind: TextToImage) -> Call:
    pipe = model.text_to_image
    return Call(pipe, (pipe.transformer,))


def edited(model: Flux2, kind: Edit) -> Call:
    pipe = model.text_to_image
    return Call(pipe, (pipe.transformer,), pictures=dict.fromkeys(CONTROL_IMAGES, "image"))


def inpainted(model: Flux2, kind: Inpaint) -> Call:
    pipe = model.new_pipeline(InpaintPipeline, model.text_to_image.components)
    arguments = {"strength": kind.strength}
    return Call(pipe, (pipe.transformer,), arguments, {"control_image": "image"})


def redrawn(model: Flux2, kind: ImageToImage) -> Call:
    pipe = model.new_pipeline(RedrawPipeline, model.text_to_image.components)
    arguments = {"strength": kind.strength}
    return Call(pipe, (pipe.transformer,), arguments, {"control_image": "image"})


#: How each kind is drawn.
DRAWING: dict[type[Kind], Callable[[Flux2, Any], Call]] = {
    TextToImage: by_words,
    Edit: edited,
    Inpaint: inpainted,
    ImageToImage: redrawn,
}


def undrawn(kind: Kind) -> str | None:
    """Why models of this family draw no picture of *kind*, as the end of a sentence that begins
    with the model; None where they do."""
    if type(kind) not in DRAWING:
        names = ", ".join(f'"{each.name}"' for each in DRAWING)
        return (
            f"draws no picture with {kind.label}, but those of the kinds {names}: choose another"
            " preset, or name a model of FLUX.1 as model.repository"
        )
    if kind.weights:
        return (
            f"draws with weights of its own alone: leave {kind.conditioning_model} out of the"
            f' preset, and say kind = "{kind.name}"'
        )
    return None


def _any_picture(picture: Image.Image) -> Image.Image:
    return picture

"""FLUX.1: its pipelines for every kind of preset, over one set of weights.

All pipelines are made of the very same modules. ControlNets and Control LoRAs come on top,
each once, whatever number of presets names it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    FluxControlNetImg2ImgPipeline,
    FluxControlNetInpaintPipeline,
    FluxControlNetPipeline,
    FluxControlPipeline,
    FluxFillPipeline,
    FluxImg2ImgPipeline,
    FluxInpaintPipeline,
    FluxPipeline,
    FluxTransformer2DModel,
)
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image

from generation.checks import public_name
from generation.control_images import finished, shown_to_model
from generation.diffusion import memory, quantization, weight_files
from generation.diffusion.conditioning import ConditionedPipelines
from generation.diffusion.denoisers import prepare
from generation.diffusion.drafts import reduced_noise
from generation.diffusion.embeddings import Embeddings
from generation.diffusion.family import Call, LoadOptions, Model, Open, StepDone
from generation.diffusion.lora_slot import new_loras
from generation.diffusion.offloading import Role
from generation.diffusion.pipelines import draw, new_pipeline, shared_copy, tiling, watch_steps
from generation.diffusion.quantization import Precision
from generation.diffusion.step_cache import StepCache
from generation.diffusion.tensors import stored_bytes
from generation.diffusion.tiles import with_low_frequencies
from generation.errors import ModelUnavailable
from generation.families import flux1_files, flux1_names, unfit
from generation.families.flux1_controlnets import (
    SeveralControlNets,
    StoppingControlNet,
    check_belongs,
    check_go_together,
    control_mode,
    encoded_with_chance,
    followed,
    followed_together,
)
from generation.families.flux1_references import ReferenceEncoder, referring
from generation.families.flux1_siblings import (
    EditingPipeline,
    check_fills,
    load_editing,
    load_filling,
)
from generation.families.flux1_upscaling import TiledUpscaling
from generation.kinds import (
    CONTROL_IMAGES,
    ControlLora,
    ControlNet,
    ControlNets,
    Edit,
    ImageToImage,
    Inpaint,
    Kind,
    Redux,
    TextToImage,
    Upscale,
)
from generation.preview import Preview
from generation.types import GenerationRequest

#: Weights that a Control LoRA replaces whole, instead of adding to them (diffusers'
#: FluxLoraLoaderMixin).
REPLACED_NORMS = ("norm_q", "norm_k", "norm_added_q", "norm_added_k")

#: Layers of the transformer that keep their bits: small ones, in which errors would be in every
#: token, and the first, which a Control LoRA widens.
KEPT = ("x_embedder", "context_embedder", "time_text_embed", "norm_out", "proj_out")

#: T5's table of words, which is no linear layer.
KEPT_IN_TEXT = ("shared", "encoder.embed_tokens")


class Flux1:
    """A model of the FLUX.1 family: dev, schnell, Krea, Kontext, fine-tunes, and the demo.

    Args:
        base: A `FluxPipeline`, whose modules all pipelines share.
        preview: Map from its latents to small pictures, on the device.
        options: See `LoadOptions`.
        can_edit: Whether its transformer edits by words.

    Attributes:
        text_to_image: The pipeline for words alone.
        image_to_image: The pipeline that draws a picture over.
        conditioned: The pipelines with a ControlNet or a Control LoRA, by its name.
        loras: The LoRAs in memory.
        step_cache: Guesses steps of those pictures that ask for it.
        options: See `LoadOptions`.
        can_edit: Whether its transformer edits by words.
    """

    def __init__(
        self, base: FluxPipeline, preview: Preview, options: LoadOptions, *, can_edit: bool = False
    ) -> None:
        self.options = options
        self.can_edit = can_edit
        self.text_to_image = self.new_pipeline(FluxPipeline, base.components)
        self.image_to_image = self.new_pipeline(FluxImg2ImgPipeline, base.components)
        prepare_denoiser = partial(prepare, compiling=options.compiling, kernel=options.attention)

        def prepare_part(part: torch.nn.Module) -> None:
            if not isinstance(part, ReferenceEncoder):
                prepare_denoiser(part)

        self.conditioned = ConditionedPipelines(
            base.transformer,
            _own_part,
            prepare_part,
            options.offloading,
            most=options.max_controlnets,
            room=options.room,
        )
        self.step_cache: StepCache = base.scheduler.step_cache
        self._preview = preview
        # Before hooks and LoRAs change the original.
        self._unchanged = shared_copy(base.transformer)
        self.loras = new_loras(self.changed_by_loras, flux1_names, options)
        prepare_denoiser(base.transformer)
        options.compiling.compile_decoder(base.vae)

    @staticmethod
    def read_sizes(
        folder: Path, precision: Precision, transformer: Path | None = None
    ) -> memory.Sizes:
        """Sizes of the model in *folder*, in these number formats, with the *transformer* of
        another file or folder where one is named."""
        value, text = precision.dtype.itemsize, precision.text_dtype.itemsize
        layers = quantization.BYTES.get
        formats = {
            "transformer": memory.Format(value, layers(precision.transformer), KEPT),
            "text_encoder": memory.Format(text),
            "text_encoder_2": memory.Format(text, layers(precision.text), KEPT_IN_TEXT),
        }
        sizes = memory.read_sizes(folder, value, formats)
        whole, block, around = flux1_files.sizes(transformer or folder, formats["transformer"])
        texts = sizes.text_encoders
        if weight_files.packing(t5 := folder / "text_encoder_2") is not None:
            texts = formats["text_encoder"].bytes(memory.shapes(folder / "text_encoder"))
            texts += sum(weight_files.stored_bytes(t5).values())
        return replace(sizes, transformer=whole, block=block, around=around, text_encoders=texts)

    @classmethod
    def load(cls, folder: Path, options: LoadOptions) -> Model:
        """The model in *folder*, in main memory; its parts are not placed yet."""
        precision = options.precision
        weight_files.check_packing(options.transformer or folder, precision.transformer)
        weight_files.check_packing(
            folder / "text_encoder_2", precision.text, "text_encoder_quantization"
        )
        given = {}
        if options.transformer is not None:
            given["transformer"] = flux1_files.transformer_of(
                options.transformer, folder, precision.dtype, KEPT
            )
        base = FluxPipeline.from_pretrained(
            folder,
            **given,
            dtype={
                "default": precision.dtype,
                "text_encoder": precision.text_dtype,
                "text_encoder_2": precision.text_dtype,
            },
            use_safetensors=True,
            local_files_only=True,
        )
        options.quantize(base.transformer, precision.transformer, "denoiser", KEPT)
        options.quantize(base.text_encoder_2, precision.text, "text")
        watch_steps(base)
        preview = Preview.of(folder, base.vae).to(options.device.torch_device)
        # A transformer that stands in does not say what it was made for.
        can_edit = options.transformer is not None or unfit.can_edit(folder)
        return cls(base, preview, options, can_edit=can_edit)

    @property
    def parts(self) -> Mapping[torch.nn.Module, Role]:
        """Transformer, VAE and text encoders, and the transformer as it was before any LoRA."""
        base = self.text_to_image
        texts: dict[torch.nn.Module, Role] = dict.fromkeys(self.text_encoders, "text")
        return {
            base.transformer: "denoiser",
            base.vae: "vae",
            **texts,
            self._unchanged: "pattern",
        }

    @property
    def text_encoders(self) -> tuple[torch.nn.Module, ...]:
        """CLIP and T5."""
        return (self.text_to_image.text_encoder, self.text_to_image.text_encoder_2)

    @property
    def changed_by_loras(self) -> dict[str, torch.nn.Module]:
        """Parts that a LoRA may change, by the pipeline's names."""
        base = self.text_to_image
        return {
            name: getattr(base, name) for name in ("transformer", "text_encoder", "text_encoder_2")
        }

    @property
    def loaded(self) -> dict[str, int]:
        """Bytes of the weights in memory, by repository."""
        return {self.options.name: stored_bytes(self.parts), **self.conditioned.loaded}

    def prepare(self, request: GenerationRequest, open: Open) -> Call:
        """The pipeline for *request*; ControlNets and LoRAs that are not in memory are loaded.

        Raises:
            ModelUnavailable: FLUX.1 draws no pictures of this kind, or weights that it takes
                cannot be had.
        """
        if (sentence := undrawn(request.kind)) is not None:
            raise ModelUnavailable(f"{public_name(self.options.name)} {sentence}")
        edits_alone = request.kind.edits and not request.kind.weights
        # A LoRA of the preset may have taught it.
        if edits_alone and not self.can_edit and request.lora is None:
            raise ModelUnavailable(unfit.edits_nothing(public_name(self.options.name)))
        self.loras.use(request.lora_scales, open)
        return DRAWING[type(request.kind)](self, request.kind, open)

    def rehearse(self) -> None:
        """Have blocks compute that have no slot for LoRAs, as those of ControlNets, where the
        model's own weights are on the device."""
        options = self.options
        if options.precision.transformer != "none" or not options.offloading.stays_on_device(
            "denoiser"
        ):
            return
        copy = shared_copy(self._unchanged)
        options.compiling.compile_blocks(copy)
        empty = partial(torch.zeros, device=options.device.torch_device, dtype=copy.dtype)
        tokens, width = options.max_sequence_length, copy.inner_dim
        for blocks in (copy.transformer_blocks, copy.single_transformer_blocks):
            blocks[0](
                hidden_states=empty(1, 4 * tokens, width),
                encoder_hidden_states=empty(1, tokens, width),
                temb=empty(1, width),
                image_rotary_emb=copy.pos_embed(empty(5 * tokens, 3)),
            )

    def text_variant(self, request: GenerationRequest) -> str:
        """A name for all but the words that decides the embeddings of *request*'s prompts."""
        return ", ".join(
            f"{name} {scale:g}"
            for name, scale in request.lora_scales.items()
            if self.loras.changes_text(name)
        )

    def encode(self, prompt: str) -> Embeddings:
        """Embeddings of *prompt*: T5's, (1, tokens, 4096), and CLIP's pooled ones, (1, 768)."""
        of_t5, of_clip, _ = self.text_to_image.encode_prompt(
            prompt=prompt,
            prompt_2=None,
            device=self.options.device.torch_device,
            max_sequence_length=self.options.max_sequence_length,
        )
        tensors = {"prompt_embeds": of_t5, "pooled_prompt_embeds": of_clip}
        dtype = self.options.precision.dtype
        return Embeddings({name: tensor.to(dtype) for name, tensor in tensors.items()})

    def denoise(
        self,
        call: Call,
        request: GenerationRequest,
        prompt: Embeddings,
        negative_prompt: Embeddings | None,
        pictures: Mapping[str, Image.Image],
        step_done: StepDone,
    ) -> torch.Tensor:
        """Packed latents of the finished picture, (1, tokens, 64)."""
        arguments: dict[str, Any] = {
            "guidance_scale": request.guidance_scale,
            "max_sequence_length": self.options.max_sequence_length,
            **call.arguments,
            **prompt.tensors,
        }
        if negative_prompt is not None:
            arguments["true_cfg_scale"] = request.true_cfg_scale
            arguments |= negative_prompt.as_negative
        arguments |= call.named(pictures)
        # What begins with a picture has its layout from there.
        if request.final_size and not request.kind.begins_with_picture:
            arguments["latents"] = self._noise_of_a_draft(call.pipe, request, *request.final_size)
        return draw(call.pipe, self.text_to_image.scheduler, request, step_done, arguments)

    def _noise_of_a_draft(
        self, conditioned: Any, request: GenerationRequest, final_width: int, final_height: int
    ) -> torch.Tensor:
        """Packed noise, (1, tokens, 64), with the coarse parts of that which the pipeline
        *conditioned* draws for the final picture."""
        pipe = self.text_to_image
        scale, channels = pipe.vae_scale_factor, pipe.transformer.config.in_channels // 4
        shape = (1, channels, final_height // scale, final_width // scale)
        generator = torch.Generator("cpu").manual_seed(request.seed)
        for _ in range(encoded_with_chance(conditioned)):
            randn_tensor(shape, generator=generator, dtype=pipe.vae.dtype)
        noise = randn_tensor(shape, generator=generator, dtype=pipe.transformer.dtype)
        reduced = reduced_noise(noise, request.height // scale, request.width // scale)
        packed: torch.Tensor = pipe._pack_latents(reduced, *reduced.shape)
        return packed

    def decode(
        self, latents: torch.Tensor, request: GenerationRequest, *, is_tiled: bool
    ) -> Image.Image:
        """The RGB picture of *latents*, decoded tile by tile if *is_tiled*."""
        pipe, vae = self.text_to_image, self.text_to_image.vae
        scaled = pipe._unpack_latents(latents, request.height, request.width, pipe.vae_scale_factor)
        unscaled = scaled / vae.config.scaling_factor + vae.config.shift_factor
        is_upscaled = isinstance(request.kind, Upscale)
        # Always in the same way, so that all offload levels make the same pixels.
        with tiling(vae) if is_tiled or is_upscaled else contextlib.nullcontext():
            decoded = vae.decode(unscaled, return_dict=False)[0]
        image: Image.Image = pipe.image_processor.postprocess(decoded, output_type="pil")[0]
        if is_upscaled:
            (original,) = shown_to_model(request).values()
            image = with_low_frequencies(image, original)
        return finished(image, request)

    def preview(self, request: GenerationRequest) -> torch.Tensor:
        """Pixels, an eighth of the size, of the picture as the latest step predicts it."""
        predicted = self.text_to_image.scheduler.predicted
        return self._preview.pixels(predicted, request.width, request.height)

    def new_pipeline(self, kind: type[Any], components: Mapping[str, Any]) -> Any:
        """A pipeline of *kind* that computes on the model's device."""
        return new_pipeline(kind, components, self.options.device.torch_device)

    def sharing(self, **own: torch.nn.Module) -> dict[str, Any]:
        """Components of a pipeline that has *own* ones beside those of all others, and none of the
        two that diffusers lists for pictures, which some pipelines do not take."""
        components = {**self.text_to_image.components, **own}
        del components["image_encoder"], components["feature_extractor"]
        return components

    def controlnet_pipeline(
        self, name: str, open: Open, kept: Collection[str] = ()
    ) -> FluxControlNetPipeline:
        """The pipeline with the ControlNet *name*, loaded where it is not in memory; those *kept*
        do not make room for it."""
        base = self.text_to_image

        def load(folder: Path) -> StoppingControlNet:
            if (sentence := unfit.controlnet(folder)) is not None:
                raise ModelUnavailable(sentence)
            net: StoppingControlNet = StoppingControlNet.from_pretrained(
                folder,
                dtype=self.options.precision.dtype,
                use_safetensors=True,
                local_files_only=True,
            )
            net.step_cache = self.step_cache
            return net

        def build() -> FluxControlNetPipeline:
            net = open(name, "controlnet", load)
            check_belongs(net, base.transformer, name, self.options.name)
            return self.new_pipeline(FluxControlNetPipeline, {**base.components, "controlnet": net})

        return self.conditioned.use(name, build, kept)

    def control_lora_pipeline(self, name: str, open: Open) -> FluxControlPipeline:
        """The pipeline with the Control LoRA *name*, loaded where it is not in memory.

        It has a shared copy of the transformer: a Control LoRA widens its first layer and
        replaces some norms, which no other pipeline must notice.
        """
        base = self.text_to_image

        def load(folder: Path) -> FluxControlPipeline:
            changed = shared_copy(self._unchanged)
            for module_name, module in changed.named_modules():
                if module_name.rpartition(".")[2] in REPLACED_NORMS:
                    for key, weight in list(module.named_parameters(recurse=False)):
                        setattr(module, key, torch.nn.Parameter(weight.detach().clone(), False))
            pipe = self.new_pipeline(FluxControlPipeline, self.sharing(transformer=changed))
            lora = self.loras.read(folder, is_control=True)
            with self.options.offloading.unhooked(*self.changed_by_loras.values()):
                pipe.load_lora_weights(lora.state_dict(), adapter_name="control")
            return pipe

        def build() -> FluxControlPipeline:
            pipe = open(name, "lora", load)
            if pipe.transformer.config.in_channels != 2 * base.transformer.config.in_channels:
                raise ModelUnavailable(
                    f"{name} is no Control LoRA, since it leaves no room for a control image: name"
                    " it as lora"
                )
            return pipe

        return self.conditioned.use(name, build)

    def fill_pipeline(self, name: str, open: Open) -> FluxFillPipeline:
        """The pipeline with the transformer of *name*, a model for filling, loaded where it is not
        in memory."""
        base = self.text_to_image

        def build() -> FluxFillPipeline:
            transformer = open(
                name, "transformer", lambda folder: load_filling(folder, self.options, KEPT)
            )
            check_fills(transformer, base.transformer, name, self.options.name)
            return self.new_pipeline(FluxFillPipeline, self.sharing(transformer=transformer))

        return self.conditioned.use(name, build)

    def editing_pipeline(self, name: str | None, open: Open) -> Any:
        """The pipeline with the transformer of *name*, a model for editing, loaded where it is not
        in memory; with the model's own where that is None."""
        base = self.text_to_image
        if name is None:
            return self.new_pipeline(EditingPipeline, base.components)

        def load(found: Path) -> FluxTransformer2DModel:
            return load_editing(found, base.transformer, self.options, KEPT)

        def build() -> Any:
            transformer = open(name, "transformer", load)
            return self.new_pipeline(
                EditingPipeline, {**base.components, "transformer": transformer}
            )

        return self.conditioned.use(name, build)


def by_words(model: Flux1, kind: TextToImage, open: Open) -> Call:
    pipe = model.text_to_image
    return Call(pipe, (pipe.transformer,))


def over_a_picture(model: Flux1, kind: ImageToImage, open: Open) -> Call:
    pipe = model.image_to_image
    return Call(pipe, (pipe.transformer,), {"strength": kind.strength}, {"control_image": "image"})


def with_controlnet(model: Flux1, kind: ControlNet, open: Open) -> Call:
    pipe = model.controlnet_pipeline(kind.controlnet, open)
    call = Call(pipe, (pipe.transformer, pipe.controlnet), followed(pipe.controlnet, kind))
    return _over_a_picture_too(model, call, kind.strength)


def _over_a_picture_too(model: Flux1, call: Call, strength: float | None) -> Call:
    """*call*, with a ControlNet, that begins with a picture where *strength* says so."""
    if strength is None:
        return call
    components = model.sharing(controlnet=call.pipe.controlnet)
    pipe = model.new_pipeline(FluxControlNetImg2ImgPipeline, components)
    return replace(call, pipe=pipe, arguments={**call.arguments, "strength": strength})


def with_controlnets(model: Flux1, kind: ControlNets, open: Open) -> Call:
    """Those with a weight of 0 are left out, so that the others draw as they do without them."""
    base, names = model.text_to_image, [name for name, _ in kind.weights]
    chosen = {
        name: net
        for name, net in zip(CONTROL_IMAGES, kind.controlnets, strict=False)
        if net.controlnet_conditioning_scale > 0
    } or {CONTROL_IMAGES[0]: kind.controlnets[0]}
    pictures = {
        name: CONTROL_IMAGES[0] if name in chosen else None
        for name, _ in zip(CONTROL_IMAGES, kind.controlnets, strict=False)
    }
    if len(chosen) == 1:
        (alone,) = chosen.values()
        call = with_controlnet(model, replace(alone, strength=kind.strength), open)
        return replace(call, pictures=pictures)
    loaded = {
        each.controlnet: model.controlnet_pipeline(each.controlnet, open, names).controlnet
        for each in chosen.values()
    }
    check_go_together(loaded)
    nets = [loaded[each.controlnet] for each in chosen.values()]
    blocks = (
        len(base.transformer.transformer_blocks),
        len(base.transformer.single_transformer_blocks),
    )
    together = SeveralControlNets(nets, blocks, model.step_cache)
    pipe = model.new_pipeline(FluxControlNetPipeline, {**base.components, "controlnet": together})
    arguments = followed_together(nets, list(chosen.values()))
    call = Call(pipe, (pipe.transformer, *loaded.values()), arguments, pictures)
    return _over_a_picture_too(model, call, kind.strength)


def with_control_lora(model: Flux1, kind: ControlLora, open: Open) -> Call:
    pipe = model.control_lora_pipeline(kind.control_lora, open)
    return Call(pipe, (pipe.transformer,))


def inpainted(model: Flux1, kind: Inpaint, open: Open) -> Call:
    base, arguments = model.text_to_image, {"strength": kind.strength}
    if kind.fill is not None:
        pipe = model.fill_pipeline(kind.fill, open)
        return Call(pipe, (pipe.transformer,), arguments, {"control_image": "image"})
    if kind.controlnet is None:
        pipe = model.new_pipeline(FluxInpaintPipeline, base.components)
        return Call(pipe, (pipe.transformer,), arguments, {"control_image": "image"})
    net = model.controlnet_pipeline(kind.controlnet, open).controlnet
    pipe = model.new_pipeline(FluxControlNetInpaintPipeline, model.sharing(controlnet=net))
    return Call(pipe, (pipe.transformer, net), {**arguments, **followed(net, kind)})


def edited(model: Flux1, kind: Edit, open: Open) -> Call:
    pipe = model.editing_pipeline(kind.kontext, open)
    return Call(pipe, (pipe.transformer,), pictures={"control_image": "image"})


def larger_in_tiles(model: Flux1, kind: Upscale, open: Open) -> Call:
    denoisers = [model.text_to_image.transformer]
    pipe = None
    if kind.controlnet is not None:
        pipe = model.controlnet_pipeline(kind.controlnet, open)
        control_mode(pipe.controlnet, kind)
        denoisers.append(pipe.controlnet)
    draw = TiledUpscaling(model.text_to_image, model.new_pipeline, kind, pipe)
    return Call(draw, tuple(denoisers), pictures={"control_image": "image"})


#: How each kind is drawn.
DRAWING: dict[type[Kind], Callable[[Flux1, Any, Open], Call]] = {
    TextToImage: by_words,
    ImageToImage: over_a_picture,
    ControlNet: with_controlnet,
    ControlNets: with_controlnets,
    ControlLora: with_control_lora,
    Upscale: larger_in_tiles,
    Inpaint: inpainted,
    Edit: edited,
    Redux: referring,
}


def undrawn(kind: Kind) -> str | None:
    """Why models of this family draw no picture of *kind*, as the end of a sentence that begins
    with the model; None where they do."""
    if type(kind) not in DRAWING:
        return f"draws no picture with {kind.label}"
    if kind.edits and kind.more_pictures:
        return "is shown one picture when it edits: leave references out of the preset"
    return None


def _own_part(
    pipe: FluxControlNetPipeline | FluxControlPipeline | FluxFillPipeline | ReferenceEncoder,
) -> torch.nn.Module:
    """The part of a conditioned pipeline that is not the model's."""
    if isinstance(pipe, ReferenceEncoder):
        return pipe
    own: torch.nn.Module = (
        pipe.controlnet if isinstance(pipe, FluxControlNetPipeline) else pipe.transformer
    )
    return own

"""diffusers' pipelines for every kind of preset, over one set of base weights.

All pipelines are made of the very same modules. ControlNets and Control LoRAs come on top,
each once, whatever number of presets names it, and the one used longest ago goes first.
"""

from __future__ import annotations

import copy
import gc
import logging
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from diffusers import (
    FluxControlNetModel,
    FluxControlNetPipeline,
    FluxControlPipeline,
    FluxImg2ImgPipeline,
    FluxPipeline,
    FluxTransformer2DModel,
)

from generation.diffusion.offloading import Offloading, stored_bytes
from generation.errors import ModelUnavailable
from generation.kinds import ControlLora, ControlNet, ImageToImage, Kind, TextToImage
from generation.types import GenerationRequest
from generation.wanted import WeightsRole

Opened = TypeVar("Opened")
AnyFluxPipeline = FluxPipeline | FluxImg2ImgPipeline | FluxControlNetPipeline | FluxControlPipeline

#: What a Control LoRA replaces whole, instead of adding to it (diffusers' FluxLoraLoaderMixin).
REPLACED_NORMS = ("norm_q", "norm_k", "norm_added_q", "norm_added_k")

log = logging.getLogger(__name__)


class Open(Protocol):
    """Finds weights by their name, downloads them if need be, and loads them."""

    def __call__(self, name: str, role: WeightsRole, load: Callable[[Path], Opened]) -> Opened: ...


@dataclass(frozen=True, slots=True)
class Call:
    """A pipeline for one request.

    Attributes:
        pipe: To be called.
        denoisers: The parts of it that must be on the device while it denoises.
        arguments: Arguments that only this kind of pipeline takes, but for its pictures.
        pictures: The pipeline's arguments for the kind's pictures, where they differ in name.
    """

    pipe: AnyFluxPipeline
    denoisers: tuple[torch.nn.Module, ...]
    arguments: dict[str, Any]
    pictures: Mapping[str, str] = field(default_factory=dict)


class Pipelines:
    """Every pipeline of one model.

    Args:
        base: Whose modules all of them share.
        name: Of the model, for messages.
        offloading: Where the parts rest. The base's are not yet there.
        max_controlnets: ControlNets and Control LoRAs kept in memory at most, at least 1.
        max_loras: LoRAs kept in memory, at least 1.
        room: Bytes of the device that weights may take; None where that is not known.

    Attributes:
        text_to_image: The base itself.
        conditioned: The pipelines with a ControlNet or a Control LoRA, by its name; the one
            used longest ago stands first.
    """

    def __init__(
        self,
        base: FluxPipeline,
        name: str,
        offloading: Offloading,
        *,
        max_controlnets: int,
        max_loras: int,
        room: int | None = None,
    ) -> None:
        self._device = offloading.device.torch_device
        # The same modules in each, not from_pipe: that casts the shared weights to float32.
        self.text_to_image = self._built(FluxPipeline, base.components)
        self.image_to_image = self._built(FluxImg2ImgPipeline, base.components)
        self.conditioned: OrderedDict[str, FluxControlNetPipeline | FluxControlPipeline] = (
            OrderedDict()
        )
        self.loras: OrderedDict[str, str] = OrderedDict()  # to their adapters' names
        self._name = name
        self._offloading = offloading
        self._max_controlnets = max_controlnets
        self._max_loras = max_loras
        self._room = room
        self._loras_loaded = 0
        self._loras_of_text: set[str] = set()
        # Before hooks and LoRAs change the original.
        self._pattern = shared_copy(base.transformer)

    @property
    def text_encoders(self) -> tuple[torch.nn.Module, ...]:
        return (self.text_to_image.text_encoder, self.text_to_image.text_encoder_2)

    def rest(self) -> None:
        """Put the base's parts to where they rest.

        Raises:
            torch.OutOfMemoryError: They do not fit there; see `Offloading.register`.
        """
        base = self.text_to_image
        parts = [(base.transformer, "denoiser"), (base.vae, "vae")]
        parts += [(encoder, "text") for encoder in self.text_encoders]
        failed: RuntimeError | None = None
        for part, role in parts:
            try:
                self._offloading.register(part, role)
            except RuntimeError as error:
                failed = error
        if failed is not None:
            raise failed

    def call_for(self, request: GenerationRequest, open: Open) -> Call:
        """The pipeline for *request*, loaded where it is not yet.

        Raises:
            ModelUnavailable: FLUX.1 draws no pictures of this kind, or weights that it takes
                cannot be had.
        """
        draw = DRAWING.get(type(request.kind))
        if draw is None:
            raise ModelUnavailable(f"{self._name} draws no picture with {request.kind.label}")
        self._use_lora(request, open)
        return draw(self, request.kind, open)

    def by_words(self, kind: TextToImage, open: Open) -> Call:
        return Call(self.text_to_image, (self.text_to_image.transformer,), {})

    def over_a_picture(self, kind: ImageToImage, open: Open) -> Call:
        pipe = self.image_to_image
        return Call(
            pipe, (pipe.transformer,), {"strength": kind.strength}, {"control_image": "image"}
        )

    def with_controlnet(self, kind: ControlNet, open: Open) -> Call:
        pipe = self._conditioned(kind.controlnet, open, self._controlnet_pipeline)
        return Call(
            pipe,
            (pipe.transformer, pipe.controlnet),
            {
                "control_mode": _control_mode(pipe.controlnet, kind),
                "controlnet_conditioning_scale": kind.controlnet_conditioning_scale,
                "control_guidance_start": kind.control_guidance_start,
                "control_guidance_end": kind.control_guidance_end,
            },
        )

    def with_control_lora(self, kind: ControlLora, open: Open) -> Call:
        pipe = self._conditioned(kind.control_lora, open, self._control_lora_pipeline)
        return Call(pipe, (pipe.transformer,), {})

    def text_variant(self, request: GenerationRequest) -> str:
        """What else than the words decides the embeddings of *request*."""
        changes_text = request.lora in self._loras_of_text
        return f"{request.lora} {request.lora_scale:g}" if changes_text else ""

    def loaded(self) -> dict[str, int]:
        """Bytes of the weights in memory, by repository."""
        base = stored_bytes(
            [self.text_to_image.transformer, self.text_to_image.vae, *self.text_encoders]
        )
        found = {self._name: base}
        for name, pipe in self.conditioned.items():
            found[name] = self._own_bytes(_own_part(pipe))
        return found

    def _built(self, kind: type[AnyFluxPipeline], components: dict[str, Any]) -> AnyFluxPipeline:
        """A pipeline of *kind* that computes on the device, wherever its parts rest.

        diffusers would compute where the first part happens to be.
        """
        device = self._device
        placed = type(kind.__name__, (kind,), {"_execution_device": property(lambda self: device)})
        pipe = placed(**components)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def _own_bytes(self, part: torch.nn.Module) -> int:
        """What *part* adds to the base's weights."""
        both = stored_bytes([part, self.text_to_image.transformer])
        return both - stored_bytes([self.text_to_image.transformer])

    def _conditioned(
        self, name: str, open: Open, build: Callable[[str, Open], AnyFluxPipeline]
    ) -> AnyFluxPipeline:
        if name not in self.conditioned:
            pipe = build(name, open)
            part = _own_part(pipe)
            self._make_room(self._own_bytes(part))
            # First, so that it is found again where registering it runs out of memory.
            self.conditioned[name] = pipe
            self._offloading.register(part, "denoiser")
        self.conditioned.move_to_end(name)
        return self.conditioned[name]

    def _controlnet_pipeline(self, name: str, open: Open) -> FluxControlNetPipeline:
        base = self.text_to_image

        def load(folder: Path) -> StoppingControlNet:
            return StoppingControlNet.from_pretrained(
                folder, dtype=base.dtype, use_safetensors=True, local_files_only=True
            )

        net = open(name, "controlnet", load)
        _check_belongs(net, base.transformer, name, self._name)
        return self._built(FluxControlNetPipeline, {**base.components, "controlnet": net})

    def _control_lora_pipeline(self, name: str, open: Open) -> FluxControlPipeline:
        """Over a shared copy of the transformer: a Control LoRA widens its first layer and replaces
        some norms, which no other pipeline must notice."""

        def load(folder: Path) -> FluxControlPipeline:
            changed = shared_copy(self._pattern)
            for module_name, module in changed.named_modules():
                if module_name.rpartition(".")[2] in REPLACED_NORMS:
                    for key, weight in list(module.named_parameters(recurse=False)):
                        setattr(module, key, torch.nn.Parameter(weight.detach().clone(), False))
            components = {**self.text_to_image.components, "transformer": changed}
            for without in ("image_encoder", "feature_extractor"):
                del components[without]
            pipe = self._built(FluxControlPipeline, components)
            with self._offloading.unhooked(self.text_to_image.transformer, *self.text_encoders):
                _load_lora(pipe, folder, "control")
            return pipe

        pipe = open(name, "lora", load)
        channels = pipe.transformer.config.in_channels
        if channels != 2 * self.text_to_image.transformer.config.in_channels:
            raise ModelUnavailable(
                f"{name} is no Control LoRA, since it leaves no room for a control image: name"
                " it as lora"
            )
        return pipe

    def _make_room(self, needed: int) -> None:
        """Let go of what was used longest ago, until *needed* more bytes fit."""

        def fits() -> bool:
            return self._room is None or self._offloading.resting_bytes + needed <= self._room

        while self.conditioned and (len(self.conditioned) >= self._max_controlnets or not fits()):
            name, pipe = self.conditioned.popitem(last=False)
            self._offloading.unregister(_own_part(pipe))
            del pipe
            gc.collect()
            self._offloading.device.free_unused()
            log.info("%s made room", name)
        while self._offloading.level in ("resident", "text-offload") and not fits():
            if not self._offloading.step_down():
                break
            log.info("to make room for a ControlNet: %s", self._offloading.level)

    def _use_lora(self, request: GenerationRequest, open: Open) -> None:
        """Make the LoRA of *request* the one that is active, or none."""
        pipe, name = self.text_to_image, request.lora
        if name is None:
            if self.loras:
                pipe.disable_lora()
            return
        parts = (pipe.transformer, *self.text_encoders)
        if name not in self.loras:
            while len(self.loras) >= self._max_loras:
                _, oldest = self.loras.popitem(last=False)
                with self._offloading.unhooked(*parts):
                    pipe.delete_adapters(oldest)
            self._loras_loaded += 1
            adapter = f"lora_{self._loras_loaded}"

            def load(found: Path) -> None:
                with self._offloading.unhooked(*parts):
                    _load_lora(pipe, found, adapter)

            open(name, "lora", load)
            self.loras[name] = adapter
            if "text_encoder" in pipe.get_list_adapters():
                self._loras_of_text.add(name)
        self.loras.move_to_end(name)
        pipe.enable_lora()
        pipe.set_adapters([self.loras[name]], [request.lora_scale])


#: How each kind is drawn.
DRAWING: dict[type[Kind], Callable[[Pipelines, Any, Open], Call]] = {
    TextToImage: Pipelines.by_words,
    ImageToImage: Pipelines.over_a_picture,
    ControlNet: Pipelines.with_controlnet,
    ControlLora: Pipelines.with_control_lora,
}


class StoppingControlNet(FluxControlNetModel):
    """A ControlNet that does not compute what is multiplied by zero.

    Outside of ``control_guidance_start`` to ``control_guidance_end`` the pipeline calls it
    with a scale of 0 and adds the zeros that come of it. Nothing to add makes the same pixels.
    """

    def forward(self, *args: Any, conditioning_scale: float = 1.0, **kwargs: Any) -> Any:
        if conditioning_scale == 0:
            return None, None
        return super().forward(*args, conditioning_scale=conditioning_scale, **kwargs)


def shared_copy(transformer: FluxTransformer2DModel) -> FluxTransformer2DModel:
    """Another tree of modules over the very same weights, wherever these are moved."""
    weights = (*transformer.parameters(), *transformer.buffers())
    return copy.deepcopy(transformer, {id(weight): weight for weight in weights})


def _own_part(pipe: FluxControlNetPipeline | FluxControlPipeline) -> torch.nn.Module:
    """The part that a conditioned pipeline does not share with the base."""
    return pipe.controlnet if isinstance(pipe, FluxControlNetPipeline) else pipe.transformer


def _load_lora(pipe: AnyFluxPipeline, found: Path, adapter: str) -> None:
    """Load the LoRA in *found*, a file or a folder with one."""
    files = [found] if found.is_file() else sorted(found.glob("*.safetensors"))
    if len(files) != 1:
        raise ModelUnavailable(
            f"there are {len(files)} LoRAs in {found}: name one as owner/name/file.safetensors"
            if files
            else f"there is no LoRA in {found}: only safetensors files are read"
        )
    with warnings.catch_warnings():
        # Several LoRAs in one model are meant; which of them is active is said at each use.
        warnings.filterwarnings("ignore", "Already found a `peft_config`", UserWarning)
        pipe.load_lora_weights(
            files[0].parent,
            weight_name=files[0].name,
            adapter_name=adapter,
            use_safetensors=True,
            local_files_only=True,
        )


def _control_mode(net: FluxControlNetModel, kind: ControlNet) -> int | None:
    """What a Union checkpoint is told; others must not be told anything."""
    if not net.union:
        return None
    modes = net.config.num_mode
    if kind.control_mode is None or kind.control_mode >= modes:
        raise ModelUnavailable(
            f"{kind.controlnet} is a Union ControlNet: its preset must set control_mode,"
            f" 0 to {modes - 1}, not {kind.control_mode}"
        )
    return kind.control_mode


def _check_belongs(
    net: FluxControlNetModel, transformer: torch.nn.Module, name: str, repository: str
) -> None:
    for key in (
        "num_attention_heads",
        "attention_head_dim",
        "joint_attention_dim",
        "pooled_projection_dim",
    ):
        if net.config[key] != transformer.config[key]:
            raise ModelUnavailable(
                f"the ControlNet {name} was not made for {repository}: its {key} is"
                f" {net.config[key]}, that of the model {transformer.config[key]}"
            )

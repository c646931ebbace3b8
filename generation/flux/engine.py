"""FluxEngine: diffusers' pipelines for every preset, over one set of base weights."""

from __future__ import annotations

import contextlib
import gc
import logging
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import (
    FluxControlNetModel,
    FluxControlNetPipeline,
    FluxImg2ImgPipeline,
    FluxPipeline,
)
from PIL import Image
from torch import nn

from generation import placement, weights
from generation.control_images import shown_to_model
from generation.preview import PredictingScheduler, Preview
from generation.types import (
    GenerationError,
    GenerationRequest,
    GenerationResult,
    ModelUnavailable,
    OnStep,
    OutOfMemory,
    Step,
)

log = logging.getLogger(__name__)

AnyFluxPipeline = FluxPipeline | FluxImg2ImgPipeline | FluxControlNetPipeline


class FluxEngine:
    """Owns the pipelines on one device. Blocking; touched by exactly one thread.

    Args:
        repository: "demo", a folder, or a repository id; see `weights.resolve`.
        revision: Branch, tag or commit of it; ControlNets and LoRAs name theirs as
            "owner/name@revision".
        download_dir: Where what has to be built or downloaded is kept.
        device: "auto", "cpu", "mps", "cuda" or "cuda:N".
        dtype: "auto", "bfloat16", "float16" or "float32".
        max_sequence_length: Tokens of T5 that the model sees, 1 to 512; what is longer
            is cut off, what is shorter is padded and costs the same.
        token: For gated repositories; None looks in the environment.
        max_controlnets: ControlNets kept in memory, at least 1; those of FLUX.1-dev
            take 1.5 to 6.6 GB each.
        max_loras: LoRAs kept in memory, at least 1.
        threads: CPU threads of torch; None leaves its default, one for each core.
    """

    def __init__(
        self,
        repository: str = weights.DEMO,
        *,
        revision: str | None = None,
        download_dir: Path = Path("download"),
        device: str = "auto",
        dtype: str = "auto",
        max_sequence_length: int = 512,
        token: str | None = None,
        max_controlnets: int = 3,
        max_loras: int = 3,
        threads: int | None = None,
    ) -> None:
        self.repository = repository
        self.revision = revision
        self.download_dir = download_dir
        self.device = device
        self.dtype = dtype
        self.max_sequence_length = max_sequence_length
        self.token = token
        self.max_controlnets = max_controlnets
        self.max_loras = max_loras
        self.threads = threads
        self._forget()

    def _forget(self) -> None:
        self._place: placement.Placement | None = None
        self._text_to_image: FluxPipeline | None = None
        self._image_to_image: FluxImg2ImgPipeline | None = None
        self._with_controlnet: OrderedDict[str, FluxControlNetPipeline] = OrderedDict()
        self._loras: OrderedDict[str, str] = OrderedDict()  # to their adapters' names
        self._loras_loaded = 0
        self._preview: Preview | None = None
        self._is_offloaded = False
        self._hooked: AnyFluxPipeline | None = None
        # Replaced, never changed, since any thread may ask for it.
        self._loaded: dict[str, int] = {}

    def load(self) -> None:
        """Bring the base weights into memory. ControlNets and LoRAs wait for their first use.

        Raises:
            ModelUnavailable: They are missing, refused or damaged, or the device is not there.
            OutOfMemory: They do not fit.
        """
        quieten_libraries()
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        self._place = placement.choose(self.device, self.dtype)
        folder = self._folder(self.repository, "pipeline", self.revision)
        pipe = _read(FluxPipeline, folder, self._place.dtype)
        pipe.register_modules(scheduler=PredictingScheduler.from_config(pipe.scheduler.config))
        # The same modules in each, not from_pipe: that casts the shared weights to float32.
        self._text_to_image = _ready(pipe)
        self._image_to_image = _ready(FluxImg2ImgPipeline(**pipe.components))
        try:
            self._move(pipe)
            self._preview = Preview.of(folder, pipe.vae).to(self._place.device)
            modules = (each for each in pipe.components.values() if isinstance(each, nn.Module))
            self._loaded = {self.repository: sum(map(_bytes, modules))}
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(
                f"{self.repository} does not fit into the memory of {self._place.device}:"
                f" {_first_line(error)}"
            ) from None

    def generate(self, request: GenerationRequest, on_step: OnStep) -> GenerationResult:
        """Make one picture; the same request makes the same pixels.

        *on_step* is called after each denoising step; what it raises is raised here.

        Raises:
            GenerationError: The numbers degenerated, or the result is blank.
            ModelUnavailable: A ControlNet or a LoRA cannot be loaded or does not belong
                to this model.
            OutOfMemory: The request does not fit on the device, not even with the parts
                that are not in use moved out of it.
        """
        if self._place is None or self._text_to_image is None:
            raise ModelUnavailable("the model is not loaded")
        started = time.monotonic()
        self._place.forget_peak()
        shown = shown_to_model(request)
        try:
            image = self._draw(request, shown, on_step)
        except torch.OutOfMemoryError as error:
            reason = _first_line(error)
        else:
            reason = None
        # Outside the handler: the exception held on to the frames with the tensors.
        if reason is not None:
            image = self._draw_offloaded(request, shown, on_step, reason)
        if is_flat(image):
            raise GenerationError("the picture came out blank: try another seed or another prompt")
        return GenerationResult(
            image,
            time.monotonic() - started,
            control_map=shown if request.controlnet is not None else None,
            peak_memory=self._place.peak_memory,
        )

    def close(self) -> None:
        """Give the memory back. May be called more than once; `load` works again after it."""
        place = self._place
        self._forget()
        gc.collect()
        if place is not None:
            place.free_unused()

    @property
    def loaded(self) -> dict[str, int]:
        """Bytes of each repository's weights that are in memory. Any thread may ask."""
        return self._loaded

    def _draw_offloaded(
        self, request: GenerationRequest, shown: Image.Image | None, on_step: OnStep, reason: str
    ) -> Image.Image:
        """Once more, with the parts that are not in use moved out of the device."""
        assert self._place is not None
        self._place.free_unused()
        sentence = (
            f"{request.width} × {request.height} pixels do not fit into the memory of"
            f" {self._place.device}: ask for a smaller picture ({reason})"
        )
        if self._is_offloaded or not self._place.has_own_memory:
            raise OutOfMemory(sentence)
        log.warning("out of memory (%s): from now on parts of the model wait outside", reason)
        self._is_offloaded = True
        try:
            return self._draw(request, shown, on_step)
        except torch.OutOfMemoryError:
            pass
        self._place.free_unused()
        raise OutOfMemory(sentence)

    def _draw(
        self, request: GenerationRequest, shown: Image.Image | None, on_step: OnStep
    ) -> Image.Image:
        pipe, arguments = self._pipeline(request, shown)
        self._use_lora(request.lora)
        if self._is_offloaded and self._hooked is not pipe:
            self._hook(pipe)
        with torch.inference_mode():
            try:
                return pipe(
                    prompt=request.templated_prompt,
                    negative_prompt=(
                        request.negative_prompt if request.true_cfg_scale > 1 else None
                    ),
                    true_cfg_scale=request.true_cfg_scale,
                    width=request.width,
                    height=request.height,
                    num_inference_steps=request.num_inference_steps,
                    guidance_scale=request.guidance_scale,
                    num_images_per_prompt=1,
                    # On the CPU, so that a seed means the same picture on every device.
                    generator=torch.Generator("cpu").manual_seed(request.seed),
                    max_sequence_length=self.max_sequence_length,
                    output_type="pil",
                    callback_on_step_end=self._step_end(request, on_step),
                    callback_on_step_end_tensor_inputs=["latents"],
                    **arguments,
                ).images[0]
            finally:
                pipe.scheduler.predicted = None
                pipe.maybe_free_model_hooks()

    def _step_end(
        self, request: GenerationRequest, on_step: OnStep
    ) -> Callable[[AnyFluxPipeline, int, torch.Tensor, dict[str, Any]], dict[str, Any]]:
        preview = self._preview
        assert preview is not None

        def step_end(
            pipe: AnyFluxPipeline, index: int, timestep: torch.Tensor, tensors: dict[str, Any]
        ) -> dict[str, Any]:
            if not torch.isfinite(tensors["latents"]).all():
                raise GenerationError(
                    f"the numbers overflowed at step {index + 1}, so there is no picture: try"
                    " another seed, or a lower guidance"
                )
            jpeg = preview.jpeg(pipe.scheduler.predicted, request.width, request.height)
            on_step(Step(index + 1, jpeg))
            return tensors

        return step_end

    def _pipeline(
        self, request: GenerationRequest, shown: Image.Image | None
    ) -> tuple[AnyFluxPipeline, dict[str, Any]]:
        """The pipeline for *request*, and the arguments that only it takes."""
        if request.controlnet is not None:
            pipe = self._controlnet_pipeline(request.controlnet)
            return pipe, {
                "control_image": shown,
                "control_mode": _control_mode(pipe.controlnet, request),
                "controlnet_conditioning_scale": request.controlnet_conditioning_scale,
                "control_guidance_start": request.control_guidance_start,
                "control_guidance_end": request.control_guidance_end,
            }
        if request.strength is not None:
            return self._image_to_image, {"image": shown, "strength": request.strength}
        return self._text_to_image, {}

    def _controlnet_pipeline(self, name: str) -> FluxControlNetPipeline:
        """The pipeline with the ControlNet *name*, which is loaded where it is not yet."""
        pipes = self._with_controlnet
        if name in pipes:
            pipes.move_to_end(name)
            return pipes[name]
        base = self._text_to_image
        net = _read(FluxControlNetModel, self._folder(name, "controlnet"), self._place.dtype)
        _check_belongs(net, base.transformer, name, self.repository)
        while len(pipes) >= self.max_controlnets:
            gone, oldest = pipes.popitem(last=False)
            self._loaded = {key: size for key, size in self._loaded.items() if key != gone}
            self._hooked = None if self._hooked is oldest else self._hooked
            del oldest
            gc.collect()
            self._place.free_unused()
        pipe = _ready(FluxControlNetPipeline(**base.components, controlnet=net))
        if not self._is_offloaded:
            net.to(self._place.device)
        pipes[name] = pipe
        self._loaded = {**self._loaded, name: _bytes(net)}
        return pipe

    def _use_lora(self, name: str | None) -> None:
        """Make *name* the one LoRA that is active, or none."""
        pipe = self._text_to_image
        if name is None:
            if self._loras:
                pipe.disable_lora()
            return
        if name not in self._loras:
            while len(self._loras) >= self.max_loras:
                _, oldest = self._loras.popitem(last=False)
                pipe.delete_adapters(oldest)
            self._loras_loaded += 1
            adapter = f"lora_{self._loras_loaded}"
            folder = self._folder(name, "lora")
            with _damage_as_sentence(folder):
                pipe.load_lora_weights(
                    folder, adapter_name=adapter, use_safetensors=True, local_files_only=True
                )
            self._loras[name] = adapter
            self._hooked = None  # loading takes the hooks out and puts its own in
        self._loras.move_to_end(name)
        pipe.enable_lora()
        pipe.set_adapters([self._loras[name]], [1.0])

    def _folder(self, repository: str, kind: weights.Kind, revision: str | None = None) -> Path:
        return weights.resolve(
            repository,
            revision,
            kind=kind,
            download_dir=self.download_dir,
            token=self.token,
        )

    def _move(self, pipe: FluxPipeline) -> None:
        """Put the base weights onto the device, all of them or by turns."""
        assert self._place is not None
        try:
            pipe.to(self._place.device)
        except torch.OutOfMemoryError as error:
            if not self._place.has_own_memory:
                raise
            reason = _first_line(error)
        else:
            return
        log.warning("the model does not fit at once (%s): parts of it wait outside", reason)
        self._is_offloaded = True
        pipe.to("cpu")
        self._place.free_unused()
        self._hook(pipe)

    def _hook(self, pipe: AnyFluxPipeline) -> None:
        """Let *pipe* fetch each part when its turn comes.

        The hooks sit in the parts, which all pipelines share, so only the last
        pipeline that was hooked works.
        """
        pipe.enable_model_cpu_offload(device=self._place.device)
        self._hooked = pipe


def is_flat(image: Image.Image) -> bool:
    """Whether an RGB image is of one colour throughout, give or take one of 255 shades."""
    return all(highest - lowest <= 2 for lowest, highest in image.getextrema())


def _bytes(module: nn.Module) -> int:
    tensors = (*module.parameters(), *module.buffers())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def quieten_libraries() -> None:
    """Leave errors to the log, and the terminal to the bot: no bars, no advice."""
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    # diffusers' own ControlNet uses a class that diffusers deprecates.
    warnings.filterwarnings("ignore", ".FluxPosEmbed. is deprecated", FutureWarning)


def _control_mode(net: FluxControlNetModel, request: GenerationRequest) -> int | None:
    """What a Union checkpoint is told; others must not be told anything."""
    if not net.union:
        return None
    modes = net.config.num_mode
    if request.control_mode is None or request.control_mode >= modes:
        raise ModelUnavailable(
            f"{request.controlnet} is a Union ControlNet: its preset must set control_mode,"
            f" 0 to {modes - 1}, not {request.control_mode}"
        )
    return request.control_mode


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


def _read(kind: type, folder: Path, dtype: torch.dtype) -> Any:
    with _damage_as_sentence(folder):
        return kind.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, local_files_only=True
        )


def _ready(pipe: AnyFluxPipeline) -> AnyFluxPipeline:
    pipe.set_progress_bar_config(disable=True)
    return pipe


@contextlib.contextmanager
def _damage_as_sentence(folder: Path) -> Iterator[None]:
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # the libraries raise a dozen types on damaged folders
        raise ModelUnavailable(
            f"the weights in {folder} cannot be loaded: {_first_line(error)}"
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

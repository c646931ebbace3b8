"""FluxEngine: diffusers' pipelines for every preset, over one set of base weights."""

from __future__ import annotations

import contextlib
import gc
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import diffusers
import torch
import transformers
from diffusers import FluxPipeline, FluxTransformer2DModel
from PIL import Image

from generation import weights
from generation.control_images import shown_to_model
from generation.diffusion import memory, quantization
from generation.diffusion.device import (
    MANY_PARAMETERS,
    Device,
    choose_device,
    is_out_of_memory,
)
from generation.diffusion.embeddings import PromptEncoder
from generation.diffusion.memory import OffloadLevel
from generation.diffusion.offloading import Offloading
from generation.errors import DegenerateResult, ModelUnavailable, OutOfMemory
from generation.families.flux1 import AnyFluxPipeline, Call, Pipelines
from generation.preprocessors import Preprocessors
from generation.preview import PredictingScheduler, Preview
from generation.protocols import OnStep
from generation.types import GenerationRequest, GenerationResult, Step
from generation.wanted import WORDS, WeightsRole, progress_sentence

Opened = TypeVar("Opened")
Note = Callable[[str], None]

log = logging.getLogger(__name__)


class FluxEngine:
    """Owns the pipelines on one device. Blocking; touched by exactly one thread.

    Args:
        repository: "demo", a folder, or a repository id; see `weights.resolve`.
        revision: Branch, tag or commit of it; ControlNets and LoRAs name theirs as
            "owner/name@revision".
        download_dir: Where what has to be built or downloaded is kept.
        device: "auto", "cpu", "mps", "cuda" or "cuda:N".
        dtype: "auto", "bfloat16", "float16" or "float32".
        offload_level: One of `memory.OFFLOAD_LEVELS`; "auto" takes the first that fits.
        quantized: How many bits the transformer gets; see ``generation/diffusion/quantization.py``.
        max_sequence_length: Tokens of T5 that the model sees, 1 to 512; what is longer
            is cut off, what is shorter is padded and costs the same.
        token: For gated repositories; None looks in the environment.
        controlnets: Repositories that presets name, so that the plan leaves room for the
            largest of them.
        pixels: Of the largest picture that the plan leaves room for.
        preprocessors: Make control maps; None makes those that need no model.
        max_controlnets: ControlNets and Control LoRAs kept in memory at most, at least 1;
            those of FLUX.1-dev take 1.2 to 6.6 GB each, and go earlier where room is short.
        max_loras: LoRAs kept in memory, at least 1.
        threads: CPU threads of torch; None leaves its default, one for each core.
        choose_device: Chooses the device; like `device.choose_device`.
    """

    def __init__(
        self,
        repository: str = weights.DEMO,
        *,
        revision: str | None = None,
        download_dir: Path = Path("download"),
        device: str = "auto",
        dtype: str = "auto",
        offload_level: OffloadLevel | str = "auto",
        quantized: quantization.Quantization = "none",
        max_sequence_length: int = 512,
        token: str | None = None,
        controlnets: tuple[str, ...] = (),
        pixels: int = 1024 * 1024,
        preprocessors: Preprocessors | None = None,
        max_controlnets: int = 4,
        max_loras: int = 3,
        threads: int | None = None,
        choose_device: Callable[[str, str, int], Device] = choose_device,
    ) -> None:
        self.repository = repository
        self.revision = revision
        self.download_dir = download_dir
        self.device = device
        self.dtype = dtype
        self.offload_level = offload_level
        self.quantized = quantized
        self.max_sequence_length = max_sequence_length
        self.token = token
        self.controlnets = controlnets
        self.pixels = pixels
        self.preprocessors = preprocessors or Preprocessors(download_dir=download_dir)
        self.max_controlnets = max_controlnets
        self.max_loras = max_loras
        self.threads = threads
        self._choose_device = choose_device
        self._forget()

    def _forget(self) -> None:
        self._device: Device | None = None
        self._offloading: Offloading | None = None
        self._pipelines: Pipelines | None = None
        self._encoder: PromptEncoder | None = None
        self._preview: Preview | None = None
        # Replaced, never changed, since any thread may ask for it.
        self._loaded: dict[str, int] = {}
        self._tiled_from: float = math.inf  # pixels that the VAE could not decode at once

    @property
    def loaded(self) -> dict[str, int]:
        """Bytes of each repository's weights that are in memory. Any thread may ask."""
        return self._loaded

    @property
    def current_offload_level(self) -> OffloadLevel | None:
        """Where the parts rest now; None before they are loaded."""
        return None if self._offloading is None else self._offloading.level

    def load(self) -> None:
        """Bring the base weights into memory. ControlNets and LoRAs wait for their first use.

        Raises:
            ModelUnavailable: They are missing, refused or damaged, or the device is not there.
            OutOfMemory: They do not fit, on no offload level.
        """
        quieten_libraries()
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        base, folder = self._open(
            self.repository, "pipeline", self._read_base, log.info, revision=self.revision
        )
        device = self._device
        assert device is not None
        sizes, plan = self._plan(folder, device)
        offloading = Offloading(device, plan.level)
        base.register_modules(scheduler=PredictingScheduler.from_config(base.scheduler.config))
        self._offloading = offloading
        self._pipelines = Pipelines(
            base,
            self.repository,
            offloading,
            max_controlnets=self.max_controlnets,
            max_loras=self.max_loras,
            room=None
            if plan.free is None
            else plan.free
            - memory.OVERHEAD
            - max(
                memory.denoising_bytes(sizes, self.pixels, self.max_sequence_length),
                memory.decoding_bytes(sizes, self.pixels),
            ),
        )
        self._encoder = PromptEncoder(
            self._pipelines.text_to_image, device.torch_device, self.max_sequence_length
        )
        try:
            with _as_out_of_memory(
                f"{self.repository} does not fit into the memory of {device}, not even in parts"
            ):
                self._place_weights()
                self._preview = Preview.of(folder, base.vae).to(device.torch_device)
            self._loaded = self._pipelines.loaded()
        except BaseException:
            self.close()
            raise

    def generate(self, request: GenerationRequest, on_step: OnStep) -> GenerationResult:
        """Make one picture; the same request makes the same pixels.

        *on_step* is called after each denoising step, and with a note while something is
        downloaded or loaded first; what it raises is raised here.

        Raises:
            DegenerateResult: The numbers degenerated, or the result is blank.
            ModelUnavailable: A ControlNet, a LoRA or a preprocessor cannot be loaded or does
                not belong to this model.
            OutOfMemory: The request does not fit on the device, not even one offload
                level further down.
        """
        if self._device is None or self._pipelines is None:
            raise ModelUnavailable("the model is not loaded")

        def note(sentence: str) -> None:
            on_step(Step(0, note=sentence))

        sentence = (
            f"{request.width} × {request.height} pixels do not fit into the memory of"
            f" {self._device}: ask for a smaller picture"
        )
        with _as_out_of_memory(sentence):
            return self._twice(lambda: self._draw(request, on_step, note), note)

    def close(self) -> None:
        """Give the memory back. May be called more than once; `load` works again after it."""
        device = self._device
        self._forget()
        gc.collect()
        if device is not None:
            device.free_unused()

    def _plan(self, folder: Path, device: Device) -> tuple[memory.Sizes, memory.Plan]:
        sizes = memory.read_sizes(folder, device.dtype.itemsize)
        bits = quantization.BYTES[quantization.choose(self.quantized, device)]
        if self.quantized != "none":
            share = bits / 2
            sizes = replace(
                sizes,
                transformer=int(sizes.transformer * share),
                block=int(sizes.block * share),
            )
        for name in self.controlnets:
            sizes = self._with_room_for(name, sizes)
        plan = memory.make(sizes, device.free_memory, self.pixels, self.max_sequence_length)
        if not device.has_own_memory:
            plan = replace(plan, level="resident")
        elif self.offload_level != "auto":
            plan = replace(plan, level=self.offload_level)
        words = memory.in_gigabytes
        log.info(
            "memory plan for %s: transformer %s, text encoders %s, VAE %s, ControlNet %s: %s",
            device,
            words(sizes.transformer),
            words(sizes.text_encoders),
            words(sizes.vae),
            words(sizes.controlnet),
            plan.sentence() if device.has_own_memory else "all in the machine's own memory",
        )
        return sizes, plan

    def _with_room_for(self, name: str, sizes: memory.Sizes) -> memory.Sizes:
        """*sizes* with room for the ControlNet *name*, if it is here.

        One that cannot be used is its own preset's trouble, and no reason to draw nothing.
        """
        try:
            folder = weights.local_folder(name, "controlnet", self.download_dir)
            if folder is None:
                return sizes
            with _damage_as_sentence(folder):
                return memory.with_controlnet(sizes, folder)
        except ModelUnavailable as error:
            log.warning("no room is planned for the ControlNet %s: %s", name, error)
            return sizes

    def _read_base(self, folder: Path) -> tuple[FluxPipeline, Path]:
        parameters = memory.parameters(folder)
        self._device = device = self._choose_device(self.device, self.dtype, parameters)
        if device.torch_device.type == "cpu" and parameters >= MANY_PARAMETERS:
            log.warning(
                "drawing on the CPU: a picture takes many minutes; FLUX.1-dev's 28 steps at"
                " 1024 x 1024 are 2 PFLOP, about 17 minutes at 2 TFLOP/s"
            )
        chosen = quantization.choose(self.quantized, device)
        given = {}
        if chosen != "none":
            given["transformer"] = FluxTransformer2DModel.from_pretrained(
                folder,
                subfolder="transformer",
                dtype=device.dtype,
                use_safetensors=True,
                local_files_only=True,
                quantization_config=quantization.config(chosen, device.dtype),
            )
        return FluxPipeline.from_pretrained(
            folder, dtype=device.dtype, use_safetensors=True, local_files_only=True, **given
        ), folder

    def _place_weights(self) -> None:
        """Put the base to rest, on the planned offload level or the next that holds it."""
        assert self._pipelines is not None
        assert self._offloading is not None
        _, reason = self._attempt(self._pipelines.rest)
        if reason is None:
            return
        if not self._offloading.step_down():
            raise torch.OutOfMemoryError(reason)
        log.warning("the model does not fit (%s): %s", reason, self._offloading.level)

    def _twice(self, draw: Callable[[], GenerationResult], note: Note) -> GenerationResult:
        """What *draw* returns; where memory runs out, once more from one level further down."""
        assert self._device is not None
        assert self._offloading is not None
        self._device.forget_peak()
        result, reason = self._attempt(draw)
        if reason is not None and self._offloading.step_down():
            log.warning("out of memory (%s): from now on %s", reason, self._offloading.level)
            note("short of memory; trying again in smaller parts")
            result, reason = self._attempt(draw)
        if reason is not None:
            raise torch.OutOfMemoryError(reason)
        assert result is not None
        return result

    def _attempt(self, work: Callable[[], Opened]) -> tuple[Opened | None, str | None]:
        """What *work* returns and None; or, where memory runs out, None and in what words.

        The memory is free again then: the exception, which held on to the frames with the
        tensors, is gone.
        """
        assert self._device is not None
        try:
            return work(), None
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            reason = _first_line(error)
        gc.collect()
        self._device.free_unused()
        return None, reason

    def _draw(self, request: GenerationRequest, on_step: OnStep, note: Note) -> GenerationResult:
        assert self._device is not None
        assert self._pipelines is not None
        assert self._offloading is not None
        if request.kind.control_map is not None:
            self.preprocessors.prepare(request.kind.control_map, note)
        call = self._pipelines.call_for(request, partial(self._open, note=note, request=request))
        self._loaded = self._pipelines.loaded()
        started = time.monotonic()
        shown = shown_to_model(request, self.preprocessors)
        for name, picture in shown.items():
            call.arguments[call.pictures.get(name, name)] = picture
        # Not inference_mode: weights that are moved inside of it could not be moved outside.
        with torch.no_grad():
            embeddings = self._embeddings(request)
            with self._offloading.onloaded(*call.denoisers):
                latents = self._denoised(call, embeddings, request, on_step)
            image = self._decoded(call.pipe, latents, request)
        if is_blank_image(image):
            raise DegenerateResult("the picture came out blank: try another seed or another prompt")
        return GenerationResult(
            image,
            time.monotonic() - started,
            control_map=None if request.kind.control_map is None else next(iter(shown.values())),
            peak_memory=self._device.peak_memory,
        )

    def _embeddings(self, request: GenerationRequest) -> dict[str, torch.Tensor]:
        """The arguments that tell a pipeline of the prompt, and of the negative one."""
        assert self._pipelines is not None
        assert self._offloading is not None
        assert self._encoder is not None
        variant = self._pipelines.text_variant(request)
        encoders = self._pipelines.text_encoders

        def encoded(text: str) -> Any:
            assert self._encoder is not None
            assert self._offloading is not None
            return self._encoder.encode(text, variant, self._offloading.onloaded(*encoders))

        positive = encoded(request.templated_prompt)
        arguments = {"prompt_embeds": positive.prompt, "pooled_prompt_embeds": positive.pooled}
        if request.true_cfg_scale > 1:
            negative = encoded(request.negative_prompt)
            arguments["negative_prompt_embeds"] = negative.prompt
            arguments["negative_pooled_prompt_embeds"] = negative.pooled
            arguments["true_cfg_scale"] = request.true_cfg_scale
        return arguments

    def _denoised(
        self,
        call: Call,
        embeddings: dict[str, torch.Tensor],
        request: GenerationRequest,
        on_step: OnStep,
    ) -> torch.Tensor:
        """Packed latents of the finished picture."""
        pipe = call.pipe
        try:
            return pipe(
                **embeddings,
                width=request.width,
                height=request.height,
                num_inference_steps=request.num_inference_steps,
                guidance_scale=request.guidance_scale,
                num_images_per_prompt=1,
                # On the CPU, so that a seed means the same picture on every device.
                generator=torch.Generator("cpu").manual_seed(request.seed),
                max_sequence_length=self.max_sequence_length,
                output_type="latent",
                callback_on_step_end=self._step_end(request, on_step),
                callback_on_step_end_tensor_inputs=["latents"],
                **call.arguments,
            ).images
        finally:
            pipe.scheduler.predicted = None

    def _decoded(
        self, pipe: AnyFluxPipeline, packed: torch.Tensor, request: GenerationRequest
    ) -> Image.Image:
        """The picture of *packed* latents. Where it does not fit at once, tile by tile."""
        assert self._device is not None
        vae = pipe.vae
        latents = pipe._unpack_latents(packed, request.height, request.width, pipe.vae_scale_factor)
        latents = latents / vae.config.scaling_factor + vae.config.shift_factor
        pixels = request.width * request.height
        if pixels < self._tiled_from:
            image, reason = self._attempt(
                lambda: _image(pipe, vae.decode(latents, return_dict=False)[0])
            )
            if image is not None:
                return image
            log.warning("the VAE is out of memory (%s): tiling", reason)
            self._tiled_from = pixels
        vae.enable_tiling()
        try:
            return _image(pipe, vae.decode(latents, return_dict=False)[0])
        finally:
            vae.disable_tiling()

    def _step_end(
        self, request: GenerationRequest, on_step: OnStep
    ) -> Callable[[AnyFluxPipeline, int, torch.Tensor, dict[str, Any]], dict[str, Any]]:
        preview = self._preview
        assert preview is not None

        def step_end(
            pipe: AnyFluxPipeline, index: int, timestep: torch.Tensor, tensors: dict[str, Any]
        ) -> dict[str, Any]:
            if not torch.isfinite(tensors["latents"]).all():
                raise DegenerateResult(
                    f"the numbers overflowed at step {index + 1}, so there is no picture: try"
                    " another seed, or a lower guidance"
                )
            jpeg = preview.jpeg(pipe.scheduler.predicted, request.width, request.height)
            on_step(Step(index + 1, jpeg))
            return tensors

        return step_end

    def _open(
        self,
        name: str,
        role: WeightsRole,
        load: Callable[[Path], Opened],
        note: Note,
        request: GenerationRequest | None = None,
        revision: str | None = None,
    ) -> Opened:
        """Find the weights *name*, downloading them if need be, and load them.

        What does not load is compared with the Hub's checksums, and fetched again once if
        it is damaged.
        """
        what = name if request is None else f"{request.preset or name}'s {WORDS[role]}"

        def find() -> Path:
            return weights.resolve(
                name,
                revision,
                role=role,
                download_dir=self.download_dir,
                token=self.token,
                on_progress=lambda done, size: note(progress_sentence(what, done, size)),
            )

        folder = find()
        if request is not None:
            note(f"loading {what}")
        try:
            with _damage_as_sentence(folder):
                return load(folder)
        except ModelUnavailable as error:
            bad = weights.remove_damaged(folder)
            if not bad:
                raise
            log.warning("%s; fetching again: %s", error, ", ".join(bad))
        folder = find()
        with _damage_as_sentence(folder):
            return load(folder)


def engine_of(
    *, controlnets: list[str], preprocessors: dict[str, Any], **arguments: Any
) -> FluxEngine:
    """A `FluxEngine` from values that a pipe can carry: how a child process makes its own.

    Args:
        preprocessors: What `Preprocessors` is made with.
    """
    return FluxEngine(
        **arguments,
        controlnets=tuple(controlnets),
        preprocessors=Preprocessors(**preprocessors),
    )


def is_blank_image(image: Image.Image) -> bool:
    """Whether an RGB image is of one colour throughout, give or take one of 255 shades."""
    return all(highest - lowest <= 2 for lowest, highest in image.getextrema())


def quieten_libraries() -> None:
    """Leave errors to the log, and the terminal to the bot: no bars, no advice."""
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    # diffusers' own ControlNet uses a class that diffusers deprecates.
    warnings.filterwarnings("ignore", ".FluxPosEmbed. is deprecated", FutureWarning)


def _image(pipe: AnyFluxPipeline, decoded: torch.Tensor) -> Image.Image:
    return pipe.image_processor.postprocess(decoded, output_type="pil")[0]


@contextlib.contextmanager
def _as_out_of_memory(sentence: str) -> Iterator[None]:
    """What runs out of memory in the block is raised as `OutOfMemory`, with the reason."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        reason = _first_line(error)
    else:
        return
    raise OutOfMemory(f"{sentence} ({reason})")


@contextlib.contextmanager
def _damage_as_sentence(folder: Path) -> Iterator[None]:
    try:
        yield
    except ModelUnavailable:
        raise
    except Exception as error:  # the libraries raise a dozen types on damaged folders
        if is_out_of_memory(error):
            raise
        raise ModelUnavailable(
            f"the weights in {folder} cannot be loaded: {_first_line(error)}"
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

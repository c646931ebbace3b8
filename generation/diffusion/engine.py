"""The engine that draws with a model of any family, within the memory that there is."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import torch
from PIL import Image

from generation import weights
from generation.control_images import maps_shown, shown_to_model
from generation.diffusion import how, memory, quantization
from generation.diffusion.advice import faster
from generation.diffusion.attention import Attention
from generation.diffusion.attention import choose as choose_attention
from generation.diffusion.compiling import Compiling, Setting, pays
from generation.diffusion.device import (
    MANY_PARAMETERS,
    Device,
    choose_device,
)
from generation.diffusion.embeddings import Embeddings, PromptEncoder
from generation.diffusion.exhaustion import (
    Exhausted,
    Tiling,
    as_out_of_memory,
    attempt,
)
from generation.diffusion.family import Call, LoadOptions
from generation.diffusion.libraries import quieten_libraries
from generation.diffusion.loaded import Loaded, Note, drawn, place_weights
from generation.diffusion.lora_slot import needed_rank
from generation.diffusion.main_memory import MainMemory
from generation.diffusion.memory import OffloadLevel
from generation.diffusion.model_files import ModelFiles, local_files, role
from generation.diffusion.offloading import Offloading
from generation.diffusion.opening import Opening, damage_as_sentence
from generation.diffusion.others import Nobody, Others, has_room
from generation.diffusion.step_ends import StepEnds
from generation.diffusion.warming import warm_up
from generation.errors import DegenerateResult, ModelUnavailable
from generation.families import unfit
from generation.preprocessors import Preprocessors
from generation.protocols import OnStep
from generation.results import GenerationResult
from generation.types import GenerationRequest, Step

Opened = TypeVar("Opened")

log = logging.getLogger(__name__)


class DiffusionEngine:
    """An `Engine` for one model on one device. Blocking; touched by exactly one thread.

    Args:
        repository: "demo", a folder, or a repository id; see `weights.resolve`.
        revision: Branch, tag or commit of it; ControlNets and LoRAs name theirs as
            "owner/name@revision".
        transformer: File, folder or repository that the transformer comes from, as "owner/name",
            "owner/name/FILE" or a path; None takes that of *repository*.
        download_dir: Folder for all that has to be built or downloaded.
        device: "auto", "cpu", "mps", "cuda" or "cuda:N".
        dtype: "auto", "bfloat16", "float16" or "float32".
        offload_level: One of `memory.OFFLOAD_LEVELS`; "auto" takes the first that fits.
        quantized: Bits of the transformer; see ``generation/diffusion/quantization.py``.
        text_quantized: Bits of the large text encoder.
        compiled: Whether the transformer's blocks and the VAE are compiled; see `compiling.pays`.
        compiler: torch's name of the backend that does it.
        attention: Kernel for attention; see `attention.choose`.
        max_sequence_length: Tokens of a prompt that the model sees, 1 to 512 for FLUX.1; a
            longer prompt is cut off, a shorter one is padded and costs the same.
        token: For gated repositories; None looks in the environment.
        controlnets: Repositories that presets name, those together that a picture follows at once,
            so that the plan leaves room for the largest of them.
        pixels: Pixels of the largest picture that the plan leaves room for.
        preprocessors: Make control maps; None makes those that need no model.
        max_controlnets: ControlNets and Control LoRAs kept in memory at most, at least 1;
            those of FLUX.1-dev take 1.2 to 6.6 GB each, and go earlier where room is short.
        max_loras: LoRAs kept in memory, at least 1.
        loras: Those that are named, for whose ranks a compiled transformer has room.
        combines_loras: Whether a picture may be drawn with several of them.
        threads: CPU threads of torch; None leaves its default, one for each core.
        choose_device: Chooses the device; like `device.choose_device`.
        main_memory: This engine's part of the machine's memory; None shares it with all others.
        others: Engines for other models on the same device, which make room for this one.
    """

    def __init__(
        self,
        repository: str = weights.DEMO,
        *,
        revision: str | None = None,
        transformer: str | None = None,
        download_dir: Path = Path("download"),
        device: str = "auto",
        dtype: str = "auto",
        offload_level: OffloadLevel | Literal["auto"] = "auto",
        quantized: quantization.Quantization = "none",
        text_quantized: quantization.TextQuantization = "none",
        compiled: Setting = "auto",
        compiler: str = "inductor",
        attention: Attention = "auto",
        max_sequence_length: int = 512,
        token: str | None = None,
        controlnets: tuple[tuple[str, ...], ...] = (),
        pixels: int = 1024 * 1024,
        preprocessors: Preprocessors | None = None,
        max_controlnets: int = 4,
        max_loras: int = 3,
        loras: tuple[str, ...] = (),
        combines_loras: bool = False,
        threads: int | None = None,
        choose_device: Callable[[str, str, int], Device] = choose_device,
        main_memory: MainMemory | None = None,
        others: Others | None = None,
    ) -> None:
        self.repository = repository
        self.revision = revision
        self.transformer = transformer
        self.download_dir = download_dir
        self._named_device = device
        self.dtype = dtype
        self.offload_level = offload_level
        self.quantized = quantized
        self.text_quantized = text_quantized
        self.compiled = compiled
        self.compiler = compiler
        self.attention = attention
        self.max_sequence_length = max_sequence_length
        self.token = token
        self.controlnets = controlnets
        self.pixels = pixels
        self.preprocessors = preprocessors or Preprocessors(download_dir=download_dir)
        self.max_controlnets = max_controlnets
        self.max_loras = max_loras
        self.loras = loras
        self.combines_loras = combines_loras
        self.threads = threads
        self._choose_device = choose_device
        self._open = Opening(download_dir, token)
        self._main_memory = main_memory or MainMemory()
        self._others = others or Nobody()
        self._current: Loaded | None = None
        # Replaced, never changed, since any thread may ask for it.
        self._loaded_bytes: dict[str, int] = {}
        self._tiling = Tiling()

    @property
    def loaded(self) -> dict[str, int]:
        """Bytes of each repository's weights that are in memory. Any thread may ask."""
        return self._loaded_bytes

    @property
    def device(self) -> str:
        """The device as torch calls it; before loading, as it was asked for. Any thread may ask."""
        current = self._current
        return self._named_device if current is None else str(current.device)

    @property
    def current_offload_level(self) -> OffloadLevel | None:
        """The level on which the parts rest now; None before they are loaded."""
        return None if self._current is None else self._current.offloading.level

    @property
    def held_memory(self) -> int | None:
        """Bytes of the device that are taken between two pictures; None where that is not known."""
        return None if self._current is None else self._current.device.held_memory

    @property
    def resting_bytes(self) -> int:
        """Bytes of the device that weights take between two pictures."""
        current = self._current
        if current is None or not current.device.has_own_memory:
            return 0
        return current.offloading.held_bytes

    def load(self, note: Note = log.info) -> None:
        """Bring the model's weights into memory. ControlNets and LoRAs wait for their first use.

        *note* is told of a download; an exception from it ends the loading and is raised here.

        Raises:
            ModelUnavailable: They are missing, refused or damaged, or of no known family; or the
                device is not there.
            OutOfMemory: They do not fit, on no offload level; or not into the main memory, beside
                what other engines keep there.
        """
        quieten_libraries()
        if (sentence := unfit.by_name(self.repository)) is not None:
            raise ModelUnavailable(sentence)
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        try:
            loaded = self._open(
                self.repository,
                role(self.transformer),
                partial(self._with_transformer, note=note),
                note,
                revision=self.revision,
            )
            self._current = loaded
            with as_out_of_memory(
                f"{self.repository} does not fit into the memory of {loaded.device}, not even in"
                " parts"
            ):
                place_weights(loaded)
                self._warm_up(loaded)
        except BaseException:
            self.close()
            raise
        self._loaded_bytes = loaded.model.loaded

    def generate(self, request: GenerationRequest, on_step: OnStep) -> GenerationResult:
        """Make one picture; the same request makes the same pixels.

        *on_step* is called after each denoising step, and with a note while something is
        downloaded or loaded first; an exception from it ends the generation and is raised here.

        Raises:
            DegenerateResult: The numbers degenerated, or the result is blank.
            ModelUnavailable: A ControlNet, a LoRA or a preprocessor cannot be loaded or does
                not belong to this model, which may not draw this kind of picture at all.
            OutOfMemory: The request does not fit on the device, not even one offload level
                further down.
        """
        loaded = self._current
        if loaded is None:
            raise ModelUnavailable("the model is not loaded")

        def note(sentence: str) -> None:
            on_step(Step(0, note=sentence))

        sentence = (
            f"{request.width} × {request.height} pixels do not fit into the memory of"
            f" {loaded.device}: ask for a smaller picture"
        )
        with as_out_of_memory(sentence):
            return drawn(loaded, lambda: self._draw(loaded, request, on_step, note), note)

    def make_room(self) -> None:
        """Have other models leave the device until a picture finds the room that was planned for
        it, where one of them has drawn since this one has."""
        loaded = self._current
        if loaded is None:
            return
        loaded.device.free_unused()
        while not loaded.has_room and self._others.close_one():
            pass

    def planned(self) -> memory.Plan | None:
        """The plan for an empty device, made without loading anything; None where the weights are
        not here.

        Raises:
            ModelUnavailable: They are damaged or of no known family, or there is no such device.
        """
        files = local_files(self.repository, self.revision, self.transformer, self.download_dir)
        if files is None:
            return None
        with damage_as_sentence(files.transformer or files.folder):
            device = self._device_for(files)
            return self._plan(files, device, device.total_memory)[-1]

    def forget_prompts(self) -> None:
        """Empty the cache of embeddings, so that every prompt is encoded anew."""
        if self._current is not None:
            self._current.encoder.forget()

    @property
    def is_alive(self) -> bool:
        """Always, since it lives in this process."""
        return True

    def close(self) -> None:
        """Give the memory back. May be called more than once; `load` works again after it."""
        device = None if self._current is None else self._current.device
        self._current = None
        self._loaded_bytes = {}
        self._tiling = Tiling()
        self._main_memory.release()
        gc.collect()
        if device is not None:
            device.free_unused()
            device.free_pinned()

    def _with_transformer(self, folder: Path, note: Note) -> Loaded:
        """The model in *folder*, with the transformer that is named beside it."""
        if self.transformer is None:
            return self._read(ModelFiles(folder))
        return self._open(
            self.transformer,
            "transformer",
            lambda found: self._read(ModelFiles(folder, found)),
            note,
        )

    def _read(self, files: ModelFiles) -> Loaded:
        """The model of *files*, planned and read, its parts in main memory."""
        device = self._device_for(files)
        precision = self._precision(device)
        rank = self._lora_rank(files, device)
        sizes, plan = self._plan_alone(files, device)
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
        if plan.advice is not None:
            log.info("%s: %s", device, plan.advice)
        self._main_memory.claim(plan.waiting[plan.level])
        reserve = memory.reserve(sizes, self.pixels, self.max_sequence_length)
        offloading = Offloading(device, plan.level, reserve)
        compiles = pays(self.compiled, device, files.parameters)
        compiling = Compiling(offloading, compiles, self.compiler)
        model = files.family.load(
            files.folder,
            LoadOptions(
                name=self.repository,
                device=device,
                offloading=offloading,
                compiling=compiling,
                attention=(kernel := choose_attention(self.attention, device)),
                precision=precision,
                max_sequence_length=self.max_sequence_length,
                max_controlnets=self.max_controlnets,
                max_loras=self.max_loras,
                lora_rank=rank,
                room=None if plan.free is None else plan.free - reserve,
                transformer=files.transformer,
            ),
        )
        encoder = PromptEncoder(model.encode, device.torch_device)
        drawn_with = how.settings(device, precision, kernel)
        return Loaded(
            model,
            device,
            offloading,
            compiling,
            encoder,
            plan,
            reserve,
            self._main_memory,
            self._others,
            drawn_with,
        )

    def _warm_up(self, loaded: Loaded) -> None:
        def draw(request: GenerationRequest) -> GenerationResult:
            return drawn(loaded, lambda: self._draw(loaded, request, _ignore, log.info), log.info)

        def rehearse() -> None:
            loaded.model.rehearse()

        warm_up(loaded.compiling, draw, self.pixels, rehearse, has_slot=self.loras != ())

    def _device_for(self, files: ModelFiles) -> Device:
        parameters = files.parameters
        device = self._choose_device(self._named_device, self.dtype, parameters)
        if device.torch_device.type == "cpu" and parameters >= MANY_PARAMETERS:
            log.warning(
                "drawing on the CPU: a picture takes many minutes; FLUX.1-dev's 28 steps at"
                " 1024 x 1024 are 2 PFLOP, about 17 minutes at 2 TFLOP/s"
            )
        return device

    def _precision(self, device: Device) -> quantization.Precision:
        return quantization.precision(self.quantized, self.text_quantized, device)

    def _lora_rank(self, files: ModelFiles, device: Device) -> int:
        """The rank that the slot of a compiled transformer takes; 0 where there is none."""
        if not pays(self.compiled, device, files.parameters):
            return 0
        return needed_rank(
            self.loras,
            lambda name: weights.local_folder(name, "lora", self.download_dir),
            is_several=self.combines_loras,
        )

    def _sizes(
        self, files: ModelFiles, precision: quantization.Precision, rank: int
    ) -> memory.Sizes:
        """Sizes of the model of *files*, with room for ControlNets and LoRAs of *rank*."""
        sizes = files.sizes(precision)
        if rank:
            sizes = memory.with_lora_slot(sizes, files.layers, rank)
        names = dict.fromkeys(name for group in self.controlnets for name in group)
        found = {name: self._bytes_of(name, sizes) for name in names}
        return memory.with_controlnets(sizes, found, self.controlnets)

    def _plan(
        self, files: ModelFiles, device: Device, free: int | None
    ) -> tuple[memory.Sizes, memory.Plan]:
        """Sizes of the model of *files*, and the plan for *device*, which has *free* bytes."""
        precision, rank = self._precision(device), self._lora_rank(files, device)

        def plan_with(wanted: quantization.Precision) -> memory.Plan:
            sizes = self._sizes(files, wanted, rank)
            return memory.make(sizes, free, self.pixels, self.max_sequence_length)

        sizes, plan = self._sizes(files, precision, rank), plan_with(precision)
        if not device.has_own_memory:  # and what it draws with lies in the machine's
            waiting = memory.all_bytes(sizes)
            return sizes, replace(plan, level="resident", waiting={"resident": waiting})
        if self.offload_level != "auto":
            return sizes, replace(plan, level=self.offload_level)
        return sizes, replace(plan, advice=faster(plan, precision, device, plan_with))

    def _plan_alone(self, files: ModelFiles, device: Device) -> tuple[memory.Sizes, memory.Plan]:
        """The same as if no other model were on *device*: of those that are, as many leave it as
        are in the way of that plan."""
        device.free_unused()
        free = device.free_memory
        alone = None if free is None else free + self._others.resting_bytes
        sizes, plan = self._plan(files, device, alone)
        while device.has_own_memory and not has_room(plan, device.free_memory):
            if not self._others.close_one():
                break
        return sizes, plan

    def _bytes_of(self, name: str, sizes: memory.Sizes) -> int:
        """Bytes of the ControlNet, or the encoder of pictures, *name* beside a model of *sizes*; 0
        where it is not here.

        One that cannot be used is its own preset's trouble, and no reason to draw nothing.
        """
        try:
            here = (
                weights.local_folder(name, role, self.download_dir)
                for role in ("controlnet", "prior")
            )
            folder = next(filter(None, here), None)
            if folder is None:
                return 0
            with damage_as_sentence(folder):
                return memory.controlnet_bytes(sizes, folder)
        except ModelUnavailable as error:
            log.warning("no room is planned for the ControlNet %s: %s", name, error)
            return 0

    def _draw(
        self, loaded: Loaded, request: GenerationRequest, on_step: OnStep, note: Note
    ) -> GenerationResult:
        model = loaded.model
        for preprocessor in request.kind.control_maps:
            self.preprocessors.prepare(preprocessor, note)
        call = model.prepare(request, partial(self._open, note=note, request=request))
        self._loaded_bytes = model.loaded
        started = time.monotonic()
        shown = shown_to_model(request, self.preprocessors)
        # Not inference_mode: weights that are moved inside of it could not be moved outside.
        with torch.no_grad(), loaded.compiling.drawing(call.denoisers):
            latents = _denoised(loaded, call, request, shown, on_step)
            image = self._decoded(loaded, latents, request)
        if is_blank_image(image):
            raise DegenerateResult("the picture came out blank: try another seed or another prompt")
        return GenerationResult(
            image,
            time.monotonic() - started,
            control_map=maps_shown(request, shown),
            peak_memory=loaded.device.peak_memory,
            drawn_with={**loaded.drawn_with, **how.compiled(loaded.compiling)},
        )

    def _decoded(
        self, loaded: Loaded, latents: torch.Tensor, request: GenerationRequest
    ) -> Image.Image:
        """The picture of *latents*. Where it does not fit at once, tile by tile."""
        pixels, level = request.width * request.height, loaded.offloading.level
        if not self._tiling.is_due(pixels, level):
            image = attempt(
                loaded.device, lambda: loaded.model.decode(latents, request, is_tiled=False)
            )
            if not isinstance(image, Exhausted):
                return image
            log.warning("the VAE is out of memory (%s): tiling", image.reason)
            self._tiling.ran_out(pixels, level)
        return loaded.model.decode(latents, request, is_tiled=True)


def _ignore(step: Step) -> None:
    pass


def is_blank_image(image: Image.Image) -> bool:
    """Whether an RGB image is of one colour throughout, give or take one of 255 shades."""
    return all(np.ptp(channel) <= 2 for channel in np.asarray(image).transpose(2, 0, 1))


def _denoised(
    loaded: Loaded,
    call: Call,
    request: GenerationRequest,
    shown: dict[str, Image.Image],
    on_step: OnStep,
) -> torch.Tensor:
    """Latents of the finished picture."""
    model, offloading = loaded.model, loaded.offloading
    variant = model.text_variant(request)
    encoders = [part for part, role in model.parts.items() if role == "text"]

    def encoded(text: str) -> Embeddings:
        return loaded.encoder.encode(text, variant, offloading.onloaded(*encoders))

    ends = StepEnds(loaded.device, on_step)

    def step_done(number: int, latents: torch.Tensor | None) -> None:
        if latents is None:
            ends.between(number)
        else:
            ends.add(number, latents, model.preview(request))

    prompt = encoded(request.templated_prompt)
    negative = encoded(request.negative_prompt) if request.true_cfg_scale > 1 else None
    with offloading.onloaded(*call.denoisers):
        latents = model.denoise(call, request, prompt, negative, shown, step_done)
        ends.finish()
    return latents

"""Families of models, as the engine sees them.

A family is one file in ``generation/families/`` and one line in its table. It reads a model,
and knows how that model encodes prompts, draws each kind of preset, decodes and previews. The
engine around it owns the device, the memory and the downloads, and knows no family.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from PIL import Image

from generation.diffusion.compiling import Compiling
from generation.diffusion.device import Device
from generation.diffusion.embeddings import Embeddings
from generation.diffusion.memory import Sizes
from generation.diffusion.offloading import Offloading, Role
from generation.diffusion.quantization import Kind, Precision, quantize
from generation.types import GenerationRequest
from generation.wanted import WeightsRole

Opened = TypeVar("Opened")

#: Takes the number of the last denoising step that is done, from 1, and its latents; none where it
#: only asks whether to go on.
StepDone = Callable[[int, torch.Tensor | None], None]


class Open(Protocol):
    """Finds weights by their name, downloads them if need be, and loads them."""

    def __call__(self, name: str, role: WeightsRole, load: Callable[[Path], Opened]) -> Opened:
        """The value that *load* makes of the folder or file of *name*.

        Raises:
            ModelUnavailable: The weights cannot be had, or do not load.
        """
        ...


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Decisions of the engine that a family follows while it reads a model.

    Attributes:
        name: Repository or folder of the model, for messages.
        device: Device and number format.
        offloading: Where the parts rest.
        compiling: Compiles layers of the parts, where that is wanted.
        attention: diffusers' name of the kernel for attention.
        precision: Number formats of the parts.
        max_sequence_length: Tokens of a prompt that the model sees.
        max_controlnets: ControlNets and their like kept in memory, at least 1.
        max_loras: LoRAs kept in memory, at least 1.
        lora_rank: The rank that a compiled transformer leaves room for; 0 for none.
        room: Bytes of the device that weights may take; None where that is not known.
        transformer: File or folder of the transformer, where it does not come from the model's own
            folder.
    """

    name: str
    device: Device
    offloading: Offloading
    compiling: Compiling
    attention: str
    precision: Precision
    max_sequence_length: int
    max_controlnets: int
    max_loras: int
    lora_rank: int
    room: int | None
    transformer: Path | None = None

    def quantize(
        self, part: torch.nn.Module, kind: Kind, role: Role, kept: tuple[str, ...] = ()
    ) -> None:
        """Put *part*, which is to rest where *role* says, into fewer bits; see `quantize`."""
        stays = self.offloading.stays_on_device(role)
        quantize(part, kind, self.device.torch_device, kept=kept, stays=stays)


@dataclass(frozen=True, slots=True)
class Call:
    """A pipeline of diffusers, ready for one request.

    Attributes:
        pipe: The pipeline.
        denoisers: Parts of it that must be on the device while it denoises.
        arguments: Arguments that only this kind of pipeline takes, but for its pictures.
        pictures: The pipeline's arguments for the kind's pictures, where they differ in name;
            several pictures for one argument are a list, and None leaves a picture out.
    """

    pipe: Any
    denoisers: tuple[torch.nn.Module, ...]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, str | None] = field(default_factory=dict)

    def named(self, pictures: Mapping[str, Image.Image]) -> dict[str, Any]:
        """The arguments that *pictures*, by the kind's names, are for the pipeline."""
        found: dict[str, list[Image.Image]] = {}
        for name, picture in pictures.items():
            argument = self.pictures.get(name, name)
            if argument is not None:
                found.setdefault(argument, []).append(picture)
        return {name: each[0] if len(each) == 1 else each for name, each in found.items()}


class Model(Protocol):
    """A model in memory, with all that is loaded beside it. Touched by the engine's thread."""

    @property
    def parts(self) -> Mapping[torch.nn.Module, Role]:
        """Parts of the model itself, which the engine places."""
        ...

    @property
    def loaded(self) -> dict[str, int]:
        """Bytes of the weights in memory, by repository."""
        ...

    def prepare(self, request: GenerationRequest, open: Open) -> Call:
        """The pipeline for *request*; ControlNets and LoRAs that are not in memory are loaded.

        Raises:
            ModelUnavailable: This family draws no such kind, or weights cannot be had.
        """
        ...

    def rehearse(self) -> None:
        """Have layers compute that a picture of words alone leaves out, and others need; called
        while compiled code is made."""
        ...

    def text_variant(self, request: GenerationRequest) -> str:
        """A name for all but the words that decides the embeddings of *request*'s prompts."""
        ...

    def encode(self, prompt: str) -> Embeddings:
        """Embeddings of *prompt*; the text encoders are on the device."""
        ...

    def denoise(
        self,
        call: Call,
        request: GenerationRequest,
        prompt: Embeddings,
        negative_prompt: Embeddings | None,
        pictures: Mapping[str, Image.Image],
        step_done: StepDone,
    ) -> torch.Tensor:
        """Latents of the finished picture, for `decode`.

        Args:
            negative_prompt: None where `true_cfg_scale` leaves it without effect.
            pictures: RGB, as `shown_to_model` makes them, by the names that its kind has for them.
            step_done: To be called after each step, and between parts of a long one; an exception
                from it ends the denoising.
        """
        ...

    def decode(
        self, latents: torch.Tensor, request: GenerationRequest, *, is_tiled: bool
    ) -> Image.Image:
        """The RGB picture of *latents*, decoded tile by tile if *is_tiled*."""
        ...

    def preview(self, request: GenerationRequest) -> torch.Tensor:
        """Pixels of the picture as the latest step predicts it, smaller and on the device: uint8
        in (rows, columns, 3)."""
        ...


class Family(Protocol):
    """A family of models, before one of them is in memory."""

    def read_sizes(self, folder: Path, precision: Precision, transformer: Path | None) -> Sizes:
        """Sizes of the model in *folder*, in these number formats; loads nothing.

        Args:
            transformer: File or folder of the transformer, where it comes from elsewhere.
        """
        ...

    def load(self, folder: Path, options: LoadOptions) -> Model:
        """The model in *folder*, its parts in main memory."""
        ...

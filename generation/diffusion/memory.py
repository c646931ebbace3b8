"""The memory plan: sizes of the parts, and the offload level that they fit on.

Everything here is arithmetic on sizes that are read from the heads of safetensors files,
so a plan is made before anything is loaded. ``docs/flux.md`` shows what comes out for
FLUX.1-dev on cards of every size.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

#: Where the parts of a model rest, from the fastest to the smallest. A level further down costs
#: time and never quality:
#:
#: resident            everything stays on the device
#: text-offload        the text encoders wait in main memory and stream through layer by layer
#: model-offload       parts take turns: text encoders, then transformer and ControlNet, whole
#: group-offload       one block of the transformer at a time, the next one on its way meanwhile
#: sequential-offload  one layer at a time
OffloadLevel = Literal[
    "resident", "text-offload", "model-offload", "group-offload", "sequential-offload"
]
OFFLOAD_LEVELS: tuple[OffloadLevel, ...] = get_args(OffloadLevel)

#: Bytes that a device keeps for itself beside tensors: its context, kernels, fragments.
OVERHEAD = 1_000_000_000

#: Tensors of the VAE decoder's widest layer, 256 channels at full size, that live at once. On an
#: H200 the peak was 2.61 GB above all weights at 1024 x 1024, which is 4.9 of them (November 2026,
#: torch 2.11), on every offload level.
DECODER_TENSORS, DECODER_CHANNELS = 5, 256
#: Side in pixels of the tiles that the VAE decodes where the whole picture does not fit.
TILE = 512

#: Values that one token of the widest single-stream block of FLUX takes at once: the state
#: and its queries, keys, values and attention (5 widths), the MLP before and after its
#: activation (2 x 4) and both put together (5).
BLOCK_WIDTHS = 18

#: The names of tensors in a block, up to its number.
_BLOCK = re.compile(r"(?:[^.\d][^.]*\.)+\d+(?=\.)")


@dataclass(frozen=True, slots=True)
class Sizes:
    """Memory that the parts of a model take, in bytes.

    Attributes:
        transformer: The whole transformer.
        text_encoders: All text encoders together (CLIP and T5 in FLUX.1).
        vae: Encoder and decoder.
        controlnet: The largest ControlNet that a preset names, or the most that those take together
            that a picture follows at once; 0 without one.
        controlnets: All ControlNets that presets name together.
        block: The largest block of the transformer.
        around: All of the transformer that stands in no block.
        text_blocks: What is there at once while text encoders stream through block by block: two
            of the largest blocks, and all that stands in none.
        text_layers: The same layer by layer: the two largest tensors.
        width: Channels of the transformer (3072 in FLUX.1), not bytes.
        value: Bytes of one value in the model's number format.
    """

    transformer: int
    text_encoders: int
    vae: int
    controlnet: int = 0
    controlnets: int = 0
    block: int = 0
    around: int = 0
    text_blocks: int = 0
    text_layers: int = 0
    width: int = 3072
    value: int = 2


@dataclass(frozen=True, slots=True)
class Format:
    """How a part's numbers are kept.

    Attributes:
        value: Bytes of a value.
        layer: Bytes of a value in the weight of a linear layer; None where it is like any other.
        kept: Names of layers, with all below them, that are like any other all the same.
    """

    value: int = 2
    layer: float | None = None
    kept: tuple[str, ...] = ()

    def bytes(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        """Bytes of tensors of these *shapes*, by their names."""
        return round(sum(self._value(*each) * math.prod(each[1]) for each in shapes.items()))

    def _value(self, name: str, shape: tuple[int, ...]) -> float:
        layer, _, last = name.rpartition(".")
        is_linear = last == "weight" and len(shape) == 2
        if self.layer is None or not is_linear or not is_quantized(layer, self.kept):
            return self.value
        return self.layer


@dataclass(frozen=True, slots=True)
class Plan:
    """The offload level that was chosen, and why.

    Attributes:
        level: The first one that fits, or the last one.
        needs: Bytes that each level takes at its highest.
        waiting: Bytes of weights that wait in main memory on each level.
        free: Bytes that the device has free; None where it does not tell.
        advice: What would make the device faster; see ``generation/diffusion/advice.py``.
        weights: Bytes of all weights together.
    """

    level: OffloadLevel
    needs: dict[OffloadLevel, int]
    waiting: dict[OffloadLevel, int]
    free: int | None
    advice: str | None = None
    weights: int = 0

    @property
    def resting(self) -> int:
        """Bytes of weights that rest on the device, of one with memory of its own."""
        return self.weights - self.waiting[self.level]

    def sentence(self) -> str:
        """The plan in one line, for the log and for ``python -m bot check``."""
        needed = f"{self.level}, which takes about {in_gigabytes(self.needs[self.level])}"
        if self.free is None:
            return needed
        return f"{needed} of the {in_gigabytes(self.free)} that are free"


def make(sizes: Sizes, free: int | None, pixels: int, tokens: int) -> Plan:
    """The plan for pictures of *pixels* and prompts of *tokens* at most.

    Args:
        free: Bytes; None means that the device does not tell, and everything is tried.
    """
    needs = {level: need(level, sizes, pixels, tokens) for level in OFFLOAD_LEVELS}
    waiting = {level: waiting_bytes(level, sizes) for level in OFFLOAD_LEVELS}
    fitting = (level for level in OFFLOAD_LEVELS if free is None or needs[level] <= free)
    level = next(fitting, OFFLOAD_LEVELS[-1])
    return Plan(level, needs, waiting, free, weights=all_bytes(sizes))


def reserve(sizes: Sizes, pixels: int, tokens: int) -> int:
    """Bytes of the device that the largest picture takes beside weights."""
    activations = max(denoising_bytes(sizes, pixels, tokens), decoding_bytes(sizes, pixels))
    return OVERHEAD + activations


def need(level: OffloadLevel, sizes: Sizes, pixels: int, tokens: int) -> int:
    """Bytes that a picture takes at its highest on *level*; computed.

    What was measured on an H200 lies below by `OVERHEAD`, give or take 0.1 GB: resident 36.35 GB
    for words and 40.63 with a ControlNet, text-offload 30.9, model-offload 24.5 for words
    (November 2026, torch 2.11, diffusers 0.42.1).
    """
    denoising = denoising_bytes(sizes, pixels, tokens)
    decoding = decoding_bytes(sizes, pixels)
    denoiser = sizes.transformer + sizes.controlnet
    # Two at a time are there, one that works and one on its way; they are gone before the picture
    # is decoded. A layer is a sixth of FLUX.1's block, and a third at most of FLUX.2's.
    encoding, around = sizes.text_blocks, sizes.around
    highest = {
        "resident": denoiser + sizes.text_encoders + max(denoising, decoding),
        "text-offload": denoiser + max(encoding, denoising, decoding),
        "model-offload": max(sizes.text_encoders, denoiser + denoising, decoding),
        "group-offload": max(encoding, around + 2 * sizes.block + denoising, decoding),
        "sequential-offload": max(
            sizes.text_layers,
            around + sizes.block // 3 + denoising,
            decoding_bytes(sizes, TILE**2),
        ),
    }[level]
    return highest + sizes.vae + OVERHEAD


def waiting_bytes(level: OffloadLevel, sizes: Sizes) -> int:
    """Bytes of weights that wait in main memory on *level*, for a device with its own."""
    if level == "resident":
        return 0
    if level == "text-offload":
        return sizes.text_encoders
    return sizes.text_encoders + sizes.transformer + sizes.controlnets


def all_bytes(sizes: Sizes) -> int:
    """Bytes of all weights together."""
    return sizes.text_encoders + sizes.transformer + sizes.controlnets + sizes.vae


def denoising_bytes(sizes: Sizes, pixels: int, tokens: int) -> int:
    """Activations of one step. A token of the picture covers 16 x 16 pixels."""
    return (pixels // 256 + tokens) * sizes.width * BLOCK_WIDTHS * sizes.value


def decoding_bytes(sizes: Sizes, pixels: int) -> int:
    """Activations of the VAE's decoder."""
    return pixels * DECODER_CHANNELS * DECODER_TENSORS * sizes.value


def read_sizes(
    folder: Path,
    value: int,
    formats: Mapping[str, Format] | None = None,
    is_read: Mapping[str, Callable[[str], bool]] | None = None,
) -> Sizes:
    """The sizes of the pipeline in *folder*, from the heads of its files.

    Args:
        value: Bytes of one value in the format that it will be loaded in.
        formats: Those of parts that are kept in another way, by the names of their folders.
        is_read: Of parts that are not loaded whole, whether the tensor of a name is.
    """
    formats, is_read = formats or {}, is_read or {}

    def tensors(part: str) -> dict[str, tuple[int, ...]]:
        wanted, found = is_read.get(part), shapes(folder / part)
        return {name: found[name] for name in found if wanted is None or wanted(name)}

    def size(part: str, shapes: Mapping[str, tuple[int, ...]]) -> int:
        return formats.get(part, Format(value)).bytes(shapes)

    transformer = tensors("transformer")
    blocks = blocks_of(transformer)
    inside = set().union(*blocks)
    texts = {name: tensors(name) for name in _parts(folder) if name.startswith("text_encoder")}
    text_blocks, around_them, layers = [0], 0, [0]
    for name, text in texts.items():
        own = blocks_of(text)
        text_blocks += [size(name, block) for block in own]
        layers += [size(name, {key: shape}) for key, shape in text.items()]
        around_them += size(name, text) - sum(size(name, block) for block in own)
    config = json.loads((folder / "transformer" / "config.json").read_text(encoding="utf-8"))
    return Sizes(
        transformer=size("transformer", transformer),
        text_encoders=sum(size(*text) for text in texts.items()),
        vae=size("vae", tensors("vae")),
        block=max((size("transformer", block) for block in blocks), default=0),
        around=size("transformer", {k: v for k, v in transformer.items() if k not in inside}),
        text_blocks=around_them + 2 * max(text_blocks),
        text_layers=sum(sorted(layers)[-2:]),
        width=config["num_attention_heads"] * config["attention_head_dim"],
        value=value,
    )


def blocks_of(tensors: Mapping[str, tuple[int, ...]]) -> list[dict[str, tuple[int, ...]]]:
    """The blocks among *tensors*, which are shapes by their names: those that begin with the same
    name and number, as "encoder.block.3"."""
    blocks: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in tensors.items():
        if found := _BLOCK.match(name):
            blocks.setdefault(found[0], {})[name] = shape
    return list(blocks.values())


def is_quantized(layer: str, kept: Collection[str]) -> bool:
    """Whether the weight of the layer *layer*, a path of names with dots, is to be quantized.

    Args:
        kept: Names that stay as they are, with all that is below them.
    """
    return not any(layer == name or layer.startswith(f"{name}.") for name in kept)


def controlnet_bytes(sizes: Sizes, folder: Path) -> int:
    """Bytes of the ControlNet in *folder*, or of the encoder of pictures there, in the number
    format of *sizes*."""
    parts = (folder, folder / "image_encoder", folder / "image_embedder")
    return sizes.value * sum(math.prod(shape) for part in parts for shape in shapes(part).values())


def with_controlnets(
    sizes: Sizes, found: Mapping[str, int], groups: Iterable[Iterable[str]]
) -> Sizes:
    """*sizes* with room for ControlNets whose bytes are *found*; those of one of the *groups* work
    at the same time, different groups do not."""
    together = (sum(found[name] for name in group) for group in groups)
    return replace(sizes, controlnet=max(together, default=0), controlnets=sum(found.values()))


def with_lora_slot(sizes: Sizes, layers: Iterable[tuple[int, ...]], rank: int) -> Sizes:
    """*sizes* with a slot for LoRAs of *rank* over the layers of the transformer, whose weights
    have the shapes *layers* (``generation/diffusion/lora_slot.py``)."""
    matrices = [shape for shape in layers if len(shape) == 2]
    added = sizes.value * sum(rank * (outputs + inputs) + outputs for outputs, inputs in matrices)
    share = added / sizes.transformer if sizes.transformer else 0.0
    return replace(
        sizes,
        transformer=sizes.transformer + added,
        block=int(sizes.block * (1 + share)),
        around=int(sizes.around * (1 + share)),
    )


def parameters(folder: Path) -> int:
    """Parameters of the pipeline in *folder*, all parts together."""
    return sum(
        math.prod(shape) for part in _parts(folder) for shape in shapes(folder / part).values()
    )


def shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Every tensor in the safetensors files of *folder*, and its shape; reads their heads alone.

    Of the same weights in several formats ("model.fp16.safetensors") the plain ones count.
    """
    found: dict[str, tuple[int, ...]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        if "." in file.name.removesuffix(".safetensors"):
            continue
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            head = json.loads(opened.read(length))
        head.pop("__metadata__", None)
        found |= {name: tuple(tensor["shape"]) for name, tensor in head.items()}
    return found


def in_gigabytes(count: int) -> str:
    """Bytes in words: "23.8 GB", "317 MB"."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _parts(folder: Path) -> list[str]:
    """Names of the folders that a pipeline keeps its parts in."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir())

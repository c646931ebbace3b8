"""What weights in files hold, by their heads: safetensors and GGUF.

Nothing is loaded. ``gguf`` reads GGUF's heads; it is a package of its own, and only wanted where
somebody names such a file.
"""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from generation.diffusion import memory
from generation.diffusion.lora_layout import read_head
from generation.errors import ModelUnavailable

GGUF = ".gguf"
SUFFIXES = (".safetensors", GGUF)

#: GGUF's formats of plain numbers, which have no blocks.
PLAIN = ("F32", "F16", "BF16")


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor in a file.

    Attributes:
        shape: Of its values, however they are packed.
        bytes: What it takes in the file.
        packed: GGUF's name of the format that its values are packed in, such as "Q4_K"; None for
            plain numbers, of which safetensors files hold no others.
    """

    shape: tuple[int, ...]
    bytes: int
    packed: str | None = None


def read(file: Path) -> dict[str, Stored]:
    """Every tensor in *file*, by name.

    Raises:
        ModelUnavailable: It is in another format, or needs a package that is not installed.
        Exception: What the libraries raise on a damaged file.
    """
    if file.suffix == GGUF:
        return _read_gguf(file)
    if file.suffix not in SUFFIXES:
        raise ModelUnavailable(
            f"{file.name} is neither a safetensors nor a GGUF file: others are not read, since"
            " pickles can run code"
        )
    head = read_head(file)
    return {name: Stored(shape, head.sizes[name]) for name, shape in head.shapes.items()}


def parameters(found: Path) -> int:
    """Values of all weights in *found*, a file or the folder of a transformer."""
    if found.is_dir():
        return sum(map(math.prod, memory.shapes(transformer_folder(found)).values()))
    return sum(math.prod(tensor.shape) for tensor in read(found).values())


def shapes(found: Path) -> list[tuple[int, ...]]:
    """Shapes of the transformer's blocks in *found*, a file or the folder of one."""
    if found.is_dir():
        return list(memory.shapes(transformer_folder(found)).values())
    return [tensor.shape for name, tensor in read(found).items() if "blocks." in name]


def transformer_folder(found: Path) -> Path:
    """The transformer's own folder: *found*, or that in it where it is of a whole pipeline."""
    own = found / "transformer"
    return own if own.is_dir() else found


def packing(found: Path) -> str | None:
    """How the weights in *found*, a file or the folder of a transformer, are packed in fewer bits
    already, in words: "GGUF Q4_K", "torchao"; None where they are plain numbers."""
    if found.is_dir():
        config = json.loads((transformer_folder(found) / "config.json").read_text(encoding="utf-8"))
        return (config.get("quantization_config") or {}).get("quant_method")
    if found.suffix != GGUF:
        return None
    name = _most_common_format(read(found))
    return None if name is None else f"GGUF {name}"


def check_packing(found: Path, wanted: str, setting: str = "quantization") -> None:
    """Raise ModelUnavailable where the weights in *found*, a file or a folder, are packed in fewer
    bits already, and *wanted* by the *setting* is to pack them again."""
    how = packing(found)
    if how is not None and wanted != "none":
        raise ModelUnavailable(
            f"the weights in {found} are packed in fewer bits already ({how}): set"
            f' model.{setting} to "none"'
        )


def stored_bytes(folder: Path) -> dict[str, int]:
    """Bytes of every tensor in the safetensors files of *folder*."""
    found: dict[str, int] = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= read_head(file).sizes
    return found


def _most_common_format(tensors: Mapping[str, Stored]) -> str | None:
    """The format that most values of *tensors* are packed in; None where none is."""
    counts: dict[str, int] = {}
    for tensor in tensors.values():
        if tensor.packed is not None:
            counts[tensor.packed] = counts.get(tensor.packed, 0) + math.prod(tensor.shape)
    return max(counts, key=lambda name: counts[name], default=None)


def _read_gguf(file: Path) -> dict[str, Stored]:
    if importlib.util.find_spec("gguf") is None:
        raise ModelUnavailable(f"{file.name} needs the package gguf: pip install gguf")
    from gguf import GGUFReader

    reader = GGUFReader(file)
    field = reader.fields.get("general.architecture")
    architecture = "flux" if field is None else str(field.contents())
    if architecture != "flux":
        raise ModelUnavailable(
            f"{file.name} is made for {architecture}, and not for FLUX.1: name a file that is"
        )
    return {
        tensor.name: Stored(
            # GGUF counts its dimensions from the fastest one.
            tuple(int(size) for size in reversed(tensor.shape)),
            int(tensor.n_bytes),
            None if tensor.tensor_type.name in PLAIN else tensor.tensor_type.name,
        )
        for tensor in reader.tensors
    }

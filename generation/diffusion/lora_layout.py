"""What stands in a LoRA file, by the names and shapes of its tensors: where each one belongs, and
what has no place.

Reads heads of files alone, and is free of torch, so that a LoRA is judged before anything is
loaded. Which layers there are is known by its family.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from generation.errors import ModelUnavailable

Shape = tuple[int, ...]

#: Ranges of a matrix's rows, one behind the other, for a matrix of so many rows and columns.
Rows = Callable[[int, int], tuple[slice, ...]]

#: Ranks from which on a product of matrices is no small thing beside a layer: at 256 those of all
#: layers of FLUX.1 take 2.8 GB in 16 bits (computed).
MAX_RANK = 256

#: Tensors that a sentence names, before it goes on to count.
NAMED = 3

#: What the end of a tensor's name says of its role in a layer. Each line is a way to write it.
ROLES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (role, re.compile(rf"(?P<layer>.+?)\.(?:{end})"))
    for role, end in (
        ("down", r"lora_A(?:\.\w+)?\.weight|lora_A|(?:lora[._]|lora_linear_layer\.)?down\.weight"),
        ("up", r"lora_B(?:\.\w+)?\.weight|lora_B|(?:lora[._]|lora_linear_layer\.)?up\.weight"),
        ("bias", r"lora_B(?:\.\w+)?\.bias|lora_up\.bias"),
        ("alpha", r"(?:lora_)?alpha"),
        ("dora", r"dora_scale|lora_magnitude_vector(?:\.\w+)*"),
        *((f"hada_{name}", f"hada_{name}") for name in ("w1_a", "w1_b", "w2_a", "w2_b")),
        *(
            (f"lokr_{name}", f"lokr_{name}")
            for name in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b")
        ),
        ("oft", r"oft_\w+(?:\.\w+)*|boft_\w+(?:\.\w+)*"),
        ("ia3", r"ia3_\w+(?:\.\w+)*|on_input"),
        ("diff", r"diff(?:_b)?|set_weight"),
        ("glora", r"[ab][12]\.weight"),
    )
)

#: What the roles of a layer's tensors must be, one set for each way to write a small change.
LORA = {"down", "up"}
LOHA = {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"}

#: Kinds that are not drawn with, by the role that betrays them.
OTHER_KINDS = {
    "dora": "a DoRA, which rescales whole weights instead of adding to them",
    "oft": "an OFT, which turns whole weights instead of adding to them",
    "ia3": "an IA3, which rescales what layers give instead of adding to their weights",
    "diff": "a difference of whole weights, and not of small matrices",
    "glora": "a GLoRA, which changes whole weights instead of adding to them",
}
WAY_OUT = (
    "train it, or have it saved, as a plain LoRA, or merge it into the model and name the merged"
    " file as model.transformer"
)


@dataclass(frozen=True, slots=True)
class Place:
    """A layer of the model, and the rows of a file's matrix that belong to it.

    Attributes:
        part: The pipeline's name of the part, such as "transformer" or "text_encoder".
        module: The layer's name in there.
        rows: Its rows of the matrix.
    """

    part: str
    module: str
    rows: Rows


class Names(Protocol):
    """The names that a family's layers go by."""

    def places(self, name: str) -> tuple[Place, ...]:
        """Where the matrix of the layer *name* belongs, as some trainer spells it; none if nowhere.

        A matrix for several layers at once has several places.
        """
        ...

    def norm(self, name: str) -> str | None:
        """The transformer's name of the norm *name*, which a Control LoRA may replace."""
        ...

    def other_family(self, names: Iterable[str]) -> str | None:
        """The other family, in words, that a layer of *names* belongs to; None where none tells."""
        ...


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer as a file has it.

    Attributes:
        name: As the file spells it.
        tensors: Names of its tensors, by their role in it.
        places: Where what they make belongs.
    """

    name: str
    tensors: Mapping[str, str]
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a safetensors file.

    Attributes:
        shapes: Of all tensors, by their names.
        sizes: Their bytes.
        metadata: What its writer says about it.
    """

    shapes: Mapping[str, Shape]
    sizes: dict[str, int] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the tensors of a LoRA file belong.

    Attributes:
        layers: Changes of layers that are understood.
        norms: Tensors that replace a norm's weight in the transformer, by its name there; only
            Control LoRAs have such.
        left_over: Names of all other tensors.
    """

    layers: tuple[Layer, ...]
    norms: Mapping[str, str]
    left_over: tuple[str, ...]


def the_file(found: Path) -> Path:
    """The LoRA in *found*, a file or a folder with one.

    Raises:
        ModelUnavailable: There is none in safetensors format, or more than one.
    """
    files = [found] if found.is_file() else sorted(found.glob("*.safetensors"))
    if len(files) != 1:
        raise ModelUnavailable(
            f"there are {len(files)} LoRAs in {found}: name one as owner/name/file.safetensors"
            if files
            else f"there is no LoRA in {found}: only safetensors files are read"
        )
    return files[0]


def read_head(file: Path) -> Head:
    """The head of *file*.

    Raises:
        ModelUnavailable: It is a web page, or another kind of file.
        OSError, ValueError, struct.error: It is damaged.
    """
    with file.open("rb") as opened:
        start = opened.read(8)
        if start.lstrip()[:1] == b"<":
            raise ModelUnavailable(
                f"{file} is a web page and no safetensors file: whoever downloaded it was shown a"
                " page in its place, perhaps to sign in; download it anew"
            )
        (length,) = struct.unpack("<Q", start)
        if length > file.stat().st_size:
            raise ValueError("it is no safetensors file, or not whole")
        head: dict[str, Any] = json.loads(opened.read(length))
    metadata = head.pop("__metadata__", {})
    spans = {name: tensor["data_offsets"] for name, tensor in head.items()}
    return Head(
        {name: tuple(tensor["shape"]) for name, tensor in head.items()},
        {name: end - start for name, (start, end) in spans.items()},
        metadata,
    )


def layout(names: Iterable[str], known: Names) -> Layout:
    """Where the tensors *names* of a file belong."""
    found: dict[str, dict[str, str]] = {}
    norms: dict[str, str] = {}
    left_over: list[str] = []
    for name in names:
        role, layer = _role(name)
        if role is not None:
            if role in found.setdefault(layer, {}):
                left_over.append(name)  # the same twice, in two ways to write it
            else:
                found[layer][role] = name
        elif norm := known.norm(name.removesuffix(".weight").removesuffix(".scale")):
            norms[f"{norm}.weight"] = name
        else:
            left_over.append(name)
    layers = []
    for name, tensors in found.items():
        places = known.places(name)
        if places and is_change(tensors.keys()):
            layers.append(Layer(name, tensors, places))
        else:
            left_over += tensors.values()
    return Layout(tuple(layers), norms, tuple(left_over))


def is_change(roles: Iterable[str]) -> bool:
    """Whether tensors of these *roles* are a change that can be written as two small matrices."""
    roles = set(roles) - {"alpha"}
    if roles - {"bias"} == LORA or roles == LOHA:
        return True
    firsts, seconds = (
        ({"lokr_w1"}, {"lokr_w1_a", "lokr_w1_b"}),
        (
            {"lokr_w2"},
            {"lokr_w2_a", "lokr_w2_b"},
        ),
    )
    return any(roles == first | second for first in firsts for second in seconds)


def rank(layer: Layer, shapes: Mapping[str, Shape]) -> int:
    """Rank of the two matrices that the change of *layer* is written as."""
    of = {role: shapes[name] for role, name in layer.tensors.items()}
    if "down" in of:
        return of["down"][0]
    if "hada_w1_b" in of:
        return of["hada_w1_b"][0] * of["hada_w2_b"][0]
    first = of["lokr_w1_b"][0] if "lokr_w1_b" in of else min(of["lokr_w1"])
    second = of["lokr_w2_b"][0] if "lokr_w2_b" in of else min(of["lokr_w2"])
    return first * second


def highest_rank(shapes: Mapping[str, Shape]) -> int:
    """The highest rank of the changes that tensors of these *shapes* are, wherever they belong; 0
    without any."""
    found: dict[str, dict[str, str]] = {}
    for name in shapes:
        role, layer = _role(name)
        if role is not None:
            found.setdefault(layer, {})[role] = name
    changes = [Layer(name, tensors, ()) for name, tensors in found.items() if is_change(tensors)]
    return max((rank(each, shapes) for each in changes), default=0)


def size(layer: Layer, shapes: Mapping[str, Shape]) -> tuple[int, int]:
    """Rows and columns of the matrix that the change of *layer* is."""
    of = {role: shapes[name] for role, name in layer.tensors.items()}
    if "down" in of:
        return of["up"][0], math.prod(of["down"][1:])
    if "hada_w1_b" in of:
        return of["hada_w1_a"][0], of["hada_w1_b"][1]
    firsts = of.get("lokr_w1") or (of["lokr_w1_a"][0], of["lokr_w1_b"][1])
    seconds = of.get("lokr_w2") or (of["lokr_w2_a"][0], of["lokr_w2_b"][1])
    return firsts[0] * seconds[0], firsts[1] * seconds[1]


def complaint(
    head: Head,
    known: Names,
    model: Mapping[str, Mapping[str, tuple[int, int]]] | None = None,
    *,
    is_control: bool = False,
) -> str | None:
    """Why the LoRA with this *head* cannot be drawn with, and what to do; None if it can.

    Args:
        known: The names of the model's layers.
        model: Rows and columns of its layers' weights, by part and name; None where they are not
            known yet.
        is_control: Whether a Control LoRA is meant.
    """
    found = layout(head.shapes, known)
    if (sentence := _of_another_kind(head.shapes, found, known)) is not None:
        return sentence
    if found.left_over:
        named = ", ".join(found.left_over[:NAMED])
        more = len(found.left_over) - NAMED
        return (
            f"{len(found.left_over)} of its {len(head.shapes)} tensors have no place in this model"
            f" ({named}{f' and {more} more' if more > 0 else ''}): it would be drawn in part only;"
            " name one that is made for this model, or merge it into the model and name the merged"
            " file as model.transformer"
        )
    highest = max((rank(layer, head.shapes) for layer in found.layers), default=0)
    has_products = any("down" not in layer.tensors for layer in found.layers)
    if has_products and highest > MAX_RANK:
        return (
            f"it is a LoKr or LoHa of rank {highest}, and at most {MAX_RANK} can be added beside"
            f" the weights: {WAY_OUT}"
        )
    if not is_control and found.norms:
        return "it replaces norms, as a Control LoRA does: name it as control_lora"
    return None if model is None else _misfit(found, head.shapes, model, is_control)


def _misfit(
    found: Layout,
    shapes: Mapping[str, Shape],
    model: Mapping[str, Mapping[str, tuple[int, int]]],
    is_control: bool,
) -> str | None:
    """Why the layers of a file are not those of *model*; None if they are."""
    for layer in found.layers:
        rows, columns = size(layer, shapes)
        for place in layer.places:
            there = model.get(place.part, {}).get(place.module)
            if there is None:
                return (
                    f"its {layer.name} is for {place.part}.{place.module}, which this model does"
                    " not have: it is made for another model"
                )
            cut = sum(each.stop - each.start for each in place.rows(rows, columns))
            if (cut, columns) == there:
                continue
            is_widened = place.module == "x_embedder" and (cut, columns // 2) == there
            if is_widened and is_control:
                continue
            if is_widened:
                return (
                    "it leaves room for a control image, as a Control LoRA does: name it as"
                    " control_lora"
                )
            return (
                f"its {layer.name} changes {cut} x {columns} weights of"
                f" {place.part}.{place.module}, which has {there[0]} x {there[1]}: it is made for"
                " another model"
            )
    return None


def _of_another_kind(names: Iterable[str], found: Layout, known: Names) -> str | None:
    """What the file is, where it is no LoRA for such a model at all, and what to do."""
    names = list(names)
    for role, words in OTHER_KINDS.items():
        if any(_role(name)[0] == role for name in names):
            return f"it is {words}: {WAY_OUT}"
    if (family := known.other_family(found.left_over)) is not None:
        return f"it is made for {family}, and not for this model: name one for this model"
    if found.layers or found.norms:
        return None
    if any("controlnet" in name for name in names):
        return "it is a ControlNet: name its repository as controlnet"
    if any(known.places(name.removesuffix(".weight")) for name in names):
        return "it is a whole model: name it as model.transformer"
    return None


def _role(name: str) -> tuple[str | None, str]:
    """The role of the tensor *name*, and its layer's name; None and nothing if it has none."""
    for role, pattern in ROLES:
        if found := pattern.fullmatch(name):
            return role, found["layer"]
    return None, ""

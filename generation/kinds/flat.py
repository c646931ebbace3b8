"""Kinds as the flat values that stand in ``config.toml``, in the database and in the HTTP API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from typing import Any

from generation.errors import InvalidRequest
from generation.kinds.base import CONTROL_IMAGES, Kind
from generation.kinds.controlled import ControlLora, ControlNet, ControlNets
from generation.kinds.editing import Edit
from generation.kinds.inpainting import Inpaint
from generation.kinds.plain import ImageToImage, TextToImage
from generation.kinds.referring import Redux
from generation.kinds.upscaling import Upscale

#: Every kind, by its name.
KINDS: dict[str, type[Kind]] = {
    kind.name: kind
    for kind in (
        TextToImage,
        ImageToImage,
        ControlNet,
        ControlNets,
        ControlLora,
        Upscale,
        Inpaint,
        Edit,
        Redux,
    )
}


def flat_values(kind: Kind) -> dict[str, Any]:
    """All flat fields of all kinds as JSON types, those of others than *kind* at their neutral
    values, and ``kind``."""
    return {**_flat(tuple(KINDS.values())), **kind.to_dict(), "kind": kind.name}


def kind_of(values: Mapping[str, Any]) -> Kind:
    """The kind that the flat *values* of a preset or a request describe.

    Fields of other kinds and of the preset or request itself are passed over, so that what
    older versions wrote beside them can still be read.

    Raises:
        InvalidRequest: They describe none, or several, or a value is out of range.
    """
    chosen = _chosen(values)
    if values.get("upscale") is not None and not chosen.pictures:
        raise InvalidRequest(
            "upscale enlarges an attached picture: set a controlnet, a control_lora or a strength"
            " too",
            field="upscale",
        )
    if values.get("upscale") is not None and "upscale" not in _names(chosen):
        raise InvalidRequest(
            f"upscale enlarges no picture that is made with {chosen.label}: leave it out, or put it"
            " into a preset of its own",
            field="upscale",
        )
    given = {
        field.name: values[field.name]
        for field in fields(chosen)
        # None is what other kinds leave of a field that they share.
        if field.name in values and (values[field.name] is not None or field.default is MISSING)
    }
    return chosen.from_dict(given)


def flat_names() -> tuple[str, ...]:
    """The names of the flat fields of all kinds, each once."""
    return tuple(_flat(tuple(KINDS.values())))


@cache
def _flat(kinds: tuple[type[Kind], ...]) -> Mapping[str, Any]:
    """The flat fields of *kinds* at their neutral values, which the first that has a field decides.
    Kept, since every row is read by it."""
    return {
        field.name: None if field.default is MISSING else field.default
        for kind in reversed(kinds)
        for field in fields(kind)
    }


def picture_names() -> tuple[str, ...]:
    """The names of all pictures that any kind takes, each once."""
    needed = (name for kind in KINDS.values() for name in kind.pictures)
    return tuple(dict.fromkeys((*needed, *CONTROL_IMAGES)))


def _chosen(values: Mapping[str, Any]) -> type[Kind]:
    name = values.get("kind")
    if name is not None:
        if name not in KINDS:
            raise InvalidRequest(
                f"there is no kind {name!r}: choose one of {', '.join(KINDS)}", field="kind"
            )
        return KINDS[name]
    found = [kind for kind in KINDS.values() if kind.key and values.get(kind.key) is not None]
    # A key that is a field of another that is there, as strength of a ControlNet, chooses nothing.
    found = [
        kind
        for kind in found
        if not any(kind.key in _names(other) for other in found if other is not kind)
    ]
    if len(found) > 1:
        # The one that is found first is the one to give up.
        first, second = found[:2]
        raise InvalidRequest(
            f"a preset has either a {second.key} or a {_with_label(first)}, not both",
            field=first.key,
        )
    return found[0] if found else TextToImage


def _names(kind: type[Kind]) -> set[str]:
    return {field.name for field in fields(kind)}


def _with_label(kind: type[Kind]) -> str:
    """The key of *kind*, explained where it does not say by itself what it means."""
    plain = kind.label.removeprefix("a ").lower().replace(" ", "_")
    return f"{kind.key}" if plain == kind.key else f"{kind.key} ({kind.label})"

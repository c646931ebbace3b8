"""The families of models that can be drawn with, one file for each.

Families know ``generation/diffusion``, which knows none of them but by the table below.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from generation.diffusion.family import Family
from generation.errors import ModelUnavailable
from generation.families import unfit
from generation.kinds import Kind

#: Each family, as ``module:name``, by the ``_class_name`` in the ``model_index.json`` of its
#: models. A module is imported when a model of its family is loaded.
FAMILIES: dict[str, str] = {
    **dict.fromkeys(unfit.FLUX1, "generation.families.flux1:Flux1"),
    unfit.FLUX2: "generation.families.flux2:Flux2",
}


def family_of(folder: Path, *, has_own_transformer: bool = True) -> Family:
    """The family that draws with the model in *folder*.

    Args:
        has_own_transformer: Whether its transformer comes from there too.

    Raises:
        ModelUnavailable: There is none, or it is not such a model as its family draws with; with
            the way out.
        OSError, ValueError: The folder's files are damaged.
    """
    index = folder / "model_index.json"
    name = _class_name(index) if index.is_file() else None
    if name is None or name not in FAMILIES or name in unfit.JUDGED:
        sentence = unfit.model(folder, has_own_transformer=has_own_transformer)
        if sentence is not None:
            raise ModelUnavailable(sentence)
    assert name is not None
    module, attribute = _module(name)
    family: Family = getattr(module, attribute)
    return family


def undrawn(name: str, kind: Kind) -> str | None:
    """Why models of the pipeline class *name* draw no picture of *kind*, as the end of a sentence
    that begins with the model; None where they do."""
    module, _ = _module(name)
    judge: Callable[[Kind], str | None] | None = getattr(module, "undrawn", None)
    return None if judge is None else judge(kind)


def _module(name: str) -> tuple[Any, str]:
    """The module of the family *name*, and its class's name."""
    module, _, attribute = FAMILIES[name].partition(":")
    return importlib.import_module(module), attribute


def _class_name(index: Path) -> str | None:
    name: str | None = json.loads(index.read_text(encoding="utf-8")).get("_class_name")
    return name

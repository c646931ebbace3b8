"""The families of models that can be drawn with, one file for each.

Families know ``generation/diffusion``, which knows none of them but by the table below.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path

from generation.diffusion.family import Family
from generation.errors import ModelUnavailable

#: Each family, as ``module:name``, by the ``_class_name`` in the ``model_index.json`` of its
#: models. A module is imported when a model of its family is loaded.
FAMILIES: dict[str, str] = {
    "FluxPipeline": "generation.families.flux1:Flux1",
}


def family_of(folder: Path) -> Family:
    """The family that draws with the model in *folder*.

    Raises:
        ModelUnavailable: There is none.
        OSError, ValueError: The folder's ``model_index.json`` is missing or damaged.
    """
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    name = index.get("_class_name")
    if name not in FAMILIES:
        raise ModelUnavailable(
            f"the model in {folder} is made for {name}, which this bot cannot draw with: choose"
            f" one made for {' or '.join(FAMILIES)}"
        )
    module, _, attribute = FAMILIES[name].partition(":")
    family: Family = getattr(importlib.import_module(module), attribute)
    return family

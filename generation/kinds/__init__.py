"""The kinds of presets: how a picture comes about, and which pictures and weights that takes.

A kind is a frozen value that stands in a `Preset` and in every `GenerationRequest` made with
it. Each is one class here, one line in `KINDS` (``flat.py``), and one drawing function in every
family of models that draws it (``generation/families/``). Nothing else asks which kind there is:
it asks the kind.

In ``config.toml``, in the database and in the HTTP API the fields of a kind lie flat beside
those of the preset or request; `kind_of` and `flat_values` go to and fro.
"""

from generation.kinds.base import (
    CONTROL_IMAGES,
    MASK_IMAGE,
    MAX_UPSCALE,
    Kind,
    Numbers,
    Preprocessor,
    check_preprocessor,
)
from generation.kinds.controlled import ControlLora, ControlNet, ControlNets
from generation.kinds.editing import Edit
from generation.kinds.flat import KINDS, flat_names, flat_values, kind_of, picture_names
from generation.kinds.inpainting import Inpaint
from generation.kinds.plain import ImageToImage, TextToImage
from generation.kinds.referring import Redux
from generation.kinds.upscaling import Upscale, tile_starts

__all__ = [
    "CONTROL_IMAGES",
    "KINDS",
    "MASK_IMAGE",
    "MAX_UPSCALE",
    "ControlLora",
    "ControlNet",
    "ControlNets",
    "Edit",
    "ImageToImage",
    "Inpaint",
    "Kind",
    "Numbers",
    "Preprocessor",
    "Redux",
    "TextToImage",
    "Upscale",
    "check_preprocessor",
    "flat_names",
    "flat_values",
    "kind_of",
    "picture_names",
    "tile_starts",
]

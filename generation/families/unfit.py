"""Why weights cannot be drawn with, by what their files say of themselves, and what to do.

Everybody has a folder of weights that are nearly the right ones. Whole models for control images
and for filling load as FLUX.1 and draw noise, or fail at the first step; here they are
told by their class and their channels. Nothing is loaded: small files are read, and heads of large
ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from generation.diffusion import lora_layout, memory
from generation.families import flux1_names, flux2_names

DEV = "black-forest-labs/FLUX.1-dev"
KLEIN = "black-forest-labs/FLUX.2-klein-4B"

#: The pipelines of models that draw by words, and perhaps edit by them.
FLUX1 = ("FluxPipeline", "FluxKontextPipeline")
FLUX2 = "Flux2KleinPipeline"

#: Those of models that are looked at closer.
JUDGED = (*FLUX1, FLUX2)

#: Those of models that edit.
EDITING = ("FluxKontextPipeline", FLUX2)

#: What to do about models that other pipelines of diffusers draw with, by the beginning of the
#: pipeline's name; the first one that fits counts.
WAYS: tuple[tuple[str, str], ...] = (
    (
        "FluxFill",
        f"is a whole model for filling: name it as fill of a preset, and {DEV} as model.repository",
    ),
    (
        "FluxControl",
        "is a whole model for control images: name black-forest-labs/FLUX.1-Canny-dev-lora, or"
        f" FLUX.1-Depth-dev-lora, as control_lora of a preset, and {DEV} as model.repository",
    ),
    (
        "FluxPriorRedux",
        "is no model by itself, but shows pictures to one: name it as redux of a preset, and"
        f" {DEV} as model.repository",
    ),
    (
        "Flux2KleinBase",
        "is not distilled: it is made to be trained further, and takes 50 steps with two"
        f" evaluations each, which this bot does not do: name {KLEIN} as model.repository",
    ),
    (
        "Flux2KleinKV",
        "draws by another pipeline, which keeps what it knows of the pictures that it was shown,"
        f" and which this bot does not know: name {KLEIN} as model.repository",
    ),
    (
        "Flux2",
        "is a larger FLUX.2, of which this bot knows the family klein alone: name"
        f" {KLEIN} as model.repository",
    ),
    (
        "",
        "is neither of FLUX.1's architecture nor of FLUX.2-klein's: name one that is as"
        f" model.repository, such as {KLEIN}",
    ),
)

#: Repositories that are known by their names, before 20 GB or more are fetched for nothing.
KNOWN = {
    "black-forest-labs/flux.1-fill-dev": "FluxFillPipeline",
    "black-forest-labs/flux.1-canny-dev": "FluxControlPipeline",
    "black-forest-labs/flux.1-depth-dev": "FluxControlPipeline",
    "black-forest-labs/flux.1-redux-dev": "FluxPriorReduxPipeline",
    "black-forest-labs/flux.2-dev": "Flux2Pipeline",
    "black-forest-labs/flux.2-klein-4b": FLUX2,
    "black-forest-labs/flux.2-klein-9b": FLUX2,
    "black-forest-labs/flux.2-klein-base-4b": "Flux2KleinBasePipeline",
    "black-forest-labs/flux.2-klein-base-9b": "Flux2KleinBasePipeline",
    "black-forest-labs/flux.2-klein-9b-kv": "Flux2KleinKVPipeline",
    "stabilityai/stable-diffusion-xl-base-1.0": "StableDiffusionXLPipeline",
    "stabilityai/stable-diffusion-3.5-large": "StableDiffusion3Pipeline",
    "stabilityai/stable-diffusion-3.5-medium": "StableDiffusion3Pipeline",
}

#: ControlNets of other families, by their class.
OTHER_CONTROLNETS = {
    "ControlNetModel": "Stable Diffusion 1.5, 2 or XL",
    "ControlNetUnionModel": "Stable Diffusion XL",
    "ControlNetXSAdapter": "Stable Diffusion 1.5, 2 or XL",
    "SD3ControlNetModel": "Stable Diffusion 3",
    "QwenImageControlNetModel": "Qwen-Image",
    "QwenImageMultiControlNetModel": "Qwen-Image",
    "HunyuanDiT2DControlNetModel": "Hunyuan-DiT",
    "SanaControlNetModel": "Sana",
    "ZImageControlNetModel": "Z-Image",
}


def by_name(repository: str) -> str | None:
    """Why the model *repository* on the Hub cannot be drawn with, where its name alone says so."""
    pipeline = KNOWN.get(repository.lower(), FLUX2)
    return None if pipeline in JUDGED else f"{repository} {_way(pipeline)}"


def pipeline(folder: Path | None, *names: str | None) -> str:
    """The class of the pipeline in *folder*, or of the first repository among *names* that is
    known; FLUX.1's where nothing tells.

    Raises:
        OSError, ValueError: Its files are damaged.
    """
    if folder is not None and (index := folder / "model_index.json").is_file():
        found: str = _json(index).get("_class_name", FLUX1[0])
        return found
    known = (KNOWN.get(name.lower()) for name in names if name is not None)
    return next(filter(None, known), FLUX1[0])


def model(folder: Path, *, has_own_transformer: bool = True) -> str | None:
    """Why the pipeline in *folder* cannot be drawn with as one of FLUX.1's or FLUX.2-klein's.

    Args:
        has_own_transformer: Whether it draws with the transformer in there.

    Raises:
        OSError, ValueError: Its files are damaged.
    """
    index = folder / "model_index.json"
    if not index.is_file():
        return _without_index(folder)
    parts = _json(index)
    name = parts.get("_class_name")
    if name == FLUX2:
        return _klein(folder, parts, has_own_transformer)
    if name not in FLUX1:
        return f"{folder} {_way(str(name))} (its model_index.json says {name})"
    missing = [name for name in ("text_encoder", "text_encoder_2", "vae") if not _has(parts, name)]
    if missing:
        return (
            f"the model in {folder} has no {' and no '.join(missing)}: name a whole one, such as"
            f" {DEV}, as model.repository, and this one's transformer as model.transformer"
        )
    if not has_own_transformer:
        return None
    return _transformer(folder)


def can_edit(folder: Path) -> bool:
    """Whether the pipeline in *folder* edits pictures by words.

    Raises:
        OSError, ValueError: Its files are damaged.
    """
    return _json(folder / "model_index.json").get("_class_name") in EDITING


def edits_nothing(name: str) -> str:
    """Why nothing is edited with the model *name* itself."""
    return (
        f"{name} edits no pictures: name a model that does as kontext of the preset, such as"
        " black-forest-labs/FLUX.1-Kontext-dev, or as its lora one that teaches it to"
    )


def editor(found: Path) -> str | None:
    """Why the model in *found*, a file or a folder, is none to edit with beside another.

    Raises:
        OSError, ValueError: Its files are damaged.
    """
    index = found / "model_index.json"
    if not index.is_file() or _json(index).get("_class_name") != FLUX1[0]:
        return None
    return (
        f"the model in {found} draws by words alone, and would draw without regard to the picture:"
        " name as kontext one that edits, such as black-forest-labs/FLUX.1-Kontext-dev"
    )


def _klein(folder: Path, parts: dict[str, Any], has_own_transformer: bool) -> str | None:
    """Why the pipeline in *folder*, of the class of FLUX.2-klein's, cannot be drawn with."""
    if not has_own_transformer:
        return (
            f"{folder} is FLUX.2-klein, and model.transformer stands in for a transformer of FLUX.1"
            " alone: leave it out"
        )
    names = ("text_encoder", "tokenizer", "transformer", "vae")
    missing = [name for name in names if not _has(parts, name)]
    if missing:
        return (
            f"the model in {folder} has no {' and no '.join(missing)}: name a whole one, such as"
            f" {KLEIN}, as model.repository"
        )
    if not parts.get("is_distilled"):
        return f"{folder} {_way('Flux2KleinBase')}"
    transformer = _json(folder / "transformer" / "config.json")
    text = _json(folder / "text_encoder" / "config.json")
    vae = _json(folder / "vae" / "config.json")
    if (name := transformer.get("_class_name")) != "Flux2Transformer2DModel":
        return f"the transformer in {folder} is a {name}, and none of FLUX.2's: name another model"
    if (name := text.get("model_type")) != "qwen3":
        return f"the text encoder in {folder} is a {name}, and no Qwen3: name another model"
    own, given = transformer.get("in_channels", 128), 4 * vae.get("latent_channels", 32)
    if own != given:
        return (
            f"the transformer in {folder} takes {own} channels, and its VAE gives {given}: name a"
            f" whole model, such as {KLEIN}, as model.repository"
        )
    # Three states side by side are what it reads; see flux2_text.py.
    wide, states = transformer.get("joint_attention_dim"), 3 * text.get("hidden_size", 0)
    if wide != states:
        return (
            f"the transformer in {folder} was not made for its text encoder: its"
            f" joint_attention_dim is {wide}, and three states of the text encoder are {states}"
        )
    return None


def channels(name: str, own: int, given: int) -> str | None:
    """Why the transformer *name* of *own* channels cannot be *given* so many."""
    if own == given:
        return None
    if own == 2 * given:
        way = _way("FluxControlPipeline")
    elif own > 2 * given:
        way = _way("FluxFillPipeline")
    else:
        way = f"is for another VAE: name a whole model, such as {DEV}, as model.repository"
    return f"{name} {way} (its transformer takes {own} channels, and FLUX.1 gives {given})"


def widths(name: str, own: Mapping[str, Any], base: Mapping[str, Any]) -> str | None:
    """Why the transformer *name* with the configuration *own* does not go with the text encoders
    and the VAE of the one with the configuration *base*."""
    found = channels(name, own.get("in_channels", 64), base.get("in_channels", 64))
    if found is not None:
        return found
    for key in ("joint_attention_dim", "pooled_projection_dim"):
        if own.get(key) != base.get(key):
            return (
                f"{name} was not made for the text encoders of model.repository: its {key} is"
                f" {own.get(key)}, and they give {base.get(key)}"
            )
    return None


def transformer(folder: Path, base: Mapping[str, Any]) -> str | None:
    """Why the transformer in *folder* cannot stand in for the one with the configuration *base*.

    Raises:
        OSError, ValueError: Its files are damaged.
    """
    if not (folder / "config.json").is_file():
        return f"{folder} holds no transformer in diffusers' format: name its file, if it has one"
    config = _json(folder / "config.json")
    name = config.get("_class_name", "FluxTransformer2DModel")
    if name != "FluxTransformer2DModel":
        return f"the transformer in {folder} is a {name}, and none of FLUX.1's: name another one"
    return widths(str(folder), config, base)


def controlnet(folder: Path) -> str | None:
    """Why the ControlNet in *folder* cannot be drawn with.

    Raises:
        OSError, ValueError: Its files are damaged.
    """
    config = folder / "config.json"
    if not config.is_file():
        return (
            f"the ControlNet in {folder} has no config.json, and is not in diffusers' format: name"
            " a repository that is, often the one whose name ends in -diffusers"
        )
    name = _json(config).get("_class_name", "FluxControlNetModel")
    if name == "FluxControlNetModel":
        return None
    if name == "FluxTransformer2DModel" or name.endswith("Pipeline"):
        return f"{folder} holds a whole model, and no ControlNet: name a ControlNet as controlnet"
    made_for = OTHER_CONTROLNETS.get(name, name)
    return (
        f"the ControlNet in {folder} is made for {made_for}, and not for FLUX.1: name one that is"
    )


def lora(file: Path, kind: str, folder: Path | None, *, is_control: bool) -> str | None:
    """Why the LoRA in *file* cannot be drawn with by the pipeline in *folder*, of the class *kind*.

    Args:
        folder: None where the model is not here, or in a format whose shapes are not known.

    Raises:
        ModelUnavailable: It is no LoRA at all.
        OSError, ValueError: A file is damaged.
    """
    head = lora_layout.read_head(file)
    sizes = None if folder is None else _layer_sizes(folder)
    known: lora_layout.Names = flux2_names if kind == FLUX2 else flux1_names
    sentence = lora_layout.complaint(head, known, sizes, is_control=is_control)
    return None if sentence is None else f"{file.name} cannot be used: {sentence}"


def _way(pipeline: str) -> str:
    return next(way for start, way in WAYS if pipeline.startswith(start))


def _without_index(folder: Path) -> str:
    files = sorted(each.name for each in (*folder.glob("*.safetensors"), *folder.glob("*.gguf")))
    if files:
        return (
            f"{folder} holds no model_index.json, but {files[0]}: name {folder / files[0]} as"
            f" model.transformer, and a whole model, such as {DEV}, as model.repository"
        )
    return f"{folder} holds no model in diffusers' format: it has no model_index.json"


def _has(parts: dict[str, Any], name: str) -> bool:
    return any(parts.get(name) or ())


def _transformer(folder: Path) -> str | None:
    """Why the transformer in *folder* is none that draws by words alone."""
    config = _json(folder / "transformer" / "config.json")
    name = config.get("_class_name", "FluxTransformer2DModel")
    if name != "FluxTransformer2DModel":
        return f"the transformer in {folder} is a {name}, and none of FLUX.1's: name another model"
    vae = _json(folder / "vae" / "config.json")
    # A token holds 2 x 2 latent pixels.
    given = 4 * vae.get("latent_channels", 16)
    return channels(str(folder), config.get("in_channels", 64), given)


def _layer_sizes(folder: Path) -> dict[str, dict[str, tuple[int, int]]]:
    """Rows and columns of the layers of the pipeline in *folder*, by part and name."""
    return {
        part: {
            name.removesuffix(".weight").removeprefix("text_model."): (shape[0], shape[1])
            for name, shape in memory.shapes(folder / part).items()
            if name.endswith(".weight") and len(shape) == 2
        }
        for part in ("transformer", "text_encoder", "text_encoder_2")
        if (folder / part).is_dir()
    }


def _json(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content

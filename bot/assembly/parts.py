"""Weights that presets want beside the model, from the Hugging Face Hub or a folder.

Nothing here asks the Hub or builds anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bot.config import Config
from bot.loras import made_for
from bot.sections import ListedLora, Model
from generation import weights
from generation.errors import FluxbotError
from generation.preprocessors import Preprocessors
from generation.types import Preset
from generation.wanted import Wanted, WeightsRole


def preprocessor_models(config: Config, token: str | None = None) -> dict[str, Any]:
    """Arguments of `Preprocessors`; *token* is for gated repositories on the Hub."""
    models = config.preprocessors
    return {
        "depth": models.depth,
        "person": models.person,
        "pose": models.pose,
        "download_dir": config.storage.download_dir,
        "token": token,
    }


def role_of(model: Model) -> WeightsRole:
    """What is wanted of a model's repository: all of it, or all but its transformer."""
    return "pipeline" if model.transformer is None else "base"


def parts_of(preset: Preset, preprocessors: Preprocessors) -> list[tuple[str, WeightsRole]]:
    """Names and roles of the weights that *preset* draws with beside the main model."""
    parts: list[tuple[str, WeightsRole]] = [(preset.model, "pipeline")] if preset.model else []
    parts += preset.kind.weights
    if preset.lora is not None:
        parts.append((preset.lora, "lora"))
    for preprocessor in preset.kind.control_maps:
        parts += [(model, "preprocessor") for model in preprocessors.models_for(preprocessor)]
    return list(dict.fromkeys(parts))


def faulty_presets(config: Config) -> dict[str, str]:
    """A sentence for each preset whose weights cannot exist anywhere, by name of the preset."""
    preprocessors = Preprocessors(**preprocessor_models(config))
    found: dict[str, str] = {}
    for preset in config.presets.values():
        for name, role in parts_of(preset, preprocessors):
            try:
                weights.wanted_from_hub(name, role)
            except FluxbotError as error:
                found.setdefault(preset.name, f"preset {preset.name}: {error}")
    return found


def faulty_loras(config: Config) -> dict[str, str]:
    """A sentence for each listed LoRA that cannot exist anywhere, by its name."""
    found: dict[str, str] = {}
    for lora in config.loras.values():
        try:
            weights.wanted_from_hub(lora.repository, "lora")
        except FluxbotError as error:
            found[lora.name] = f"LoRA {lora.name}: {error}"
    return found


def wanted(config: Config, names: Iterable[str], loras: Iterable[str] = ()) -> list[Wanted]:
    """Downloads that the main model, the presets *names*, with models of their own, and the listed
    *loras* need, each once.

    Raises:
        ModelUnavailable: The model, a part of a preset or a LoRA cannot exist anywhere.
    """
    preprocessors = Preprocessors(**preprocessor_models(config))
    parts = [part for name in names for part in parts_of(config.presets[name], preprocessors)]
    parts += [(config.loras[name].repository, "lora") for name in loras]
    model = config.model
    needed = [
        weights.wanted_from_hub(model.repository, role_of(model), model.revision),
        *([weights.wanted_from_hub(model.transformer, "transformer")] if model.transformer else ()),
        *(weights.wanted_from_hub(name, role) for name, role in parts),
    ]
    return list(dict.fromkeys(each for each in needed if each is not None))


def controlnets(config: Config, model: Model) -> tuple[tuple[str, ...], ...]:
    """ControlNets and encoders of reference pictures of all presets that draw with *model* and are
    not faulty, those together that a picture follows at once; room is planned for them."""
    groups = [
        tuple(name for name, role in each.kind.weights if role in ("controlnet", "prior"))
        for each in _sound(config, model)
    ]
    return tuple(dict.fromkeys(filter(None, groups)))


def loras(config: Config, model: Model) -> tuple[str, ...]:
    """LoRAs of all presets that draw with *model*, and all that people may ask for with it, which
    are not faulty, each once; compiled code has room for them."""
    named = [each.lora for each in _sound(config, model) if each.lora is not None]
    named += [each.repository for each in listed_loras(config, model)]
    return tuple(dict.fromkeys(named))


def listed_loras(config: Config, model: Model) -> list[ListedLora]:
    """LoRAs that people may ask for with *model*, which are not faulty."""
    faulty = faulty_loras(config)
    listed = (each for each in config.loras.values() if each.name not in faulty)
    return [each for each in listed if made_for(each, model)]


def _sound(config: Config, model: Model) -> list[Preset]:
    """Presets that draw with *model* and are not faulty."""
    faulty = faulty_presets(config)
    drawing = (each for each in config.presets.values() if config.model_for(each.model) == model)
    return [each for each in drawing if each.name not in faulty]

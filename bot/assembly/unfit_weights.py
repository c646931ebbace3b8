"""Weights that are here and cannot be drawn with, told before anything is loaded.

The engine refuses the same when it loads them. Importing this module costs nothing; what its
functions judge with imports torch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import starmap
from pathlib import Path

from bot.assembly.parts import faulty_loras, faulty_presets, role_of
from bot.config import Config
from bot.loras import made_for
from bot.sections import Model
from generation import weights
from generation.errors import FluxbotError
from generation.kinds import ControlLora, Kind


def unfit_model(config: Config, model: Model | None = None) -> str | None:
    """Why *model*, the main one by default, cannot be drawn with; None where it can, or is not here
    yet."""
    from generation.families import unfit

    model = model or config.model
    if (sentence := unfit.by_name(model.repository)) is not None:
        return sentence
    folder = _model_folder(model, config)
    if folder is None:
        return None
    sentence = None
    if not weights.is_demo(model.repository):
        judge = partial(unfit.model, folder, has_own_transformer=model.transformer is None)
        sentence = _judged(model.repository, judge)
    if sentence is None and model.transformer is not None:
        judge = partial(_of_transformer, model.transformer, folder, config)
        sentence = _judged(model.transformer, judge)
    return sentence


def unfit_presets(config: Config) -> dict[str, str]:
    """A sentence for each preset that its model does not draw, or with weights that are here and do
    not fit it, by name of the preset; those of `faulty_presets` are left out."""
    faulty = faulty_presets(config)
    found: dict[str, str] = {}
    for preset in config.presets.values():
        if preset.name in faulty:
            continue
        drawn_with = config.model_for(preset.model)
        repository = drawn_with.repository
        folder, whole = _layers_folder(drawn_with, config), _model_folder(drawn_with, config)
        nets = [name for name, role in preset.kind.weights if role == "controlnet"]
        loras = [name for name, role in preset.kind.weights if role == "lora"]
        loras += [preset.lora] if preset.lora else []
        of_lora = partial(
            _of_lora,
            model=drawn_with,
            config=config,
            is_control=isinstance(preset.kind, ControlLora),
        )
        edits_alone = preset.kind.edits and not preset.kind.weights and preset.lora is None
        editors = [name for name, _ in preset.kind.weights if preset.kind.edits]
        judges = [
            (repository, partial(_of_kind, preset.kind, drawn_with, config)),
            *([(repository, partial(_of_editing, repository, folder))] if edits_alone else ()),
            *((name, partial(_of_editor, name, whole, config)) for name in editors),
            *((name, partial(_of_controlnet, name, config)) for name in nets),
            *((name, partial(of_lora, name)) for name in loras),
        ]
        for sentence in filter(None, starmap(_judged, judges)):
            found.setdefault(preset.name, f"preset {preset.name}: {sentence}")
    return found


def unfit_loras(config: Config) -> dict[str, str]:
    """The same for each listed LoRA that fits none of the models that it is for, by its name."""
    faulty = faulty_loras(config)
    found: dict[str, str] = {}
    for lora in config.loras.values():
        models = [each for each in config.drawn_with if made_for(lora, each)]
        if lora.name in faulty or not models:
            continue
        judges = (
            partial(_of_lora, lora.repository, model, config, is_control=False) for model in models
        )
        sentences = [_judged(lora.repository, judge) for judge in judges]
        if all(sentences):
            found[lora.name] = f"LoRA {lora.name}: {sentences[0]}"
    return found


def _of_editing(name: str, folder: Path | None) -> str | None:
    from generation.families import unfit

    return None if folder is None or unfit.can_edit(folder) else unfit.edits_nothing(name)


def _of_transformer(name: str, folder: Path | None, config: Config) -> str | None:
    from generation.families import flux1_files

    found = weights.local_folder(name, "transformer", config.storage.download_dir)
    if folder is not None and found is not None:
        flux1_files.check(found, folder, config.model.quantization)
    return None


def _of_editor(name: str, folder: Path | None, config: Config) -> str | None:
    from generation.families import unfit

    found = weights.local_folder(name, "transformer", config.storage.download_dir)
    sentence = None if found is None else unfit.editor(found)
    return sentence or _of_transformer(name, folder, config)


def _of_kind(kind: Kind, model: Model, config: Config) -> str | None:
    from generation.families import FAMILIES, undrawn

    pipeline = _pipeline(model, config)
    sentence = undrawn(pipeline, kind) if pipeline in FAMILIES else None
    return None if sentence is None else f"{model.repository} {sentence}"


def _of_controlnet(name: str, config: Config) -> str | None:
    from generation.families import unfit

    folder = weights.local_folder(name, "controlnet", config.storage.download_dir)
    return None if folder is None or weights.is_demo(name) else unfit.controlnet(folder)


def _of_lora(name: str, model: Model, config: Config, *, is_control: bool) -> str | None:
    from generation.diffusion.lora_layout import the_file
    from generation.families import unfit

    found = weights.local_folder(name, "lora", config.storage.download_dir)
    if found is None:
        return None
    pipeline, layers = _pipeline(model, config), _layers_folder(model, config)
    return unfit.lora(the_file(found), pipeline, layers, is_control=is_control)


def _pipeline(model: Model, config: Config) -> str:
    """The class of the model's pipeline."""
    from generation.families import unfit

    known = config.known(model)
    names = (model.profile, None if known is None else known.profile, model.repository)
    return unfit.pipeline(_model_folder(model, config), *names)


def _layers_folder(model: Model, config: Config) -> Path | None:
    """The folder of the model, if its layers are there."""
    if model.transformer is not None:
        return None  # they are elsewhere, and perhaps packed: names alone are judged
    return _model_folder(model, config)


def _model_folder(model: Model, config: Config) -> Path | None:
    try:
        return weights.local_folder(
            model.repository, role_of(model), config.storage.download_dir, model.revision
        )
    except FluxbotError:
        return None  # another finding says why


def _judged(name: str, judge: Callable[[], str | None]) -> str | None:
    """The sentence of *judge* on the weights *name*; damaged ones get one of their own."""
    try:
        return judge()
    except FluxbotError as error:
        return str(error)
    except Exception as error:  # the libraries raise a dozen types on damaged files
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return f"the weights of {name} cannot be read: {reason}; fetch or copy them anew"

"""The models that people draw with, by the presets that name them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bot.config import Config
from bot.sections import KnownModel, Model
from generation.checks import public_name
from generation.types import GenerationRequest, Preset


@dataclass(frozen=True, slots=True)
class OfferedModel:
    """A model, as people are told of it.

    Attributes:
        name: Its id on the Hub, with the revision where one is pinned; of a folder of the
            operator's machine its last part alone.
        presets: Names of the presets that draw with it, in the order of the file.
        is_default: Whether it draws where nobody chooses a preset.
        record: Its name in records, also of the time that loading it takes, and by which engines
            say what they have in memory.
        known: What its table under ``[models]`` says.
        settings: ``[model]`` as it holds for it.
    """

    name: str
    presets: tuple[str, ...]
    is_default: bool
    record: str
    known: KnownModel
    settings: Model


def offered_models(config: Config, presets: Iterable[Preset]) -> tuple[OfferedModel, ...]:
    """The models that *presets*, those that people may choose, draw with, the main one first."""
    names: dict[Model, list[str]] = {config.model: []}
    for each in presets:
        names.setdefault(config.model_for(each.model), []).append(each.name)
    default = config.model.default_preset
    return tuple(
        OfferedModel(
            public_name(record := model_name(model)),
            tuple(own),
            is_default=default in own,
            record=record,
            known=config.known(model) or KnownModel(),
            settings=model,
        )
        for model, own in names.items()
        if own
    )


def names_of(config: Config) -> dict[str, Model]:
    """The models of *config* by the names that requests have for them, the main one first."""
    return {model_name(each): each for each in config.drawn_with}


def model_of(request: GenerationRequest, config: Config, presets: Mapping[str, Preset]) -> Model:
    """The model with which *request* is drawn now: the one that it names, as long as there is such
    a one; else that of its preset, or the main one."""
    known = names_of(config).get(request.model)
    if known is not None:
        return known
    preset = presets.get(request.preset)
    return config.model_for(None if preset is None else preset.model)


def model_name(model: Model) -> str:
    """The name of the weights in a record: repository, and revision where it is pinned, and the
    transformer that stands in for its own; of a path its last part, which tells nothing else."""
    name = f"{model.repository}@{model.revision}" if model.revision else model.repository
    if model.transformer is None:
        return name
    return f"{name}, {public_name(model.transformer)}"

"""The models that people draw with, by the presets that name them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bot.config import Config
from bot.requests import model_name
from bot.sections import KnownModel
from generation.checks import public_name
from generation.types import Preset


@dataclass(frozen=True, slots=True)
class OfferedModel:
    """A model, as people are told of it.

    Attributes:
        name: Its id on the Hub, with the revision where one is pinned; of a folder of the
            operator's machine its last part alone.
        presets: Names of the presets that draw with it, in the order of the file.
        is_default: Whether it draws where nobody chooses a preset.
        repository: Where its weights come from, perhaps a path; engines say by it what they have
            in memory.
        record: Its name in records, also of the time that loading it takes.
        known: What its table under ``[models]`` says.
    """

    name: str
    presets: tuple[str, ...]
    is_default: bool
    repository: str
    record: str
    known: KnownModel


def offered_models(config: Config, presets: Iterable[Preset]) -> tuple[OfferedModel, ...]:
    """The models that *presets*, those that people may choose, draw with, the main one first."""
    names = tuple(each.name for each in presets)
    record = model_name(config.model)
    return (
        OfferedModel(
            public_name(record),
            names,
            is_default=True,
            repository=config.model.repository,
            record=record,
            known=config.known_model or KnownModel(),
        ),
    )

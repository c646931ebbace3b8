"""The models that pictures are drawn with, as people who choose among presets see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from bot import switches
from bot.config import Config
from bot.database import Database
from bot.engines import loading_time_of
from bot.languages import ENGLISH, Language, in_words
from bot.models import OfferedModel, offered_models
from bot.presets import Presets


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model that is there to draw with.

    Attributes:
        name: Its name for people: an id on the Hub, or the last part of a path.
        description: One line by the operator, in English; empty without one.
        license_name: Of its licence; empty where nobody says it.
        license_page: Where that can be read; empty where it is not known.
        presets: Names of the presets that draw with it, those that are switched off left out.
        num_inference_steps: Where neither a person nor a preset sets them; likewise the size.
        width: In pixels.
        height: In pixels.
        is_default: Whether the preset draws with it that people have who choose none.
        is_loaded: Whether an engine has it in memory.
        seconds_to_load: About as long as that takes; None where nobody has measured it.
    """

    name: str
    description: str
    license_name: str
    license_page: str
    presets: tuple[str, ...]
    num_inference_steps: int
    width: int
    height: int
    is_default: bool
    is_loaded: bool
    seconds_to_load: float | None


class Catalogue:
    """The models of *config* and of its *presets*.

    Args:
        loaded: Bytes in memory by model and repository, all engines together.
        database: Keeps how long loading takes.
    """

    def __init__(
        self,
        config: Config,
        presets: Presets,
        loaded: Callable[[], Mapping[str, int]],
        database: Database,
    ) -> None:
        self._config = config
        self._presets = presets
        self._loaded = loaded
        self._database = database

    async def models(self) -> tuple[ListedModel, ...]:
        """The models that presets on offer draw with, in the order of these."""
        offered = self._offered()
        measured = await self._database.read(switches.everything)
        loaded = self._loaded()
        return tuple(self._listed(each, loaded, measured) for each in offered)

    @property
    def has_several(self) -> bool:
        """Whether presets on offer draw with different models."""
        return len(self._offered()) > 1

    def names(self) -> dict[str, str]:
        """The name of the model that each preset on offer draws with, by that of the preset."""
        return {preset: each.name for each in self._offered() for preset in each.presets}

    def _offered(self) -> tuple[OfferedModel, ...]:
        return offered_models(self._config, self._presets.available.values())

    def _listed(
        self, model: OfferedModel, loaded: Mapping[str, int], measured: Mapping[str, str]
    ) -> ListedModel:
        known, numbers = model.known, model.settings
        seconds = measured.get(loading_time_of(model.record))
        return ListedModel(
            name=model.name,
            description=known.description,
            license_name=known.license_name,
            license_page=known.license or "",
            presets=model.presets,
            num_inference_steps=numbers.num_inference_steps,
            width=numbers.width,
            height=numbers.height,
            is_default=model.is_default,
            is_loaded=model.record in loaded,
            seconds_to_load=None if seconds is None else float(seconds),
        )


def listing(models: Iterable[ListedModel], say: Language = ENGLISH) -> str:
    """The *models*, a few lines each, and how to choose among them where there are several."""
    parts = [_lines(each, say) for each in models]
    if len(parts) > 1:
        parts.append(say("A preset chooses its model: write --preset NAME behind a prompt."))
    return "\n\n".join(parts)


def _lines(model: ListedModel, say: Language) -> str:
    notes = [say("the default")] if model.is_default else []
    if where := readiness(model, say):
        notes.append(where)
    note = f" ({', '.join(notes)})" if notes else ""
    description = say(model.description) if model.description else say("no description")
    lines = [f"{model.name}{note}: {description}", facts(model, say)]
    if model.presets:
        lines.append(say("Presets: {names}", names=", ".join(model.presets)))
    return "\n".join(lines)


def readiness(model: ListedModel, say: Language) -> str:
    """Whether *model* is in memory, or how long that takes; empty where nobody knows that."""
    if model.is_loaded:
        return say("in memory")
    if model.seconds_to_load is None:
        return ""
    return say("loads in about {time}", time=in_words(model.seconds_to_load, say))


def facts(model: ListedModel, say: Language) -> str:
    """Steps, size and licence of *model*."""
    steps = say.counted(model.num_inference_steps, "1 step", "{count} steps")
    licence = model.license_name or model.license_page
    return " · ".join(filter(None, [steps, f"{model.width}×{model.height}", licence]))

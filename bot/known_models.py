"""The tables ``[models.ID]`` of the configuration: what they bring to those that draw."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from bot.sections import KNOWN_NUMBERS, Model


class UnknownModel(ValueError):
    """A model, or a LoRA of one, cannot be told from the tables; a sentence without the file."""


def with_known_models(values: dict[str, Any], model: Model) -> dict[str, Any]:
    """*values* of the file, with the defaults, presets and LoRAs of the main *model*, and with the
    LoRAs of the models that presets name beside it.

    Raises:
        UnknownModel: ``[models]`` has no entry for one of these models.
    """
    models = _with_profiles(values.get("models", {}))
    name = model.profile or model.repository
    if not models:
        return values
    if name not in models:
        key = "profile" if model.profile else "repository"
        raise UnknownModel(
            f"model.{key} is {name!r}, which has no table under [models]: set"
            f" model.profile to the most similar of {', '.join(map(repr, models))}"
            f"{nearest(name, models)}"
        )
    known = models[name]
    numbers = {key: known[key] for key in KNOWN_NUMBERS if key in known}
    presets = {**known.get("presets", {}), **values.get("presets", {})}
    own = values.get("loras", {})
    return {
        **values,
        "models": models,
        "model": {**numbers, **values.get("model", {})},
        "presets": presets,
        "loras": {**_loras_of_models(models, model.repository, name, presets, own), **own},
    }


def _with_profiles(models: Mapping[str, Any]) -> dict[str, Any]:
    """The tables *models*, each with what its profile has and it leaves out.

    Raises:
        UnknownModel: There is no such profile.
    """
    whole = dict(models)
    for name, table in models.items():
        profile = table.get("profile")
        if profile is None:
            continue
        if profile not in models:
            raise UnknownModel(
                f"models.{name!r}.profile is {profile!r}, which has no table under"
                f" [models]: choose one of {', '.join(map(repr, models))}"
                f"{nearest(profile, models)}"
            )
        whole[name] = merged(models[profile], table)
    return whole


def _loras_of_models(
    models: Mapping[str, Any],
    repository: str,
    main: str,
    presets: Mapping[str, Any],
    own: Mapping[str, Any],
) -> dict[str, Any]:
    """The LoRAs under *models* of the *main* one, and of those that *presets* name; but for those
    that the operator has *own* ones for.

    Raises:
        UnknownModel: A preset names a model without a table, or two models have a LoRA of the same
            name.
    """
    tables = {repository: models[main]}
    for name, preset in presets.items():
        model = preset.get("model")
        if model is None or model in tables:
            continue
        known = models.get(model) or models.get(model.partition("@")[0])
        if known is None:
            raise UnknownModel(
                f"presets.{name}.model is {model!r}, which has no table under [models]:"
                f" write [models.{model!r}] with the most similar of"
                f" {', '.join(map(repr, models))} as its profile{nearest(model, models)}"
            )
        tables[model] = known
    found: dict[str, Any] = {}
    for model, table in tables.items():
        for name, lora in table.get("loras", {}).items():
            if name in own:
                continue
            if name in found:
                raise UnknownModel(
                    f"both {found[name]['model']} and {model} have a LoRA {name}, and"
                    f" presets draw with both: write [loras.{name}] for the one that is meant"
                )
            found[name] = {"model": model, **lora}
    return found


def merged(values: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """*values*, with those of *own* in their place, table by table."""
    both = dict(values)
    for key, value in own.items():
        known = both.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            both[key] = merged(known, value)
        else:
            both[key] = value
    return both


def nearest(word: str, known: Any) -> str:
    """A question that ends a sentence, where a word among *known* is much like *word*."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""

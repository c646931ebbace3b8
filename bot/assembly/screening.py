"""The screens of a run: whether they may be off, and whether they work."""

from __future__ import annotations

import asyncio

from bot.config import Config, ConfigError
from bot.screening import makers
from bot.screens import Screens


def check_screens(config: Config) -> None:
    """Raise ConfigError where the licence of the weights asks for a filter or a review, screens
    are off, and the operator has not said why."""
    screens = config.screens
    if screens.enabled or screens.off_because.strip():
        return
    for model in config.drawn_with:
        known = config.known(model)
        if known is None or known.license is None:
            continue
        raise ConfigError(
            f"the licence of {model.repository} asks everybody who runs a bot with it to filter or"
            f" review what is made ({known.license}), and screens.enabled is empty: switch the"
            ' screens on, or write down why they may be off: screens.off_because = "…" in'
            " config.toml"
        )


def screens_verdict(config: Config) -> tuple[bool, str]:
    """Whether the screens work, and a sentence about them. Loading them takes a second."""
    settings = config.screens
    try:
        check_screens(config)
    except ConfigError as error:
        return False, str(error)
    if not settings.enabled:
        why = f": {settings.off_because}" if settings.off_because else ""
        return True, f"off{why}; nothing filters words or pictures"
    screens = Screens(makers(settings))
    try:
        asyncio.run(screens.load())
    finally:
        screens.close()
    if screens.problem:
        return False, f"{screens.problem}; until it works nobody can draw"
    return True, f"{' and '.join(screens.names)} are judged"

"""The screens that ship with the bot, each by its word in ``screens.enabled``.

| word | what it judges |
| --- | --- |
| ``words`` | prompts, by dictionaries and an operator's own list |
| ``pictures`` | pictures, previews and attached pictures, by a classifier of nudity |
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bot.screens import Screen
from bot.sections import ScreenSettings


def _words(settings: ScreenSettings) -> Screen:
    from bot.screening.words import WordsScreen

    return WordsScreen.from_settings(settings)


def _pictures(settings: ScreenSettings) -> Screen:
    from bot.screening.pictures import PicturesScreen

    return PicturesScreen(settings.pictures, settings.age_restricted)


#: A screen for each word of ``screens.enabled``. What a screen needs is imported once it is made.
SCREENS: dict[str, Callable[[ScreenSettings], Screen]] = {"words": _words, "pictures": _pictures}


def makers(settings: ScreenSettings) -> dict[str, Callable[[], Screen]]:
    """The screens that *settings* switch on: word to a function that makes the screen."""
    return {name: partial(SCREENS[name], settings) for name in settings.enabled}

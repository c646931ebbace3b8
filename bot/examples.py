"""Prompts to press, for people who have said nothing that could be drawn."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bot.languages import Language
from bot.views import About, Choice
from generation.types import Preset

#: Examples beside an answer.
EXAMPLES = 3
#: Words before which nothing is guessed: they draw all that follows.
_INSISTS = re.compile(r"\s*/?imagine\b", re.IGNORECASE)


def examples(about: About, presets: Mapping[str, Preset], default: str) -> tuple[Choice, ...]:
    """Prompts to press, as people type them, at most `EXAMPLES`, that the model can draw. The last
    one names a preset, where another than *default* draws from words alone."""
    found = list(about.examples[:EXAMPLES])
    from_words = (
        each.name for each in presets.values() if not each.needs_image and each.name != default
    )
    if found and (name := next(from_words, None)):
        found[-1] = f"{found[-1]} --preset {name}"
    return tuple(Choice(each, each) for each in found)


def insists(text: str) -> bool:
    """Whether *text* says itself that its words are to be drawn, whatever they are."""
    return _INSISTS.match(text) is not None


def cannot_be_drawn(say: Language) -> str:
    """The answer to a prompt of which the model knows nothing."""
    return say(
        "I know none of these words, so nothing was drawn, and nothing charged. Try one of these:"
    )

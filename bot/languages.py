"""The bot's sentences in other languages.

English sentences stand in the code; ``translations/de.toml`` and its like translate them. A
sentence without a translation stays English.

Where the words of a sentence are put together before the person is known (errors, remarks, all
that comes from the database), it is translated by its pattern, whose places are numbered in the
order of the f-string: “the preset {0} needs a control image”.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources

from bot.patterns import Patterns, filled

#: Languages beside English, as files in ``bot/translations/`` are named.
LANGUAGES = ("de", "es", "fr", "ja")


class Language:
    """A language, called with an English sentence for its translation.

    Attributes:
        code: BCP 47 code without a region: ``de``.
        names: Lower-case names of commands and options, by the English name.
    """

    def __init__(
        self,
        code: str,
        sentences: Mapping[str, str] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        self.code = code
        self.names = dict(names or {})
        self.sentences = dict(sentences or {})
        self._patterns = Patterns(self.sentences)

    def __call__(self, sentence: str, **values: object) -> str:
        """The translation of *sentence*, with *values*, if any, in the places of their {names}.

        Without values it may have its figures in it already; see `bot.patterns`.
        """
        said = self.sentences.get(sentence)
        if said is None and not values:
            return self._found_again(sentence)
        said = sentence if said is None else said
        return said.format(**values) if values else said

    def _found_again(self, text: str) -> str:
        found = self._patterns.find(text)
        if found is None:
            return text
        sentence, values = found
        parts = {place: self._part(value) for place, value in values.items()}
        return filled(self.sentences[sentence], parts)

    def _part(self, text: str) -> str:
        """The translation of a part of a sentence, or of each part of a list."""
        said = self(text)
        if said == text and ", " in text:
            # Names in a list are typed as they are.
            return ", ".join(self(each) if " " in each else each for each in text.split(", "))
        return said

    @property
    def full_stop(self) -> str:
        """The mark behind a sentence."""
        return "。" if self.code == "ja" else "."

    def counted(self, count: int, one: str, many: str) -> str:
        """The translation of *one* for a count of 1, else of *many*, which contains {count}."""
        return self(one) if count == 1 else self(many, count=count)


ENGLISH = Language("en")


def language_of(locale: str | None) -> Language:
    """The language of a *locale* such as ``de`` or ``es-419``; English without a translation."""
    code = (locale or "").partition("-")[0].lower()
    return _read(code) if code in LANGUAGES else ENGLISH


@cache
def _read(code: str) -> Language:
    file = resources.files("bot") / "translations" / f"{code}.toml"
    values = tomllib.loads(file.read_text(encoding="utf-8"))
    return Language(code, values["sentences"], values["names"])


def in_words(seconds: float, say: Language = ENGLISH) -> str:
    """*seconds* as people say it: "45 seconds", "12 minutes", "3 hours"."""
    if seconds >= 1.5 * 86400:
        return say.counted(_units(seconds, 86400), "1 day", "{count} days")
    if seconds >= 1.5 * 3600:
        return say.counted(_units(seconds, 3600), "1 hour", "{count} hours")
    if seconds >= 60:
        return say.counted(_units(seconds, 60), "1 minute", "{count} minutes")
    return say.counted(max(1, math.ceil(seconds)), "1 second", "{count} seconds")


def _units(seconds: float, length: int) -> int:
    return math.ceil(seconds / length - 1e-9)

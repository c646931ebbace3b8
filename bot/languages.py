"""The bot's sentences in other languages.

English stands where it is said; ``translations/de.toml`` and its like say the same in another
language. A sentence that is missing there stays English, so that nobody ever gets none.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources

#: Languages beside English, as files in ``bot/translations/`` are named.
LANGUAGES = ("de", "es", "fr", "ja")


class Language:
    """What turns an English sentence into one of another language.

    Attributes:
        code: As in BCP 47, without a region: ``de``.
        names: Lower-case words for commands and options, by the English word.
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

    def __call__(self, sentence: str, **values: object) -> str:
        """*sentence*, with *values* in the places of their {names}; as it is without any."""
        said = self.sentences.get(sentence, sentence)
        return said.format(**values) if values else said

    def counted(self, count: int, one: str, many: str) -> str:
        """*one* for a single thing, else *many*, which contains {count}."""
        return self(one) if count == 1 else self(many, count=count)


ENGLISH = Language("en")


def language_of(locale: str | None) -> Language:
    """The language of a *locale* such as ``de`` or ``es-419``; English where we have no better."""
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

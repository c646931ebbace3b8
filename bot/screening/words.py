"""The words screen: dictionaries of slurs and of sexual words, and an operator's own list.

The dictionaries, and the folding of accents, look-alikes, spacing, digits for letters, stretched
letters and invisible characters, are those of the library ``glin-profanity``. It looks for whole
words. Japanese has no spaces between words, so that its words are looked for anywhere.

``corrections.toml`` takes out of the dictionaries what also names harmless things to draw, and
``minors.toml`` is the category that cannot be switched off.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from glin_profanity import Filter
from glin_profanity.data.dictionary import dictionary
from glin_profanity.utils.unicode import normalize_unicode
from PIL import Image

from bot.screens import PASSED, Action, Place, Verdict
from bot.sections import ScreenSettings
from bot.sentences import Sentence

FOLDER = Path(__file__).parent
LANGUAGES = ("english", "german", "french", "spanish", "japanese", "italian", "portuguese")

REFUSED = (
    "these words are not drawn here; nothing was charged. Please ask for something else, or ask"
    " an admin if you think that this is a mistake"
)
MINORS = "this is not drawn, here or anywhere else; nothing was charged"

#: An age below 18 in words of the bot's languages.
_AGE = re.compile(
    r"(?<!\d)(?:[1-9]|1[0-7])[\s-]*(?:years?|yrs?|y)[\s./-]*(?:olds?|o)\b"
    r"|(?<!\d)(?:[1-9]|1[0-7])[\s-]*(?:jahre alt|jährige?[rsn]?\b)"
    r"|(?<!\d)(?:[1-9]|1[0-7])\s*(?:ans|años|anni|anos)\b"
    r"|(?<!\d)(?:[1-9]|1[0-7])\s*(?:歳|才)",
    re.IGNORECASE,
)
#: Scripts without spaces between words.
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")


class WordsScreen:
    """Judges prompts.

    Args:
        own: The operator's own words, refused beside those of the dictionaries.
        action: REFUSE, or HOLD for moderators to decide.
    """

    def __init__(self, own: Iterable[str] = (), action: Action = Action.REFUSE) -> None:
        lists = tomllib.loads((FOLDER / "corrections.toml").read_text(encoding="utf-8"))
        innocent = {word.lower() for words in lists["innocent"].values() for word in words}
        words = (word for language in LANGUAGES for word in dictionary.get_words(language))
        kept = [word for word in words if word.lower() not in innocent]
        self._action = action
        self._refused = _Words([*kept, *lists["added"], *own], lists["phrases"], ignored=innocent)
        minors = tomllib.loads((FOLDER / "minors.toml").read_text(encoding="utf-8"))
        self._minors, self._sexual, self._hard = (
            _Words(minors[name]) for name in ("minors", "sexual", "phrases")
        )
        self._of_server = lru_cache(maxsize=64)(_Words)

    @classmethod
    def from_settings(cls, settings: ScreenSettings) -> WordsScreen:
        """The screen that *settings* ask for.

        Raises:
            OSError: The operator's file cannot be read.
        """
        own = () if settings.words_file is None else own_words(settings.words_file)
        return cls(own, Action.HOLD if settings.words_action == "hold" else Action.REFUSE)

    def judge_words(self, texts: Sequence[str], place: Place) -> Verdict:
        text = "\n".join(texts)
        # What a negative prompt names is to be kept out of the picture.
        if texts and self._is_about_a_minor(texts[0]):
            return Verdict(Action.REFUSE, MINORS, "minors", "sexual words about a minor")
        found = self._refused.first_in(text)
        if found is None and place.words:
            found = self._of_server(place.words).first_in(text)
        if found is None:
            return PASSED
        reason = Sentence.HELD if self._action is Action.HOLD else REFUSED
        return Verdict(self._action, reason, "words", found)

    def judge_picture(self, image: Image.Image, place: Place) -> Verdict:
        return PASSED

    def _is_about_a_minor(self, text: str) -> bool:
        if self._hard.first_in(text) is not None:
            return True
        is_young = _AGE.search(text) is not None or self._minors.first_in(text) is not None
        if not is_young:
            return False
        return (self._sexual.first_in(text) or self._refused.first_in(text)) is not None


class _Words:
    """Words and phrases to look for, in whatever spelling.

    Args:
        harmless: Phrases in which none of the words counts.
        ignored: Words that never count, even where a word without its accents looks like them.
    """

    def __init__(
        self, words: Iterable[str], harmless: Iterable[str] = (), *, ignored: Iterable[str] = ()
    ) -> None:
        unique = dict.fromkeys(word.strip().lower() for word in words if word.strip())
        self._unspaced = [word for word in map(_squeezed, unique) if _UNSPACED.search(word)]
        # Without a list of languages the library takes English.
        others = {*dictionary.get_words("english"), *ignored, *map(normalize_unicode, ignored)}
        self._filter = Filter(
            {
                "custom_words": [word for word in unique if not _UNSPACED.search(word)],
                "ignore_words": sorted({word.lower() for word in others} - unique.keys()),
                "whitelist": list(harmless),
                "detect_leetspeak": True,
                "leetspeak_level": "moderate",
                "obfuscation": "standard",
                "normalize_unicode": True,
            }
        )

    def first_in(self, text: str) -> str | None:
        """The first of the words that *text* has in it; None without any."""
        spaced = " ".join(text.split())
        found = self._filter.check_profanity(spaced).get("profane_words")
        if found:
            return str(found[0])
        squeezed = _squeezed(text)
        return next((word for word in self._unspaced if word in squeezed), None)


def own_words(path: Path) -> tuple[str, ...]:
    """The words and phrases of an operator's file: one a line, ``#`` begins a comment.

    Raises:
        OSError: The file cannot be read.
    """
    lines = (line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    return tuple(line for line in lines if line)


def _squeezed(text: str) -> str:
    """*text* in one width and case, without spaces, dots and invisible characters."""
    folded = unicodedata.normalize("NFKC", text).lower()
    return "".join(character for character in folded if character.isalnum() or character == "ー")

"""Words, gaps and quotes of a text, and their form in an error."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import NamedTuple

from bot.commands.vocabulary import CommandError

#: Separators of words: white space, and the invisible marks that keyboards for
#: right-to-left scripts leave beside latin words. Joiners are missing on purpose,
#: since Persian words and emoji contain them.
GAPS = (
    "".join(filter(str.isspace, map(chr, range(0x3001))))
    + "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
)
GAP = f"[{re.escape(GAPS)}]"
INK = f"[^{re.escape(GAPS)}]"
A_WORD = re.compile(f"{INK}+")

#: Closing quotes by the opening one; languages differ: “x” „x“ ”x” «x» »x«.
_PAIRS = ('""', "''", "“”", "””", "„“”", "‘’", "’’", "«»", "»«»")
CLOSERS = {pair[0]: pair[1:] for pair in _PAIRS}
QUOTES = "".join(CLOSERS)
#: These open a passage wherever they stand; the others are also apostrophes,
#: inches and closing quotes, and open one only outside a word.
_ALWAYS_OPEN = "“„«"
_APOSTROPHES = "'’"
_ESCAPE_OR_QUOTE = re.compile(rf"\\.|[{QUOTES}]", re.DOTALL)


class Word(NamedTuple):
    text: str
    position: int

    @property
    def end(self) -> int:
        return self.position + len(self.text)


def words_of(text: str, start: int = 0, end: int | None = None) -> list[Word]:
    span = (start, len(text) if end is None else end)
    return [Word(match[0], match.start()) for match in A_WORD.finditer(text, *span)]


def quotations(text: str) -> dict[int, int]:
    """Offset of the closing quote of each quoted passage in *text*, by that of the opening one.

    From the end to the beginning, so that the next quote that matters is always
    known, and any text takes time in proportion to its length.
    """
    ends: dict[int, int] = {}
    nearest: dict[str, tuple[int, bool]] = {}
    for match in reversed(list(_ESCAPE_OR_QUOTE.finditer(text))):
        quote, position = match[0], match.start()
        if quote not in CLOSERS:
            continue
        before = text[position - 1 : position] if position else ""
        after = text[position + 1 : position + 2]
        if quote in _ALWAYS_OPEN or not before.isalnum():
            following = [nearest[closer] for closer in CLOSERS[quote] if closer in nearest]
            end, is_closing = min(following, default=(0, False))
            if is_closing:
                ends[position] = end
        # A quote with a gap before it and none behind it begins a passage: the
        # one that was open is unclosed, as in: '90s fox --negative 'blurry'
        is_opening = (not before or before in GAPS) and after != "" and after not in GAPS
        if is_opening or not (quote in _APOSTROPHES and after.isalnum()):
            nearest[quote] = (position, not is_opening)
    return ends


def error_at(word: Word, sentence: str, field: str | None = None) -> CommandError:
    return CommandError(sentence, word=word.text, position=word.position, field=field)


def shown(text: str) -> str:
    return f"“{printable(text)}”"


def printable(text: str) -> str:
    """*text* for a sentence: short, and without characters that break a page or an encoder."""
    short = text if len(text) <= 40 else text[:40] + "…"
    return "".join(character if character.isprintable() else "�" for character in short)


def listed(names: Iterable[str]) -> str:
    """*names* in words of no language."""
    return ", ".join(names)


def suggestion(typed: str, names: Iterable[str]) -> str:
    """A hint at the one of *names* that was probably meant, or at all of them."""
    names = list(names)
    near = difflib.get_close_matches(typed[:60], names, 1)
    return f"did you mean {near[0]}?" if near else f"choose one of {listed(names)}"

"""The filters of a history, among the words that are looked for: ``favourites by:canny fox``.

- ``favourites``, in American spelling too, or ``★``: favourites alone.
- ``by:canny``: pictures of that preset alone.
- ``since:2026-11-01``, ``until:2026-11-20`` and ``on:2026-11-20``: pictures of these days, the last
  included; ``today`` and ``yesterday`` are days too. Days are those of UTC, as everywhere.

Words in quotes are never filters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from bot.commands.words import GAPS, Word, error_at, quotations, shown, words_of

TODAY, YESTERDAY = "today", "yesterday"
_FAVOURITES = frozenset({"favourites", "favorites", "favourite", "favorite", "★", "⭐"})
_FILTER = re.compile(r"(by|since|until|on):(.*)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """What somebody looks for in their history.

    Attributes:
        words: Words of the prompt.
        favourites: Whether favourites alone are wanted.
        preset: Name in lower case, perhaps of no preset; empty for any.
        since, until: First and last day, such as ``2026-11-20``, or ``today`` or ``yesterday``;
            empty for none.
    """

    words: str = ""
    favourites: bool = False
    preset: str = ""
    since: str = ""
    until: str = ""


def read_filter(text: str) -> HistoryFilter:
    """The filter in *text*.

    Raises:
        CommandError: A filter has no sound value, or stands there twice.
    """
    found: dict[str, str] = {}
    favourites = False
    prose = []
    for word, is_quoted in _words(text):
        match = None if is_quoted else _FILTER.fullmatch(word.text)
        if match is not None:
            name, value = match[1].lower(), match[2].lower()
            value = value if name == "by" and value else read_day(value, word)
            for each in ("since", "until") if name == "on" else (name,):
                if each in found:
                    raise error_at(word, f"{shown(word.text)} is one filter too many; leave it out")
                found[each] = value
        elif not is_quoted and word.text.lower() in _FAVOURITES:
            favourites = True
        else:
            prose.append(word.text)
    return HistoryFilter(
        " ".join(prose),
        favourites,
        found.get("by", ""),
        found.get("since", ""),
        found.get("until", ""),
    )


def narrowed(
    wanted: HistoryFilter, *, favourites: bool, preset: str, since: str, until: str
) -> HistoryFilter:
    """*wanted*, with what fields of a request beside it say; what they leave empty stays.

    Raises:
        CommandError: A day is none.
    """
    return HistoryFilter(
        wanted.words,
        favourites or wanted.favourites,
        preset.lower() or wanted.preset,
        read_day(since) if since else wanted.since,
        read_day(until) if until else wanted.until,
    )


def read_day(text: str, word: Word | None = None) -> str:
    """*text*, if it is a day of a history.

    Raises:
        CommandError: It is none.
    """
    if text in (TODAY, YESTERDAY):
        return text
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise error_at(
            word or Word(text, 0),
            f"{shown((word or Word(text, 0)).text)} does not fit: filters are favourites,"
            " by:canny, since:2026-11-01, until:2026-11-20 and on:2026-11-20, or today or"
            " yesterday for the day",
            "words",
        ) from None


def render_filter(wanted: HistoryFilter) -> str:
    """The text that `read_filter` turns into *wanted* again."""
    parts = ["favourites"] if wanted.favourites else []
    parts += [f"by:{wanted.preset}"] if wanted.preset else []
    if wanted.since and wanted.since == wanted.until:
        parts.append(f"on:{wanted.since}")
    else:
        parts += [f"since:{wanted.since}"] if wanted.since else []
        parts += [f"until:{wanted.until}"] if wanted.until else []
    return " ".join([*parts, wanted.words]).strip(GAPS)


def _words(text: str) -> Iterator[tuple[Word, bool]]:
    """The words of *text*, and whether each stands in quotes."""
    quotes = quotations(text)
    end = -1
    for word in words_of(text):
        is_quoted = word.position < end
        for position in range(word.position, word.end):
            if position > end and position in quotes:
                end, is_quoted = quotes[position], True
        yield word, is_quoted

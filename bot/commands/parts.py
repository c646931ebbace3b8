"""A text taken apart: the options in it, and what remains of it without them."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any

from bot.commands.options import Option, Table, Text, WrongValue, normal, shortened
from bot.commands.vocabulary import CommandError
from bot.commands.words import (
    ANY_WORD,
    CLOSERS,
    GAP,
    GAPS,
    INK,
    QUOTES,
    Word,
    error_at,
    printable,
    quotations,
    shown,
)

_GAP_OR_QUOTE = re.compile(f"{GAP}+|[{QUOTES}]")
_ESCAPED = re.compile(rf"\\([\\{QUOTES}])")
_OPTION = re.compile(rf"(--|−−|[—–―][-—–―]?)([^\W\d_][^{re.escape(GAPS)}=]*)")
_END_OF_OPTIONS = re.compile(f"(?:--|−−)(?!{INK})")
_BEFORE_VALUE = re.compile(f"{GAP}*=?{GAP}*")
_NUMBER_FOLLOWS = re.compile(rf"{GAP}*=|{GAP}+\d")


@dataclass(frozen=True, slots=True)
class Parts:
    """A text, taken apart.

    Attributes:
        spans: Where everything stands that belongs to no option.
        values: The fields that the options set.
        given: The options' names as typed, by the name of the option.
    """

    text: str
    spans: list[tuple[int, int]]
    values: dict[str, Any]
    given: dict[str, Word]

    @property
    def words(self) -> list[Word]:
        return [
            Word(match[0], match.start())
            for span in self.spans
            for match in ANY_WORD.finditer(self.text, *span)
        ]

    @property
    def prose(self) -> str:
        """What remains without the options, with a space or line breaks where they stood."""
        joined: list[str] = []
        breaks = 0
        for start, end in self.spans:
            piece = self.text[start:end]
            inner = piece.strip(GAPS)
            if not inner:
                breaks = max(breaks, piece.count("\n"))
                continue
            before, _, after = piece.partition(inner)
            breaks = max(breaks, before.count("\n"))
            if joined:
                joined.append("\n" * breaks or " ")
            joined.append(inner)
            breaks = after.count("\n")
        return "".join(joined)


def option_at(text: str, position: int, table: Table) -> re.Match[str] | None:
    """The dashes and the name that begin an option at *position*, where a word begins."""
    match = _OPTION.match(text, position)
    if match is None or match[1] in ("--", "−−"):
        return match
    name = normal(match[2])
    if name in table.named:
        return match
    is_slip = (
        4 <= len(name) <= 24
        and _NUMBER_FOLLOWS.match(text, match.end())
        and not shortened(name).isdisjoint(table.nearly)
    )
    return match if is_slip else None


def take_apart(text: str, start: int, table: Table) -> Parts:
    quoted = quotations(text)
    parts = Parts(text, [], {}, {})
    begin = position = start
    is_word_start = True
    while position < len(text):
        if is_word_start and _END_OF_OPTIONS.match(text, position):
            parts.spans.append((begin, position))
            begin = position + 2
            break
        if is_word_start and (match := option_at(text, position, table)):
            parts.spans.append((begin, position))
            begin = position = _read_option(parts, match, table, quoted)
            continue
        stop = _GAP_OR_QUOTE.search(text, position)
        if stop is None:
            break
        is_word_start = stop[0] not in CLOSERS
        position = stop.end() if is_word_start else quoted.get(stop.start(), stop.start()) + 1
    parts.spans.append((begin, len(text)))
    return parts


def _read_option(parts: Parts, match: re.Match[str], table: Table, quoted: dict[int, int]) -> int:
    """Put the option that *match* begins into *parts*; returns where it ends."""
    text, typed = parts.text, Word(match[0], match.start())
    option = table.named.get(normal(match[2]))
    if option is None:
        raise _unknown_option(match, table)
    for name, earlier in parts.given.items():
        rival = table.named[name]
        if rival is option:
            raise error_at(
                f"{shown(typed.text)} is given twice; say --{name} once", typed, option.field
            )
        if set(rival.fields) & set(option.fields):
            raise error_at(
                f"{shown(earlier.text)} and {shown(typed.text)} both set the shape; keep one",
                typed,
                option.field,
            )
    parts.given[option.name] = typed

    before = _BEFORE_VALUE.match(text, match.end())
    assert before
    start = before.end()
    word = ANY_WORD.match(text, start)
    if not word or _END_OF_OPTIONS.match(text, start) or option_at(text, start, table):
        raise error_at(
            f"{shown(typed.text)} needs a value: {option.value};"
            f" for example --{option.name} {option.example}",
            typed,
            option.field,
        )
    if word[0][0] in CLOSERS:
        if start not in quoted:
            raise error_at(
                f"the quote before {shown(word[0][1:])} is never closed",
                Word(word[0], start),
                option.field,
            )
        raw = text[start : quoted[start] + 1]
        value = _ESCAPED.sub(r"\1", raw[1:-1])
        if not isinstance(option.kind, Text):
            value = value.strip(GAPS)
    else:
        raw = value = word[0]
        if isinstance(option.kind, Text):
            _refuse_more_words(option, Word(raw, start), text, table)
        else:
            # “--steps 20, oil on canvas”: the comma belongs to the sentence.
            value = raw.rstrip(",;.") or raw
    try:
        parts.values.update(option.kind.read(value, option.field))
    except WrongValue as wrong:
        raise error_at(
            f"{option.name} {wrong}", Word(raw, start), wrong.field or option.field
        ) from None
    return start + len(raw)


def _refuse_more_words(option: Option, value: Word, text: str, table: Table) -> None:
    following = re.compile(GAP + "*").match(text, value.position + len(value.text))
    assert following
    after = ANY_WORD.match(text, following.end())
    if (
        after
        and not _END_OF_OPTIONS.match(text, after.start())
        and not option_at(text, after.start(), table)
    ):
        words = printable(f"{value.text} {after[0]}")
        raise error_at(
            f"where does --{option.name} end? Put what it avoids in quotes:"
            f' --{option.name} "{words}" or --{option.name} "{printable(value.text)}"',
            value,
            option.field,
        )


def _unknown_option(match: re.Match[str], table: Table) -> CommandError:
    typed = Word(match[0], match.start())
    name = normal(match[2])
    tried = {name: option for option in table.options for name in option.tried}
    candidates = table.named | tried
    near = [name] if name in candidates else difflib.get_close_matches(name[:60], candidates, 1)
    sentence = f"{shown(typed.text)} is no option"
    if near and near[0] in table.named:
        sentence += f"; did you mean --{near[0]}?"
    elif near:
        option = candidates[near[0]]
        sentence += f"; did you mean --{option.name}, as in --{option.name} {option.example}?"
    else:
        sentence += f"; there {'are' if len(table.options) > 1 else 'is'} "
        sentence += ", ".join(f"--{option.name}" for option in table.options)
        sentence += ". Put it in quotes if it is to be drawn"
    return error_at(sentence, typed)

"""A text taken apart: its options, and the rest without them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from bot.commands.options import Option, is_slip, normal
from bot.commands.values import Flag, Loras, Number, Several, Text, WrongValue
from bot.commands.words import (
    A_WORD,
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
    suggestion,
    words_of,
)

_GAP_OR_QUOTE = re.compile(f"{GAP}+|[{QUOTES}]")
_ESCAPED = re.compile(rf"\\([\\{QUOTES}])")
_OPTION = re.compile(rf"(--|[—–])([^\W\d_][^{re.escape(GAPS)}=]*)")
_ONE_DASH = re.compile(rf"-([^\W\d_][^{re.escape(GAPS)}=]*)")
_END_OF_OPTIONS = re.compile(f"--(?!{INK})")
_BEFORE_VALUE = re.compile(f"{GAP}*=?{GAP}*")
_NUMBER_FOLLOWS = re.compile(rf"{GAP}*=|{GAP}+\d")


@dataclass(frozen=True, slots=True)
class Parts:
    """A text, taken apart.

    Attributes:
        spans: Start and end of each stretch outside of options.
        values: Fields that the options set.
        given: The options as typed.
    """

    text: str
    spans: list[tuple[int, int]] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    given: dict[Option, Word] = field(default_factory=dict)

    @property
    def words(self) -> list[Word]:
        return [word for span in self.spans for word in words_of(self.text, *span)]

    @property
    def prose(self) -> str:
        """The text without options, with a space or line breaks in their places."""
        prose = ""
        for start, end in self.spans:
            piece = self.text[start:end]
            before, after = prose.rstrip(GAPS), piece.lstrip(GAPS)
            tail, head = prose[len(before) :], piece[: len(piece) - len(after)]
            breaks = max(tail.count("\n"), head.count("\n"))
            prose = before + ("\n" * breaks or " ") + after
        return prose.strip(GAPS)


def take_apart(text: str, start: int, table: dict[str, Option]) -> Parts:
    """The options and the prose of *text* from *start* on.

    Raises:
        CommandError: An option is unknown, given twice, or without a value that fits.
    """
    parts = Parts(text)
    quoted = quotations(text)
    begin = position = start
    is_word_start = True
    while position < len(text):
        if is_word_start and _END_OF_OPTIONS.match(text, position):
            parts.spans.append((begin, position))
            begin = position + 2
            break
        if is_word_start and (match := _option_at(text, position, table)):
            parts.spans.append((begin, position))
            begin = position = _read_option(parts, match, table, quoted)
            continue
        if is_word_start:
            _check_dash(text, position, table, quoted)
        stop = _GAP_OR_QUOTE.search(text, position)
        if stop is None:
            break
        is_word_start = stop[0] not in CLOSERS
        position = stop.end() if is_word_start else quoted.get(stop.start(), stop.start()) + 1
    parts.spans.append((begin, len(text)))
    return parts


def _option_at(text: str, position: int, table: dict[str, Option]) -> re.Match[str] | None:
    """A match of dashes and name, where the word at *position* begins an option."""
    match = _OPTION.match(text, position)
    if match is None or match[1] == "--":
        return match
    name = normal(match[2])
    if name in table or (_NUMBER_FOLLOWS.match(text, match.end()) and is_slip(name, table)):
        return match
    return None


def _check_dash(text: str, position: int, table: dict[str, Option], quoted: dict[int, int]) -> None:
    """Raise CommandError where the word at *position* can only be an option with one dash.

    "a cat -steps 5" would be drawn, and charged, with the words in it. "a cat -steps of stone"
    is a prompt: it takes the exact name of an option, and a value that fits.
    """
    match = _ONE_DASH.match(text, position)
    option = match and table.get(normal(match[1]))
    if not match or not option or not _has_value(text, match.end(), option, quoted):
        return
    typed = Word(match[0], position)
    raise error_at(
        typed,
        f"{shown(typed.text)} has one dash (put it in quotes to draw it);"
        f" did you mean --{option.name}?",
        option.field,
    )


def _has_value(text: str, position: int, option: Option, quoted: dict[int, int]) -> bool:
    """Whether the text behind the name of *option* looks like its value."""
    if isinstance(option.kind, Flag):
        return False
    if isinstance(option.kind, Number | Several) or text[position : position + 1] == "=":
        return _NUMBER_FOLLOWS.match(text, position) is not None
    word = A_WORD.search(text, position)
    if word is None:
        return False
    if isinstance(option.kind, Text):
        return option.kind.is_name or word.start() in quoted
    try:
        option.kind.read(word[0].rstrip(",;.") or word[0], option.field)
    except WrongValue:
        return False
    return True


def _word_after(text: str, position: int, table: dict[str, Option]) -> Word | None:
    """The word behind *position*, unless an option or the end of all options stands there."""
    match = A_WORD.search(text, position)
    if match is None or _END_OF_OPTIONS.match(text, match.start()):
        return None
    is_option = _option_at(text, match.start(), table)
    return None if is_option else Word(match[0], match.start())


def _read_option(
    parts: Parts, match: re.Match[str], table: dict[str, Option], quoted: dict[int, int]
) -> int:
    """The end of the option that *match* begins, which is put into *parts*."""
    text, typed = parts.text, Word(match[0], match.start())
    option = table.get(normal(match[2]))
    if option is None:
        names = dict.fromkeys(f"--{each.name}" for each in table.values())
        hint = suggestion(f"--{normal(match[2])}", names)
        raise error_at(
            typed, f"{shown(typed.text)} is not an option (put it in quotes to draw it); {hint}"
        )
    earlier_loras = parts.values.get(option.field) if isinstance(option.kind, Loras) else None
    for rival, earlier in parts.given.items():
        if earlier_loras and rival is option:
            continue
        if normal(earlier.text) == normal(typed.text):
            raise error_at(typed, f"{shown(typed.text)} is given twice; keep one", option.field)
        if set(rival.fields) & set(option.fields):
            raise error_at(
                typed,
                f"{shown(earlier.text)} and {shown(typed.text)} set the same thing; keep one",
                option.field,
            )
    parts.given[option] = typed
    if isinstance(option.kind, Flag):
        parts.values.update(option.kind.read("", option.field))
        return match.end()

    before = _BEFORE_VALUE.match(text, match.end())
    assert before
    word = _word_after(text, before.end(), table)
    if word is None:
        raise error_at(
            typed,
            f"{shown(typed.text)} needs a value: {option.value};"
            f" for example --{option.name} {option.example}",
            option.field,
        )
    if word.text[0] in CLOSERS:
        if word.position not in quoted:
            raise error_at(
                word, f"the quote before {shown(word.text[1:])} is never closed", option.field
            )
        word = Word(text[word.position : quoted[word.position] + 1], word.position)
        value = _ESCAPED.sub(r"\1", word.text[1:-1])
    elif isinstance(option.kind, Text) and not option.kind.is_name:
        value = word.text
        if after := _word_after(text, word.end, table):
            words = printable(f"{value} {after.text}")
            raise error_at(
                word,
                f"where does --{option.name} end? Put all of it in quotes:"
                f' --{option.name} "{words}" or --{option.name} "{printable(value)}"',
                option.field,
            )
    else:
        # “--steps 20, oil on canvas”: the comma belongs to the sentence.
        value = word.text.rstrip(",;.") or word.text
    try:
        values = option.kind.read(value, option.field)
        if earlier_loras and isinstance(option.kind, Loras):
            values = {option.field: option.kind.joined(earlier_loras, values[option.field])}
        parts.values.update(values)
    except WrongValue as wrong:
        raise error_at(word, f"{option.name} {wrong}", option.field) from None
    return word.end

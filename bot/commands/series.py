"""Several pictures in one text: ``{red,blue} house``, ``--repeat 3``, ``--presets canny,depth``.

- Alternatives stand in braces, between commas; several braces multiply, and braces may stand in
  braces. ``\\{``, ``\\}`` and, in braces, ``\\,`` are themselves. Braces without a comma, or
  without their other half, are text.
- All pictures of a series have the same seed, so that only their words or presets differ.
  Repeats go on from there, each with seeds of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from bot.commands.vocabulary import (
    MAX_SERIES,
    AgainCommand,
    Command,
    CommandError,
    ImagineCommand,
    Member,
    SeriesCommand,
)

#: Braces within braces; deeper ones are text.
MOST_NESTED = 8
_ESCAPED = re.compile(r"\\([{}])")
_TOKEN = re.compile(r"\\[{},]|[{},]")


def series_of(
    command: ImagineCommand | AgainCommand, repeat: int = 1, presets: tuple[str, ...] = ()
) -> ImagineCommand | AgainCommand | SeriesCommand:
    """The series that *command*, as typed, asks for with so many repeats through *presets*; the
    command alone where that is one picture.

    Raises:
        CommandError: There are more than `MAX_SERIES`.
    """
    prompt = command.prompt if isinstance(command, ImagineCommand) else command.changes.prompt
    alternatives = _Braces(prompt)
    number = alternatives.number * repeat * max(1, len(presets))
    if number > MAX_SERIES:
        raise CommandError(
            f"that makes {number} pictures, and at most {MAX_SERIES} can be asked for at once:"
            " give fewer alternatives, or put a \\ before braces that are text",
            field="prompt",
        )
    variants = [
        _with(command, words, preset)
        for words in alternatives.expanded()
        for preset in presets or (None,)
    ]
    if number == 1:
        return variants[0]
    # The same picture again comes after all that differ from it.
    return SeriesCommand(tuple(Member(each, again) for again in range(repeat) for each in variants))


def completed(command: ImagineCommand, options: ImagineCommand) -> ImagineCommand:
    """*command*, with options that it leaves open taken from *options*."""
    chosen, said = options.options, command.options
    if command.aspect_ratio is not None or command.width is not None:
        # A size that was typed replaces the chosen one as a whole.
        for name in ("width", "height", "aspect_ratio"):
            chosen.pop(name, None)
    return ImagineCommand(command.prompt, **{**chosen, **said})


def with_options(command: Command, options: ImagineCommand) -> Command:
    """*command*, with options that it leaves open taken from *options*, if it draws anything."""
    if isinstance(command, SeriesCommand):
        members = [
            replace(
                each,
                command=(
                    completed(each.command, options)
                    if isinstance(each.command, ImagineCommand)
                    else each.command
                ),
            )
            for each in command.members
        ]
        return SeriesCommand(tuple(members))
    return completed(command, options) if isinstance(command, ImagineCommand) else command


def escaped(prompt: str) -> str:
    """*prompt*, which is drawn as it stands, as people type it."""
    if _Braces(prompt).number == 1 and not _ESCAPED.search(prompt):
        return prompt
    return re.sub(r"([{}])", r"\\\1", prompt)


def _with(
    command: ImagineCommand | AgainCommand, words: str, preset: str | None
) -> ImagineCommand | AgainCommand:
    if isinstance(command, AgainCommand):
        changes = replace(command.changes, prompt=words)
        return replace(command, changes=_of(changes, preset))
    return _of(replace(command, prompt=words), preset)


def _of(command: ImagineCommand, preset: str | None) -> ImagineCommand:
    return command if preset is None else replace(command, preset=preset)


class _Braces:
    """A text in which braces have alternatives.

    Attributes:
        number: Number of texts that it stands for.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._parts = _parts(text)
        self.number = _count(self._parts)

    def expanded(self) -> Iterator[str]:
        """The texts, in the order in which they are written."""
        if self.number == 1:
            yield _ESCAPED.sub(r"\1", self._text)
            return
        for text in _texts(self._parts):
            # Where an alternative is empty, one gap is enough.
            yield re.sub(r"(?<=\S) {2,}(?=\S)", " ", text).strip()


#: A text as what is always there, and lists of alternatives, which are such texts themselves.
_Parts = list["str | list[_Parts]"]


def _parts(text: str) -> _Parts:
    """The parts of *text*. Braces that mean nothing are in the strings."""
    ends = _ends(text)
    found, position = _read(text, 0, len(text), ends)
    assert position == len(text)
    return found


def _ends(text: str) -> dict[int, int]:
    """Offsets of closing braces by those of their opening ones, where a comma stands between."""
    ends: dict[int, int] = {}
    open_braces: list[tuple[int, bool]] = []
    for token in _TOKEN.finditer(text):
        match token[0]:
            case "{":
                open_braces.append((token.start(), False))
            case ",":
                if open_braces:
                    open_braces[-1] = (open_braces[-1][0], True)
            case "}" if open_braces:
                start, has_comma = open_braces.pop()
                if has_comma and len(open_braces) < MOST_NESTED:
                    ends[start] = token.start()
    return ends


def _read(text: str, start: int, end: int, ends: dict[int, int]) -> tuple[_Parts, int]:
    parts: _Parts = []
    written = ""
    position = start
    while position < end:
        token = text[position : position + 2]
        if token in ("\\{", "\\}"):
            written += token[1]
            position += 2
        elif text[position] == "{" and position in ends:
            parts.append(written)
            written = ""
            parts.append(_alternatives(text, position + 1, ends[position], ends))
            position = ends[position] + 1
        else:
            written += text[position]
            position += 1
    parts.append(written)
    return parts, position


def _alternatives(text: str, start: int, end: int, ends: dict[int, int]) -> list[_Parts]:
    """The texts between the commas of one pair of braces."""
    found: list[_Parts] = []
    begin = position = start
    while position < end:
        if text[position : position + 2] in ("\\{", "\\}", "\\,"):
            position += 2
        elif text[position] == "{" and position in ends:
            position = ends[position] + 1
        elif text[position] == ",":
            found.append(_alternative(text, begin, position, ends))
            begin = position = position + 1
        else:
            position += 1
    found.append(_alternative(text, begin, end, ends))
    return found


def _alternative(text: str, start: int, end: int, ends: dict[int, int]) -> _Parts:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    parts, _ = _read(text, start, end, ends)
    return [part.replace("\\,", ",") if isinstance(part, str) else part for part in parts]


def _count(parts: _Parts) -> int:
    number = 1
    for part in parts:
        if not isinstance(part, str):
            number *= sum(map(_count, part))
        if number > 10**6:  # far beyond any limit, and no reason to count on
            break
    return number


def _texts(parts: _Parts) -> Iterator[str]:
    choices = [
        [part] if isinstance(part, str) else [text for each in part for text in _texts(each)]
        for part in parts
    ]
    for chosen in product(*choices):
        yield "".join(chosen)

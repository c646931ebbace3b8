"""What people type, as commands: ``a fox in snow --preset canny --steps 20``.

This is the only place where the words that people type (steps, guidance, size)
meet the words of diffusers (num_inference_steps, guidance_scale, width): the
table `OPTIONS`, from which parsing, help and completion derive. Everything here
is pure; no text makes `parse` raise anything but `CommandError`.

**Options** stand anywhere between the words of the prompt, in any order.

- An option begins a word: ``--steps 20`` or ``--steps=20``; capitals and ``_``
  for ``-`` do not matter. After ``--`` and a letter an unknown name is an error,
  because a picture of a misspelled option costs as much as the right one.
- Phones make ``—`` or ``–`` out of ``--``. Such a dash is also punctuation, so it
  begins an option only directly before a known name, or before a name one slip
  away from a known one that ``=`` or a number follows: then the slip is reported.
  "a fox — in snow", "1920–1930" and "—step by step" are prompts.
- A passage in quotes is never searched for options, and a prompt keeps its quotes
  as typed. An apostrophe in a word is no quote; neither is a quote that nothing
  closes, except as the beginning of an option's value, where it is an error. In
  a quoted value ``\\`` before a quote or another ``\\`` takes it as it is.
- What ``--negative`` avoids needs quotes when words of the prompt follow it:
  "a fox --negative bad hands" would otherwise quietly draw hands.
- ``--`` alone ends the options: what follows is the prompt.
- Where options are taken out of the prompt, one space remains, or the line breaks.

**Verbs.** The first word decides, in capitals or not, also with a comma or a ``?`` behind
it. ``imagine`` makes whatever follows a prompt, and ``/`` before a verb insists on the verb.

- ``again``, ``vary``, ``cancel``, ``history``, ``presets``, ``quota``, ``settings`` and ``admin``
  hardly ever begin a picture, so they are always verbs, and what does not
  belong to them is an error that shows how to draw the words instead.
- ``show``, ``help`` and ``queue`` do begin pictures ("show me a fox", "help wanted
  sign"). They are verbs when nothing or exactly one word follows, and that word
  must then fit: "show 123" is an error, not a picture. With more words they are
  a prompt, except that ``show`` and something that can only be a job's id (it has
  a digit) is an error again.
- Everything else is a prompt.
"""

from __future__ import annotations

import difflib
import math
import re
import string
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple

from bot.jobs import ID_ALPHABET, ID_LENGTH
from generation.types import (
    MAX_SEED,
    MAX_SIZE,
    MAX_STEPS,
    MIN_SIZE,
    SIZE_MULTIPLE,
    InvalidRequest,
    is_blank,
)

#: More pictures than this are never one request; the configured limit is lower.
MAX_IMAGES = 16
MAX_CREDITS = 10**9
EXAMPLE = "a fox in snow --steps 20"
EXAMPLE_ID = "k7m2p9qa"

#: The names that `--size` and `--ar` know.
SHAPES: dict[str, tuple[int, int]] = {
    "square": (1, 1),
    "portrait": (3, 4),
    "landscape": (4, 3),
    "wide": (16, 9),
    "tall": (9, 16),
}

#: What separates words: white space, and the invisible marks that keyboards for
#: right-to-left scripts leave beside latin words. Joiners are missing on purpose,
#: since Persian words and emoji contain them.
GAPS = (
    string.whitespace
    + "\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000"
    + "".join(map(chr, range(0x2000, 0x200C)))
    + "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
)
_GAP = f"[{re.escape(GAPS)}]"
_INK = f"[^{re.escape(GAPS)}]"

#: What closes a quote that is opened; languages differ: “x” „x“ ”x” «x» »x«.
_CLOSERS = {
    '"': '"',
    "'": "'",
    "“": "”",
    "”": "”",
    "„": "“”",
    "‘": "’",
    "’": "’",
    "«": "»",
    "»": "«»",
}
_QUOTES = "".join(_CLOSERS)
#: These open a passage wherever they stand; the others are also apostrophes,
#: inches and closing quotes, and open one only outside a word.
_ALWAYS_OPEN = "“„«"
_APOSTROPHES = "'’"

_WORD = re.compile(f"{_INK}+")
_FIRST_WORD = re.compile(f"{_GAP}*(/?)({_INK}*)")
_GAP_OR_QUOTE = re.compile(f"{_GAP}+|[{_QUOTES}]")
_ESCAPE_OR_QUOTE = re.compile(rf"\\.|[{_QUOTES}]", re.DOTALL)
_ESCAPED = re.compile(rf"\\([\\{_QUOTES}])")
_OPTION = re.compile(rf"(--|−−|[—–―][-—–―]?)([^\W\d_][^{re.escape(GAPS)}=]*)")
_END_OF_OPTIONS = re.compile(f"(?:--|−−)(?!{_INK})")
_BEFORE_VALUE = re.compile(f"{_GAP}*=?{_GAP}*")
_NUMBER_FOLLOWS = re.compile(rf"{_GAP}*=|{_GAP}+\d")
_DECIMAL = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:e[+-]?\d+)?", re.IGNORECASE)
_SIDES = re.compile(rf"(\d{{1,9}}){_GAP}*[xX×*х]{_GAP}*(\d{{1,9}})")
_RATIO = re.compile(rf"(\d{{1,4}}){_GAP}*[:：/]{_GAP}*(\d{{1,4}})")
_NAME = re.compile(r"[\w.+-]+")
_USER = re.compile(f"[A-Za-z]+:{_INK}+")


class CommandError(InvalidRequest):
    """The text is no command; the sentence points at the wrong word.

    Attributes:
        word: The word that is wrong, exactly as typed; empty where one is missing.
        position: Its offset in the text, in characters.
    """

    def __init__(
        self, sentence: str, *, word: str = "", position: int = 0, field: str | None = None
    ) -> None:
        super().__init__(sentence, field=field)
        self.word = word
        self.position = position


@dataclass(frozen=True, slots=True)
class ImagineCommand:
    """A picture as a person asked for it, before presets and defaults fill it in.

    None means that the person did not say. Where it stands for changes (`AgainCommand`,
    `SettingsCommand`) the prompt is empty, which means the same.

    Attributes:
        prompt: Without outer white space.
        preset: Lower case; whether there is such a preset is not known here.
        num_inference_steps: 1 to 50.
        width: Pixels, a multiple of 16 from 64 to 2048; given together with `height`.
        height: Likewise.
        aspect_ratio: Width to height, such as (16, 9), instead of both; see `fit_size`.
        guidance_scale: 0 to 30.
        seed: 0 <= seed < 2**32.
        images: 1 to 16.
        strength: 0 to 1.
        negative_prompt: Empty means that the person wants none.
    """

    prompt: str = ""
    preset: str | None = None
    num_inference_steps: int | None = None
    width: int | None = None
    height: int | None = None
    aspect_ratio: tuple[int, int] | None = None
    guidance_scale: float | None = None
    seed: int | None = None
    images: int | None = None
    strength: float | None = None
    negative_prompt: str | None = None

    @property
    def options(self) -> dict[str, Any]:
        """What the person said beside the prompt: field to value, in the table's order."""
        values = {each.name: getattr(self, each.name) for each in fields(self)[1:]}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class PresetsCommand:
    """Which presets are there?"""


@dataclass(frozen=True, slots=True)
class HistoryCommand:
    """My pictures: those whose prompt has these words, or all. Pages count from 1."""

    words: str = ""
    page: int = 1


@dataclass(frozen=True, slots=True)
class ShowCommand:
    """One job of mine."""

    job_id: str


@dataclass(frozen=True, slots=True)
class AgainCommand:
    """The same again, or with changes. Without an id: my latest. `vary`: with a new seed."""

    job_id: str | None = None
    changes: ImagineCommand = field(default=ImagineCommand())
    vary: bool = False


@dataclass(frozen=True, slots=True)
class QuotaCommand:
    """What have I left?"""


@dataclass(frozen=True, slots=True)
class QueueCommand:
    """What waits before me?"""


@dataclass(frozen=True, slots=True)
class CancelCommand:
    """Stop a job of mine; without an id: my latest that has not ended."""

    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class SettingsCommand:
    """My defaults: show them (no changes), change them, or forget them all."""

    changes: ImagineCommand | None = None
    is_reset: bool = False


@dataclass(frozen=True, slots=True)
class HelpCommand:
    """Help, on one of `TOPICS` or in general."""

    topic: str | None = None


class AdminCommand:
    """What only admins may say."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class AdminPresets(AdminCommand):
    action: Literal["list", "reload"] = "list"


@dataclass(frozen=True, slots=True)
class AdminQuota(AdminCommand):
    """Attributes:
    user: ``platform:id``.
    credits: For grant 1 to 10**9, for set 0 to 10**9 or None, which is the default again.
    """

    action: Literal["show", "grant", "set", "reset"]
    user: str
    credits: int | None = None


@dataclass(frozen=True, slots=True)
class AdminPause(AdminCommand):
    pass


@dataclass(frozen=True, slots=True)
class AdminResume(AdminCommand):
    pass


@dataclass(frozen=True, slots=True)
class AdminBan(AdminCommand):
    user: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AdminUnban(AdminCommand):
    user: str


@dataclass(frozen=True, slots=True)
class AdminQueue(AdminCommand):
    pass


@dataclass(frozen=True, slots=True)
class AdminStats(AdminCommand):
    pass


Command = (
    ImagineCommand
    | PresetsCommand
    | HistoryCommand
    | ShowCommand
    | AgainCommand
    | QuotaCommand
    | QueueCommand
    | CancelCommand
    | SettingsCommand
    | HelpCommand
    | AdminCommand
)


# --- The kinds of value that an option takes -----------------------------------------


class _Wrong(Exception):
    """A value does not fit: the rest of a sentence that begins with the option's name."""

    def __init__(self, sentence: str, field: str | None = None) -> None:
        super().__init__(sentence)
        self.field = field


@dataclass(frozen=True, slots=True)
class Number:
    """A number from `lowest` to `highest`, both included; ``3,5`` is 3.5."""

    lowest: int
    highest: int
    is_whole: bool = False
    remark: str = ""

    @property
    def description(self) -> str:
        return f"a {'whole ' * self.is_whole}number from {self.lowest} to {self.highest}"

    def read(self, text: str, field: str) -> dict[str, Any]:
        value: float | None = None
        if _DECIMAL.fullmatch(text):
            value = float(text.replace(",", "."))
            if self.is_whole and self.lowest <= value <= self.highest:
                value = int(value) if text.isdecimal() else None  # 20.0 is a slip
        bounds = f"between {self.lowest} and {self.highest}"
        if value is None:
            kind = "whole number" if self.is_whole else "number"
            raise _Wrong(f"must be a {kind} {bounds}, not {_shown(text)}{self.remark}")
        if not self.lowest <= value <= self.highest:
            raise _Wrong(f"must be {bounds}, not {_printable(text)}{self.remark}")
        return {field: value}


@dataclass(frozen=True, slots=True)
class Size:
    """Both sides, as ``1024x768``; or a shape, which leaves the number of pixels open."""

    @property
    def description(self) -> str:
        return f"both sides, such as 1024x768, or {_listed(SHAPES)}"

    def read(self, text: str, field: str) -> dict[str, Any]:
        if shape := _shape(text):
            return {"aspect_ratio": shape}
        sides = _SIDES.fullmatch(text)
        if not sides:
            raise _Wrong(f"must be {self.description}, not {_shown(text)}")
        size = {"width": int(sides[1]), "height": int(sides[2])}
        for side, pixels in size.items():
            if not MIN_SIZE <= pixels <= MAX_SIZE:
                raise _Wrong(
                    f"must have sides between {MIN_SIZE} and {MAX_SIZE} pixels,"
                    f" not a {side} of {pixels}",
                    side,
                )
        odd = [side for side, pixels in size.items() if pixels % SIZE_MULTIPLE]
        if odd:
            nearest = "x".join(
                str(SIZE_MULTIPLE * round(pixels / SIZE_MULTIPLE)) for pixels in size.values()
            )
            raise _Wrong(
                f"must have sides that are multiples of {SIZE_MULTIPLE},"
                f" not {_printable(text)}: try {nearest}",
                odd[0],
            )
        return size


@dataclass(frozen=True, slots=True)
class Ratio:
    """Width to height."""

    @property
    def description(self) -> str:
        return f"width to height, such as 16:9, or {_listed(SHAPES)}"

    def read(self, text: str, field: str) -> dict[str, Any]:
        shape = _shape(text)
        if shape is None:
            raise _Wrong(f"must be {self.description}, not {_shown(text)}")
        return {field: shape}


@dataclass(frozen=True, slots=True)
class Name:
    """One word; capitals do not matter."""

    description: str

    def read(self, text: str, field: str) -> dict[str, Any]:
        name = text.lower()
        if not _NAME.fullmatch(name):
            raise _Wrong(f"must be {self.description}, not {_shown(text)}")
        return {field: name}


@dataclass(frozen=True, slots=True)
class Text:
    """Words, in quotes if there are several."""

    description: str

    def read(self, text: str, field: str) -> dict[str, Any]:
        return {field: text}


def _shape(text: str) -> tuple[int, int] | None:
    """A named shape or a ratio; None if *text* looks like neither."""
    if named := SHAPES.get(text.lower()):
        return named
    if not (ratio := _RATIO.fullmatch(text)):
        return None
    width, height = int(ratio[1]), int(ratio[2])
    widest = MAX_SIZE // MIN_SIZE
    if not 0 < width <= widest * height or not 0 < height <= widest * width:
        raise _Wrong(f"must be between 1:{widest} and {widest}:1, not {_printable(text)}")
    return width, height


# --- The options -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Option:
    """What may stand behind ``--``.

    Attributes:
        name: What people type.
        fields: The fields of the command that it sets; two options that share one exclude
            each other.
        kind: What its value may be; `Number` has the range.
        help: One sentence.
        example: A value, as typed.
        aliases: Other names for it.
        tried: Names that people bring from other bots; they are errors that point here.
    """

    name: str
    fields: tuple[str, ...]
    kind: Number | Size | Ratio | Name | Text
    help: str
    example: str
    aliases: tuple[str, ...] = ()
    tried: tuple[str, ...] = ()

    @property
    def field(self) -> str:
        """The field to name in an error."""
        return self.fields[0]

    @property
    def value(self) -> str:
        """What its value may be, in words."""
        return self.kind.description


OPTIONS: tuple[Option, ...] = (
    Option(
        "preset",
        ("preset",),
        Name("the name of a preset"),
        "A way of making pictures; presets lists them, and which of them need a picture from you.",
        "canny",
        tried=("style", "model", "controlnet"),
    ),
    Option(
        "steps",
        ("num_inference_steps",),
        Number(1, MAX_STEPS, is_whole=True),
        "Denoising steps: more take longer, cost more and draw finer.",
        "20",
        aliases=("num-inference-steps",),
        tried=("quality", "q"),
    ),
    Option(
        "size",
        ("width", "height", "aspect_ratio"),
        Size(),
        f"Size of the picture in pixels, sides being multiples of {SIZE_MULTIPLE}"
        f" from {MIN_SIZE} to {MAX_SIZE}.",
        "1024x768",
        aliases=("resolution",),
        tried=("width", "height", "w", "h"),
    ),
    Option(
        "ar",
        ("aspect_ratio",),
        Ratio(),
        "Shape of the picture, with as many pixels as it would have anyway.",
        "16:9",
        aliases=("aspect", "aspect-ratio"),
    ),
    Option(
        "guidance",
        ("guidance_scale",),
        Number(0, 30),
        "How closely the picture follows the prompt.",
        "3.5",
        aliases=("cfg", "guidance-scale", "cfg-scale"),
        tried=("scale", "stylize"),
    ),
    Option(
        "seed",
        ("seed",),
        Number(0, MAX_SEED, is_whole=True, remark="; leave it out for a new one"),
        "Number that the picture starts from: the same seed makes the same picture.",
        "7",
    ),
    Option(
        "images",
        ("images",),
        Number(1, MAX_IMAGES, is_whole=True),
        "How many pictures, with seeds that count up.",
        "4",
        aliases=("repeat",),
        tried=("n", "count", "batch", "number"),
    ),
    Option(
        "strength",
        ("strength",),
        Number(0, 1),
        "How far to leave the picture that you attached: 0 keeps it, 1 forgets it.",
        "0.7",
        aliases=("denoise",),
        tried=("iw",),
    ),
    Option(
        "negative",
        ("negative_prompt",),
        Text("what the picture must not show, in quotes"),
        "What to avoid; it doubles the time of a step.",
        '"blurry"',
        aliases=("no", "neg", "negative-prompt"),
    ),
)

#: Fields of a command (diffusers' names where diffusers has one) to what people type.
WORDS: dict[str, str] = {name: each.name for each in OPTIONS for name in each.fields}


class _Table:
    """Options by every name that they have.

    Attributes:
        options: As documented.
        named: Options by name and alias.
        nearly: Each longer name with one letter less; see `_shortened`.
    """

    def __init__(self, options: tuple[Option, ...]) -> None:
        self.options = options
        self.named = {name: each for each in options for name in (each.name, *each.aliases)}
        self.nearly = {short for name in self.named if len(name) >= 4 for short in _shortened(name)}


def _shortened(word: str) -> set[str]:
    """*word*, and *word* without each of its letters.

    Two words that share one of these are a letter more, less, wrong or swapped
    apart. This is asked of every dash in a text, where difflib would take too long.
    """
    return {word, *(word[:index] + word[index + 1 :] for index in range(len(word)))}


_IMAGINE = _Table(OPTIONS)
_HISTORY = _Table(
    (Option("page", ("page",), Number(1, 10**6, is_whole=True), "Which page, from 1.", "2"),)
)


def _option_at(text: str, position: int, table: _Table) -> re.Match[str] | None:
    """The dashes and the name that begin an option at *position*, where a word begins."""
    match = _OPTION.match(text, position)
    if match is None or match[1] in ("--", "−−"):
        return match
    name = _normal(match[2])
    if name in table.named:
        return match
    is_slip = (
        4 <= len(name) <= 24
        and _NUMBER_FOLLOWS.match(text, match.end())
        and not _shortened(name).isdisjoint(table.nearly)
    )
    return match if is_slip else None


def _normal(name: str) -> str:
    return name.lower().replace("_", "-")


# --- Taking a text apart ---------------------------------------------------------------


class _Word(NamedTuple):
    text: str
    position: int


@dataclass(frozen=True, slots=True)
class _Parts:
    """A text, taken apart.

    Attributes:
        spans: Where everything stands that belongs to no option.
        values: The fields that the options set.
        given: The options' names as typed, by the name of the option.
    """

    text: str
    spans: list[tuple[int, int]]
    values: dict[str, Any]
    given: dict[str, _Word]

    @property
    def words(self) -> list[_Word]:
        return [
            _Word(match[0], match.start())
            for span in self.spans
            for match in _WORD.finditer(self.text, *span)
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


def _quotations(text: str) -> dict[int, int]:
    """Where each quoted passage of *text* begins and ends: offsets of its two quotes.

    From the end to the beginning, so that the next quote that matters is always
    known, and any text takes time in proportion to its length.
    """
    ends: dict[int, int] = {}
    nearest: dict[str, tuple[int, bool]] = {}
    for match in reversed(list(_ESCAPE_OR_QUOTE.finditer(text))):
        quote, position = match[0], match.start()
        if quote not in _CLOSERS:
            continue
        before = text[position - 1 : position] if position else ""
        after = text[position + 1 : position + 2]
        if quote in _ALWAYS_OPEN or not before.isalnum():
            following = [nearest[closer] for closer in _CLOSERS[quote] if closer in nearest]
            end, is_closing = min(following, default=(0, False))
            if is_closing:
                ends[position] = end
        # A quote with a gap before it and none behind it begins a passage: the
        # one that was open is unclosed, as in: '90s fox --negative 'blurry'
        is_opening = (not before or before in GAPS) and after != "" and after not in GAPS
        if is_opening or not (quote in _APOSTROPHES and after.isalnum()):
            nearest[quote] = (position, not is_opening)
    return ends


def _take_apart(text: str, start: int, table: _Table) -> _Parts:
    quotations = _quotations(text)
    parts = _Parts(text, [], {}, {})
    begin = position = start
    is_word_start = True
    while position < len(text):
        if is_word_start and _END_OF_OPTIONS.match(text, position):
            parts.spans.append((begin, position))
            begin = position + 2
            break
        if is_word_start and (match := _option_at(text, position, table)):
            parts.spans.append((begin, position))
            begin = position = _read_option(parts, match, table, quotations)
            continue
        stop = _GAP_OR_QUOTE.search(text, position)
        if stop is None:
            break
        is_word_start = stop[0] not in _CLOSERS
        position = stop.end() if is_word_start else quotations.get(stop.start(), stop.start()) + 1
    parts.spans.append((begin, len(text)))
    return parts


def _read_option(
    parts: _Parts, match: re.Match[str], table: _Table, quotations: dict[int, int]
) -> int:
    """Put the option that *match* begins into *parts*; returns where it ends."""
    text, typed = parts.text, _Word(match[0], match.start())
    option = table.named.get(_normal(match[2]))
    if option is None:
        raise _unknown_option(match, table)
    for name, earlier in parts.given.items():
        rival = table.named[name]
        if rival is option:
            raise _error(
                f"{_shown(typed.text)} is given twice; say --{name} once", typed, option.field
            )
        if set(rival.fields) & set(option.fields):
            raise _error(
                f"{_shown(earlier.text)} and {_shown(typed.text)} both set the shape; keep one",
                typed,
                option.field,
            )
    parts.given[option.name] = typed

    before = _BEFORE_VALUE.match(text, match.end())
    assert before
    start = before.end()
    word = _WORD.match(text, start)
    if not word or _END_OF_OPTIONS.match(text, start) or _option_at(text, start, table):
        raise _error(
            f"{_shown(typed.text)} needs a value: {option.value};"
            f" for example --{option.name} {option.example}",
            typed,
            option.field,
        )
    if word[0][0] in _CLOSERS:
        if start not in quotations:
            raise _error(
                f"the quote before {_shown(word[0][1:])} is never closed",
                _Word(word[0], start),
                option.field,
            )
        raw = text[start : quotations[start] + 1]
        value = _ESCAPED.sub(r"\1", raw[1:-1])
        if not isinstance(option.kind, Text):
            value = value.strip(GAPS)
    else:
        raw = value = word[0]
        if isinstance(option.kind, Text):
            _refuse_more_words(option, _Word(raw, start), text, table)
        else:
            # “--steps 20, oil on canvas”: the comma belongs to the sentence.
            value = raw.rstrip(",;.") or raw
    try:
        parts.values.update(option.kind.read(value, option.field))
    except _Wrong as wrong:
        raise _error(
            f"{option.name} {wrong}", _Word(raw, start), wrong.field or option.field
        ) from None
    return start + len(raw)


def _refuse_more_words(option: Option, value: _Word, text: str, table: _Table) -> None:
    following = re.compile(_GAP + "*").match(text, value.position + len(value.text))
    assert following
    after = _WORD.match(text, following.end())
    if (
        after
        and not _END_OF_OPTIONS.match(text, after.start())
        and not _option_at(text, after.start(), table)
    ):
        words = _printable(f"{value.text} {after[0]}")
        raise _error(
            f"where does --{option.name} end? Put what it avoids in quotes:"
            f' --{option.name} "{words}" or --{option.name} "{_printable(value.text)}"',
            value,
            option.field,
        )


def _unknown_option(match: re.Match[str], table: _Table) -> CommandError:
    typed = _Word(match[0], match.start())
    name = _normal(match[2])
    tried = {name: option for option in table.options for name in option.tried}
    candidates = table.named | tried
    near = [name] if name in candidates else difflib.get_close_matches(name[:60], candidates, 1)
    sentence = f"{_shown(typed.text)} is no option"
    if near and near[0] in table.named:
        sentence += f"; did you mean --{near[0]}?"
    elif near:
        option = candidates[near[0]]
        sentence += f"; did you mean --{option.name}, as in --{option.name} {option.example}?"
    else:
        sentence += f"; there {'are' if len(table.options) > 1 else 'is'} "
        sentence += ", ".join(f"--{option.name}" for option in table.options)
        sentence += ". Put it in quotes if it is to be drawn"
    return _error(sentence, typed)


def _error(sentence: str, word: _Word, field: str | None = None) -> CommandError:
    return CommandError(sentence, word=word.text, position=word.position, field=field)


def _printable(text: str) -> str:
    """*text* for a sentence: short, and without what would break a page or an encoder."""
    short = text if len(text) <= 40 else text[:40] + "…"
    return "".join(character if character.isprintable() else "�" for character in short)


def _shown(text: str) -> str:
    return f"“{_printable(text)}”"


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}"


# --- The verbs -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Message:
    """A text whose first word is a verb.

    Attributes:
        verb: In lower case.
        start: Where the verb ends.
    """

    text: str
    verb: str
    start: int

    @property
    def words(self) -> list[_Word]:
        """All that follows the verb."""
        return [_Word(match[0], match.start()) for match in _WORD.finditer(self.text, self.start)]

    def take_apart(self, table: _Table) -> _Parts:
        return _take_apart(self.text, self.start, table)

    def error(self, sentence: str, word: _Word) -> CommandError:
        """An error that also says how to have the words drawn."""
        first, *others = self.words
        return _error(
            f"{sentence}. If it is to be drawn, write"
            f" imagine {self.verb} {_printable(first.text)}{' …' if others else ''}",
            word,
        )


class Verb(NamedTuple):
    """A first word that is no prompt.

    Attributes:
        name: What people type.
        usage: It with its arguments.
        help: One sentence.
        read: The command; None if the text is a prompt that begins with the same word.
    """

    name: str
    usage: str
    help: str
    read: Callable[[_Message], Command | None]


def _alone(command: Command) -> Callable[[_Message], Command]:
    def read(message: _Message) -> Command:
        for word in message.words:
            raise message.error(
                f"{message.verb} stands alone, so {_shown(word.text)} does not belong to it", word
            )
        return command

    return read


def _read_queue(message: _Message) -> Command | None:
    return None if len(message.words) > 1 else _alone(QueueCommand())(message)


def _read_help(message: _Message) -> Command | None:
    words = message.words
    if not words:
        return HelpCommand()
    if len(words) > 1:
        return None
    topic = _normal(words[0].text.lstrip("-−—–―/").rstrip("?!."))
    option = _IMAGINE.named.get(topic)
    if option:
        topic = option.name
    if topic not in TOPICS:
        near = difflib.get_close_matches(topic[:60], TOPICS, 1)
        rest = f"did you mean help {near[0]}?" if near else f"there is {', '.join(TOPICS)}"
        raise message.error(f"there is no help on {_shown(words[0].text)}; {rest}", words[0])
    return HelpCommand(topic)


def _read_show(message: _Message) -> Command | None:
    words = message.words
    if not words:
        raise _error(
            f"show which picture? Add its id, for example show {EXAMPLE_ID}; history lists yours",
            _Word(message.text[: message.start].strip(GAPS), _indent(message.text)),
        )
    job_id = _as_id(words[0].text)
    if len(words) > 1:
        if job_id is None or job_id.isalpha():
            return None
        raise message.error(
            f"show takes one id and no more, so {_shown(words[1].text)} does not belong to it",
            words[1],
        )
    return ShowCommand(_read_id(message, words) or "")


def _read_cancel(message: _Message) -> Command:
    return CancelCommand(_read_id(message, message.words))


def _read_again(message: _Message) -> Command:
    parts = message.take_apart(_IMAGINE)
    vary = message.verb == "vary"
    if vary and (seed := parts.given.get("seed")):
        raise _error("vary draws a new seed; write again to set one", seed, "seed")
    job_id = _read_id(message, parts.words)
    return AgainCommand(job_id, ImagineCommand(**parts.values), vary)


def _read_settings(message: _Message) -> Command:
    parts = message.take_apart(_IMAGINE)
    words = parts.words
    is_reset = bool(words) and words[0].text.lower() == "reset"
    for word in words[is_reset:]:
        raise message.error(
            f"settings takes options, such as settings --preset canny, or reset;"
            f" {_shown(word.text)} is neither",
            word,
        )
    if is_reset and parts.values:
        raise _error("reset forgets all settings; set new ones afterwards", words[0])
    return SettingsCommand(ImagineCommand(**parts.values) if parts.values else None, is_reset)


def _read_history(message: _Message) -> Command:
    parts = message.take_apart(_HISTORY)
    return HistoryCommand(parts.prose, **parts.values)


def _as_id(text: str) -> str | None:
    """The job id that *text* is, also with the # or quotes that people add to it."""
    bare = text.strip("#`.,;!?<>" + _QUOTES).lower()
    is_id = len(bare) == ID_LENGTH and all(character in ID_ALPHABET for character in bare)
    return bare if is_id else None


def _read_id(message: _Message, words: list[_Word]) -> str | None:
    if not words:
        return None
    job_id = _as_id(words[0].text)
    if job_id is None:
        raise message.error(
            f"{_shown(words[0].text)} is no job id: that is {ID_LENGTH} letters and digits,"
            f" for example {message.verb} {EXAMPLE_ID}; history lists yours",
            words[0],
        )
    for word in words[1:]:
        raise message.error(
            f"{message.verb} takes one id, so {_shown(word.text)} does not belong to it", word
        )
    return job_id


def _read_admin(message: _Message) -> Command:
    words = message.words
    if not words:
        raise _error(
            f"admin what? There are {_listed(_ADMIN_VERBS)}",
            _Word(message.text[: message.start].strip(GAPS), _indent(message.text)),
        )
    act = words[0].text.lower()
    if act not in _ADMIN_VERBS:
        near = difflib.get_close_matches(act[:60], _ADMIN_VERBS, 1)
        rest = f"did you mean {near[0]}?" if near else f"there are {_listed(_ADMIN_VERBS)}"
        raise message.error(f"{_shown(words[0].text)} is nothing an admin can do; {rest}", words[0])
    end = words[0].position + len(words[0].text)
    return _ADMIN_VERBS[act][1](_Arguments(message.text, _ADMIN_VERBS[act][0], words[0], end))


class _Arguments:
    """The words after ``admin quota``, taken one by one."""

    def __init__(self, text: str, usage: str, verb: _Word, start: int) -> None:
        self.text, self.usage, self.last, self.position = text, usage, verb, start

    @property
    def next(self) -> _Word | None:
        match = _WORD.search(self.text, self.position)
        return match and _Word(match[0], match.start())

    def take(self, what: str) -> _Word:
        word = self.next
        if word is None:
            raise _error(
                f"{what} is missing after {_shown(self.last.text)}: {self.usage}", self.last
            )
        self.last, self.position = word, word.position + len(word.text)
        return word

    def take_choice(self, *choices: str) -> str | None:
        """The next word if it is one of *choices*, in lower case."""
        word = self.next
        if word is None or word.text.lower() not in choices:
            return None
        return self.take("").text.lower()

    def take_user(self) -> str:
        word = self.take("a user")
        if not _USER.fullmatch(word.text):
            raise _error(
                f"{_shown(word.text)} is no user: that is platform:id, for example discord:1234;"
                f" {self.usage}",
                word,
            )
        platform, _, name = word.text.partition(":")
        return f"{platform.lower()}:{name}"

    def take_credits(self, lowest: int) -> int:
        word = self.take("a number of credits")
        try:
            credits: int = Number(lowest, MAX_CREDITS, is_whole=True).read(word.text, "")[""]
        except _Wrong as wrong:
            raise _error(f"credits {wrong}; {self.usage}", word) from None
        return credits

    def take_rest(self) -> str:
        rest = self.text[self.position :].strip(GAPS)
        self.position = len(self.text)
        return rest

    def finish(self, command: Command) -> Command:
        if word := self.next:
            raise _error(f"{_shown(word.text)} does not belong here: {self.usage}", word)
        return command


def _read_admin_presets(arguments: _Arguments) -> Command:
    is_reload = arguments.take_choice("reload", "list") == "reload"
    return arguments.finish(AdminPresets("reload" if is_reload else "list"))


def _read_admin_quota(arguments: _Arguments) -> Command:
    match arguments.take_choice("show", "grant", "set", "reset"):
        case "grant":
            command = AdminQuota("grant", arguments.take_user(), arguments.take_credits(1))
        case "set":
            user = arguments.take_user()
            is_default = arguments.take_choice("default") is not None
            command = AdminQuota("set", user, None if is_default else arguments.take_credits(0))
        case "reset":
            command = AdminQuota("reset", arguments.take_user())
        case _:
            command = AdminQuota("show", arguments.take_user())
    return arguments.finish(command)


def _read_admin_ban(arguments: _Arguments) -> Command:
    return AdminBan(arguments.take_user(), arguments.take_rest())


def _read_admin_unban(arguments: _Arguments) -> Command:
    return arguments.finish(AdminUnban(arguments.take_user()))


_ADMIN_VERBS: dict[str, tuple[str, Callable[[_Arguments], Command]]] = {
    "presets": ("admin presets [reload]", _read_admin_presets),
    "quota": (
        "admin quota USER, admin quota grant USER CREDITS,"
        " admin quota set USER CREDITS or default, admin quota reset USER",
        _read_admin_quota,
    ),
    "pause": ("admin pause", lambda arguments: arguments.finish(AdminPause())),
    "resume": ("admin resume", lambda arguments: arguments.finish(AdminResume())),
    "ban": ("admin ban USER [reason]", _read_admin_ban),
    "unban": ("admin unban USER", _read_admin_unban),
    "queue": ("admin queue", lambda arguments: arguments.finish(AdminQueue())),
    "stats": ("admin stats", lambda arguments: arguments.finish(AdminStats())),
}

VERBS: tuple[Verb, ...] = (
    Verb("presets", "presets", "Lists the presets.", _alone(PresetsCommand())),
    Verb(
        "history",
        "history [words] [--page 2]",
        "Lists your pictures, or those whose prompt has these words.",
        _read_history,
    ),
    Verb("show", "show ID", "Shows a picture again, with its settings.", _read_show),
    Verb(
        "again",
        "again [ID] [options]",
        "Draws a picture once more, with the options that you change; without an id your latest.",
        _read_again,
    ),
    Verb("vary", "vary [ID] [options]", "Draws it once more with a new seed.", _read_again),
    Verb("quota", "quota", "Says what you have left.", _alone(QuotaCommand())),
    Verb("queue", "queue", "Says what waits, and for how long.", _read_queue),
    Verb(
        "cancel",
        "cancel [ID]",
        "Stops a job and gives its credits back; without an id your latest.",
        _read_cancel,
    ),
    Verb(
        "settings",
        "settings [options | reset]",
        "Shows, changes or forgets your own defaults.",
        _read_settings,
    ),
    Verb("help", "help [topic]", "Explains all this, or one verb or option.", _read_help),
    Verb(
        "admin",
        "admin presets | quota | pause | resume | ban | unban | queue | stats",
        "For admins only.",
        _read_admin,
    ),
)
_VERBS = {verb.name: verb for verb in VERBS}

#: How each thing that an admin can do is written.
ADMIN_USAGES: dict[str, str] = {name: usage for name, (usage, _) in _ADMIN_VERBS.items()}

#: What `help` can be asked about.
TOPICS: tuple[str, ...] = ("imagine", "options", *_VERBS, *(option.name for option in OPTIONS))


# --- The whole -------------------------------------------------------------------------


def parse(text: str) -> Command:
    """The command that *text* is; see the top of the module.

    Raises:
        CommandError: It is none. Nothing else is ever raised, whatever the text.
    """
    first = _FIRST_WORD.match(text)
    assert first
    is_explicit, name = bool(first[1]), first[2].lower().rstrip(",;:.!?")  # “again, …”
    if name == "imagine":
        return _read_imagine(text, first.end())
    word = _Word(first[1] + first[2], first.start(1))
    if verb := _VERBS.get(name):
        command = verb.read(_Message(text, name, first.end()))
        if command is not None:
            return command
        if is_explicit:
            raise _error(f"{_shown(word.text)} is written {verb.usage}", word)
    elif is_explicit and (near := difflib.get_close_matches(name[:60], _VERBS, 1, 0.75)):
        raise _error(f"{_shown(word.text)} is no command; did you mean {near[0]}?", word)
    return _read_imagine(text, 0)


def _read_imagine(text: str, start: int) -> ImagineCommand:
    parts = _take_apart(text, start, _IMAGINE)
    prompt = parts.prose
    # One by one, because normalising a long text at once can take quadratic time.
    if all(map(is_blank, prompt)):
        raise CommandError(
            f"the prompt is empty: say what to draw, for example {EXAMPLE}",
            position=min(start, len(text)),
            field="prompt",
        )
    return ImagineCommand(prompt, **parts.values)


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip(GAPS))


# --- And back --------------------------------------------------------------------------


def render(command: Command) -> str:
    """The text that `parse` turns into *command* again, as short as may be.

    This holds for every command that `parse` returns. In others white space around the prompt
    is lost, and so is a width without a height.
    """
    match command:
        case ImagineCommand(prompt=prompt):
            options = _render_options(command)
            return _first_that_means(
                command,
                f"{prompt} {options}",
                f"imagine {prompt} {options}",
                f"{options} -- {prompt}",
            )
        case HistoryCommand(words=words, page=page):
            option = f"--page {page}" if page != 1 else ""
            return _first_that_means(
                command, f"history {words} {option}", f"history {option} -- {words}"
            )
        case AgainCommand(job_id=job_id, changes=changes, vary=vary):
            return _joined("vary" if vary else "again", job_id, _render_options(changes))
        case SettingsCommand(changes=changes, is_reset=is_reset):
            options = _render_options(changes) if changes else ""
            return _joined("settings", "reset" * is_reset, options)
        case ShowCommand(job_id=job_id):
            return _joined("show", job_id)
        case CancelCommand(job_id=job_id):
            return _joined("cancel", job_id)
        case HelpCommand(topic=topic):
            return _joined("help", topic)
        case _:
            return _render_other(command)


def _render_other(command: Command) -> str:
    match command:
        case PresetsCommand():
            return "presets"
        case QuotaCommand():
            return "quota"
        case QueueCommand():
            return "queue"
        case AdminPresets(action=action):
            return "admin presets reload" if action == "reload" else "admin presets"
        case AdminQuota(action="show", user=user):
            return f"admin quota {user}"
        case AdminQuota(action="reset", user=user):
            return f"admin quota reset {user}"
        case AdminQuota(action=action, user=user, credits=credits):
            return f"admin quota {action} {user} {'default' if credits is None else credits}"
        case AdminPause():
            return "admin pause"
        case AdminResume():
            return "admin resume"
        case AdminBan(user=user, reason=reason):
            return f"admin ban {user} {reason}".strip(GAPS)
        case AdminUnban(user=user):
            return f"admin unban {user}"
        case AdminQueue():
            return "admin queue"
        case AdminStats():
            return "admin stats"
    raise TypeError(f"{command!r} is no command")


def _joined(*words: str | None) -> str:
    return " ".join(filter(None, words))


def _first_that_means(command: Command, *texts: str) -> str:
    for text in texts:
        text = text.strip(GAPS)
        try:
            if parse(text) == command:
                return text
        except CommandError:
            continue
    return text


def _render_options(command: ImagineCommand) -> str:
    values = command.options
    if command.width and command.height:
        values["size"] = f"{command.width}x{command.height}"
    texts = []
    for option in OPTIONS:
        name = "size" if option.name == "size" else option.field
        if name not in values:
            continue
        value = values[name]
        if isinstance(option.kind, Ratio):
            value = "{}:{}".format(*value)
        elif isinstance(option.kind, Text):
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            value = f'"{escaped}"'
        texts.append(f"--{option.name} {value}")
    return " ".join(texts)


# --- Shapes ----------------------------------------------------------------------------


def fit_size(aspect_ratio: tuple[int, int], pixels: int) -> tuple[int, int]:
    """Width and height that come nearest to a shape with about so many pixels.

    Both are multiples of 16 from 64 to 2048. A shape that is off by one per cent
    counts as much as a number of pixels that is off by four.

    Args:
        aspect_ratio: Width to height, both above 0. Swapping them swaps the result.
        pixels: Above 0; beyond what the limits allow, the nearest that they do.

    Raises:
        ValueError: One of them is not above 0.
    """
    across, down = aspect_ratio
    if across <= 0 or down <= 0 or pixels <= 0:
        raise ValueError(f"{aspect_ratio} with {pixels} pixels is no shape")
    if across < down:
        height, width = fit_size((down, across), pixels)
        return width, height

    def distance(size: tuple[int, int]) -> float:
        width, height = size
        shape = abs(math.log(width * down / (height * across)))
        return 4 * shape + abs(math.log(width * height / pixels))

    # For a given width the distance falls towards the exact height and rises
    # behind it, so only the two multiples around that height can be nearest.
    sizes = []
    for width in range(MIN_SIZE, MAX_SIZE + 1, SIZE_MULTIPLE):
        below = width * down // across // SIZE_MULTIPLE * SIZE_MULTIPLE
        for height in (below, below + SIZE_MULTIPLE):
            sizes.append((width, min(max(height, MIN_SIZE), MAX_SIZE)))
    return min(sizes, key=distance)

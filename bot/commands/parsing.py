"""Text to command: the first word decides."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from bot.commands.options import HISTORY, IMAGINE, OPTIONS, Number, Table, WrongValue, normal
from bot.commands.parts import Parts, take_apart
from bot.commands.vocabulary import (
    EXAMPLE,
    EXAMPLE_ID,
    MAX_CREDITS,
    AdminBan,
    AdminPause,
    AdminPresets,
    AdminQueue,
    AdminQuota,
    AdminResume,
    AdminStats,
    AdminUnban,
    AgainCommand,
    CancelCommand,
    Command,
    CommandError,
    HelpCommand,
    HistoryCommand,
    ImagineCommand,
    PresetsCommand,
    QueueCommand,
    QuotaCommand,
    SettingsCommand,
    ShowCommand,
)
from bot.commands.words import (
    ANY_WORD,
    GAP,
    GAPS,
    INK,
    QUOTES,
    Word,
    error_at,
    listed,
    printable,
    shown,
)
from bot.jobs import ID_ALPHABET, ID_LENGTH
from generation.types import is_blank

_FIRST_WORD = re.compile(f"{GAP}*(/?)({INK}*)")
_USER = re.compile(f"[A-Za-z]+:{INK}+")


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
    def words(self) -> list[Word]:
        """All that follows the verb."""
        return [Word(match[0], match.start()) for match in ANY_WORD.finditer(self.text, self.start)]

    def take_apart(self, table: Table) -> Parts:
        return take_apart(self.text, self.start, table)

    def error(self, sentence: str, word: Word) -> CommandError:
        """An error that also says how to have the words drawn."""
        first, *others = self.words
        return error_at(
            f"{sentence}. If it is to be drawn, write"
            f" imagine {self.verb} {printable(first.text)}{' …' if others else ''}",
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
                f"{message.verb} stands alone, so {shown(word.text)} does not belong to it", word
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
    topic = normal(words[0].text.lstrip("-−—–―/").rstrip("?!."))
    option = IMAGINE.named.get(topic)
    if option:
        topic = option.name
    if topic not in TOPICS:
        near = difflib.get_close_matches(topic[:60], TOPICS, 1)
        rest = f"did you mean help {near[0]}?" if near else f"there is {', '.join(TOPICS)}"
        raise message.error(f"there is no help on {shown(words[0].text)}; {rest}", words[0])
    return HelpCommand(topic)


def _read_show(message: _Message) -> Command | None:
    words = message.words
    if not words:
        raise error_at(
            f"show which picture? Add its id, for example show {EXAMPLE_ID}; history lists yours",
            Word(message.text[: message.start].strip(GAPS), _indent(message.text)),
        )
    job_id = _as_id(words[0].text)
    if len(words) > 1:
        if job_id is None or job_id.isalpha():
            return None
        raise message.error(
            f"show takes one id and no more, so {shown(words[1].text)} does not belong to it",
            words[1],
        )
    return ShowCommand(_read_id(message, words) or "")


def _read_cancel(message: _Message) -> Command:
    return CancelCommand(_read_id(message, message.words))


def _read_again(message: _Message) -> Command:
    parts = message.take_apart(IMAGINE)
    vary = message.verb == "vary"
    if vary and (seed := parts.given.get("seed")):
        raise error_at("vary draws a new seed; write again to set one", seed, "seed")
    job_id = _read_id(message, parts.words)
    return AgainCommand(job_id, ImagineCommand(**parts.values), vary)


def _read_settings(message: _Message) -> Command:
    parts = message.take_apart(IMAGINE)
    words = parts.words
    is_reset = bool(words) and words[0].text.lower() == "reset"
    for word in words[is_reset:]:
        raise message.error(
            f"settings takes options, such as settings --preset canny, or reset;"
            f" {shown(word.text)} is neither",
            word,
        )
    if is_reset and parts.values:
        raise error_at("reset forgets all settings; set new ones afterwards", words[0])
    return SettingsCommand(ImagineCommand(**parts.values) if parts.values else None, is_reset)


def _read_history(message: _Message) -> Command:
    parts = message.take_apart(HISTORY)
    return HistoryCommand(parts.prose, **parts.values)


def _as_id(text: str) -> str | None:
    """The job id that *text* is, also with the # or quotes that people add to it."""
    bare = text.strip("#`.,;!?<>" + QUOTES).lower()
    is_id = len(bare) == ID_LENGTH and all(character in ID_ALPHABET for character in bare)
    return bare if is_id else None


def _read_id(message: _Message, words: list[Word]) -> str | None:
    if not words:
        return None
    job_id = _as_id(words[0].text)
    if job_id is None:
        raise message.error(
            f"{shown(words[0].text)} is no job id: that is {ID_LENGTH} letters and digits,"
            f" for example {message.verb} {EXAMPLE_ID}; history lists yours",
            words[0],
        )
    for word in words[1:]:
        raise message.error(
            f"{message.verb} takes one id, so {shown(word.text)} does not belong to it", word
        )
    return job_id


def _read_admin(message: _Message) -> Command:
    words = message.words
    if not words:
        raise error_at(
            f"admin what? There are {listed(_ADMIN_VERBS)}",
            Word(message.text[: message.start].strip(GAPS), _indent(message.text)),
        )
    act = words[0].text.lower()
    if act not in _ADMIN_VERBS:
        near = difflib.get_close_matches(act[:60], _ADMIN_VERBS, 1)
        rest = f"did you mean {near[0]}?" if near else f"there are {listed(_ADMIN_VERBS)}"
        raise message.error(f"{shown(words[0].text)} is nothing an admin can do; {rest}", words[0])
    end = words[0].position + len(words[0].text)
    return _ADMIN_VERBS[act][1](_Arguments(message.text, _ADMIN_VERBS[act][0], words[0], end))


class _Arguments:
    """The words after ``admin quota``, taken one by one."""

    def __init__(self, text: str, usage: str, verb: Word, start: int) -> None:
        self.text, self.usage, self.last, self.position = text, usage, verb, start

    @property
    def next(self) -> Word | None:
        match = ANY_WORD.search(self.text, self.position)
        return match and Word(match[0], match.start())

    def take(self, what: str) -> Word:
        word = self.next
        if word is None:
            raise error_at(
                f"{what} is missing after {shown(self.last.text)}: {self.usage}", self.last
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
            raise error_at(
                f"{shown(word.text)} is no user: that is platform:id, for example discord:1234;"
                f" {self.usage}",
                word,
            )
        platform, _, name = word.text.partition(":")
        return f"{platform.lower()}:{name}"

    def take_credits(self, lowest: int) -> int:
        word = self.take("a number of credits")
        try:
            credits: int = Number(lowest, MAX_CREDITS, is_whole=True).read(word.text, "")[""]
        except WrongValue as wrong:
            raise error_at(f"credits {wrong}; {self.usage}", word) from None
        return credits

    def take_rest(self) -> str:
        rest = self.text[self.position :].strip(GAPS)
        self.position = len(self.text)
        return rest

    def finish(self, command: Command) -> Command:
        if word := self.next:
            raise error_at(f"{shown(word.text)} does not belong here: {self.usage}", word)
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
    word = Word(first[1] + first[2], first.start(1))
    if verb := _VERBS.get(name):
        command = verb.read(_Message(text, name, first.end()))
        if command is not None:
            return command
        if is_explicit:
            raise error_at(f"{shown(word.text)} is written {verb.usage}", word)
    elif is_explicit and (near := difflib.get_close_matches(name[:60], _VERBS, 1, 0.75)):
        raise error_at(f"{shown(word.text)} is no command; did you mean {near[0]}?", word)
    return _read_imagine(text, 0)


def _read_imagine(text: str, start: int) -> ImagineCommand:
    parts = take_apart(text, start, IMAGINE)
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

"""Text to command: the first word decides."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any

from bot.commands.options import (
    AXES,
    DRAW,
    EXPAND,
    HISTORY,
    IMAGINE,
    SETTINGS,
    Number,
    WrongValue,
    normal,
)
from bot.commands.parts import take_apart
from bot.commands.series import series_of
from bot.commands.smalltalk import kind_of
from bot.commands.verbs import ADMIN_USAGES, TOPICS, VERBS
from bot.commands.vocabulary import (
    EXAMPLE,
    EXAMPLE_ID,
    MAX_CREDITS,
    AdminAudit,
    AdminBan,
    AdminBans,
    AdminChannels,
    AdminCommand,
    AdminDrain,
    AdminErase,
    AdminInvite,
    AdminLog,
    AdminPause,
    AdminPresets,
    AdminQueue,
    AdminQuota,
    AdminReports,
    AdminResume,
    AdminReview,
    AdminRoles,
    AdminSample,
    AdminStats,
    AdminStrikes,
    AdminUnban,
    AdminWho,
    AdminWords,
    AgainCommand,
    AnswerCommand,
    CancelCommand,
    Command,
    CommandError,
    ExpandCommand,
    HelpCommand,
    HistoryCommand,
    ImagineCommand,
    InspectCommand,
    LinkCommand,
    MyDataCommand,
    PreferCommand,
    PresetsCommand,
    QueueCommand,
    QuotaCommand,
    ReportCommand,
    SettingsCommand,
    ShowCommand,
    ThanksCommand,
    UnlinkCommand,
    UpscaleCommand,
)
from bot.commands.words import (
    CLOSERS,
    GAP,
    GAPS,
    INK,
    Word,
    error_at,
    printable,
    shown,
    suggestion,
    words_of,
)
from bot.jobs import ID_ALPHABET, ID_LENGTH
from generation.checks import is_blank

#: Also behind what people put between the bot's name and what they want: ", help".
_FIRST_WORD = re.compile(rf"(?:{GAP}|[,;:.!?](?={GAP}))*(/?)({INK}*)")
_USER = re.compile(f"[A-Za-z]+(-role|-server)?:{INK}+", re.IGNORECASE)
_SHORTCUT = re.compile(r"[a-z][a-z0-9-]{0,23}", re.ASCII)
_CODE = re.compile(r"[a-z0-9]{4}-?[a-z0-9]{4}", re.ASCII)
#: Whole messages that say yes or no to what was proposed last.
_ANSWERS = dict.fromkeys(["yes", "yes please", "ja", "ja bitte", "oui", "sí", "si", "はい"], True)
_ANSWERS |= dict.fromkeys(["no", "no thanks", "nein", "nein danke", "non", "いいえ"], False)
_USAGES = {verb.name: verb.usage for verb in VERBS}
_ALONE: dict[str, Command] = {
    "presets": PresetsCommand(),
    "quota": QuotaCommand(),
    "queue": QueueCommand(),
}
_ADMIN_ALONE: dict[str, AdminCommand] = {
    "presets": AdminPresets(),
    "pause": AdminPause(),
    "drain": AdminDrain(),
    "resume": AdminResume(),
    "queue": AdminQueue(),
    "bans": AdminBans(),
    "channels": AdminChannels(),
    "roles": AdminRoles(),
    "held": AdminReview(),
    "reports": AdminReports(),
    "log": AdminLog(),
    "words": AdminWords(),
    "stats": AdminStats(),
    "audit": AdminAudit(),
}


def parse(text: str) -> Command:
    """The command in *text*; `bot.commands` explains the grammar.

    Raises:
        CommandError: *text* is not a command. No text raises anything else.
    """
    first = _FIRST_WORD.match(text)
    assert first
    if (answer := _ANSWERS.get(text.strip(GAPS).rstrip(",;.!?。！").casefold())) is not None:
        return AnswerCommand("", answer)
    is_explicit, name = bool(first[1]), first[2].lower().rstrip(",;:.!?")  # “again, …”
    is_topic = name == "help" and text[first.end() :].strip(GAPS) in TOPICS
    if not is_topic and (courtesy := courtesy_in(text)) is not None:
        return courtesy
    if name == "imagine":
        return _read_imagine(text, first.end())
    word = Word(first[1] + first[2], first.start(1))
    if name in _USAGES:
        command = _read_verb(_Message(text, name, word, words_of(text, word.end)))
        if command is not None:
            return command
        if is_explicit:
            raise error_at(word, f"{shown(word.text)} needs the form {_USAGES[name]}")
    elif is_explicit and (near := difflib.get_close_matches(name[:60], _USAGES, 1, 0.75)):
        raise error_at(word, f"{shown(word.text)} is not a command; did you mean {near[0]}?")
    return _courteous(_read_imagine(text, 0))


def courtesy_in(text: str) -> HelpCommand | ThanksCommand | None:
    """The command in *text* that is small talk and asks for no picture; None for any other."""
    match kind_of(text):
        case None:
            return None
        case "greeting":
            return HelpCommand(is_greeting=text.strip(" /!?.").lower() != "help")
        case kind:
            return ThanksCommand(is_farewell=kind == "farewell")


def _courteous(command: Command) -> Command:
    """*command*, unless its prompt is small talk: "hello --steps 20"."""
    if isinstance(command, ImagineCommand) and command.options:
        return courtesy_in(command.prompt) or command
    return command


def read_option(name: str, text: str) -> dict[str, Any]:
    """Fields of a command that the option *name* sets to the value *text*.

    Raises:
        CommandError: The value does not fit.
    """
    option = DRAW[name]
    try:
        return option.kind.read(text.strip(GAPS), option.field)
    except WrongValue as wrong:
        raise CommandError(f"{name} {wrong}", word=text, field=option.field) from None


def read_options(text: str) -> ImagineCommand:
    """The options in *text*, which has no prompt.

    Raises:
        CommandError: *text* has other words, or an option does not fit.
    """
    parts = take_apart(text, 0, IMAGINE)
    for word in parts.words:
        raise error_at(word, f"{shown(word.text)} is not an option; options look like --steps 20")
    return ImagineCommand(**parts.values)


def _read_imagine(text: str, start: int) -> Command:
    parts = take_apart(text, start, DRAW)
    prompt = parts.prose
    # One by one, because normalising a long text at once can take quadratic time.
    if all(map(is_blank, prompt)):
        raise CommandError(
            f"the prompt is empty: say what to draw, for example {EXAMPLE}",
            position=start,
            field="prompt",
        )
    repeat, presets = parts.values.pop("repeat", 1), parts.values.pop("presets", ())
    return series_of(ImagineCommand(prompt, **parts.values), repeat, presets)


@dataclass(frozen=True, slots=True)
class _Message:
    """A text whose first word is a verb.

    Attributes:
        verb: In lower case.
        first: The verb as typed.
        words: All words after it.
    """

    text: str
    verb: str
    first: Word
    words: list[Word]

    def error(self, word: Word, sentence: str) -> CommandError:
        """An error that also says how to have the words drawn."""
        first, *others = self.words
        words = f"{self.verb} {printable(first.text)}{' …' if others else ''}"
        return error_at(word, f"{sentence}. To draw these words, write imagine {words}")

    def refuse(self, words: list[Word]) -> None:
        for word in words:
            raise self.error(
                word, f"{shown(word.text)} does not fit: the command is {_USAGES[self.verb]}"
            )

    def read_id(self, words: list[Word]) -> str | None:
        """The job id in *words*; None without words."""
        job_id = _as_id(words[0]) if words else None
        if words and job_id is None:
            raise self.error(
                words[0],
                f"{shown(words[0].text)} is not a job id: an id has {ID_LENGTH} letters and"
                f" digits, for example {self.verb} {EXAMPLE_ID}; history lists yours",
            )
        self.refuse(words[1:])
        return job_id


def _as_id(word: Word) -> str | None:
    """The job id in *word*, without the # or marks that people add; None without one."""
    bare = word.text.strip("#`.,!?").lower()
    return bare if len(bare) == ID_LENGTH and set(bare) <= set(ID_ALPHABET) else None


def _read_verb(message: _Message) -> Command | None:
    """The command; None if the text is a prompt that begins with the same word."""
    words = message.words
    match message.verb:
        case "queue" | "help" if len(words) > 1:
            return None
        case "presets" | "quota" | "queue" as verb:
            message.refuse(words)
            return _ALONE[verb]
        case "help":
            return HelpCommand(_read_topic(message, words[0]) if words else None)
        case "show":
            return _read_show(message)
        case "upscale":
            return _read_upscale(message)
        case "report":
            return _read_report(message)
        case "inspect":
            return _read_inspect(message)
        case "cancel" if [word.text.lower() for word in words[1:]] == ["all"]:
            return CancelCommand(message.read_id(words[:1]), is_whole=True)
        case "cancel":
            return CancelCommand(message.read_id(words))
        case "yes" | "no" as answer:
            return _read_answer(answer, words)
        case "history":
            parts = take_apart(message.text, message.first.end, HISTORY)
            return HistoryCommand(parts.prose, **parts.values)
        case "settings":
            return _read_settings(message)
        case "expand":
            return _read_expand(message)
        case "prefer":
            return _read_prefer(message)
        case "mydata":
            return _read_my_data(message)
        case "link":
            return _read_link(message)
        case "unlink":
            message.refuse(words[1:])
            return UnlinkCommand(_read_user(words[0]) if words else "")
        case "admin" if [word.text.lower() for word in words] == ["help"]:
            return HelpCommand("admin")
        case "admin":
            return _read_admin(message)
        case _:
            return _read_again(message)


def _read_topic(message: _Message, word: Word) -> str:
    topic = normal(word.text.lstrip("-—–/").rstrip("?!."))
    if topic not in TOPICS and (option := IMAGINE.get(topic)):
        topic = option.name
    if topic not in TOPICS:
        hint = suggestion(topic, TOPICS)
        raise message.error(word, f"there is no help on {shown(word.text)} ({hint})")
    return topic


def _read_show(message: _Message) -> ShowCommand | None:
    words = message.words
    job_id = _as_id(words[0]) if words else None
    if len(words) > 1 and (job_id is None or job_id.isalpha()):
        return None
    if not (job_id := message.read_id(words)):
        raise error_at(
            message.first,
            f"show which picture? Add its id, for example show {EXAMPLE_ID}; history lists yours",
        )
    return ShowCommand(job_id)


def _read_upscale(message: _Message) -> UpscaleCommand | None:
    """None where the words are a prompt, such as "upscale restaurant at night"."""
    words = message.words
    job_id = _as_id(words[0]) if words else None
    if len(words) > 2 or (job_id is None and len(words) > 1):
        return None
    if not (job_id := message.read_id(words[:1])):
        raise error_at(
            message.first,
            f"upscale which picture? Add its id, for example upscale {EXAMPLE_ID}",
        )
    if len(words) == 1:
        return UpscaleCommand(job_id)
    if not re.fullmatch(r"[1-9][0-9]?", words[1].text):
        raise message.error(
            words[1], f"{shown(words[1].text)} is no number of a picture: they count from 1"
        )
    return UpscaleCommand(job_id, int(words[1].text))


def _read_report(message: _Message) -> ReportCommand | None:
    """None where the words are a prompt, such as "report card on a desk"."""
    words = message.words
    job_id = _as_id(words[0]) if words else None
    if job_id is None:
        return None
    return ReportCommand(job_id, message.text[words[0].end :].strip(GAPS))


def _read_inspect(message: _Message) -> InspectCommand | None:
    words = message.words
    job_id = _as_id(words[0]) if len(words) == 1 else None
    if len(words) > 1 or (words and (job_id is None or job_id.isalpha())):
        return None  # "inspector", "inspect the engine": a prompt
    return InspectCommand(job_id)


def _read_answer(answer: str, words: list[Word]) -> AnswerCommand | None:
    """None where the words are a prompt, such as "no smoking sign"."""
    code = words[0].text.lower() if len(words) == 1 else ""
    return AnswerCommand(code, answer == "yes") if not words or _is_code(code) else None


def _read_again(message: _Message) -> Command:
    parts = take_apart(message.text, message.first.end, DRAW)
    is_vary = message.verb == "vary"
    if is_vary and "seed" in parts.values:
        seed = parts.given[IMAGINE["seed"]]
        raise error_at(seed, "vary always takes a new seed; write again to set one", "seed")
    repeat, presets = parts.values.pop("repeat", 1), parts.values.pop("presets", ())
    changes = ImagineCommand(**parts.values)
    return series_of(AgainCommand(message.read_id(parts.words), changes, is_vary), repeat, presets)


def _read_settings(message: _Message) -> SettingsCommand:
    parts = take_apart(message.text, message.first.end, SETTINGS)
    words = parts.words
    is_reset = bool(words) and words[0].text.lower() == "reset"
    message.refuse(words[is_reset:])
    if is_reset and parts.values:
        raise error_at(words[0], "reset forgets all settings, so set new ones afterwards")
    notify = parts.values.pop("notify", None)
    changes = ImagineCommand(**parts.values) if parts.values else None
    return SettingsCommand(changes, is_reset, notify=notify)


def _read_expand(message: _Message) -> ExpandCommand:
    """``expand ID``, ``expand a fox --axes light``, or ``expand CODE light``, as buttons say it."""
    words = message.words
    if not words:
        raise error_at(message.first, "expand what? Add the id of a picture, or words to expand")
    if len(words) <= 2 and "-" in words[0].text and _is_code(words[0].text.lower()):
        axes = tuple(word.text.lower() for word in words[1:])
        if set(axes) <= set(AXES):
            return ExpandCommand(code=words[0].text.lower(), axes=axes)
    parts = take_apart(message.text, message.first.end, EXPAND)
    axes = parts.values.pop("axes", ())
    job_id = _as_id(parts.words[0]) if len(parts.words) == 1 else None
    asked = ImagineCommand(parts.prose, **parts.values)
    if job_id is not None and not job_id.isalpha():
        return ExpandCommand(job_id, axes=axes)
    return ExpandCommand(job_id or "", asked=asked, axes=axes)  # "darkness" may be an id


def _read_prefer(message: _Message) -> PreferCommand:
    """``prefer suffix ", film grain"``, ``prefer pic = "--ar 3:2"`` or ``prefer remove pic``."""
    words = message.words
    if not words:
        return PreferCommand()
    name = words[0].text.lower().lstrip("-—–").partition("=")[0]
    if name == "remove" and len(words) == 2:
        return PreferCommand("remove", words[1].text.lower().lstrip("-—–"))
    if not _SHORTCUT.fullmatch(name) or name == "remove":
        raise message.error(
            words[0], f"{shown(words[0].text)} does not fit: the command is {_USAGES['prefer']}"
        )
    if name in DRAW or name in HISTORY:
        raise error_at(
            words[0], f"{shown(name)} is an option already: choose another name for the shortcut"
        )
    start = words[0].position + words[0].text.lower().index(name) + len(name)
    text = message.text[start:].strip(GAPS).removeprefix("=").strip(GAPS)
    if len(text) > 1 and text[0] in CLOSERS and text[-1] in CLOSERS[text[0]]:
        text = text[1:-1]
    return PreferCommand("keep", name, text) if text.strip() else PreferCommand("remove", name)


def _read_my_data(message: _Message) -> MyDataCommand:
    words = message.words
    match [word.text.lower() for word in words]:
        case ["export" | "delete" as action]:
            return MyDataCommand(action)
        case ["delete", "--yes" | "—yes" | "–yes"]:
            return MyDataCommand("delete", is_confirmed=True)
        case []:
            raise error_at(message.first, "mydata what? Write mydata export or mydata delete")
    wrong = words[1] if words[0].text.lower() in ("export", "delete") else words[0]
    raise message.error(
        wrong, f"{shown(wrong.text)} does not fit: the command is {_USAGES['mydata']}"
    )


def _read_link(message: _Message) -> LinkCommand | None:
    """None where the words are a prompt, such as "link in a green tunic"."""
    match [word.text.lower() for word in message.words]:
        case []:
            return LinkCommand()
        case ["yes" | "no" as action]:
            return LinkCommand(action)
        case ["yes" | "no" as action, code] if _is_code(code):
            return LinkCommand(action, code)
        case [code] if _is_code(code):
            return LinkCommand("type", code)
    return None


def _is_code(word: str) -> bool:
    """Whether *word* looks like a code of `bot.linking`, perhaps mistyped."""
    return bool(_CODE.fullmatch(word)) and ("-" in word or any(map(str.isdecimal, word)))


def _read_admin(message: _Message) -> AdminCommand:
    words = message.words
    if not words:
        raise error_at(message.first, f"admin what? {suggestion('', ADMIN_USAGES)}")
    act = words[0].text.lower()
    if act not in ADMIN_USAGES:
        hint = suggestion(act, ADMIN_USAGES)
        raise message.error(words[0], f"{shown(words[0].text)} is not an admin command ({hint})")
    match [word.text.lower() for word in words]:
        case [alone] if alone in _ADMIN_ALONE:
            return _ADMIN_ALONE[alone]
        case ["presets", "reload"]:
            return AdminPresets("reload")
        case ["presets", "enable" | "disable" as action, name]:
            return AdminPresets(action, name)
        case ["presets", "sample", name, *_]:
            return AdminSample(name, message.text[words[2].end :].strip(GAPS))
        case ["queue", "failed"]:
            return AdminQueue("failed")
        case ["queue", "first" | "last" | "cancel" | "refund" | "replay" as action, _]:
            return AdminQueue(action, _read_job(words[2]))
        case ["release" | "reveal" as decision, _]:
            return AdminReview(decision, _read_job(words[1]))
        case ["reject", _, *_]:
            reason = message.text[words[1].end :].strip(GAPS)
            return AdminReview("reject", _read_job(words[1]), reason)
        case ["who", _]:
            return AdminWho(_read_job(words[1]))
        case ["dismiss", _]:
            return AdminReports("dismiss", _read_job(words[1]))
        case ["remove", _, *_]:
            reason = message.text[words[1].end :].strip(GAPS)
            return AdminReports("remove", _read_job(words[1]), reason)
        case ["erase", _]:
            return AdminErase(_read_user(words[1]))
        case ["erase", _, "--yes" | "—yes" | "–yes"]:
            return AdminErase(_read_user(words[1]), is_sure=True)
        case ["invite", _]:
            return AdminInvite(words[1].text)
        case ["log", "here" | "off" as action]:
            return AdminLog(action)
        case ["audit", "export", *_]:
            return AdminAudit(message.text[words[1].end :].strip(GAPS), is_export=True)
        case ["audit", *_]:
            parts = take_apart(message.text, words[0].end, HISTORY)
            return AdminAudit(parts.prose, **parts.values)
        case ["stats", days] if days.isdecimal() and 1 <= int(days) <= 366:
            return AdminStats(int(days))
        case ["strikes", "lift", _]:
            return AdminStrikes(_read_user(words[2]), is_lifted=True)
        case ["strikes", _]:
            return AdminStrikes(_read_user(words[1]))
        case ["words", "refuse" | "allow" as change, _, *_]:
            return AdminWords(change, message.text[words[1].end :].strip(GAPS))
        case ["quota", user] if user not in ("grant", "set", "reset"):
            return AdminQuota("show", _read_user(words[1]))
        case ["quota", "reset", _]:
            return AdminQuota("reset", _read_user(words[2]))
        case ["quota", "grant", _, _]:
            return AdminQuota("grant", _read_user(words[2]), _read_credits(words[3], 1))
        case ["quota", "set", _, "default"]:
            return AdminQuota("set", _read_user(words[2]))
        case ["quota", "set", _, _]:
            return AdminQuota("set", _read_user(words[2]), _read_credits(words[3], 0))
        case ["ban", _, *_]:
            reason = message.text[words[1].end :].strip(GAPS)
            return AdminBan(_read_user(words[1]), reason)
        case ["channels", "allow" | "remove" as change, _]:
            return AdminChannels(change, _read_channel(words[2]))
        case ["roles", "allow" | "remove" as change, _]:
            return AdminRoles(change, _read_user(words[2]))
        case ["unban", _]:
            return AdminUnban(_read_user(words[1]))
    wrong = words[:2][-1] if act in _ADMIN_ALONE else words[-1]
    raise error_at(wrong, f"{shown(wrong.text)} does not fit: write {ADMIN_USAGES[act]}")


def _read_channel(word: Word) -> str:
    """The platform's own id of a channel, which may be written ``platform-channel:id``."""
    id = word.text.rpartition(":")[2]
    if not re.fullmatch(r"[A-Za-z0-9]{1,32}", id):
        raise error_at(word, f"{shown(word.text)} is not a channel")
    return id


def _read_job(word: Word) -> str:
    job_id = _as_id(word)
    if job_id is None:
        raise error_at(word, f"{shown(word.text)} is not a job id; admin queue lists them")
    return job_id


def _read_user(word: Word) -> str:
    """``platform:id``, the platform in lower case."""
    if not _USER.fullmatch(word.text):
        raise error_at(word, f"{shown(word.text)} is not a user: users look like discord:1234")
    platform, _, name = word.text.partition(":")
    return f"{platform.lower()}:{name}"


def _read_credits(word: Word, lowest: int) -> int:
    try:
        credits: int = Number(lowest, MAX_CREDITS, is_whole=True).read(word.text, "")[""]
    except WrongValue as wrong:
        raise error_at(word, f"credits {wrong}") from None
    return credits

"""Text to command: the first word decides."""

from __future__ import annotations

import difflib
import re
from typing import Any

from bot.commands.admin import read_admin, read_user
from bot.commands.history import read_filter
from bot.commands.message import USAGES, Message, as_id
from bot.commands.options import (
    AGAIN,
    AXES,
    DRAW,
    EXPAND,
    HISTORY,
    IMAGINE,
    MAP,
    OWN,
    SETTINGS,
    VARY,
    normal,
)
from bot.commands.parts import take_apart
from bot.commands.series import series_of
from bot.commands.smalltalk import kind_of
from bot.commands.values import Number, WrongValue
from bot.commands.verbs import TOPICS
from bot.commands.vocabulary import (
    EXAMPLE,
    EXAMPLE_ID,
    MAX_IMAGES,
    AgainCommand,
    AnswerCommand,
    CancelCommand,
    Command,
    CommandError,
    EditCommand,
    ExpandCommand,
    FavouriteCommand,
    FinalCommand,
    HelpCommand,
    HistoryCommand,
    ImagineCommand,
    InspectCommand,
    LinkCommand,
    LorasCommand,
    ModelsCommand,
    MyDataCommand,
    PreferCommand,
    PresetsCommand,
    QueueCommand,
    QuotaCommand,
    ReportCommand,
    SettingsCommand,
    ShareCommand,
    ShowCommand,
    ThanksCommand,
    UnlinkCommand,
    UpscaleCommand,
    VaryCommand,
)
from bot.commands.words import (
    CLOSERS,
    GAP,
    GAPS,
    INK,
    Word,
    error_at,
    shown,
    suggestion,
    words_of,
)
from generation.checks import is_blank

#: Also behind what people put between the bot's name and what they want: ", help".
_FIRST_WORD = re.compile(rf"(?:{GAP}|[,;:.!?](?={GAP}))*(/?)({INK}*)")
_SHORTCUT = re.compile(r"[a-z][a-z0-9-]{0,23}", re.ASCII)
_CODE = re.compile(r"[a-z0-9]{4}-?[a-z0-9]{4}", re.ASCII)
#: Whole messages that say yes or no to what was proposed last.
_ANSWERS = dict.fromkeys(["yes", "yes please", "ja", "ja bitte", "oui", "sí", "si", "はい"], True)
_ANSWERS |= dict.fromkeys(["no", "no thanks", "nein", "nein danke", "non", "いいえ"], False)
_ALIASES = {"favorite": "favourite"}
_ALONE: dict[str, Command] = {
    "presets": PresetsCommand(),
    "loras": LorasCommand(),
    "models": ModelsCommand(),
    "quota": QuotaCommand(),
    "queue": QueueCommand(),
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
    name = _ALIASES.get(name, name)
    if name == "imagine":
        return _read_imagine(text, first.end())
    word = Word(first[1] + first[2], first.start(1))
    if name in USAGES:
        command = _read_verb(Message(text, name, word, words_of(text, word.end)))
        if command is not None:
            return command
        if is_explicit:
            raise error_at(word, f"{shown(word.text)} needs the form {USAGES[name]}")
    elif is_explicit and (near := difflib.get_close_matches(name[:60], USAGES, 1, 0.75)):
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
    parts = take_apart(text, 0, IMAGINE | {MAP.name: MAP})
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


def _read_verb(message: Message) -> Command | None:
    """The command; None if the text is a prompt that begins with the same word."""
    words = message.words
    match message.verb:
        case "queue" | "help" if len(words) > 1:
            return None
        case "models" if words:  # on a catwalk
            return None
        case "presets" | "loras" | "models" | "quota" | "queue" as verb:
            message.refuse(words)
            return _ALONE[verb]
        case "help":
            return HelpCommand(_read_topic(message, words[0]) if words else None)
        case "show":
            return _read_show(message)
        case "edit":
            return _read_edit(message)
        case "upscale":
            return _read_upscale(message)
        case "final":
            return _read_final(message)
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
            read_filter(parts.prose)
            return HistoryCommand(parts.prose, **parts.values)
        case "favourite":
            return _read_favourite(message)
        case "share":
            return _read_share(message)
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
            return UnlinkCommand(read_user(words[0]) if words else "")
        case "admin" if [word.text.lower() for word in words] == ["help"]:
            return HelpCommand("admin")
        case "admin":
            return read_admin(message)
        case "vary":
            return _read_vary(message)
        case _:
            return _read_again(message)


def _read_topic(message: Message, word: Word) -> str:
    topic = normal(word.text.lstrip("-—–/").rstrip("?!."))
    if topic not in TOPICS and (option := IMAGINE.get(topic)):
        topic = option.name
    if topic not in TOPICS:
        hint = suggestion(topic, TOPICS)
        raise message.error(word, f"there is no help on {shown(word.text)} ({hint})")
    return topic


def _read_show(message: Message) -> ShowCommand | None:
    words = message.words
    job_id = as_id(words[0]) if words else None
    if len(words) > 1 and (job_id is None or job_id.isalpha()):
        return None
    if not (job_id := message.read_id(words)):
        raise error_at(
            message.first,
            f"show which picture? Add its id, for example show {EXAMPLE_ID}; history lists yours",
        )
    return ShowCommand(job_id)


def _read_upscale(message: Message) -> UpscaleCommand | None:
    """None where the words are a prompt, such as "upscale restaurant at night"."""
    words = message.words
    job_id = as_id(words[0]) if words else None
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


def _read_edit(message: Message) -> EditCommand:
    """``edit k7m2p9qa 2 make it night``, where neither the id nor the number need be said."""
    words, start, number = message.words, message.first.end, None
    job_id = as_id(words[0]) if words else None
    # "darkness" may be an id too, and more often begins what to change.
    if job_id is not None and (job_id.isalpha() and words[0].text[0] != "#"):
        job_id = None
    if job_id is not None:
        start = words[0].end
        if len(words) > 2 and words[1].text.isdecimal():
            _, number = _read_which(message, words[:2])
            start = words[1].end
    parts = take_apart(message.text, start, DRAW)
    if all(map(is_blank, parts.prose)):
        raise CommandError(
            f"edit how? Say what to change, for example edit {EXAMPLE_ID} make it night",
            position=start,
            field="prompt",
        )
    repeat, presets = parts.values.pop("repeat", 1), parts.values.pop("presets", ())
    asked = ImagineCommand(parts.prose, **parts.values)
    return EditCommand(asked, job_id, number, repeat, presets)


def _read_final(message: Message) -> FinalCommand | None:
    """None where the words are a prompt, such as "final boss in a cave"."""
    words = message.words
    if words and (len(words) > 2 or as_id(words[0]) is None):
        return None
    if len(words) == 2 and not words[1].text.isdecimal():
        return None
    return FinalCommand(*_read_which(message, words))


def _read_favourite(message: Message) -> FavouriteCommand | None:
    """None where the words are a prompt, such as "favourite place in autumn"."""
    if not message.words:
        raise error_at(
            message.first,
            f"favourite which picture? Add its id, for example favourite {EXAMPLE_ID}",
        )
    switch = _read_switch(message)
    return None if switch is None else FavouriteCommand(*switch)


def _read_share(message: Message) -> ShareCommand | None:
    """None where the words are a prompt, such as "share of the pie"."""
    if not message.words:
        raise error_at(
            message.first, f"share which picture? Add its id, for example share {EXAMPLE_ID}"
        )
    switch = _read_switch(message)
    return None if switch is None else ShareCommand(*switch)


def _read_switch(message: Message) -> tuple[str, bool] | None:
    """The id of a picture, and whether it is not to be off; None where the words are others."""
    words = [word.text.lower() for word in message.words]
    job_id = as_id(message.words[0])
    if job_id is None or words[1:] not in ([], ["on"], ["off"]):
        return None
    return job_id, words[1:] != ["off"]


def _read_report(message: Message) -> ReportCommand | None:
    """None where the words are a prompt, such as "report card on a desk"."""
    words = message.words
    job_id = as_id(words[0]) if words else None
    if job_id is None:
        return None
    return ReportCommand(job_id, message.text[words[0].end :].strip(GAPS))


def _read_inspect(message: Message) -> InspectCommand | None:
    words = message.words
    job_id = as_id(words[0]) if len(words) == 1 else None
    if len(words) > 1 or (words and (job_id is None or job_id.isalpha())):
        return None  # "inspector", "inspect the engine": a prompt
    return InspectCommand(job_id)


def _read_answer(answer: str, words: list[Word]) -> AnswerCommand | None:
    """None where the words are a prompt, such as "no smoking sign"."""
    code = words[0].text.lower() if len(words) == 1 else ""
    return AnswerCommand(code, answer == "yes") if not words or _is_code(code) else None


def _read_again(message: Message) -> Command:
    parts = take_apart(message.text, message.first.end, AGAIN)
    is_same = bool(parts.values.pop("same", False))
    if is_same and parts.values:
        word = parts.given[AGAIN["same"]]
        raise error_at(word, "--same changes nothing; leave it out, or the other options")
    job_id, number = _read_which(message, parts.words)
    repeat, presets = parts.values.pop("repeat", 1), parts.values.pop("presets", ())
    changes = ImagineCommand(**parts.values)
    again = AgainCommand(job_id, changes, number=number, same=is_same)
    return series_of(again, repeat, presets)


def _read_vary(message: Message) -> Command:
    parts = take_apart(message.text, message.first.end, VARY)
    if "seed" in parts.values:
        seed = parts.given[VARY["seed"]]
        raise error_at(seed, "vary always takes a new seed; write again to set one", "seed")
    how = parts.values.pop("how", None)
    job_id, number = _read_which(message, parts.words)
    if not parts.values:
        return VaryCommand(job_id, number, how)
    if how is not None:
        raise error_at(
            parts.given[VARY[how]],
            f"--{how} keeps everything else as it is; leave it out, or the other options",
        )
    repeat, presets = parts.values.pop("repeat", 1), parts.values.pop("presets", ())
    changes = ImagineCommand(**parts.values)
    return series_of(AgainCommand(job_id, changes, vary=True, number=number), repeat, presets)


def _read_which(message: Message, words: list[Word]) -> tuple[str | None, int | None]:
    """The id of a job, and the number of one of its pictures; None for each that is not said."""
    if len(words) != 2 or not words[1].text.isdecimal() or as_id(words[0]) is None:
        return message.read_id(words), None
    try:
        number: int = Number(1, MAX_IMAGES, is_whole=True).read(words[1].text, "")[""]
    except WrongValue as wrong:
        raise error_at(words[1], f"the number of the picture {wrong}", "number") from None
    return message.read_id(words[:1]), number


def _read_settings(message: Message) -> SettingsCommand:
    parts = take_apart(message.text, message.first.end, SETTINGS)
    words = parts.words
    is_reset = bool(words) and words[0].text.lower() == "reset"
    message.refuse(words[is_reset:])
    if is_reset and parts.values:
        raise error_at(words[0], "reset forgets all settings, so set new ones afterwards")
    own = {each.name: parts.values.pop(each.name, None) for each in OWN}
    changes = ImagineCommand(**parts.values) if parts.values else None
    return SettingsCommand(changes, is_reset, **own)


def _read_expand(message: Message) -> ExpandCommand:
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
    job_id = as_id(parts.words[0]) if len(parts.words) == 1 else None
    asked = ImagineCommand(parts.prose, **parts.values)
    if job_id is not None and not job_id.isalpha():
        return ExpandCommand(job_id, axes=axes)
    return ExpandCommand(job_id or "", asked=asked, axes=axes)  # "darkness" may be an id


def _read_prefer(message: Message) -> PreferCommand:
    """``prefer suffix ", film grain"``, ``prefer pic = "--ar 3:2"`` or ``prefer remove pic``."""
    words = message.words
    if not words:
        return PreferCommand()
    name = words[0].text.lower().lstrip("-—–").partition("=")[0]
    if name == "remove" and len(words) == 2:
        return PreferCommand("remove", words[1].text.lower().lstrip("-—–"))
    if not _SHORTCUT.fullmatch(name) or name == "remove":
        raise message.error(
            words[0], f"{shown(words[0].text)} does not fit: the command is {USAGES['prefer']}"
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


def _read_my_data(message: Message) -> MyDataCommand:
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
        wrong, f"{shown(wrong.text)} does not fit: the command is {USAGES['mydata']}"
    )


def _read_link(message: Message) -> LinkCommand | None:
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

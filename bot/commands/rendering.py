"""Command to text."""

from __future__ import annotations

from bot.commands.options import OPTIONS, Ratio, Text
from bot.commands.parsing import parse
from bot.commands.vocabulary import (
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
from bot.commands.words import GAPS


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

"""A channel as plain text: who did and said what, [buttons] and [pictures].

The same conversation is always the same text: ids of jobs are counted, seeds that nobody chose are
said to be random, and how long drawing took is left out.
"""

import re

from .interactions import Interaction
from .state import Attachment, Channel, Message, label_of, walk

BUTTON, INPUT, UPLOAD, CHECKBOX = 2, 4, 19, 23

#: What differs from run to run, and what stands in its place.
FLEETING = (
    (re.compile(r"<t:\d+:R>"), "in a moment"),
    (re.compile(r"</([^:>]+):\d+>"), r"/\1"),
    (re.compile(r" · \d+\.\d s\b"), ""),
    (re.compile(r"(?<=seed )\d{6,10}\b"), "(random)"),
)
#: Marks that Discord's client shows as bold, small or code.
MARKS = re.compile(r"\*\*|^-# |\\(?=[^\w\s])|`+", re.MULTILINE)
MENTION = re.compile(r"<@!?(\d+)>")
_ABOUT_JOB = re.compile(r"flux[\w-]*:[a-z]+:([2-9a-z]{8})(?::\d+)?")


def transcript(channel: Channel, *, sees: object = None) -> str:
    """All that *channel* shows, oldest first, and what people did there.

    Args:
        sees: The person who reads, to whom their private messages are shown too; None is somebody
            who sees what all see.
    """
    messages = [
        each
        for each in channel.stored.values()
        if not each.is_deleted and each.seen_by in (None, sees)
    ]
    told = [(each.id, _said(each)) for each in messages]
    told += [(id, [f"{who.name}:", f"  {act}"]) for id, who, act in channel.acts]
    lines = ["(direct message)" if channel.guild is None else f"#{channel.name}"]
    for _, said in sorted(told, key=lambda each: each[0]):
        lines += ["", *said]
    return _steady("\n".join(line.rstrip() for line in lines), channel)


def form(interaction: Interaction) -> str:
    """The form that was opened, with what its fields begin with."""
    modal = interaction.modal
    assert modal is not None
    lines = [f"── {modal.title} ──"]
    for part in modal.components:
        hint = f" ({part['description']})" if part.get("description") else ""
        lines.append(f"{part.get('label', '')}{hint}: {_filled(part.get('component', part))}")
    return _steady("\n".join(lines), interaction.channel)


def _said(message: Message) -> list[str]:
    who = message.author.name
    if message.seen_by is not None and message.channel.guild is not None:
        who += f" (to {message.seen_by.name} alone)"
    lines = [*_plain(message).splitlines(), *map(_picture, message.attachments)]
    lines += _rows(message)
    if message.is_loading:
        lines = ["(is thinking)"]
    return [f"{who}:", *(f"  {line}" for line in lines)]


def _plain(message: Message) -> str:
    users = message.channel.discord.users

    def name(mention: re.Match[str]) -> str:
        user = users.get(int(mention[1]))
        return f"@{user.name if user else 'somebody'}"

    return MARKS.sub("", MENTION.sub(name, message.text))


def _picture(attachment: Attachment) -> str:
    if attachment.size_in_pixels is None:
        return f"[file {attachment.filename}]"
    width, height = attachment.size_in_pixels
    return f"[{'hidden ' if attachment.is_spoiler else ''}picture {width}×{height}]"


def _rows(message: Message) -> list[str]:
    """The rows of buttons and menus, each as a line."""
    rows = [
        " ".join(filter(None, map(_control, row.get("components", [row]))))
        for row in message.components
    ]
    return [row for row in rows if row]


def _control(part: dict) -> str:
    if part["type"] == BUTTON:
        return f"[{label_of(part)}]"
    return f"[{part['placeholder']} ▾]" if part.get("placeholder") else ""


def _filled(field: dict) -> str:
    """A field of a form as it opens."""
    kind = field["type"]
    if kind == INPUT:
        return " ".join(field["value"].split()) if field.get("value") else "…"
    if kind == UPLOAD:
        return "[attach a file]"
    if kind == CHECKBOX:
        return "[x]" if field.get("default") else "[ ]"
    options = field.get("options", [])
    return " ".join(
        f"({each['label']})" if each.get("default") else each["label"] for each in options
    )


def _steady(text: str, channel: Channel) -> str:
    """*text* without what another run would say differently."""
    ids = [
        match[1]
        for message in channel.stored.values()
        for state in message.edits
        for part in walk(state.components)
        if (match := _ABOUT_JOB.fullmatch(part.get("custom_id", "")))
    ]
    found = sorted({id: text.find(id) for id in ids if id in text}.items(), key=lambda at: at[1])
    for number, (id, _) in enumerate(found, start=1):
        text = text.replace(id, f"picture{number}")
    for pattern, instead in FLEETING:
        text = pattern.sub(instead, text)
    return text

"""What stands in a conversation, as plain text: who said what, blocks, [buttons] and pictures.

The same conversation is always the same text: ids of jobs are counted, seeds that nobody chose are
said to be random, and how long drawing took is left out.
"""

from __future__ import annotations

import io
import re
from html import unescape

from PIL import Image

from tests.fakes.slack.world import elements

_TOKEN = re.compile(r"<([^<>]*)>")
_RANDOM = re.compile(r"(?<=seed )\d{6,10}\b")
_ID = re.compile(r"[a-z0-9]{8}")
#: An id where no button is: at the beginning of a line, before what is told of the job.
_LISTED = re.compile(r"^ *([2-9a-z]{8}) · ", re.MULTILINE)
_SECONDS = re.compile(r" · \d+\.\d s\b")


def transcript(slack, channel, thread=None):
    """All that *channel*, or one *thread* of it, shows, oldest first. What one person alone sees
    says so; replies stand below their messages, further in."""
    said = [*channel.messages.values(), *(message for _, message in channel.whispers)]
    return _steady("\n".join(_lines(slack, channel, thread)), said)


def form(slack, view):
    """A modal or a Home tab, with what its fields begin with."""
    title = (view.get("title") or {}).get("text", "Home")
    submit, close = ((view.get(name) or {}).get("text") for name in ("submit", "close"))
    lines = [f"── {title} ──"]
    for block in view["blocks"]:
        lines += _field(slack, block) if block["type"] == "input" else _block(slack, block)
    if view["type"] == "modal":
        lines.append(" ".join(f"[{label}]" for label in (submit, close) if label))
    return _steady("\n".join(lines), [view])


def _steady(text, shown):
    """*text* without what another run would say differently; *shown* has the ids of jobs, as values
    of buttons."""
    ids = [
        each["value"]
        for message in shown
        for _, each in elements(message.get("blocks") or ())
        if _ID.fullmatch(each.get("value", ""))
    ]
    ids += _LISTED.findall(text)
    found = sorted(
        {id: text.find(id) for id in ids if id in text}.items(), key=lambda each: each[1]
    )
    for number, (id, _) in enumerate(found, start=1):
        text = text.replace(id, f"picture{number}")
    return _RANDOM.sub("(random)", _SECONDS.sub("", text))


def _lines(slack, channel, thread):
    told = [(ts, lines) for ts, lines, _ in channel.acts]
    told += [(ts, _said(slack, channel, message)) for ts, message in channel.messages.items()]
    told += [
        (ts, _said(slack, channel, message, to))
        for ts, (to, message) in zip(channel.whispered_at, channel.whispers, strict=True)
    ]
    roots = {ts: _root(message) for ts, message in channel.messages.items()}
    for ts, (_, message) in zip(channel.whispered_at, channel.whispers, strict=True):
        roots[ts] = message.get("thread_ts")
    roots |= {ts: root for ts, _, root in channel.acts}
    yield "(thread)" if thread else "(direct message)" if channel.is_im else f"#{channel.name}"
    below = {}
    for ts, lines in sorted(told):
        below.setdefault(roots.get(ts), []).append((ts, lines))
    for ts, lines in below.get(None, ()) if thread is None else below[None]:
        if thread not in (None, ts):
            continue
        yield from ("", *lines)
        for _, replies in below.get(ts, ()):
            yield from ("", *(f"    {line}" for line in replies))


def _root(message):
    root = message.get("thread_ts")
    return None if root == message["ts"] else root


def _said(slack, channel, message, to=None):
    """A message as lines, the first with its author."""
    who = "flux" if to or "bot_id" in message else _name(slack, message["user"])
    if to and not channel.is_im:
        who += f" (to {_name(slack, to)} alone)"
    lines = []
    for block in message.get("blocks") or ():
        lines += _block(slack, block)
    if not message.get("blocks"):
        lines += _plain(slack, message.get("text", "")).splitlines()
    lines += [_picture(slack, file["id"]) for file in message.get("files", ())]
    return [f"{who}:", *(f"  {line}" for line in lines)]


def _block(slack, block):
    kind = block["type"]
    if kind == "header":
        return ["", block["text"]["text"]]
    if kind == "section":
        text = _text(slack, block.get("text")).splitlines()
        accessory = block.get("accessory")
        return [*text, *([_element(slack, accessory)] if accessory else [])]
    if kind in ("context", "actions", "context_actions"):
        return [" ".join(_element(slack, each) for each in block["elements"])]
    if kind == "image":
        title = [block["title"]["text"]] if "title" in block else []
        return [*title, _element(slack, block)]
    if kind == "carousel":
        return [line for card in block["elements"] for line in _card(slack, card)]
    if kind == "divider":
        return ["─" * 12]
    if kind == "input":
        return _field(slack, block)
    return [f"({kind})"]


def _card(slack, card):
    shown = [_text(slack, card.get(name)) for name in ("title", "subtitle", "body")]
    picture = [_element(slack, card["hero_image"])] if "hero_image" in card else []
    buttons = " ".join(_element(slack, each) for each in card.get("actions", ()))
    return [
        f"│ {line}" for line in (*picture, *filter(None, shown), *([buttons] if buttons else []))
    ]


def _field(slack, block):
    element = block["element"]
    value = element.get("initial_value") or (element.get("initial_option") or {}).get("value")
    hint = f"  ({block['hint']['text']})" if "hint" in block else ""
    kind = {"file_input": "a file", "static_select": "choose"}.get(element["type"], "")
    placeholder = (element.get("placeholder") or {}).get("text", kind)
    return [f"{block['label']['text']}: {value or f'‹{placeholder}›'}{hint}"]


def _element(slack, element):
    kind = element["type"]
    if kind == "image":
        file = (element.get("slack_file") or {}).get("id")
        return _picture(slack, file, element["alt_text"])
    if kind == "button":
        return f"[{element['text']['text']}{'…' if 'confirm' in element else ''}]"
    if kind == "feedback_buttons":
        both = (element["positive_button"], element["negative_button"])
        return " ".join(f"[{each['text']['text']}]" for each in both)
    if kind == "static_select":
        return f"[{element['placeholder']['text']} ▾]"
    if kind == "overflow":
        return f"[⋯ {' / '.join(each['text']['text'] for each in element['options'])}]"
    return _text(slack, element)


def _text(slack, text):
    if text is None:
        return ""
    return text["text"] if text["type"] == "plain_text" else _plain(slack, text["text"])


def _plain(slack, text):
    """Text with Slack's markup as people see it."""

    def shown(token):
        target, _, label = token[1].partition("|")
        if target.startswith("@"):
            return f"@{_name(slack, target[1:])}"
        return label or target

    return unescape(_TOKEN.sub(shown, text))


def _picture(slack, id, words=""):
    file = slack.files.get(id)
    if file is None:
        return "[a file that is gone]"
    try:
        width, height = Image.open(io.BytesIO(file.data)).size
    except OSError:
        return f"[file {file.name}]"
    return f"[picture {width}×{height}{f': {words}' if words else ''}]"


def _name(slack, user):
    for team in slack.teams.values():
        if user == team.bot_user:
            return "flux"
        if user in team.people:
            return team.people[user].name
    return user


__all__ = ["form", "transcript"]

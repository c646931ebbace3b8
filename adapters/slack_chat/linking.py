"""Questions whether accounts are to be joined, with their buttons. Pure."""

from __future__ import annotations

from adapters.slack_chat import blocks
from bot.commands import LinkCommand
from bot.conversation import Reply
from bot.languages import Language


def link_command(verb: str, code: str) -> LinkCommand | None:
    """The command of the button *verb*; None for another button."""
    match verb:
        case "linkyes":
            return LinkCommand("yes", code)
        case "linkno":
            return LinkCommand("no", code)
        case _:
            return None


def message_of(reply: Reply, say: Language) -> tuple[str, list[blocks.Block]]:
    """The words of *reply*, short and in blocks, with buttons where it asks."""
    text, parts = blocks.text_message(reply.text)
    if reply.asks_to_join and reply.joining is not None:
        code = reply.joining.code
        yes = blocks.button(say("Yes, join them"), "linkyes", code, style="danger")
        parts = [*parts, blocks.actions(yes, blocks.button(say("No"), "linkno", code))]
    if reply.choices:
        parts = [*parts, blocks.choices(reply.choices)]
    if reply.link:
        opens = blocks.marked(f"<{reply.link}|{say('Open the page')}>")
        parts = [*parts, {"type": "section", "text": opens}]
    return text, parts

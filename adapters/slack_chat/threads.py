"""What stands in a thread, or in a conversation with the bot: pictures further up, and who has
spoken there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from adapters.slack_chat import blocks
from adapters.slack_chat.errors import OutcomeUnknown, SlackError
from adapters.slack_chat.places import Place
from adapters.slack_chat.workspaces import Workspace
from bot.source import Picture, PictureOf

logger = logging.getLogger(__name__)

#: Messages that are looked at in a thread, and outside of one.
IN_A_THREAD = 200
OUTSIDE = 15

Attached = Callable[[Workspace, Sequence[Mapping[str, Any]]], list[Picture]]


async def picture_above(
    place: Place, before: str, attached: Attached, is_asked: bool
) -> Picture | None:
    """The picture above the message *before* (a ts): where it *is_asked* for, the newest; else the
    newest that a person has brought, before any of the bot's. None without one, or where Slack does
    not let the bot look. *attached* reads files of people."""
    if not (is_asked or place.thread or place.is_direct):
        return None  # what others say in a channel has nothing to do with it
    said = [each for each in await _messages(place) or () if each["ts"] < before]
    drawn: Picture | None = None
    for message in reversed(said):
        if message.get("bot_id") == place.workspace.bot_id:
            drawn = drawn or _drawn(message)
            if drawn is not None and is_asked:
                return drawn
        elif files := [each for each in message.get("files", ()) if _is_picture(each)]:
            return attached(place.workspace, files[-1:])[0]
    return drawn


async def is_alone(place: Place) -> bool:
    """Whether the person at *place* is the only one who has said anything in the thread there,
    beside the bot; not where Slack does not tell everything."""
    said = await _messages(place)
    if said is None:
        return False
    others = (each for each in said if each.get("bot_id") != place.workspace.bot_id)
    return all(each.get("user") == place.user for each in others)


async def _messages(place: Place) -> list[dict[str, Any]] | None:
    """Messages in the thread of *place*, else in its conversation, oldest first; None where they
    cannot be looked at, or are too many."""
    try:
        if place.thread:
            answer = await place.workspace.call(
                "conversations.replies", channel=place.channel, ts=place.thread, limit=IN_A_THREAD
            )
            return None if answer.get("has_more") else list(answer.get("messages", ()))
        answer = await place.workspace.call(
            "conversations.history", channel=place.channel, limit=OUTSIDE
        )
    except (SlackError, OutcomeUnknown) as error:
        logger.info("a conversation cannot be looked at: %s", error)
        return None
    return list(reversed(answer.get("messages", ())))


def _drawn(message: Mapping[str, Any]) -> PictureOf | None:
    """The picture that a message of the bot shows."""
    job_id = blocks.job_of(message)
    parts: Iterable[Mapping[str, Any]] = message.get("blocks") or ()
    # A message on its way has a button alone that cancels; its picture is unfinished.
    is_done = any(
        each.get("action_id") == "flux:delete"
        for part in parts
        for each in part.get("elements", ())
    )
    has_picture = any(part.get("type") in ("image", "carousel") for part in parts)
    return PictureOf(job_id) if job_id is not None and is_done and has_picture else None


def _is_picture(file: Mapping[str, Any]) -> bool:
    # Of files in channels that are shared with others, Slack may tell the id alone.
    return str(file.get("mimetype") or "image/").startswith("image/")

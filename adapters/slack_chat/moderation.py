"""Moderation in Slack: the log channel, and its buttons."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from adapters.slack_chat import blocks, files
from adapters.slack_chat.blocks import Block
from adapters.slack_chat.errors import OutcomeUnknown, SlackError
from adapters.slack_chat.places import Place, patiently, post, whisper_blocks
from adapters.slack_chat.wording import clipped, escape
from adapters.slack_chat.workspaces import Workspace
from bot.decisions import OF_KIND, WORDS, Decision
from bot.incidents import Incident
from bot.moderation_log import LABELS, CannotBeTold
from bot.service import Service

#: The action of the button that shows a picture; "show" is a button of pictures in a grid.
PEEK = "peek"
#: Slack's words for a channel in which the bot cannot write.
CLOSED = frozenset({"channel_not_found", "not_in_channel", "is_archived", "restricted_action"})
MAX_NOTE = 1000


def decision_of(verb: str) -> Decision | None:
    """The decision behind the button *verb*; None for another button."""
    if verb == PEEK:
        return Decision.SHOW
    final = {each.value: each for each in Decision if each is not Decision.SHOW}
    return final.get(verb)


def incident_message(incident: Incident, link: str = "") -> tuple[str, list[Block]]:
    """Text and blocks of the message about *incident*, in which nobody is pinged.

    *link* is the address of the message in which the picture is shown; empty for none.
    """
    who = f" · {incident.user}" if incident.user else ""
    head = f"{LABELS[incident.kind]}{who}"
    parts = [blocks.section(head)]
    if note := clipped(incident.note, MAX_NOTE).strip():
        parts.append(blocks.context(blocks.plain(note)))
    if link:
        parts.append(blocks.context(blocks.marked(f"<{escape(link)}|Go to the message>")))
    if incident.job_id is not None:
        parts.append(blocks.context(blocks.plain(incident.job_id)))
        buttons = [
            blocks.button(
                WORDS[decision].label,
                PEEK if decision is Decision.SHOW else decision,
                incident.job_id,
                style="danger" if WORDS[decision].is_danger else None,
            )
            for decision in OF_KIND[incident.kind]
        ]
        if buttons:
            parts.append(blocks.actions(*buttons))
    return blocks.fallback(head), parts


def decided(message: Mapping[str, Any], decision: Decision, user: str) -> tuple[str, list[Block]]:
    """The message about an incident, once *user* has decided; without buttons."""
    kept = [each for each in message.get("blocks", ()) if each.get("type") != "actions"]
    done = WORDS[decision].done
    return done, [*kept, blocks.context(blocks.marked(f"{done} · <@{user}>"))]


def teller(
    workspaces: Mapping[str, Workspace],
) -> Callable[[str, Incident], Awaitable[None]]:
    """A function that tells a channel of an incident; it is looked for in all workspaces."""

    async def tell(channel: str, incident: Incident) -> None:
        server = incident.server or ""
        team = server.partition(":")[2] if server.startswith("slack-server:") else ""
        # The channel for all incidents may be in another workspace than the incident.
        candidates = sorted(workspaces.values(), key=lambda each: each.team != team)
        text, parts = incident_message(
            incident, await permalink(workspaces, incident.reply_to or {})
        )
        for workspace in candidates:
            try:
                await post(Place(workspace, channel, "", ""), text, parts)
                return
            except SlackError as error:
                if error.error not in CLOSED:
                    raise
        raise CannotBeTold("no workspace lets the bot write there")

    return tell


async def permalink(workspaces: Mapping[str, Workspace], to: Mapping[str, Any]) -> str:
    """The address of the message at *to*, a ``reply_to``, in which a picture is shown to others;
    empty where there is none, or where Slack does not say."""
    workspace = workspaces.get(str(to.get("team")))
    channel, message = str(to.get("channel", "")), to.get("ts")
    # Nobody else can follow a link into a direct message.
    if workspace is None or not message or channel.startswith("D"):
        return ""
    try:
        answer = await workspace.call("chat.getPermalink", channel=channel, message_ts=message)
    except (SlackError, OutcomeUnknown):
        return ""
    return str(answer["permalink"])


async def peek(service: Service, place: Place, moderator: str, job_id: str) -> None:
    """Show the picture of a held or reported job to a moderator alone.

    Raises:
        FluxbotError: They may not see it, or it is gone.
        SlackError, OutcomeUnknown: It cannot be shown.
    """
    path = await service.moderation.picture(moderator, job_id)
    data = await asyncio.to_thread(path.read_bytes)
    id = await files.upload_to_show(place.workspace, data, f"{job_id}.png", job_id)
    shown = [blocks.picture(id, job_id)]
    try:
        await patiently(place.workspace, lambda: whisper_blocks(place, job_id, shown))
    except (SlackError, OutcomeUnknown):
        await files.delete(place.workspace, [id])
        raise

"""Moderation in Slack: the log channel, and its buttons."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from adapters.slack_chat import blocks, files
from adapters.slack_chat.blocks import Block
from adapters.slack_chat.places import Place, post, whisper_blocks
from adapters.slack_chat.wording import clipped
from adapters.slack_chat.workspaces import SlackError, Workspace
from bot.commands import AdminCommand, AdminReports, AdminReview
from bot.incidents import Incident, Kind
from bot.moderation_log import LABELS, CannotBeTold
from bot.service import Service

#: Buttons under an incident: action and label.
OF_KIND: dict[Kind, tuple[tuple[str, str], ...]] = {
    Kind.HELD: (("peek", "Show"), ("release", "Release"), ("reject", "Reject")),
    Kind.REPORTED: (("peek", "Show"), ("dismiss", "Dismiss"), ("remove", "Delete picture")),
    Kind.REFUSED: (),
    Kind.ACT: (),
}
DONE = {
    "release": "Released",
    "reject": "Rejected",
    "dismiss": "Dismissed",
    "remove": "Deleted",
}
#: Slack's words for a channel in which the bot cannot write.
CLOSED = frozenset({"channel_not_found", "not_in_channel", "is_archived", "restricted_action"})
MAX_NOTE = 1000


def command_of(verb: str, job_id: str) -> AdminCommand | None:
    """The command of a moderator's button; None for another button."""
    match verb:
        case "release":
            return AdminReview("release", job_id)
        case "reject":
            return AdminReview("reject", job_id)
        case "dismiss":
            return AdminReports("dismiss", job_id)
        case "remove":
            return AdminReports("remove", job_id)
        case _:
            return None


def incident_message(incident: Incident) -> tuple[str, list[Block]]:
    """Text and blocks of the message about *incident*, in which nobody is pinged."""
    who = f" · {incident.user}" if incident.user else ""
    head = f"{LABELS[incident.kind]}{who}"
    parts = [blocks.section(head)]
    if note := clipped(incident.note, MAX_NOTE).strip():
        parts.append(blocks.context(blocks.plain(note)))
    if incident.job_id is not None:
        parts.append(blocks.context(blocks.plain(incident.job_id)))
        buttons = [
            blocks.button(
                label,
                action,
                incident.job_id,
                style="danger" if action in ("reject", "remove") else None,
            )
            for action, label in OF_KIND[incident.kind]
        ]
        if buttons:
            parts.append(blocks.actions(*buttons))
    return blocks.fallback(head), parts


def decided(message: Mapping[str, Any], verb: str, user: str) -> tuple[str, list[Block]]:
    """The message about an incident, once *user* has decided; without buttons."""
    kept = [each for each in message.get("blocks", ()) if each.get("type") != "actions"]
    return f"{DONE[verb]}", [*kept, blocks.context(blocks.marked(f"{DONE[verb]} · <@{user}>"))]


def teller(
    workspaces: Mapping[str, Workspace],
) -> Callable[[str, Incident], Awaitable[None]]:
    """A function that tells a channel of an incident; it is looked for in all workspaces."""

    async def tell(channel: str, incident: Incident) -> None:
        server = incident.server or ""
        team = server.partition(":")[2] if server.startswith("slack-server:") else ""
        # The channel for all incidents may be in another workspace than the incident.
        candidates = sorted(workspaces.values(), key=lambda each: each.team != team)
        text, parts = incident_message(incident)
        for workspace in candidates:
            try:
                await post(Place(workspace, channel, "", ""), text, parts)
                return
            except SlackError as error:
                if error.error not in CLOSED:
                    raise
        raise CannotBeTold("no workspace lets the bot write there")

    return tell


async def peek(service: Service, place: Place, moderator: str, job_id: str) -> None:
    """Show the picture of a held or reported job to a moderator alone.

    Raises:
        FluxbotError: They may not see it, or it is gone.
    """
    path = await service.moderation.picture(moderator, job_id)
    data = await asyncio.to_thread(path.read_bytes)
    ids: list[str] = []

    async def keep(id: str) -> None:
        ids[:] = [id]

    await files.upload(place.workspace, data, f"{job_id}.png", job_id, keep, None)
    await files.until_shown(place.workspace, ids[0])
    await whisper_blocks(place, job_id, [blocks.picture(ids[0], job_id)])

"""Files for one person in Slack, in their own conversation with the bot, such as their own data;
and messages that are deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from adapters.slack_chat import blocks, files
from adapters.slack_chat.errors import OutcomeUnknown, SlackError
from adapters.slack_chat.places import Place, patiently, post
from adapters.slack_chat.workspaces import Workspace
from bot import replies
from bot.conversation import Reply, TextFile
from bot.service import Service

#: Bytes of one file of an export; all of it is in memory while it is sent.
MAX_BYTES = 40_000_000
MOST_FILES = 20


async def hand_over(service: Service, place: Place, user: str, reply: Reply) -> None:
    """Send the person *user* all that is kept about them, in their own conversation with the bot.

    Raises:
        FluxbotError: It cannot be put together now.
        SlackError, OutcomeUnknown: It cannot be sent.
    """
    made = await service.own_data.export(user, MAX_BYTES)
    try:
        sent = await asyncio.to_thread(made.at_most, MOST_FILES)
        text = reply.text
        if sent.left_out:
            text += "\n" + replies.too_large_to_send(sent.left_out, place.say)
        said = blocks.text_message(text)
        answer = await patiently(place.workspace, lambda: post(place.home(), *said))
        for path in sent.files:
            data = await asyncio.to_thread(path.read_bytes)
            await files.upload(
                place.workspace, data, path.name, path.name, channel=answer["channel"]
            )
    finally:
        await made.close()


async def hand_file_over(place: Place, text: str, file: TextFile) -> None:
    """Send the person *text* and *file*, in their own conversation with the bot.

    Raises:
        SlackError, OutcomeUnknown: It cannot be sent.
    """
    said = blocks.text_message(text)
    answer = await patiently(place.workspace, lambda: post(place.home(), *said))
    data = file.text.encode()
    await files.upload(place.workspace, data, file.name, file.name, channel=answer["channel"])


async def erase_message(workspaces: Mapping[str, Workspace], reply_to: Mapping[str, Any]) -> bool:
    """Delete the bot's message at *reply_to*, with its files; False where it cannot be reached."""
    workspace = workspaces.get(reply_to.get("team", ""))
    if workspace is None:
        return False
    await files.delete(workspace, list(reply_to.get("files") or []))
    if not reply_to.get("ts"):
        return True
    try:
        await workspace.call("chat.delete", channel=reply_to["channel"], ts=reply_to["ts"])
    except SlackError as error:
        return error.error == "message_not_found"
    except OutcomeUnknown:
        return False
    return True

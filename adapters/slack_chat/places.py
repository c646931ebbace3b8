"""Where in Slack somebody talks to the bot, and how something is said there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adapters.slack_chat import blocks
from adapters.slack_chat.workspaces import Workspace


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody talks to the bot, and is answered.

    Attributes:
        channel: Slack's id of it; the person's own id for their conversation with the bot.
        root: The message in whose thread pictures are answered; empty for no thread.
        user: The person, as Slack calls them.
        thread: The thread that the person speaks in; Slack shows nobody what one person is
            told in a thread that there is not yet.
        is_direct: Whether nobody else is there.
    """

    workspace: Workspace
    channel: str
    root: str
    user: str
    thread: str = ""
    is_direct: bool = False

    def reply_to(self) -> dict[str, Any]:
        """What a job remembers of it."""
        return {"team": self.workspace.team, "channel": self.channel, "root": self.root}


async def post(
    place: Place,
    text: str,
    parts: list[blocks.Block],
    *,
    metadata: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Post a message at *place*, in its turn; returns Slack's answer."""
    more: dict[str, Any] = {}
    if place.root:
        more["thread_ts"] = place.root
    if metadata is not None:
        more["metadata"] = metadata
    await place.workspace.pace.turn(place.channel)
    answer: dict[str, Any] = await place.workspace.call(
        "chat.postMessage",
        channel=place.channel,
        text=text,
        blocks=parts,
        unfurl_links=False,
        unfurl_media=False,
        **more,
    )
    return answer


async def whisper(place: Place, text: str) -> None:
    """Tell *text* to one person alone.

    Raises:
        SlackError, OutcomeUnknown: It cannot be told there.
    """
    said, parts = blocks.text_message(text)
    if place.is_direct:
        await post(place, said, parts)
        return
    thread: dict[str, Any] = {"thread_ts": place.thread} if place.thread else {}
    await place.workspace.call(
        "chat.postEphemeral",
        channel=place.channel,
        user=place.user,
        text=said,
        blocks=parts,
        **thread,
    )

"""Places in Slack where people talk to the bot, and messages there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from adapters.slack_chat import blocks
from adapters.slack_chat.errors import OutcomeUnknown, RateLimited
from adapters.slack_chat.workspaces import Workspace

T = TypeVar("T")

#: Seconds between attempts to tell one person something.
PAUSES = (1.0, 4.0, 15.0, 60.0)


@dataclass(frozen=True, slots=True)
class Place:
    """The place where a person talks to the bot, and is answered.

    Attributes:
        channel: Slack's id of the channel, or the person's own id for their conversation with
            the bot.
        root: The message in whose thread pictures are answered; empty for no thread.
        user: Slack's id of the person.
        thread: The thread that the person writes in. In a thread without messages yet, Slack
            would show a message to one person to nobody.
        is_direct: Whether nobody else is there.
        hook: Address for an answer to the person where they asked; see `hooks`. Empty without one.
        team: The person's own workspace, where Slack tells it; empty where it does not.
        is_shared: Whether organisations may share the channel.
    """

    workspace: Workspace
    channel: str
    root: str
    user: str
    thread: str = ""
    is_direct: bool = False
    hook: str = ""
    team: str = ""
    is_shared: bool = False

    def reply_to(self) -> dict[str, Any]:
        """The address of an answer here, as a job keeps it."""
        where = {"team": self.workspace.team, "channel": self.channel, "root": self.root}
        return {**where, "hook": self.hook} if self.hook else where

    def home(self) -> Place:
        """The person's own conversation with the bot."""
        return Place(self.workspace, self.user, "", self.user, is_direct=True)


async def post(
    place: Place,
    text: str,
    parts: list[blocks.Block],
    *,
    metadata: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Slack's answer to a message, posted at *place* in its turn."""
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


async def patiently(workspace: Workspace, tell: Callable[[], Awaitable[T]]) -> T:
    """The result of *tell*, which tells a person something: several times where Slack fails or is
    busy. Said twice does less harm than not at all.

    Raises:
        SlackError, OutcomeUnknown: It cannot be told.
    """
    for pause in PAUSES:
        try:
            return await tell()
        except RateLimited as error:
            await workspace.pace.sleep(max(pause, error.seconds))
        except OutcomeUnknown:
            await workspace.pace.sleep(pause)
    return await tell()


async def whisper(place: Place, text: str) -> None:
    """Tell *text* to one person alone.

    Raises:
        SlackError, OutcomeUnknown: It cannot be told there.
    """
    await whisper_blocks(place, *blocks.text_message(text))


async def whisper_blocks(place: Place, said: str, parts: list[blocks.Block]) -> None:
    """Show *parts* to one person alone; *said* is their text for notifications.

    Raises:
        SlackError, OutcomeUnknown: It cannot be told there.
    """
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

"""Places in Slack where people talk to the bot, and messages there."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

from adapters.slack_chat import blocks
from adapters.slack_chat.errors import OutcomeUnknown, RateLimited, SlackError, TokenRevoked
from adapters.slack_chat.workspaces import Workspace
from bot.languages import ENGLISH, Language

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds by which the bot's clock may be ahead of Slack's where a message is looked for.
SECONDS_BACK = 60.0

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
        say: The person's language.
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
    say: Language = ENGLISH

    def reply_to(self) -> dict[str, Any]:
        """The address of an answer here, as a job keeps it."""
        where: dict[str, Any] = {
            "team": self.workspace.team,
            "channel": self.channel,
            "root": self.root,
        }
        if self.hook:
            where["hook"] = self.hook
        if self.is_direct:
            where["is_private"] = True
        if self.say is not ENGLISH:
            where["locale"] = self.say.code
        return where

    def home(self) -> Place:
        """The person's own conversation with the bot."""
        return Place(self.workspace, self.user, "", self.user, is_direct=True, say=self.say)


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


async def post_once(place: Place, text: str, parts: list[blocks.Block], since: float) -> None:
    """Post a message at *place*, several times where Slack fails or is busy. It is looked for,
    among those since a unix time, before it is posted again, so that it is there once.

    Raises:
        SlackError, OutcomeUnknown: It cannot be posted.
    """
    token = uuid4().hex
    metadata = {"event_type": "flux_answer", "event_payload": {"answer": token}}
    is_repeated = False

    async def tell() -> None:
        nonlocal is_repeated
        if is_repeated and await found(place, since, "answer", token):
            return
        is_repeated = True
        await post(place, text, parts, metadata=metadata)

    await patiently(place.workspace, tell)


async def found(place: Place, since: float, key: str, value: str) -> list[str]:
    """The ts of each message at *place*, since a unix time by the bot's clock, whose metadata have
    *value* for *key*: among them one that Slack posted while its answer was lost. Empty where
    nobody may look.

    Raises:
        TokenRevoked, RateLimited, OutcomeUnknown: Slack may tell later.
    """
    method = "conversations.replies" if place.root else "conversations.history"
    thread: dict[str, Any] = {"ts": place.root} if place.root else {}
    try:
        answer = await place.workspace.call(
            method,
            channel=place.channel,
            oldest=f"{since - SECONDS_BACK:.6f}",
            limit=200,
            include_all_metadata=True,
            **thread,
        )
    except (TokenRevoked, RateLimited):
        raise
    except SlackError as error:
        logger.info("a message cannot be looked for: %s", error)
        return []
    return [
        str(message["ts"])
        for message in answer.get("messages", ())
        if ((message.get("metadata") or {}).get("event_payload") or {}).get(key) == value
    ]


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

"""Words of welcome: where somebody opens the conversation with the bot for the first time, and in
a channel that it has joined."""

from __future__ import annotations

import logging

from adapters.slack_chat import agent
from adapters.slack_chat.errors import OutcomeUnknown, SlackError
from adapters.slack_chat.places import Place, post_once
from adapters.slack_chat.replying import message_of
from bot import welcomes
from bot.service import Service

logger = logging.getLogger(__name__)

#: Conversations that are known to have begun.
REMEMBERED = 10_000


class Greetings:
    """Says welcome, once in each conversation."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._begun: set[tuple[str, str]] = set()

    async def open(self, place: Place, ts: str) -> None:
        """Welcome somebody who has opened the conversation *place* at *ts*, unless something has
        been said there; and offer prompts, where Slack has a place for them."""
        if place.workspace.is_agent:
            await agent.offer_prompts(self._service, place)
        key = (place.workspace.team, place.channel)
        if key in self._begun:
            return
        if len(self._begun) >= REMEMBERED:
            self._begun.clear()
        self._begun.add(key)
        try:
            said = await place.workspace.call(
                "conversations.history", channel=place.channel, limit=1
            )
        except (SlackError, OutcomeUnknown) as error:
            logger.info("whether a conversation has begun is not known: %s", error)
            return
        if not said.get("messages"):
            await self._say(place, ts)

    async def join(self, place: Place, ts: str) -> None:
        """Say welcome in the channel *place*, which the bot has joined at *ts*."""
        await self._say(place, ts)

    async def _say(self, place: Place, ts: str) -> None:
        reply = welcomes.welcome(self._service, place.say, is_direct=place.is_direct)
        try:
            await post_once(place, *message_of(reply, place.say), float(ts))
        except (SlackError, OutcomeUnknown) as error:
            logger.info("no welcome: %s", error)

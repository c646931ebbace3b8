"""The bot as an agent of Slack's: what people see before it has said anything.

An app whose manifest has ``agent_view`` is one. There each message that somebody writes directly
is the root of a thread, which has a status until the first answer and a title, and prompts to
press are offered where nobody has written yet. None of it is needed: what fails is left out.
"""

from __future__ import annotations

import logging
from typing import Any

from adapters.slack_chat.errors import OutcomeUnknown, SlackError
from adapters.slack_chat.places import Place
from adapters.slack_chat.wording import clipped, printable
from bot import welcomes
from bot.service import Service

logger = logging.getLogger(__name__)

#: Slack's limits.
MAX_PROMPTS = 4
MAX_TITLE = 60


async def offer_prompts(service: Service, place: Place) -> None:
    """Offer prompts to press in the conversation *place*, in place of earlier ones."""
    say = place.say
    offered = [(each.says, each.label) for each in welcomes.first_words(service)]
    offered = [*offered[: MAX_PROMPTS - 1], ("help", say("What can you do?"))]
    await _call(
        place,
        "assistant.threads.setSuggestedPrompts",
        # Without a thread: for an agent Slack would ignore all of it.
        title=say("Try one of these"),
        prompts=[{"title": label, "message": words} for words, label in offered],
    )


async def think(place: Place) -> None:
    """Show that a message was heard. The first message in answer takes that away, and else Slack
    after two minutes."""
    if place.is_direct and place.root and place.workspace.is_agent:
        status = place.say("is thinking…")
        await _call(place, "assistant.threads.setStatus", thread_ts=place.root, status=status)


async def name_thread(place: Place, words: str) -> None:
    """Have the thread *place* listed under *words*."""
    if place.is_direct and place.root and place.workspace.is_agent:
        title = clipped(" ".join(printable(words).split()), MAX_TITLE)
        await _call(place, "assistant.threads.setTitle", thread_ts=place.root, title=title)


async def _call(place: Place, method: str, **arguments: Any) -> None:
    try:
        await place.workspace.call(method, is_hasty=True, channel_id=place.channel, **arguments)
    except (SlackError, OutcomeUnknown) as error:
        logger.info("%s is left out: %s", method, error)

"""Reactions to the bot's messages, which Slack tells of without the messages.

The reaction itself shows that it was understood; what it brings comes directly.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from slack_bolt.app.async_app import AsyncApp

from adapters.slack_chat import blocks, files
from adapters.slack_chat.context import Context
from adapters.slack_chat.errors import OutcomeUnknown, SlackError
from adapters.slack_chat.places import Place, patiently, post
from adapters.slack_chat.window import PLATFORM
from bot.conversation import Reply
from bot.jobs import Job
from bot.reactions import Mark, Reactions

logger = logging.getLogger(__name__)

#: Slack's names of reactions.
MARKS = {"star": Mark.STAR, "star2": Mark.STAR, "x": Mark.CROSS}
MARKS |= {"envelope": Mark.LETTER, "email": Mark.LETTER, "e-mail": Mark.LETTER}


class SlackReactions:
    """Listeners on *app* for reactions."""

    def __init__(self, app: AsyncApp, context: Context) -> None:
        self._context = context
        self._reactions = Reactions(context.service, time.time)
        app.event("reaction_added")(self._on_reaction)
        app.event("reaction_removed")(self._on_reaction)

    async def _on_reaction(self, body: dict[str, Any], event: dict[str, Any]) -> None:
        mark, item = MARKS.get(event["reaction"]), event.get("item") or {}
        is_added = event["type"] == "reaction_added"
        if mark is None or item.get("type") != "message":
            return
        if event["user"] == self._context.workspace_of(body).bot_user:
            return
        if is_added or mark is Mark.STAR:
            self._context.spawn(self._carry_out(body, event["user"], mark, item, is_added))

    async def _carry_out(
        self,
        body: Mapping[str, Any],
        user: str,
        mark: Mark,
        item: Mapping[str, Any],
        is_added: bool,
    ) -> None:
        context, channel, ts = self._context, str(item["channel"]), str(item["ts"])
        place = context.place(body, channel, "", user)
        job = await context.service.lookups.of_message(PLATFORM, channel, ts)
        if job is None or (job.reply_to or {}).get("team") != place.workspace.team:
            return
        if not self._reactions.may_react(context.key(place)):
            return
        # Only now, since Slack tells of the reactions to everybody's messages.
        await context.people.meet(place.workspace, user)
        place = context.place(body, channel, str((job.reply_to or {}).get("root") or ""), user)
        source = context.source(place, shown=job.id)
        command = self._reactions.command(source, mark, job, is_added=is_added)
        if command is None:
            return
        reply = await context.converse(place, command, shown=job.id)
        if reply.kind == "delete" and reply.error is None:
            await self._take_away(place, ts, job)
        elif reply.kind == "send" and reply.error is None:
            await self._send(place, reply, job)
        elif reply.error is not None and reply.kind in ("send", "favourite"):
            await context.answer(place, Reply(reply.text))

    async def _send(self, place: Place, reply: Reply, job: Job) -> None:
        """Send seed and settings to the person directly, with the pictures that are at Slack."""
        text, parts = blocks.text_message(reply.text)
        held = list((job.reply_to or {}).get("files") or [])
        shown = [] if job.is_pruned else blocks.pictures(job, held, place.say)
        home = place.home()
        try:
            await patiently(place.workspace, lambda: post(home, text, [*parts, *shown]))
        except (SlackError, OutcomeUnknown) as error:
            logger.info("a letter takes another way: %s", error)
            await self._context.answer(place, Reply(reply.text))

    async def _take_away(self, place: Place, ts: str, job: Job) -> None:
        """Take the pictures of *job*, and the message that shows them, from Slack too."""
        try:
            await place.workspace.call("chat.delete", channel=place.channel, ts=ts)
        except (SlackError, OutcomeUnknown) as error:
            logger.info("a message cannot be deleted: %s", error)
        await files.delete(place.workspace, list((job.reply_to or {}).get("files") or []))

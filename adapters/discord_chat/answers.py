"""The first answer to an interaction, within three seconds, and the job behind it.

An interaction that is answered too late is lost, so Discord is answered before a job is asked
for, whatever the GPU, the disk or the queue are doing. Only whether the answer is private is
looked up before, and no longer than a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

import aiohttp
import discord

from adapters.discord_chat.messages import Post, reply_post, text_post
from adapters.discord_chat.people import (
    PLATFORM,
    Interaction,
    is_among_us,
    lacking,
    say_of,
    source_of,
    user_of,
)
from adapters.discord_chat.window import ReplyTo
from bot import sentences
from bot.conversation import Reply, refusal
from bot.following import Following
from bot.service import Service
from bot.source import Source
from generation.errors import FluxbotError

logger = logging.getLogger(__name__)

#: Seconds for look-ups before the first answer; Discord waits three seconds in all.
SECONDS_TO_LOOK_UP = 1.0
#: Marks an interaction whose first answer may or may not have arrived.
PERHAPS_ANSWERED = "perhaps answered"
ALREADY_ANSWERED, TOO_LATE = 40060, 10062

Ask = Callable[[Source], Awaitable[Reply]]


class _Begun(NamedTuple):
    """Whether the person waits for the answer, and the id of its message if Discord told us."""

    is_awaited: bool
    message: int | None = None


class Answers:
    """Answers to interactions; *following* follows their jobs."""

    def __init__(self, service: Service, following: Following) -> None:
        self._service = service
        self._following = following

    async def draw(
        self,
        interaction: Interaction,
        ask: Ask,
        *,
        shown: str | None = None,
        is_private: bool | None = None,
    ) -> None:
        """Carry out *ask*, which asks for a job, and show the job in one message.

        Args:
            ask: Called with the source; the person alone is told of a refusal.
            shown: Id of the job under which the person asks.
            is_private: Whether only they may see it; None takes their own default.
        """
        source = source_of(interaction, shown)
        if is_private is None:
            is_private = await self._is_private(interaction)
        missing = [] if is_private else lacking(interaction)
        if missing:
            await self.refuse(interaction, sentences.cannot_post(missing, source.language))
            return
        begun = await self._defer(interaction, is_private)
        if not begun.is_awaited:
            return
        reply_to: ReplyTo = {
            "application": interaction.application_id,
            "token": interaction.token,
            "expires": interaction.expires_at.timestamp() - 30,
            "channel": interaction.channel_id,
            "message": begun.message,
            "person": interaction.user.id,
            "is_private": is_private,
            "is_member": is_among_us(interaction),
            "locale": interaction.locale.value,
            "max_bytes": interaction.filesize_limit,
        }
        event_id = f"{PLATFORM}:{interaction.id}"
        try:
            reply = await ask(replace(source, reply_to=dict(reply_to), event_id=event_id))
            job = reply.the_job()
        except Exception as error:
            if not is_private:
                # A message after a promise of an answer takes its place, and would be seen by
                # all: so the promise is kept, then taken back.
                with suppress(discord.NotFound):
                    await interaction.edit_original_response(content="…")
                    await interaction.delete_original_response()
            await self.report_error(interaction, error)
            return
        self._following.follow(job, is_new=True)

    async def show(
        self, interaction: Interaction, look_up: Callable[[], Awaitable[Post | Reply]]
    ) -> None:
        """Answer the person alone with the result of *look_up*, which may take its time."""
        if not (await self._defer(interaction, is_private=True)).is_awaited:
            return
        try:
            found = await look_up()
        except FluxbotError as error:
            found = refusal(error, say_of(interaction))
        post = reply_post(found) if isinstance(found, Reply) else found
        await interaction.edit_original_response(**post.for_edit())

    async def update(
        self, interaction: Interaction, look_up: Callable[[], Awaitable[Post]]
    ) -> None:
        """Change the message whose button was pressed."""
        await interaction.response.defer()
        try:
            post = await look_up()
        except FluxbotError as error:
            await self.refuse(interaction, error)
            return
        await interaction.edit_original_response(**post.for_edit())

    async def refuse(self, interaction: Interaction, error: FluxbotError) -> None:
        """Tell the person alone the reason of a refusal."""
        await self.tell(interaction, text_post(refusal(error, say_of(interaction)).text))

    async def report_error(self, interaction: Interaction, error: Exception) -> None:
        """Tell the person alone about *error*, which ended their request.

        For a fault of the bot's own the log has the details.
        """
        if interaction.client.is_closed():
            return  # it is on disk or it is not; nobody can be told any more
        if not isinstance(error, FluxbotError):
            logger.error("an interaction failed", exc_info=error)
            error = sentences.our_fault()
        with suppress(discord.HTTPException, aiohttp.ClientError, OSError):
            await self.refuse(interaction, error)

    async def tell(self, interaction: Interaction, post: Post) -> None:
        """Show *post* to the person alone, at once."""
        if interaction.response.is_done() or PERHAPS_ANSWERED in interaction.extras:
            try:
                await interaction.followup.send(**post.for_send(), ephemeral=True)
                return
            except discord.NotFound:
                if interaction.response.is_done():
                    raise
        await interaction.response.send_message(**post.for_send(), ephemeral=True)

    async def _is_private(self, interaction: Interaction) -> bool:
        if interaction.message is not None and interaction.message.flags.ephemeral:
            return True  # the answer to a private picture stays private
        try:
            async with asyncio.timeout(SECONDS_TO_LOOK_UP):
                own = await self._service.settings(user_of(interaction.user))
        except TimeoutError:
            return True  # a public answer can still be shown to all
        return bool(own.get("private", False))

    async def _defer(self, interaction: Interaction, is_private: bool) -> _Begun:
        """Promise Discord an answer."""
        try:
            response = await interaction.response.defer(thinking=True, ephemeral=is_private)
        except (aiohttp.ClientError, OSError) as error:
            # Carried out or not: the picture finds another way if need be.
            logger.warning("the answer to the first word was lost: %s", error)
            interaction.extras[PERHAPS_ANSWERED] = True
            return _Begun(True)
        except discord.HTTPException as error:
            if error.code == ALREADY_ANSWERED:
                logger.info("an event came twice: %s", interaction.id)
                return _Begun(False)
            if error.code == TOO_LATE:
                logger.warning("an event came too late to be answered: %s", interaction.id)
                return _Begun(False)
            if error.status >= 500:
                return _Begun(True)
            raise
        return _Begun(True, None if response is None else response.message_id)

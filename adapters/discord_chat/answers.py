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

import discord

from adapters.discord_chat.faults import (
    BLOCKED,
    EXPIRED,
    FAULTS,
    UNKNOWN_MESSAGE,
    patiently,
)
from adapters.discord_chat.first_answers import PERHAPS_ANSWERED, FirstAnswers, Unanswerable
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
from adapters.discord_chat.window import ReplyTo, end
from bot import sentences
from bot.conversation import Reply, refusal
from bot.following import Following
from bot.service import Service
from bot.source import Source
from generation.errors import FluxbotError

logger = logging.getLogger(__name__)

#: Seconds for look-ups before the first answer; Discord waits three seconds in all.
SECONDS_TO_LOOK_UP = 1.0
#: Seconds for which an interaction's token serves, less some for what is on its way.
SECONDS_OF_A_TOKEN = 15 * 60 - 30
#: Seconds by which our clock may differ from Discord's without harm.
TOLERABLE_SECONDS = 10.0

Ask = Callable[[Source], Awaitable[Reply]]


class Answers:
    """Answers to interactions.

    Args:
        following: Follows their jobs.
        first: Gives their first answers.
        now: Unix seconds.

    Attributes:
        now: Likewise.
    """

    def __init__(
        self,
        service: Service,
        following: Following,
        first: FirstAnswers,
        now: Callable[[], float],
    ) -> None:
        self._service = service
        self._following = following
        self._first = first
        self.now = now

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
            is_private = await self.is_private(interaction)
        missing = [] if is_private else lacking(interaction)
        if missing:
            await self.refuse(interaction, sentences.cannot_post(missing, source.language))
            return
        message = await self._promise(interaction, is_private)
        now = self.now()
        ahead = now - interaction.created_at.timestamp()
        reply_to: ReplyTo = {
            "application": interaction.application_id,
            "token": interaction.token,
            "expires": now + SECONDS_OF_A_TOKEN,
            "ahead": ahead if abs(ahead) > TOLERABLE_SECONDS else 0.0,
            "channel": interaction.channel_id,
            "message": message,
            "person": interaction.user.id,
            "is_private": is_private,
            "is_member": is_among_us(interaction),
            "locale": interaction.locale.value,
            "max_bytes": interaction.filesize_limit,
        }
        event_id = f"{PLATFORM}:{interaction.id}"
        try:
            reply = await ask(replace(source, reply_to=dict(reply_to), event_id=event_id))
            if reply.text and reply.error is None:
                await self._say_instead(interaction, reply, is_private)
                return
            if reply.job is not None and not reply.is_new:  # it is there already
                say, limit = source.language, interaction.filesize_limit
                await self.finish(
                    interaction, await end(self._service, reply.job, say, limit, reply.number)
                )
                return
            asked_for = reply.series or reply.the_job()
        except Exception as error:
            if not is_private:
                await self._take_back(interaction)
            await self.report_error(interaction, error)
            return
        self._following.follow(asked_for, is_new=True)

    async def _say_instead(self, interaction: Interaction, reply: Reply, is_private: bool) -> None:
        """Tell the person alone *reply*, which has words in the place of a picture."""
        post = reply_post(reply, say_of(interaction))
        if is_private:
            await self.finish(interaction, post)
            return
        await self._take_back(interaction)
        await self.tell(interaction, post)

    async def show(
        self, interaction: Interaction, look_up: Callable[[], Awaitable[Post | Reply]]
    ) -> None:
        """Answer the person alone with the result of *look_up*, which may take its time."""
        await self._promise(interaction, is_private=True)
        try:
            found = await look_up()
        except FluxbotError as error:
            found = refusal(error, say_of(interaction))
        post = reply_post(found, say_of(interaction)) if isinstance(found, Reply) else found
        await self.finish(interaction, post)

    async def update(
        self, interaction: Interaction, look_up: Callable[[], Awaitable[Post]]
    ) -> None:
        """Change the message whose button was pressed."""
        await self.acknowledge(interaction)
        try:
            post = await look_up()
        except FluxbotError as error:
            await self.refuse(interaction, error)
            return
        await self.finish(interaction, post)

    async def acknowledge(self, interaction: Interaction) -> None:
        """Tell Discord that a button was understood, which changes nothing yet."""
        await self._first.give(interaction, lambda: interaction.response.defer())

    async def open_form(self, interaction: Interaction, form: discord.ui.Modal) -> None:
        """Open *form* for the person."""
        # discord.py remembers those alone that it is sure of, and any may be open.
        seconds, form.timeout = form.timeout, None
        interaction.client.add_view(form)
        form.timeout = seconds
        try:
            await self._first.give(interaction, lambda: interaction.response.send_modal(form))
        except Exception:
            form.stop()
            raise

    async def promise(self, interaction: Interaction, *, is_private: bool) -> None:
        """Show that an answer is on its way, which `finish` brings."""
        await self._promise(interaction, is_private)

    async def finish(self, interaction: Interaction, post: Post) -> None:
        """Put *post* in the place of what was promised, or of the message with the button.

        Raises:
            Unanswerable: Discord knows of no promise, which was lost on its way.
        """
        try:
            await patiently(
                lambda: interaction.edit_original_response(**post.for_edit()), is_new=True
            )
        except discord.NotFound as error:
            if PERHAPS_ANSWERED in interaction.extras and error.code in EXPIRED:
                raise Unanswerable from error
            raise

    async def remove(
        self, interaction: Interaction, message: discord.Message | None = None
    ) -> None:
        """Remove the promise of an answer, which is *message*, or the message whose button was
        pressed."""
        message = message or interaction.message
        try:
            await delete_message(lambda: interaction.delete_original_response())
        except FAULTS:
            if message is None or not is_among_us(interaction):
                raise
            place = interaction.client.get_partial_messageable(message.channel.id)
            await delete_message(lambda: place.get_partial_message(message.id).delete())

    async def refuse(self, interaction: Interaction, error: FluxbotError) -> None:
        """Tell the person alone the reason of a refusal."""
        await self.tell(interaction, text_post(refusal(error, say_of(interaction)).text))

    async def report_error(self, interaction: Interaction, error: Exception) -> None:
        """Tell the person alone about *error*, which ended their request.

        For a fault of the bot's own the log has the details.
        """
        if interaction.client.is_closed():
            return  # it is on disk or it is not; nobody can be told any more
        if isinstance(error, Unanswerable):
            logger.info("event %s is not answered: %r", interaction.id, error.__cause__)
            return
        if isinstance(error, discord.HTTPException) and error.code in BLOCKED:
            error = sentences.filtered()
        if not isinstance(error, FluxbotError):
            logger.error("an interaction failed", exc_info=error)
            error = sentences.our_fault()
        post = text_post(refusal(error, say_of(interaction)).text)
        try:
            await self.tell(interaction, post)
        except Unanswerable:
            pass
        except FAULTS as fault:
            logger.warning("event %s is answered directly: %s", interaction.id, fault)
            with suppress(*FAULTS):
                await self._tell_directly(interaction, post)

    async def _tell_directly(self, interaction: Interaction, post: Post) -> None:
        """Show *post* to the person where Discord takes no answer from the bot."""
        nonce = f"flux-{interaction.id}"
        person = await patiently(lambda: interaction.client.create_dm(interaction.user))
        await patiently(lambda: person.send(**post.for_send(), nonce=nonce))

    async def tell(self, interaction: Interaction, post: Post) -> None:
        """Show *post* to the person alone, at once."""
        if interaction.response.is_done() or PERHAPS_ANSWERED in interaction.extras:
            try:
                await patiently(
                    lambda: interaction.followup.send(**post.for_send(), ephemeral=True),
                    is_new=interaction.response.is_done(),
                )
                return
            except discord.NotFound:
                if interaction.response.is_done():
                    raise
        await self._first.give(
            interaction,
            lambda: interaction.response.send_message(**post.for_send(), ephemeral=True),
        )

    async def _take_back(self, interaction: Interaction) -> None:
        """Take back the promise of an answer that all would see. The next message to the person
        would take its place otherwise, so the promise is kept before."""
        with suppress(*FAULTS):
            message = await patiently(
                lambda: interaction.edit_original_response(content="…"), is_new=True
            )
            await self.remove(interaction, message)

    async def is_private(self, interaction: Interaction, *, of_message: bool = True) -> bool:
        """Whether the person alone may see what they ask for: by their own default, and unless
        *of_message* is False, where they ask under a message that is for them alone."""
        is_theirs = interaction.message is not None and interaction.message.flags.ephemeral
        if of_message and is_theirs:
            return True  # the answer to a private picture stays private
        try:
            async with asyncio.timeout(SECONDS_TO_LOOK_UP):
                own = await self._service.own_settings.of(user_of(interaction.user))
        except TimeoutError:
            return True  # a public answer can still be shown to all
        return bool(own.get("private", False))

    async def _promise(self, interaction: Interaction, is_private: bool) -> int | None:
        """Promise an answer; returns the id of its message, if Discord tells it.

        Raises:
            Unanswerable: Nobody waits for the answer.
        """
        response = await self._first.give(
            interaction, lambda: interaction.response.defer(thinking=True, ephemeral=is_private)
        )
        if response is not None:
            return response.message_id
        # Carried out or not: the picture finds another way if need be.
        return await self._first.message(interaction)


async def delete_message(delete: Callable[[], Awaitable[None]]) -> None:
    """Delete a message, which an attempt before may have done."""

    async def once() -> None:
        try:
            await delete()
        except discord.NotFound as error:
            if error.code != UNKNOWN_MESSAGE:
                raise

    await patiently(once, is_new=True)

"""The best-of channel of a server on Discord: a picture, its maker and a thread below it."""

from __future__ import annotations

import asyncio
import logging

import discord

from adapters.discord_chat.faults import FAULTS, in_time
from adapters.discord_chat.messages import DONE, Post, code, shortened
from adapters.discord_chat.moderation import message_link
from bot import replies
from bot.languages import language_of
from bot.service import Service
from bot.showcase import Best, CannotBeShown

logger = logging.getLogger(__name__)

#: Longest name of a thread, in characters.
MAX_NAME = 100


class BestOf:
    """Shows pictures in best-of channels, and takes them down; see `bot.showcase`."""

    def __init__(self, client: discord.Client, service: Service) -> None:
        self._client = client
        self._service = service
        self._opening: set[asyncio.Task[None]] = set()

    async def show(self, best: Best) -> str:
        """The id of the message that shows *best*, with a thread below it where the bot may open
        one.

        Raises:
            CannotBeShown: The channel is gone or closed.
            discord.DiscordException: Discord cannot be reached, or fails.
        """
        post = await self._post(best)
        channel = self._client.get_partial_messageable(int(best.channel))
        try:
            message = await in_time(
                channel.send(
                    **post.for_send(),
                    # With which Discord sends it once, however often it is told.
                    nonce=f"best-{best.job.id}-{best.number}",
                )
            )
        except (discord.Forbidden, discord.NotFound) as error:
            raise CannotBeShown(str(error)) from error
        opening = asyncio.create_task(self._open_thread(best, message.channel.id, message.id))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)
        return str(message.id)

    async def _open_thread(self, best: Best, channel: int, message: int) -> None:
        name = shortened(replies.short(best.job), MAX_NAME)
        start = self._client.http.start_thread_with_message
        try:
            await in_time(start(channel, message, name=name, auto_archive_duration=1440))
        except (*FAULTS, RuntimeError) as error:  # or the bot leaves; people can reply all the same
            logger.info("no thread below the best picture %s: %s", best.job.id, error)

    async def take_down(self, channel: str, message: str) -> None:
        """Delete a message.

        Raises:
            CannotBeShown: The channel is closed.
            discord.DiscordException: Discord cannot be reached, or fails.
        """
        try:
            await in_time(self._client.http.delete_message(int(channel), int(message)))
        except discord.NotFound:
            return
        except discord.Forbidden as error:
            raise CannotBeShown(str(error)) from error

    async def _post(self, best: Best) -> Post:
        job = best.job
        to = job.reply_to or {}
        say = language_of(to.get("locale"))
        data, suffix = await asyncio.to_thread(
            self._service.provenance.fitted, best.path, int(to["max_bytes"])
        )
        maker = f"<@{job.user.partition(':')[2]}>"
        votes = say.counted(best.votes, "1 vote", "{count} votes")
        lines = [code(job.request.prompt), f"-# {maker} · {votes}"]
        if (link := message_link(to, job.origin.server)) is not None:
            lines.append(link)
        embed = discord.Embed(description="\n".join(lines), colour=DONE).set_footer(text=job.id)
        name = f"{job.id}-{best.number}{suffix}"
        alternatives = {name: replies.alternative(job, say)}
        return Post([embed], [(name, data)], alternatives=alternatives)

"""Reactions to the bot's messages, which Discord tells of without the messages.

An answer that is for one person alone goes to them directly, since only an interaction has answers
that others do not see; to people who take no direct messages nothing is said.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import discord

from adapters.discord_chat.answers import delete_message
from adapters.discord_chat.buttons import is_of_job, job_of
from adapters.discord_chat.doors import is_closed_to_reactions
from adapters.discord_chat.faults import FAULTS, patiently
from adapters.discord_chat.messages import Post, text_post
from adapters.discord_chat.people import PLATFORM, role_of, server_of, user_of
from bot import replies
from bot.conversation import Reply, converse
from bot.jobs import Job
from bot.languages import ENGLISH, Language, language_of
from bot.origins import NOWHERE, Origin
from bot.reactions import Mark, Reactions
from bot.refusals import NotFound
from bot.sections import Discord
from bot.service import Service
from bot.source import Source

logger = logging.getLogger(__name__)

#: Discord's names of reactions, without the mark that asks for a coloured picture.
MARKS = {"⭐": Mark.STAR, "🌟": Mark.STAR, "✉": Mark.LETTER, "📧": Mark.LETTER, "📩": Mark.LETTER}
MARKS |= {"❌": Mark.CROSS, "✖": Mark.CROSS}
COLOURED = "\ufe0f"
#: Files of one message, and the size of the largest in a direct message, in bytes.
MOST_FILES, MAX_BYTES = 10, 10 << 20


@dataclass(frozen=True, slots=True)
class _Shown:
    """The job that a message shows; *is_whole* unless it is one of its pictures alone."""

    job: Job
    is_whole: bool


class DiscordReactions:
    """Carries out the reactions of people. *now* returns unix seconds."""

    def __init__(
        self,
        service: Service,
        client: discord.Client,
        settings: Discord,
        now: Callable[[], float],
    ) -> None:
        self._service = service
        self._client = client
        self._settings = settings
        self._reactions = Reactions(service, now)

    async def hear(self, payload: discord.RawReactionActionEvent) -> None:
        """Carry out a reaction that was made or taken back, if it means something."""
        mark = MARKS.get((payload.emoji.name or "").removesuffix(COLOURED))
        is_added = payload.event_type == "REACTION_ADD"
        if mark is None or payload.emoji.id is not None or self._is_of_no_person(payload):
            return
        if not is_added and mark is not Mark.STAR:
            return
        own_id = getattr(self._client.user, "id", None)
        if is_added and payload.message_author_id not in (None, own_id):
            return
        user = user_of(discord.Object(payload.user_id))
        is_admin = self._service.admin.is_admin(user)
        if not is_admin and is_closed_to_reactions(payload, self._settings):
            return
        if not self._reactions.may_react(user):
            return
        shown = await self._shown(payload)
        if shown is None:
            return
        source = self._source(payload, shown.job)
        if mark is Mark.CROSS and not shown.is_whole:  # the message alone
            reply = Reply(kind="delete")
            if not self._reactions.is_theirs(source, shown.job):
                return
        else:
            command = self._reactions.command(source, mark, shown.job, is_added=is_added)
            if command is None:
                return
            reply = await converse(self._service, source, command)
        try:
            await self._answer(payload, source, reply)
        except FAULTS as error:
            logger.info("a reaction to %s is not answered: %r", shown.job.id, error)

    def _is_of_no_person(self, payload: discord.RawReactionActionEvent) -> bool:
        is_bot = payload.member is not None and payload.member.bot
        return is_bot or payload.user_id == getattr(self._client.user, "id", None)

    async def _shown(self, payload: discord.RawReactionActionEvent) -> _Shown | None:
        """What the message shows: by its address, or by its buttons, which the message of one
        picture of several has too. None where it is none of the bot's pictures."""
        channel, id = payload.channel_id, payload.message_id
        job = await self._service.lookups.of_message(PLATFORM, channel, id)
        if job is not None:
            return _Shown(job, is_whole=True)
        place = self._client.get_partial_messageable(channel)
        try:
            message = await patiently(lambda: place.get_partial_message(id).fetch())
        except FAULTS as error:  # such as where the bot may not read what was written
            logger.debug("the message of a reaction is not read: %r", error)
            return None
        job_id = job_of(message) if message.author == self._client.user else None
        if job_id is None:
            return None
        # The message was shown to the person, whoever asked for its picture.
        source = Source(user_of(discord.Object(payload.user_id)), shown=job_id)
        try:
            job = await self._service.lookups.job(source, job_id)
        except NotFound:
            return None
        return _Shown(job, is_whole=is_of_job(message))

    def _source(self, payload: discord.RawReactionActionEvent, job: Job) -> Source:
        user, guild = user_of(discord.Object(payload.user_id)), payload.guild_id
        origin = NOWHERE
        if guild is not None:
            roles = payload.member.roles if payload.member is not None else []
            origin = Origin(
                server_of(guild), (str(payload.channel_id),), tuple(role_of(r.id) for r in roles)
            )
        return Source(user, origin, language=self._language(payload, user, job), shown=job.id)

    def _language(self, payload: discord.RawReactionActionEvent, user: str, job: Job) -> Language:
        """The language in which *user* has asked for *job*, else that of the server: with a
        reaction Discord does not tell the person's own."""
        if job.user == user and job.reply_to:
            return language_of(job.reply_to.get("locale"))
        guild = self._client.get_guild(payload.guild_id) if payload.guild_id else None
        return ENGLISH if guild is None else language_of(guild.preferred_locale.value)

    async def _answer(
        self, payload: discord.RawReactionActionEvent, source: Source, reply: Reply
    ) -> None:
        place = self._client.get_partial_messageable(payload.channel_id)
        if reply.kind == "delete" and reply.error is None:
            await delete_message(lambda: place.get_partial_message(payload.message_id).delete())
        elif reply.kind == "send" and reply.job is not None:
            await self._send(payload.user_id, await self._letter(source, reply))
        elif reply.error is not None and reply.kind in ("send", "favourite"):
            await self._send(payload.user_id, [text_post(reply.text)])

    async def _letter(self, source: Source, reply: Reply) -> list[Post]:
        """Seed and settings, and the files of all pictures that are there."""
        assert reply.job is not None
        job, files = reply.job, []
        for number in job.available:
            try:
                path = await self._service.lookups.picture(source, job.id, number)
                data, suffix = await asyncio.to_thread(
                    self._service.provenance.fitted, path, MAX_BYTES
                )
            except (NotFound, OSError):  # deleted at this moment
                continue
            files.append((f"{job.id}_{number}{suffix}", data))
        words = dict.fromkeys(
            (name for name, _ in files), replies.alternative(job, source.language)
        )
        first = text_post(reply.text)
        room = MOST_FILES - len(first.files)
        parts = [files[:room], *(files[at : at + 1] for at in range(room, len(files)))]
        return [
            Post(
                first.embeds if not index else (),
                [*(first.files if not index else ()), *part],
                alternatives=words,
            )
            for index, part in enumerate(parts)
        ]

    async def _send(self, person: int, posts: list[Post]) -> None:
        direct = await patiently(lambda: self._client.create_dm(discord.Object(person)))
        for post in posts:
            nonce = secrets.token_hex(12)
            await patiently(partial(_sent, direct, post, nonce))


async def _sent(direct: discord.DMChannel, post: Post, nonce: str) -> None:
    await direct.send(**post.for_send(), nonce=nonce)

"""The message of a job on Discord, and the other ways to the person who asked for it.

In the order in which `bot.following` tries them:

1. by the interaction's token, which edits the message for 15 minutes;
2. by the bot's own right to edit its message, where it is a member;
3. by a new message in the channel that mentions the person, with a nonce, so that Discord
   drops the second of two;
4. by direct message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypedDict, cast

import aiohttp
import discord

from adapters.discord_chat.messages import Post, ended_post, note_post, progress_post
from bot import reasons
from bot.jobs import Job, JobStatus, Progress
from bot.languages import Language
from bot.reasons import LeftBehind, Reason
from bot.refusals import NotFound
from bot.service import Service
from bot.source import Source
from bot.windows import Attempt, Fault, Meaning, Way

#: Edits of all messages together that Discord is asked for in a second; it allows 50 requests.
EDITS_PER_SECOND = 15
TOO_LARGE = 40005
#: AutoMod, and its word for a title.
BLOCKED = (200000, 200001)
#: Discord's words for an interaction whose token serves no more.
EXPIRED = (10015, 10062, 50027)


class ReplyTo(TypedDict):
    """Where the answer to a job goes; kept as JSON in its row.

    Attributes:
        application, token, expires: The interaction's application and token, and the time (unix
            seconds) at which the token expires.
        channel: Id of the interaction's channel.
        message: Id of the message to edit; None until it is known.
        person: Id of the person who asked.
        is_private: Whether only that person may see the message.
        is_member: Whether the bot may write in the channel by itself.
        locale: The person's language.
        max_bytes: Size of the largest file that may be attached there.
    """

    application: int
    token: str
    expires: float
    channel: int | None
    message: int | None
    person: int
    is_private: bool
    is_member: bool
    locale: str
    max_bytes: int


class EditPace:
    """Turns for edits that show progress, so few that pictures never wait for requests.

    Attributes:
        seconds_between_edits: Seconds between two edits of one message, at least.
    """

    def __init__(self, seconds_between_edits: float) -> None:
        self.seconds_between_edits = seconds_between_edits
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for the next turn among all messages."""
        now = asyncio.get_running_loop().time()
        mine = max(now, self._next)
        self._next = mine + 1 / EDITS_PER_SECOND
        await asyncio.sleep(mine - now)


class DiscordWindow:
    """The message of *job* on Discord. *now* returns unix seconds."""

    def __init__(
        self,
        service: Service,
        client: discord.Client,
        pace: EditPace,
        now: Callable[[], float],
        job: Job,
        say: Language,
    ) -> None:
        self._service = service
        self._client = client
        self._pace = pace
        self._now = now
        self._job = job
        self._say = say
        self._to = cast(ReplyTo, job.reply_to)
        self._is_refused = False  # the token, by Discord
        self._edited_at = float("-inf")

    async def open(self, attempt: Attempt) -> None:
        """Nothing to do: Discord shows a message as soon as the interaction is answered."""

    async def ready(self) -> None:
        since = asyncio.get_running_loop().time() - self._edited_at
        await asyncio.sleep(max(0.0, self._pace.seconds_between_edits - since))
        await self._pace.turn()

    async def show(self, progress: Progress, why_not: str) -> None:
        post = progress_post(self._job, progress, self._say, self._now(), why_not)
        try:
            for edit in self._edits():
                await edit(post)
                return
        finally:
            self._edited_at = asyncio.get_running_loop().time()

    def ways(self) -> Iterator[Way]:
        for edit in self._edits():
            yield Way(self._finishing(edit))
        to = self._to
        if to["is_member"] and not to["is_private"] and to["channel"] is not None:
            send = self._by_message(to["channel"])
            yield Way(self._finishing(send), is_new=True, left_behind=LeftBehind.IN_CHANNEL)
        yield Way(
            self._finishing(self._by_direct_message),
            is_new=True,
            left_behind=LeftBehind.DIRECTLY,
        )

    async def note(self, sentence: str) -> None:
        post = note_post(self._job, sentence)
        # Also by a token that has expired by our clock, which may be wrong.
        for edit in (self._by_token, *self._edits_by_right()):
            try:
                await edit(post)
                return
            except discord.HTTPException as error:
                if judged(error) is not Meaning.CLOSED:
                    raise

    def judge(self, error: Exception) -> Fault | None:
        if not isinstance(error, (discord.HTTPException, aiohttp.ClientError, OSError)):
            return None
        meaning = judged(error)
        return Fault(meaning, self._say(Reason.FILTERED) if meaning is Meaning.REFUSED else "")

    def _finishing(
        self, send: Callable[[Post], Awaitable[None]]
    ) -> Callable[[Attempt], Awaitable[None]]:
        async def finish(attempt: Attempt) -> None:
            max_bytes, shrunk = self._to["max_bytes"], attempt.shrunk
            await send(await end(self._service, self._job, self._say, max_bytes, shrunk=shrunk))

        return finish

    # Sending a post

    def _edits(self) -> Iterator[Callable[[Post], Awaitable[None]]]:
        """Ways to edit the message, best first."""
        if not self._is_refused and self._now() < self._to["expires"]:
            yield self._by_token
        yield from self._edits_by_right()

    def _edits_by_right(self) -> Iterator[Callable[[Post], Awaitable[None]]]:
        to = self._to
        if to["is_member"] and not to["is_private"] and to["channel"] and to["message"]:
            yield self._by_right(to["channel"], to["message"])

    async def _by_token(self, post: Post) -> None:
        to = self._to
        webhook = discord.Webhook.partial(to["application"], to["token"], client=self._client)
        # Discord takes the word for the first answer, whose id may have been lost on the way.
        message: Any = to["message"] or "@original"
        try:
            await webhook.edit_message(message, **post.for_edit())
        except discord.HTTPException as error:
            self._is_refused = self._is_refused or error.code in EXPIRED
            raise

    def _by_right(self, channel: int, message: int) -> Callable[[Post], Awaitable[None]]:
        async def edit(post: Post) -> None:
            place = self._client.get_partial_messageable(channel)
            await place.get_partial_message(message).edit(**post.for_edit())

        return edit

    def _by_message(self, channel: int) -> Callable[[Post], Awaitable[None]]:
        person = self._to["person"]

        async def send(post: Post) -> None:
            await self._client.get_partial_messageable(channel).send(
                **{**post.for_send(), "content": f"<@{person}>"},
                nonce=f"flux-{self._job.id}",
                allowed_mentions=discord.AllowedMentions(
                    everyone=False, roles=False, users=[discord.Object(person)]
                ),
            )

        return send

    async def _by_direct_message(self, post: Post) -> None:
        person = await self._client.create_dm(discord.Object(self._to["person"]))
        await person.send(**post.for_send(), nonce=f"flux-dm-{self._job.id}")


def judged(error: Exception) -> Meaning:
    """The meaning of a fault of Discord's, or of the line to it.

    Edits can be repeated, and nonces keep new messages from being posted twice, so that a lost
    answer is no other matter than a busy server.
    """
    if not isinstance(error, discord.HTTPException):
        return Meaning.UNKNOWN
    if error.status >= 500:
        return Meaning.UNKNOWN
    if error.status == 429:
        return Meaning.PASSES
    if error.code == TOO_LARGE or error.status == 413:
        return Meaning.TOO_LARGE
    if error.code in BLOCKED:
        return Meaning.REFUSED
    if error.status == 401 and error.code == 0:  # not the interaction's token, but our own
        return Meaning.GONE
    return Meaning.CLOSED


async def end(
    service: Service,
    job: Job,
    say: Language,
    max_bytes: int,
    number: int | None = None,
    *,
    shrunk: int = 0,
) -> Post:
    """The look of *job*, which has ended, with picture *number* (from 1) or all of them.

    Args:
        max_bytes: Size of the largest file that may be attached there.
        shrunk: Times that Discord has found the file too large all the same.
    """
    picture, note = None, ""
    if job.status is JobStatus.SUCCEEDED:
        try:
            if number is None:
                path = await service.picture_file(Source(job.user), job.id, "grid")
            else:
                path = await service.picture(Source(job.user), job.id, number)
            if shrunk:
                max_bytes = int(min(max_bytes, path.stat().st_size) * 0.75**shrunk)
            data, suffix = await asyncio.to_thread(service.provenance.fitted, path, max_bytes)
        except (NotFound, FileNotFoundError):
            pass
        else:
            picture = f"{job.id}-{number or 0}{suffix}", data
            if suffix != path.suffix:
                note = reasons.smaller(say)
    can_upscale = service.can_enlarge(job)
    return ended_post(job, say, picture, can_upscale=can_upscale, note=note, number=number)

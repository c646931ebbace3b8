"""Follows a job in its message, and gets the picture to whoever asked for it.

Jobs of the process before this one are followed by the same code as new ones: all that
it needs stands in the job's ``reply_to``.

The ways to a person, tried in this order:

1. by the interaction's token, which edits the message for 15 minutes;
2. by the bot's own right to edit its message, where it is a member;
3. by a new message in the channel that mentions the person, with a nonce, so that Discord
   drops the second of two;
4. by direct message.

A way that is closed leads to the next one. A fault that will pass (Discord is down, the
line broke, too many requests) leads to the same one again, a little later. Where all are
closed, the credits go back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict

import aiohttp
import discord

from adapters.discord_chat.messages import Post, ended_post, progress_post
from adapters.discord_chat.people import PLATFORM
from bot.gallery import fitted
from bot.jobs import Job, JobStatus
from bot.languages import language_of
from bot.refusals import NotFound, StorageTrouble
from bot.service import Service

logger = logging.getLogger(__name__)

#: Edits of all messages together that Discord is asked for in a second; it allows 50 requests.
EDITS_PER_SECOND = 15
FIRST_RETRY, LONGEST_RETRY = 1.0, 60.0
#: How long leaving may take for the sake of a last word.
SECONDS_TO_LEAVE = 3.0
TOO_LARGE = 40005
#: AutoMod, and its word for a title.
BLOCKED = (200000, 200001)

Verdict = Literal["again", "next", "smaller", "blocked", "revoked"]


class ReplyTo(TypedDict):
    """Where the answer to a job goes; kept as JSON in its row.

    Attributes:
        application, token, expires: The interaction's, and when (unix seconds) it is of no
            more use.
        channel: Where it came from.
        message: The message that is edited; None until it is known.
        person: Id of whoever asked.
        is_private: Whether only they may see it.
        is_member: Whether the bot may write there by itself.
        locale: Their language.
        max_bytes: Largest file that may be attached there.
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


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to a person: whether it is open, and how to send a post on it."""

    is_open: bool
    send: Callable[[Post], Awaitable[Any]]


class Deliveries:
    """The jobs that are being followed.

    Args:
        now: Unix seconds.
        seconds_between_edits: How often at most one message is edited.
        on_revoked: Called when Discord no longer knows the bot's token.
    """

    def __init__(
        self,
        service: Service,
        client: discord.Client,
        *,
        now: Callable[[], float],
        seconds_between_edits: float,
        on_revoked: Callable[[], None],
    ) -> None:
        self._service = service
        self._client = client
        self._now = now
        self._seconds_between_edits = seconds_between_edits
        self._on_revoked = on_revoked
        self._following: dict[str, tuple[Job, asyncio.Task[None]]] = {}
        self._is_closed = False

    def follow(self, job: Job) -> None:
        """Keep the message of *job* up to date, and deliver its end. Twice is once.

        After `close` this is left to the next start, since the job is on disk.
        """
        if job.id not in self._following and not self._is_closed:
            task = asyncio.create_task(self._follow(job), name=f"discord follows {job.id}")
            self._following[job.id] = job, task

    async def follow_all(self) -> None:
        """Take up the jobs whose people still wait for an answer."""
        for job in await self._service.undelivered(PLATFORM):
            self.follow(job)

    async def close(self, *, is_silent: bool = False) -> None:
        """Leave the jobs alone; the next start takes them up. Unless *is_silent*, people are
        told that the bot restarts."""
        self._is_closed = True
        following = list(self._following.values())
        for _, task in following:
            task.cancel()
        await asyncio.gather(*(task for _, task in following), return_exceptions=True)
        if is_silent:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(SECONDS_TO_LEAVE):
                await asyncio.gather(*(self._say_goodbye(job) for job, _ in following))

    async def _say_goodbye(self, job: Job) -> None:
        to: ReplyTo = job.reply_to  # type: ignore[assignment]
        if not job.status.is_final:
            say = language_of(to["locale"])
            note = say("The bot restarts; your picture comes afterwards")
            progress = replace(job.progress, note=note, preview=None)
            await self._edit(job, to, progress_post(job, progress, say, self._now()))

    async def _follow(self, job: Job) -> None:
        assert job.reply_to is not None
        to: ReplyTo = job.reply_to  # type: ignore[assignment]
        try:
            await self._show_progress(job, to)
            await self._deliver(job, to)
        except Exception:
            logger.exception("the answer to job %s is still owed", job.id)
        finally:
            del self._following[job.id]

    async def _show_progress(self, job: Job, to: ReplyTo) -> None:
        """Edit the message while the job goes on, as often as Discord likes and no oftener."""
        say = language_of(to["locale"])
        async for progress in job.watch():
            if progress.status.is_final:
                return
            state = self._service.state
            why_not = state.message if state.status not in ("ready", "draining") else ""
            await self._edit(job, to, progress_post(job, progress, say, self._now(), why_not))
            # Whatever comes meanwhile is dropped, except the end.
            pause = max(self._seconds_between_edits, len(self._following) / EDITS_PER_SECOND)
            with suppress(TimeoutError):
                await asyncio.wait_for(job.finished(), pause)

    async def _edit(self, job: Job, to: ReplyTo, post: Post) -> None:
        """Change the message if that can be done; progress that cannot be shown is dropped."""
        way = next((way for way in self._ways_to_edit(to) if way.is_open), None)
        if way is None:
            return
        try:
            await way.send(post)
        except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
            logger.debug("progress of job %s is not shown: %s", job.id, error)

    async def _deliver(self, job: Job, to: ReplyTo) -> None:
        for way in self._ways(job, to):
            verdict = await self._send(job, to, way) if way.is_open else "next"
            if verdict == "sent":
                await self._mark_delivered(job)
                return
            if verdict == "revoked":
                self._on_revoked()
                return
            if verdict == "blocked":
                await self._service.undeliverable(
                    job, "a filter of the server did not let the message through"
                )
                return
        if _is_known(job):
            await self._service.delivered(job)
            return
        logger.warning("nobody can be given the picture of job %s", job.id)
        await self._service.undeliverable(
            job, "the picture could be posted nowhere; `/flux show` still shows it"
        )

    async def _mark_delivered(self, job: Job) -> None:
        """Write that *job* is delivered, however long that takes: what is sent is not to be sent
        again, and Discord forgets nonces."""
        while True:
            try:
                await self._service.delivered(job)
                return
            except StorageTrouble as error:
                logger.warning("job %s is delivered, which cannot be written: %s", job.id, error)
                await asyncio.sleep(FIRST_RETRY)

    async def _send(self, job: Job, to: ReplyTo, way: _Way) -> Literal["sent"] | Verdict:
        """Send the end of *job* on *way*, however long that takes until Discord is back."""
        pause, max_bytes, refused = FIRST_RETRY, to["max_bytes"], None
        while True:
            try:
                post = await self.end(job, to["locale"], max_bytes)
                await way.send(post)
            except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
                verdict = judged(error)
                logger.log(
                    logging.INFO if verdict == "next" else logging.WARNING,
                    "the answer to job %s: %s",
                    job.id,
                    error,
                )
                size = len(post.files[0][1]) if verdict == "smaller" and post.files else None
                if size is not None and (refused is None or size < refused):
                    refused, max_bytes = size, size * 3 // 4
                elif verdict == "again":
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_RETRY)
                else:
                    return "next" if verdict == "smaller" else verdict
            else:
                return "sent"

    async def end(self, job: Job, locale: str, max_bytes: int, number: int | None = None) -> Post:
        """How *job*, which has ended, looks; with picture *number* (from 1) or all of them."""
        say = language_of(locale)
        picture, note = None, ""
        if job.status is JobStatus.SUCCEEDED:
            try:
                if number is None:
                    path = await self._service.picture_file(job.user, job.id, "grid")
                else:
                    path = await self._service.picture(job.user, job.id, number)
                data, suffix = await asyncio.to_thread(fitted, path, max_bytes)
            except (NotFound, FileNotFoundError):
                pass
            else:
                picture = f"{job.id}-{number or 0}{suffix}", data
                if suffix != path.suffix:
                    note = say(
                        "Smaller than the original, which is too large a file for here and stays"
                        " in the gallery."
                    )
        return ended_post(
            job,
            say,
            picture,
            can_upscale=self._service.can_enlarge(job),
            note=note,
            number=number,
        )

    def _ways(self, job: Job, to: ReplyTo) -> Sequence[_Way]:
        if _is_known(job):
            return self._ways_to_edit(to)
        return (
            *self._ways_to_edit(to),
            self._by_message(job, to),
            self._by_direct_message(job, to),
        )

    def _ways_to_edit(self, to: ReplyTo) -> tuple[_Way, _Way]:
        async def by_token(post: Post) -> None:
            webhook = discord.Webhook.partial(to["application"], to["token"], client=self._client)
            # Discord takes the word for the first answer, whose id may have been lost on the way.
            message: Any = to["message"] or "@original"
            await webhook.edit_message(message, **post.for_edit())

        async def by_right(post: Post) -> None:
            assert to["channel"] is not None
            assert to["message"] is not None
            channel = self._client.get_partial_messageable(to["channel"])
            await channel.get_partial_message(to["message"]).edit(**post.for_edit())

        is_ours = to["is_member"] and not to["is_private"]
        return (
            _Way(self._now() < to["expires"], by_token),
            _Way(is_ours and None not in (to["channel"], to["message"]), by_right),
        )

    def _by_message(self, job: Job, to: ReplyTo) -> _Way:
        async def send(post: Post) -> None:
            assert to["channel"] is not None
            channel = self._client.get_partial_messageable(to["channel"])
            await channel.send(
                **{**post.for_send(), "content": f"<@{to['person']}>"},
                nonce=f"flux-{job.id}",
                allowed_mentions=discord.AllowedMentions(
                    everyone=False, roles=False, users=[discord.Object(to["person"])]
                ),
            )

        is_open = to["is_member"] and not to["is_private"] and to["channel"] is not None
        return _Way(is_open, send)

    def _by_direct_message(self, job: Job, to: ReplyTo) -> _Way:
        async def send(post: Post) -> None:
            person = await self._client.create_dm(discord.Object(to["person"]))
            await person.send(**post.for_send(), nonce=f"flux-dm-{job.id}")

        return _Way(True, send)


def _is_known(job: Job) -> bool:
    """Whether the person knows how *job* ended: they cancelled it themselves."""
    return job.status is JobStatus.CANCELLED and job.error is None


def judged(error: Exception) -> Verdict:
    """What a fault means for the way on which it came."""
    if not isinstance(error, discord.HTTPException):
        return "again"
    if error.status >= 500 or error.status == 429:
        return "again"
    if error.code == TOO_LARGE or error.status == 413:
        return "smaller"
    if error.code in BLOCKED:
        return "blocked"
    if error.status == 401 and error.code == 0:  # not the interaction's token, but our own
        return "revoked"
    return "next"

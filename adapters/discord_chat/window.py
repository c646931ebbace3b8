"""The message of a job on Discord, and the other ways to the person who asked for it.

In the order in which `bot.following` tries them:

1. by the interaction's token, which edits the message for 15 minutes by Discord's clock; ours may
   be wrong, so that Discord alone knows the end of them;
2. by the bot's own right to edit its message, where it is a member;
3. by a new message in the channel that mentions the person, with a nonce, so that Discord
   drops the second of two;
4. by direct message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any, NotRequired, TypedDict, cast

import discord

from adapters.discord_chat.faults import (
    EXPIRED,
    FAULTS,
    UNKNOWN_MESSAGE,
    NotYet,
    fault_of,
    in_time,
    judged,
)
from adapters.discord_chat.messages import Post, ended_post, note_post, progress_post
from adapters.discord_chat.series import SeriesLook
from bot import reasons
from bot.jobs import Job, JobStatus, Progress
from bot.languages import Language
from bot.reasons import LeftBehind
from bot.refusals import NotFound, StorageTrouble
from bot.series import Series, Shown
from bot.service import Service
from bot.source import Source
from bot.windows import Attempt, Fault, Meaning, Way

#: Edits of all messages together that Discord is asked for in a second; it allows 50 requests.
EDITS_PER_SECOND = 15
#: Seconds for which an interaction's token can serve at most.
MOST_SECONDS_OF_A_TOKEN = 15 * 60.0
#: Attempts at a last word before a message that takes none is deleted, and the person told on the
#: next way.
MOST_NOTES = 4


class ReplyTo(TypedDict):
    """Where the answer to a job goes; kept as JSON in its row.

    Attributes:
        application, token, expires: The interaction's application and token, and the time (unix
            seconds, by our own clock) at which the token expires.
        ahead: Seconds by which our clock was ahead of Discord's; absent in old rows.
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
    ahead: NotRequired[float]
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
        job: Shown,
        say: Language,
    ) -> None:
        self._service = service
        self._client = client
        self._pace = pace
        self._now = now
        self._job = job
        self._say = say
        self._series = SeriesLook(service, job, say) if isinstance(job, Series) else None
        self._to = cast(ReplyTo, job.reply_to)
        # The clock may leap, and the bot's may be wrong: from here on a monotonic one counts.
        left = min(max(self._to["expires"] - now(), 0.0), MOST_SECONDS_OF_A_TOKEN)
        self._expires = asyncio.get_running_loop().time() + left
        self._is_refused = False  # the token, by Discord
        self._has_edited = False
        self._has_answered = False
        self._notes = 0
        self._edited_at = float("-inf")

    async def open(self, attempt: Attempt) -> None:
        """Nothing to do: Discord shows a message as soon as the interaction is answered."""

    async def ready(self) -> None:
        since = asyncio.get_running_loop().time() - self._edited_at
        await asyncio.sleep(max(0.0, self._pace.seconds_between_edits - since))
        await self._pace.turn()

    async def show(self, progress: Progress, why_not: str) -> None:
        now = self._now() - self._to.get("ahead", 0.0)
        if self._series is not None:
            post = await self._series.progress(why_not)
        else:
            job = self._job.parts[0]
            sheet = await self._service.lookups.sheet(job, progress)
            post = progress_post(job, progress, self._say, now, why_not, sheet)
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

    async def call(self, sentence: str, *, is_direct: bool) -> None:
        to, message = self._to, self._place()
        if is_direct:
            person = await in_time(self._client.create_dm(discord.Object(to["person"])))
            await in_time(
                person.send(_with_link(sentence, self._job, to), nonce=f"flux-call-{self._job.id}")
            )
        elif message is not None:
            # A reply to the bot's own message; the person is named in it, and nobody else.
            await in_time(
                message.reply(
                    f"<@{to['person']}> {sentence}",
                    nonce=f"flux-call-{self._job.id}",
                    allowed_mentions=discord.AllowedMentions(
                        everyone=False,
                        roles=False,
                        users=[discord.Object(to["person"])],
                        replied_user=False,
                    ),
                )
            )

    async def note(self, sentence: str) -> None:
        self._notes += 1
        post = note_post(self._job.parts[0], sentence)
        passing = await self._last_word(post)
        # Who has cancelled it themselves knows.
        is_known = self._job.status is JobStatus.CANCELLED and self._job.error is None
        is_untold = not self._has_answered and not is_known
        if is_untold and (passing is None or self._has_insisted()):
            await self._tell(post)
        if passing is not None:
            raise passing

    def judge(self, error: Exception) -> Fault | None:
        return fault_of(error, self._say)

    def _finishing(
        self, send: Callable[[Post], Awaitable[None]]
    ) -> Callable[[Attempt], Awaitable[None]]:
        async def finish(attempt: Attempt) -> None:
            max_bytes, shrunk = self._to["max_bytes"], attempt.shrunk
            if self._series is not None:
                post = await self._series.end(max_bytes, shrunk)
            else:
                job = self._job.parts[0]
                post = await end(self._service, job, self._say, max_bytes, shrunk=shrunk)
            await send(post)
            self._has_answered = True

        return finish

    # The last word

    async def _last_word(self, post: Post) -> Exception | None:
        """Put *post* in the place of the message, or delete that where it takes no edit: it must
        not look as if the job were on its way. Returns the fault because of which neither worked,
        but may a little later."""
        passing: Exception | None = None
        # Also by a token that has expired by our clock, which may be wrong.
        for edit in (self._by_token, *self._edits_by_right()):
            try:
                await edit(post)
            except (*FAULTS, NotYet) as error:
                if _is_gone(error):
                    return None
                if judged(error) is not Meaning.CLOSED:
                    passing = error
            else:
                self._has_answered = True
                return None
        if passing is None or self._has_insisted():
            for delete in self._deletions():
                try:
                    await in_time(delete())
                except FAULTS as error:
                    if _is_gone(error):
                        return None
                    if judged(error) is not Meaning.CLOSED:
                        passing = error
                else:
                    return None
        return passing

    def _has_insisted(self) -> bool:
        """Whether the last word was tried so often that the next way has its turn."""
        return self._notes > MOST_NOTES

    async def _tell(self, post: Post) -> None:
        """Tell the person alone what their message cannot say."""
        passing: Exception | None = None
        for send in (self._by_follow_up, self._by_direct_message):
            try:
                await send(post)
            except FAULTS as error:
                if judged(error) is Meaning.CLOSED:
                    continue
                if not self._has_insisted():
                    raise
                passing = error
            else:
                self._has_answered = True
                return
        if passing is not None:
            raise passing

    async def _by_follow_up(self, post: Post) -> None:
        await in_time(self._webhook().send(**post.for_send(), ephemeral=True, wait=True))

    def _deletions(self) -> Iterator[Callable[[], Awaitable[None]]]:
        to = self._to
        message: Any = to["message"] or "@original"
        yield lambda: self._webhook().delete_message(message)
        place = self._place()
        if place is not None:
            yield lambda: place.delete()

    # Sending a post

    def _edits(self) -> Iterator[Callable[[Post], Awaitable[None]]]:
        """Ways to edit the message, best first."""
        by_right = list(self._edits_by_right())
        is_in_time = asyncio.get_running_loop().time() < self._expires
        if not self._is_refused and (is_in_time or not by_right):
            yield self._by_token
        yield from by_right

    def _edits_by_right(self) -> Iterator[Callable[[Post], Awaitable[None]]]:
        if (place := self._place()) is not None:
            yield self._by_right(place)

    def _place(self) -> discord.PartialMessage | None:
        """The message as the bot's own; None where it has no right to it."""
        to = self._to
        if not to["is_member"] or to["is_private"] or not to["channel"] or not to["message"]:
            return None
        channel = self._client.get_partial_messageable(to["channel"])
        return channel.get_partial_message(to["message"])

    def _webhook(self) -> discord.Webhook:
        to = self._to
        webhook = discord.Webhook.partial(to["application"], to["token"], client=self._client)
        webhook.type = discord.WebhookType.application  # which alone may send to one person
        return webhook

    async def _by_token(self, post: Post) -> None:
        # Discord takes the word for the first answer, whose id may have been lost on the way.
        message: Any = self._to["message"] or "@original"
        try:
            edited = await in_time(self._webhook().edit_message(message, **post.for_edit()))
        except discord.HTTPException as error:
            is_over = asyncio.get_running_loop().time() >= self._expires
            if error.status == 404 and not is_over and not self._is_deleted(error):
                # A place of Discord's may not have heard of the interaction yet.
                raise NotYet(str(error)) from error
            self._is_refused = self._is_refused or error.code in EXPIRED
            raise
        self._has_edited = True
        if self._to["message"] is None:
            await self._learn(edited.id)

    async def _learn(self, message: int) -> None:
        """Keep the id of the message, by which it can be edited once the token has ended."""
        self._to = {**self._to, "message": message}
        with suppress(StorageTrouble):
            await self._service.answers.redirect(self._job, dict(self._to))

    def _is_deleted(self, error: discord.HTTPException) -> bool:
        """Whether a message that was there is there no longer."""
        return self._has_edited and error.code == UNKNOWN_MESSAGE

    def _by_right(self, message: discord.PartialMessage) -> Callable[[Post], Awaitable[None]]:
        async def edit(post: Post) -> None:
            await in_time(message.edit(**post.for_edit()))

        return edit

    def _by_message(self, channel: int) -> Callable[[Post], Awaitable[None]]:
        person = self._to["person"]

        async def send(post: Post) -> None:
            await in_time(
                self._client.get_partial_messageable(channel).send(
                    **{**post.for_send(), "content": f"<@{person}>"},
                    nonce=f"flux-{self._job.id}",
                    allowed_mentions=discord.AllowedMentions(
                        everyone=False, roles=False, users=[discord.Object(person)]
                    ),
                )
            )

        return send

    async def _by_direct_message(self, post: Post) -> None:
        person = await in_time(self._client.create_dm(discord.Object(self._to["person"])))
        await in_time(person.send(**post.for_send(), nonce=f"flux-dm-{self._job.id}"))


def _with_link(sentence: str, job: Shown, to: ReplyTo) -> str:
    """*sentence*, with the address of the message where it has one that the person can open."""
    if to["is_private"] or not to["channel"] or not to["message"]:
        return sentence
    guild = (job.origin.server or "").rpartition(":")[2] or "@me"
    return f"{sentence} https://discord.com/channels/{guild}/{to['channel']}/{to['message']}"


def _is_gone(error: Exception) -> bool:
    """Whether the message is there no longer."""
    return isinstance(error, discord.NotFound) and error.code == UNKNOWN_MESSAGE


async def end(
    service: Service,
    job: Job,
    say: Language,
    max_bytes: int,
    number: int | None = None,
    *,
    shrunk: int = 0,
) -> Post:
    """The look of *job*, which has ended, with all of its pictures; or of picture *number* (from
    1), once it is there.

    Args:
        max_bytes: Size of the largest file that may be attached there.
        shrunk: Times that Discord has found the file too large all the same.
    """
    picture, note = None, ""
    if job.available or job.status is JobStatus.SUCCEEDED:
        try:
            if number is None:
                path = await service.lookups.picture_file(Source(job.user), job.id, "grid")
            else:
                path = await service.lookups.picture(Source(job.user), job.id, number)
            if shrunk:
                max_bytes = int(min(max_bytes, path.stat().st_size) * 0.75**shrunk)
            data, suffix = await asyncio.to_thread(service.provenance.fitted, path, max_bytes)
        except (NotFound, FileNotFoundError):
            pass
        else:
            picture = f"{job.id}-{number or 0}{suffix}", data
            if suffix != path.suffix:
                note = reasons.smaller(say)
    return ended_post(
        job,
        say,
        picture,
        can_upscale=service.can_enlarge(job),
        can_change=service.offered.editing() is not None,
        can_mask=service.offered.inpainting() is not None,
        can_expand=service.expansion.is_on,
        can_vote=service.showcase.may_be_voted_for(job),
        note=note,
        number=number,
    )

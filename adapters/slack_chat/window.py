"""The message of a job in Slack: posted once, then edited until it shows the picture.

Everything that a restart needs to go on stands in the job's ``reply_to``: ``team``, ``channel``,
``root`` (the thread; empty without one), ``note`` (a line above the picture, such as the settings
that it inherits), ``ts`` (the message, once it is posted), ``files`` (the pictures at Slack),
``left`` (channel and ts of a message that was given up for another), ``home`` (whether that is
the person's own conversation with the bot), ``hook`` (the address for answers to the person alone)
and ``locale`` (the person's language).

Where a channel is closed, the answer moves to the person's own conversation with the bot, and
where that is closed too, it comes by the hook.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from adapters.slack_chat import blocks, files
from adapters.slack_chat.errors import (
    CLOSED,
    OutcomeUnknown,
    RateLimited,
    SlackError,
    TokenRevoked,
    is_about_content,
)
from adapters.slack_chat.hooks import respond
from adapters.slack_chat.places import (
    Place,
    found,
    post,
    whisper_blocks,
)
from adapters.slack_chat.previews import Previews
from adapters.slack_chat.series import series_message
from adapters.slack_chat.showing import picture_message, upload
from adapters.slack_chat.wording import escape
from adapters.slack_chat.workspaces import Workspace
from bot import contact_sheet, reasons
from bot.following import Following
from bot.jobs import Job, JobStatus, Progress
from bot.languages import Language
from bot.reasons import LeftBehind, Reason
from bot.refusals import NotFound
from bot.sentences import Sentence
from bot.series import Series, Shown
from bot.service import Service
from bot.windows import Attempt, Fault, Meaning, Way

logger = logging.getLogger(__name__)

PLATFORM = "slack"
#: Slack's errors for a message that is gone or cannot be changed, and must be posted anew.
MUST_POST_ANEW = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
#: Last words that a rate limit may keep back before the message is deleted instead.
NOTES_BEFORE_DELETING = 4
#: Attempts to edit a message, wherever it has moved meanwhile.
MOST_EDITS = 5
#: Size of the largest sheet of a series, in bytes.
MAX_SHEET = 10_000_000
#: Marks our messages with their job.
METADATA = "flux_job"


class Closed(Exception):
    """A conversation that nothing can be posted to, for *reason*."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class SlackWindow:
    """The message of *job* in *workspace*."""

    def __init__(self, service: Service, workspace: Workspace, job: Shown, say: Language) -> None:
        self._service = service
        self._workspace = workspace
        self._job = job
        self._say = say
        self._previews = Previews(workspace)
        self._shown: list[blocks.Block] = []
        self._closed: Reason | None = None
        self._is_finished = self._is_answered = self._must_say_where = False
        self._notes = 0
        #: Where messages may have been posted whose answers were lost, and may still come.
        self._lost: set[Place] = set()

    # The protocol of `bot.following`

    async def open(self, attempt: Attempt) -> None:
        if self._where.get("ts"):
            return
        try:
            await self._post(attempt)
        except Closed as closed:
            if self._is_home:
                raise
            try:
                await self._move_home(closed.reason, attempt)
            except Closed:
                if not await self._respond(LeftBehind.TO_YOU):
                    raise

    async def ready(self) -> None:
        await self._workspace.pace.spare(self._where["channel"])

    async def show(self, progress: Progress, why_not: str) -> None:
        where = self._where
        if not where.get("ts"):
            return
        preview, first = progress.preview, []
        if isinstance(self._job, Series):
            preview = await contact_sheet.growing(self._service, self._job)
        else:
            first = await self._first_pictures(self._job)
        file = await self._previews.of(self._job, preview)
        text, parts = self._on_its_way(progress, file, first, why_not)
        if parts == self._shown:
            return
        self._shown = parts
        try:
            await self._update(where["channel"], where["ts"], text, parts, is_hasty=True)
        except RateLimited as error:
            self._workspace.pace.hold(where["channel"], error.seconds)

    def ways(self) -> Iterator[Way]:
        # A process before this one may have moved, and not come to say so where it was.
        left_behind = LeftBehind.DIRECTLY if self._where.get("left") else ""
        yield Way(self._finish, left_behind=left_behind, is_found_again=True)
        if not self._is_home:
            yield Way(
                self._finish_at_home,
                is_new=True,
                left_behind=LeftBehind.DIRECTLY,
                is_found_again=True,
            )
        if self._where.get("hook"):
            yield Way(self._finish_by_hook, is_new=True, left_behind=LeftBehind.TO_YOU_ALONE)

    async def call(self, sentence: str, *, is_direct: bool) -> None:
        where, workspace = self._where, self._workspace
        if not where.get("ts"):
            return
        person = blocks.asker(self._job.parts[0])
        root = where["root"] if self._is_home else where["root"] or where["ts"]
        place = Place(workspace, where["channel"], root, person)
        said = [blocks.section(sentence)]
        if is_direct and not self._is_home:
            place = Place(workspace, await workspace.direct(person), "", person, is_direct=True)
            there = await workspace.call(
                "chat.getPermalink", channel=where["channel"], message_ts=where["ts"]
            )
            link = f"<{there['permalink']}|{self._say('Show it')}>"
            said = [blocks.marked_section(f"{escape(sentence)} {link}")]
        elif not self._is_home:
            said = [blocks.marked_section(f"<@{person}> {escape(sentence)}")]
        await post(place, sentence, said)

    async def note(self, sentence: str) -> None:
        self._notes += 1
        text, parts = blocks.note_message(self._job.parts[0], sentence, self._say)
        where = self._where
        messages = [where["left"]] if where.get("left") else []
        if where.get("ts") and not self._is_finished:
            messages.append([where["channel"], where["ts"]])
        is_told = self._is_answered
        for channel, ts in messages:
            await self._workspace.pace.turn(channel)
            try:
                await self._update(channel, ts, text, parts)
                is_told = True
            except (SlackError, Closed, OutcomeUnknown) as error:
                is_limited = isinstance(error, RateLimited)
                if _passes(error) and not (is_limited and self._notes > NOTES_BEFORE_DELETING):
                    raise
                # Also where Slack fails at every edit of this message: it must not stay as it is.
                await self._delete(channel, ts)
        if not is_told and not await self._respond(sentence):
            await self._tell(text, parts)
        if not self._is_answered and where.get("files"):
            await files.delete(self._workspace, where["files"])
            await self._redirect(files=[])
        await self._clear_away()

    def judge(self, error: Exception) -> Fault | None:
        match error:
            case Closed():
                return Fault(Meaning.CLOSED, self._say(error.reason))
            case TokenRevoked():
                return Fault(Meaning.GONE)
            case RateLimited():
                return Fault(Meaning.PASSES, retry_in=error.seconds)
            case OutcomeUnknown():
                return Fault(Meaning.UNKNOWN)
            case SlackError() if error.error == "missing_scope" and "files:write" in str(error):
                return Fault(Meaning.REFUSED, self._say(Sentence.MAY_NOT_SHOW))
            case SlackError():
                meaning = Meaning.REFUSED if is_about_content(error.error) else Meaning.CLOSED
                return Fault(meaning, reasons.refused("Slack", error.error, self._say))
        return None

    # The end

    async def _finish(self, attempt: Attempt) -> None:
        """Show the end in the message, or in a new one at the same place where it is gone."""
        text, parts = await self._end()
        where = self._where
        if self._is_finished:  # again, over progress that came late
            await self._update(where["channel"], where["ts"], text, parts)
            await self._clear_away()
            return
        if not where.get("ts"):
            await self._post(attempt)
        await self._edit(text, parts)
        self._is_finished = self._is_answered = True
        await self._clear_away()

    async def _finish_at_home(self, attempt: Attempt) -> None:
        if not self._is_home:
            await self._move_home(self._closed or Reason.FAILING, attempt)
        await self._finish(attempt)

    async def _finish_by_hook(self, attempt: Attempt) -> None:
        await respond(self._workspace, self._where["hook"], *await self._end())
        self._is_answered = True
        await self._clear_away()

    async def _clear_away(self) -> None:
        """Delete what would be left over: previews, and messages that Slack posted so late that
        another was posted in their place."""
        await self._previews.delete()
        where = self._where
        known = [where.get("ts"), *(where.get("left") or [])]
        for place in self._lost:
            try:
                for ts in await self._posted(place):
                    if ts not in known:
                        await self._delete(place.channel, ts)
            except (SlackError, OutcomeUnknown) as error:
                logger.info("a message of %s may be there twice: %s", self._job.id, error)

    async def _end(self) -> tuple[str, list[blocks.Block]]:
        """The message of the end, with its pictures at Slack."""
        if not any(job.available for job in self._job.parts):
            return self._undrawn()
        ids: list[str] = list(self._where.get("files") or [])
        try:
            # Where it fails, all of this is tried again.
            if isinstance(self._job, Series):
                await self._upload_sheet(self._job, ids)
            else:
                await self._upload(self._job, ids, self._job.available)
        except (NotFound, FileNotFoundError):
            ids = []
        if isinstance(self._job, Series):
            sheet = next(iter(ids), None)
            return series_message(self._job, self._note, sheet, self._say)
        is_direct = self._where["channel"].startswith("D")
        opinion = self._workspace.is_agent and is_direct
        return picture_message(
            self._service,
            self._workspace,
            self._job,
            ids,
            self._note,
            self._say,
            asks_opinion=opinion,
        )

    async def _first_pictures(self, job: Job) -> list[str]:
        """Ids of the first pictures of several at Slack, which are there while others are drawn:
        as many as are ready in their order, as they will stand in the end."""
        ids: list[str] = list(self._where.get("files") or [])
        ready = [number for place, number in enumerate(job.ready, start=1) if place == number]
        if job.is_spoiler or not self._workspace.may("files:read"):
            return []
        try:
            if len(ids) < len(ready):
                await self._upload(job, ids, ready)
        except (SlackError, OutcomeUnknown, NotFound, FileNotFoundError) as error:
            logger.info("the first pictures of %s are shown at its end: %s", job.id, error)
            return []
        return ids[: len(ready)]

    async def _upload(self, job: Job, ids: list[str], numbers: Sequence[int]) -> None:
        async def keep() -> None:
            await self._redirect(files=list(ids))

        await upload(self._service, self._workspace, job, ids, numbers, keep, attempts=1)

    async def _upload_sheet(self, series: Series, ids: list[str]) -> None:
        """Upload all pictures of *series* in one; *ids* has the file at Slack, in the end."""
        data = await contact_sheet.finished(self._service, series, MAX_SHEET)
        if data is None:
            raise FileNotFoundError(f"{series.id}-sheet.jpg")

        async def keep(id: str) -> None:
            ids[:] = [id]
            await self._redirect(files=list(ids))

        earlier, name = next(iter(ids), None), f"{series.id}-sheet.jpg"
        await files.upload(self._workspace, data, name, series.id, keep, earlier, attempts=1)
        for id in ids:
            await files.until_shown(self._workspace, id)

    def _on_its_way(
        self,
        progress: Progress,
        file: str | None = None,
        first: Sequence[str] = (),
        why_not: str = "",
    ) -> tuple[str, list[blocks.Block]]:
        """The message before the end, with *file* as a preview, and the files of the first
        pictures."""
        if isinstance(self._job, Series):
            return series_message(self._job, self._note, file, self._say, why_not=why_not)
        return blocks.progress_message(
            self._job, progress, self._note, file, files=first, why_not=why_not, say=self._say
        )

    def _undrawn(self) -> tuple[str, list[blocks.Block]]:
        """The message of an end without a picture."""
        if isinstance(self._job, Series):
            return series_message(self._job, self._note, None, self._say)
        return blocks.ended_message(self._job, self._note, say=self._say)

    async def _edit(self, text: str, parts: list[blocks.Block]) -> None:
        """Edit the message, or post another in its place where it cannot be edited."""
        for number in range(1, MOST_EDITS + 1):
            where = self._where
            await self._workspace.pace.turn(where["channel"])
            try:
                await self._update(where["channel"], where["ts"], text, parts)
                return
            except SlackError as error:
                if number == MOST_EDITS:
                    raise
                if error.error in MUST_POST_ANEW:
                    # A thread goes with the message that began it.
                    root = "" if where["root"] == where["ts"] else where["root"]
                    await self._redirect(ts="", root=root)
                    await self._post(Attempt(is_repeated=error.error == "message_not_found"))
                    if error.error != "message_not_found":
                        await self._delete(where["channel"], where["ts"])
                elif error.error == "invalid_blocks":  # Slack is still looking at the picture
                    await self._workspace.pace.sleep(2.0)
                    if number > 1 and blocks.has_carousel(parts):  # or takes none in a carousel
                        self._workspace.shows_carousels = False
                        text, parts = await self._end()
                else:
                    raise

    # The place of the message

    @property
    def _where(self) -> dict[str, Any]:
        return self._job.reply_to or {}

    @property
    def _note(self) -> str:
        return str(self._where.get("note") or "")

    @property
    def _is_home(self) -> bool:
        where = self._where
        channel = str(where["channel"])
        # A command may come from a conversation of two others. Only one in which the bot has a
        # message is its own; rows of older versions do not say so.
        is_ours = where.get("home", channel.startswith("D") and bool(where.get("ts")))
        return channel == blocks.asker(self._job.parts[0]) or bool(is_ours)

    async def _redirect(self, **changes: Any) -> None:
        await self._service.answers.redirect(self._job, {**self._where, **changes})

    async def _post(self, attempt: Attempt) -> None:
        """Post the message; where that may have been done before, look for it first.

        Raises:
            Closed: Nothing can be posted there.
        """
        where, job = self._where, self._job
        place = Place(self._workspace, where["channel"], where["root"], blocks.asker(job.parts[0]))
        if attempt.is_repeated:
            self._lost.add(place)
            if posted := await self._posted(place):
                await self._keep(place.channel, posted[0])
                await self._say_where()
                return
        if job.status.is_final and job.status is not JobStatus.SUCCEEDED:
            text, parts = self._undrawn()
        else:
            text, parts = self._on_its_way(job.progress)
        metadata = {"event_type": METADATA, "event_payload": {"job": job.id}}
        with self._noticing():
            answer = await post(place, text, parts, metadata=metadata)
        await self._keep(answer["channel"], answer["ts"])
        await self._say_where()

    async def _say_where(self) -> None:
        """Say where the answer is, to a person who has no message to say so where they asked."""
        if self._must_say_where:
            self._must_say_where = False
            await self._respond(LeftBehind.DIRECTLY)

    async def _move_home(self, reason: Reason, attempt: Attempt) -> None:
        """Answer in the person's own conversation with the bot instead.

        Raises:
            Closed: Nothing can be posted there either.
        """
        where, user = self._where, blocks.asker(self._job.parts[0])
        note = f"{self._note} {reasons.moved(reason, self._say)}".strip()
        left = [where["channel"], where["ts"]] if where.get("ts") else where.get("left")
        self._must_say_where = left is None
        home = await self._workspace.direct(user)
        await self._redirect(channel=home, root="", note=note, ts="", left=left, home=True)
        try:
            await self._post(replace(attempt, is_repeated=False))
        except (SlackError, Closed) as error:
            if _passes(error):
                raise
            raise Closed(reason) from error

    async def _keep(self, channel: str, ts: str) -> None:
        """Remember the place of the message.

        Outside of a thread, its own thread is where people go on from it, and in a
        conversation with the bot alone the conversation itself.
        """
        root = self._where["root"]
        if not root and not channel.startswith("D"):
            root = ts
        is_home = channel.startswith("D")
        await self._redirect(channel=channel, ts=ts, root=root, home=is_home)

    async def _posted(self, place: Place) -> list[str]:
        """The ts of each message of the job at *place*."""
        return await found(place, self._job.submitted_at, "job", self._job.id)

    async def _update(
        self,
        channel: str,
        ts: str,
        text: str,
        parts: list[blocks.Block],
        *,
        is_hasty: bool = False,
    ) -> None:
        with self._noticing():
            await self._workspace.call(
                "chat.update", is_hasty=is_hasty, channel=channel, ts=ts, text=text, blocks=parts
            )

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        """Turn Slack's errors for a closed conversation into `Closed`.

        Raises:
            Closed: The conversation is closed.
        """
        try:
            yield
        except SlackError as error:
            word = error.error
            if _passes(error) or word in MUST_POST_ANEW or is_about_content(word):
                raise
            self._closed = CLOSED.get(word, Reason.NOT_ALLOWED)
            raise Closed(self._closed) from error

    async def _respond(self, sentence: str) -> bool:
        """Whether the person could be told *sentence* by the hook, if there is one."""
        hook = self._where.get("hook")
        if not hook:
            return False
        try:
            said = blocks.note_message(self._job.parts[0], self._say(sentence), self._say)
            await respond(self._workspace, hook, *said)
        except (SlackError, OutcomeUnknown) as error:
            logger.info("no answer by the hook of %s: %s", self._job.id, error)
            return False
        return True

    async def _tell(self, text: str, parts: list[blocks.Block]) -> None:
        """Tell the person *text* somehow, where no message of theirs can say it.

        Raises:
            SlackError, OutcomeUnknown: They cannot be told.
        """
        where, user = self._where, blocks.asker(self._job.parts[0])
        there = Place(self._workspace, where["channel"], where["root"], user)
        if not self._is_home:
            try:
                await whisper_blocks(there, text, parts)
                return
            except SlackError as error:
                if _passes(error):
                    raise
        await post(there.home(), text, parts)

    async def _delete(self, channel: str, ts: str) -> None:
        """Delete a message of the bot that would be wrong from now on."""
        try:
            await self._workspace.call("chat.delete", channel=channel, ts=ts)
        except SlackError as error:
            if _passes(error):
                raise
            logger.info("a message of %s stays as it is: %s", self._job.id, error)


def _passes(error: Exception) -> bool:
    """Whether *error* has nothing to do with the message or its conversation."""
    if isinstance(error, Closed):
        return False
    return isinstance(error, (TokenRevoked, RateLimited))


async def abandon(following: Following, workspace: Workspace) -> None:
    """End the jobs of a workspace that is gone, and give their credits back."""
    logger.error("workspace %s is gone: %s", workspace.name, workspace.lost)

    def is_lost(job: Shown) -> bool:
        return (job.reply_to or {}).get("team") == workspace.team

    await following.abandon(is_lost, workspace.lost or Reason.REMOVED)

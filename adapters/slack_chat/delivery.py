"""One message for each job, edited until it shows the picture.

Everything that is needed to go on after a restart stands in the job's ``reply_to``:
``team``, ``channel``, ``root`` (the thread; empty where there is none), ``note`` (what a
picture took over from another), ``ts`` (the message, once it is posted) and ``files`` (the
pictures at Slack). There is one way for new jobs and for those of before the restart.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from itertools import count
from typing import Any

from adapters.slack_chat import blocks, files
from adapters.slack_chat.places import Place, post
from adapters.slack_chat.workspaces import (
    CLOSED,
    OutcomeUnknown,
    RateLimited,
    SlackError,
    TokenRevoked,
    Workspace,
)
from bot.jobs import Delivery as Owed
from bot.jobs import Job, JobStatus
from bot.service import Service
from generation.errors import FluxbotError

logger = logging.getLogger(__name__)

#: Seconds of drawing before a preview is shown, and between two: each is a file at Slack.
PREVIEW_INTERVAL = 10.0
#: Our message is gone, or cannot be changed any more: there must be another.
MUST_POST_ANEW = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
#: Seconds between attempts to deliver where Slack does not answer, growing up to the last.
BACKOFF = (1.0, 2.0, 5.0, 15.0, 60.0)
#: How often the database is asked for answers that nobody is giving.
SECONDS_BETWEEN_LOOKS = 60.0
#: How often a message is tried to be changed, wherever it has moved meanwhile.
MOST_EDITS = 5
#: Marks our messages with their job.
METADATA = "flux_job"


class NoPlace(Exception):
    """Nothing can be posted there; the message is a sentence."""


class Delivery:
    """Follows jobs, each in a task of its own. *workspaces* are those there are, by team."""

    def __init__(self, service: Service, workspaces: Mapping[str, Workspace]) -> None:
        self._service = service
        self._workspaces = workspaces
        self._following: dict[str, asyncio.Task[None]] = {}

    def follow(self, job: Job, *, is_new: bool = False) -> None:
        """Answer whoever asked for *job*, unless that is done or being done.

        Unless it *is_new*, its message may stand there already without our knowing.
        """
        if job.id in self._following or job.delivery is Owed.DELIVERED or not job.reply_to:
            return
        task = asyncio.create_task(self._follow(job, is_new), name=f"slack {job.id}")
        self._following[job.id] = task
        task.add_done_callback(lambda _: self._following.pop(job.id, None))

    async def resume(self) -> None:
        """Follow what is owed from before."""
        for job in await self._service.undelivered("slack"):
            self.follow(job)

    async def keep_up(self) -> None:
        """Follow also what an admin has drawn again, until cancelled."""
        while True:
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
            try:
                await self.resume()
            except Exception:
                logger.exception("what is owed in Slack cannot be looked up")

    async def close(self) -> None:
        """Stop following; what is owed stays owed."""
        tasks = list(self._following.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def abandon(self, workspace: Workspace) -> None:
        """End the jobs of a workspace that is gone, and give their credits back."""
        logger.error("workspace %s is gone: %s", workspace.name, workspace.lost)
        for job in await self._service.undelivered("slack"):
            if _reply_to(job)["team"] != workspace.team:
                continue
            task = self._following.get(job.id)
            if task is not None and task is not asyncio.current_task():
                task.cancel()
            await self._give_up(job, f"Slack could not be told: {workspace.lost}")

    async def _follow(self, job: Job, is_new: bool) -> None:
        team = _reply_to(job)["team"]
        workspace = self._workspaces.get(team)
        if workspace is None:
            logger.warning("%s waits for workspace %s", job.id, team)
            return
        try:
            for attempt in count():
                try:
                    await self._show(workspace, job, is_new and attempt == 0)
                    return
                except (OutcomeUnknown, RateLimited) as error:
                    logger.warning("%s is not delivered yet (%s)", job.id, error)
                    await workspace.pace.sleep(BACKOFF[min(attempt, len(BACKOFF) - 1)])
        except NoPlace as error:
            await self._give_up(job, str(error))
        except TokenRevoked:
            await self.abandon(workspace)
        except SlackError as error:
            logger.error("%s cannot be shown: %s", job.id, error)
            await self._give_up(job, f"Slack refused the picture ({error.error})")
        except FluxbotError as error:  # the disk is full, the files are gone
            logger.error("%s is not delivered: %s", job.id, error)
        except Exception:
            logger.exception("%s is not delivered", job.id)

    async def _give_up(self, job: Job, reason: str) -> None:
        logger.warning("%s cannot be delivered: %s", job.id, reason)
        try:
            if not job.status.is_final:
                await self._service.cancel(job.user, job.id)
        except FluxbotError:
            await job.finished()  # it ended at that very moment
        await self._service.undeliverable(job, reason)

    # What it looks like

    async def _show(self, workspace: Workspace, job: Job, is_new: bool) -> None:
        """Show *job* until it has ended, and how."""
        if not _reply_to(job).get("ts"):
            await self._post(workspace, job, is_new)
        preview = _Preview(workspace)
        shown: Any = None
        async for progress in job.watch():
            if progress.status.is_final:
                break
            await self._spare_moment(workspace, job)
            progress = job.progress  # time went on meanwhile
            if progress.status.is_final:
                continue
            file = await preview.of(job, progress.preview)
            text, parts = blocks.progress_message(job, progress, _note(job), file)
            if parts != shown:
                shown = parts
                await self._edit_hastily(workspace, job, text, parts)
        await self._finish(workspace, job)
        await preview.delete()
        await self._service.delivered(job)

    async def _spare_moment(self, workspace: Workspace, job: Job) -> None:
        """Wait until progress may be shown, or there is none any more: however many others
        have something to show, a picture that is done does not wait for them."""
        moment = asyncio.create_task(workspace.pace.spare(_reply_to(job)["channel"]))
        ending = asyncio.create_task(job.finished())
        try:
            await asyncio.wait({moment, ending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            moment.cancel()
            ending.cancel()
            await asyncio.gather(moment, ending, return_exceptions=True)

    async def _finish(self, workspace: Workspace, job: Job) -> None:
        if job.status is not JobStatus.SUCCEEDED:
            await self._edit(workspace, job, *blocks.ended_message(job, _note(job)))
            return
        ids: list[str] = list(_reply_to(job).get("files") or [])

        async def keep() -> None:
            await self._service.redirect(job, {**_reply_to(job), "files": list(ids)})

        await self._upload(workspace, job, ids, keep)
        await self._edit(workspace, job, *self._picture_message(job, ids))

    def _picture_message(self, job: Job, ids: list[str]) -> tuple[str, list[blocks.Block]]:
        can_enlarge = self._service.enlarging_preset is not None
        return blocks.picture_message(job, ids, _note(job), can_enlarge=can_enlarge)

    async def _upload(
        self,
        workspace: Workspace,
        job: Job,
        ids: list[str],
        keep: Callable[[], Awaitable[None]] = files.forgotten,
    ) -> None:
        """Bring Slack those pictures of *job* that it lacks; *ids* are those it has, and all
        of them at the end. *keep* is called at each change of *ids*."""
        for index in range(job.images):
            path = await self._service.picture(job.user, job.id, index + 1)
            data = await asyncio.to_thread(path.read_bytes)
            earlier = ids[index] if len(ids) > index else None

            async def keep_one(id: str, index: int = index) -> None:
                ids[index : index + 1] = [id]
                await keep()

            await files.upload(
                workspace, data, f"{job.id}-{index + 1}.png", job.id, keep_one, earlier
            )
        for id in ids:
            await files.until_shown(workspace, id)

    async def show_again(self, place: Place, job: Job) -> None:
        """Post the picture of *job* once more, for somebody who asked to see it.

        Raises:
            FluxbotError: The files are gone.
            SlackError, OutcomeUnknown: It cannot be posted.
        """
        ids: list[str] = []
        await self._upload(place.workspace, job, ids)
        shown = replace(job, reply_to=place.reply_to())
        await post(place, *self._picture_message(shown, ids))

    # How it is said

    async def _post(self, workspace: Workspace, job: Job, is_new: bool = False) -> None:
        """Post the message of *job*; unless it *is_new*, find it where it was posted before.

        Raises:
            NoPlace: Neither there nor to the person alone.
        """
        where = _reply_to(job)
        if not is_new and (ts := await self._find(workspace, job)) is not None:
            await self._keep(job, where["channel"], ts)
            return
        text, parts = blocks.progress_message(job, job.progress, _note(job))
        if job.status.is_final and job.status is not JobStatus.SUCCEEDED:
            text, parts = blocks.ended_message(job, _note(job))
        metadata = {"event_type": METADATA, "event_payload": {"job": job.id}}
        place = Place(workspace, where["channel"], where["root"], blocks.asker(job))
        try:
            answer = await post(place, text, parts, metadata=metadata)
        except SlackError as error:
            if error.error not in CLOSED:
                raise
            await self._move_home(workspace, job, CLOSED[error.error])
        else:
            await self._keep(job, answer["channel"], answer["ts"])

    async def _move_home(self, workspace: Workspace, job: Job, reason: str) -> None:
        """Answer in the person's own conversation with the bot instead.

        Raises:
            NoPlace: It is there that nothing can be said.
        """
        where, user = _reply_to(job), blocks.asker(job)
        if where["channel"] == user or where["channel"].startswith("D"):
            raise NoPlace(reason)
        note = f"{_note(job)} Where you asked I could not answer: {reason}.".strip()
        moved = {**where, "channel": user, "root": "", "note": note, "ts": ""}
        await self._service.redirect(job, moved)
        try:
            await self._post(workspace, job, is_new=True)
        except (TokenRevoked, RateLimited):
            raise
        except SlackError as error:
            raise NoPlace(reason) from error

    async def _keep(self, job: Job, channel: str, ts: str) -> None:
        """Remember where the message of *job* stands.

        Outside of a thread, its own thread is where people go on from it, and in a
        conversation with the bot alone the conversation itself.
        """
        where = {**_reply_to(job), "channel": channel, "ts": ts}
        if not where["root"] and not channel.startswith("D"):
            where["root"] = ts
        await self._service.redirect(job, where)

    async def _find(self, workspace: Workspace, job: Job) -> str | None:
        """The message of *job* where Slack posted it and its answer was lost."""
        where = _reply_to(job)
        method, more = "conversations.history", {}
        if where["root"]:
            method, more = "conversations.replies", {"ts": where["root"]}
        try:
            answer = await workspace.call(
                method,
                channel=where["channel"],
                oldest=f"{job.submitted_at - 60:.6f}",
                limit=200,
                include_all_metadata=True,
                **more,
            )
        except (TokenRevoked, RateLimited):
            raise
        except SlackError as error:
            logger.info("a message cannot be looked for: %s", error)
            return None
        for message in answer.get("messages", ()):
            metadata = message.get("metadata") or {}
            if metadata.get("event_payload", {}).get("job") == job.id:
                return str(message["ts"])
        return None

    async def _edit(
        self, workspace: Workspace, job: Job, text: str, parts: list[blocks.Block]
    ) -> None:
        """Change the message of *job* to what must be said, wherever it is."""
        for attempt in count():
            where = _reply_to(job)
            await workspace.pace.turn(where["channel"])
            try:
                await workspace.call(
                    "chat.update", channel=where["channel"], ts=where["ts"], text=text, blocks=parts
                )
                return
            except SlackError as error:
                if attempt >= MOST_EDITS:
                    raise
                if error.error in CLOSED:
                    await self._move_home(workspace, job, CLOSED[error.error])
                elif error.error in MUST_POST_ANEW:
                    # A thread goes with the message that began it.
                    root = "" if where["root"] == where["ts"] else where["root"]
                    await self._service.redirect(job, {**where, "ts": "", "root": root})
                    await self._post(workspace, job)
                elif error.error == "invalid_blocks":  # Slack is still looking at the picture
                    await workspace.pace.sleep(2.0)
                else:
                    raise

    async def _edit_hastily(
        self, workspace: Workspace, job: Job, text: str, parts: list[blocks.Block]
    ) -> None:
        """Show progress, if Slack has a moment; what is lost here is not missed."""
        where = _reply_to(job)
        try:
            await workspace.call(
                "chat.update",
                is_hasty=True,
                channel=where["channel"],
                ts=where["ts"],
                text=text,
                blocks=parts,
            )
        except RateLimited as error:
            workspace.pace.hold(where["channel"], error.seconds)
        except TokenRevoked:
            raise
        except (SlackError, OutcomeUnknown) as error:
            logger.debug("%s: progress is not shown: %s", job.id, error)


class _Preview:
    """The picture so far, as a file at Slack that replaces the one before."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._since = workspace.pace.now()
        self._files: list[str] = []
        self._is_off = False

    async def of(self, job: Job, preview: bytes | None) -> str | None:
        """The file to show; *preview* is a JPEG of the picture so far."""
        now = self._workspace.pace.now()
        if preview is not None and not self._is_off and now - self._since >= PREVIEW_INTERVAL:
            self._since = now
            # The last one is still shown until the message is edited.
            await files.delete(self._workspace, self._files[:-1])
            try:
                name = f"{job.id}-unfinished.jpg"
                id = await files.upload(self._workspace, preview, name, job.id)
                await files.until_shown(self._workspace, id)
                self._files = [*self._files[-1:], id]
            except (SlackError, OutcomeUnknown) as error:
                logger.info("no previews of %s: %s", job.id, error)
                self._is_off = True
        return self._files[-1] if self._files else None

    async def delete(self) -> None:
        await files.delete(self._workspace, self._files)


def _reply_to(job: Job) -> dict[str, Any]:
    assert job.reply_to is not None
    return job.reply_to


def _note(job: Job) -> str:
    return str(_reply_to(job).get("note") or "")

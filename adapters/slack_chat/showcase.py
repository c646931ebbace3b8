"""The best-of channel of a workspace: a picture, its maker, and the way to its thread."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from adapters.slack_chat import blocks, files
from adapters.slack_chat.errors import OutcomeUnknown, SlackError
from adapters.slack_chat.moderation import CLOSED, permalink
from adapters.slack_chat.places import Place, post
from adapters.slack_chat.wording import escape
from adapters.slack_chat.workspaces import Workspace
from bot import replies
from bot.languages import language_of
from bot.showcase import Best, CannotBeShown


class BestOf:
    """Shows pictures in best-of channels, and takes them down; see `bot.showcase`."""

    def __init__(self, workspaces: Mapping[str, Workspace]) -> None:
        self._workspaces = workspaces

    async def show(self, best: Best) -> str:
        """The time stamp of the message that shows *best*, and the id of its file.

        Raises:
            CannotBeShown: The channel is gone or closed, or nobody knows whether it is shown.
            SlackError, OutcomeUnknown: Slack fails, and shows nothing.
        """
        job = best.job
        workspace = self._workspaces.get((job.origin.server or "").partition(":")[2])
        if workspace is None:
            raise CannotBeShown("team_not_found")
        say = language_of((job.reply_to or {}).get("locale"))
        data = await asyncio.to_thread(best.path.read_bytes)
        name = f"{job.id}-{best.number}{best.path.suffix}"
        votes = say.counted(best.votes, "1 vote", "{count} votes")
        facts = [f"<@{blocks.asker(job)}>", votes, job.id]
        if link := await permalink(self._workspaces, job.reply_to or {}):
            facts.append(f"<{escape(link)}|{escape(say('Go to the message'))}>")
        file = await files.upload_to_show(workspace, data, name, job.id)
        parts = [
            blocks.section(job.request.prompt),
            blocks.picture(file, replies.alternative(job, say)),
            blocks.context(blocks.marked(" · ".join(facts))),
        ]
        place = Place(workspace, best.channel, "", "")
        try:
            answer = await post(place, blocks.fallback(replies.short(job)), parts)
        except SlackError as error:
            await files.delete(workspace, [file])
            if error.error in CLOSED:
                raise CannotBeShown(error.error) from error
            raise
        except OutcomeUnknown as error:  # perhaps it is there
            raise CannotBeShown("Slack did not answer") from error
        return f"{workspace.team} {answer['ts']} {file}"

    async def take_down(self, channel: str, message: str) -> None:
        """Delete a message, and its file.

        Raises:
            CannotBeShown: The channel is closed.
            SlackError, OutcomeUnknown: Slack fails, or cannot be reached.
        """
        team, ts, file = message.split()
        workspace = self._workspaces.get(team)
        if workspace is None:
            raise CannotBeShown("team_not_found")
        await files.delete(workspace, [file])
        try:
            await workspace.call("chat.delete", channel=channel, ts=ts)
        except SlackError as error:
            if error.error == "message_not_found":
                return
            if error.error in CLOSED:
                raise CannotBeShown(error.error) from error
            raise

"""Previews of unfinished pictures, as files at Slack that replace one another."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from adapters.slack_chat import files
from adapters.slack_chat.errors import OutcomeUnknown, SlackError
from adapters.slack_chat.workspaces import Workspace
from bot.series import Shown

logger = logging.getLogger(__name__)

#: Seconds of drawing before a preview is shown, and between two: each is a file at Slack.
INTERVAL = 10.0


class Previews:
    """The previews of one job, or of one series."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._since = workspace.pace.now()
        self._files: list[str] = []
        self._shown: str | None = None
        self._is_off = not workspace.may("files:read")  # else nobody knows when it can be shown

    async def of(self, job: Shown, preview: bytes | None) -> str | None:
        """Id of the file to show; *preview* is a JPEG of the unfinished picture."""
        now = self._workspace.pace.now()
        if preview is None or self._is_off or now - self._since < INTERVAL:
            return self._shown
        self._since = now
        # The last one is still shown until the message is edited.
        await self._delete(id for id in self._files if id != self._shown)

        async def keep(id: str) -> None:
            self._files.append(id)  # at once: the job may end before it is shown

        try:
            name = f"{job.id}-unfinished.jpg"
            id = await files.upload(self._workspace, preview, name, job.id, keep)
            await files.until_shown(self._workspace, id)
            self._shown = id
        except (SlackError, OutcomeUnknown) as error:
            logger.info("no previews of %s: %s", job.id, error)
            self._is_off = True
        return self._shown

    async def delete(self) -> None:
        """Delete all previews, which no message shows any more."""
        self._shown = None
        await self._delete(self._files)

    async def _delete(self, ids: Iterable[str]) -> None:
        gone = list(ids)
        await files.delete(self._workspace, gone)
        self._files = [id for id in self._files if id not in gone]

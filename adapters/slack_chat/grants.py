"""Installations that workspaces have made by themselves: their tokens, in a file.

Not in the database, since an old backup would bring back refresh tokens that have served.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path
from typing import Any

from slack_sdk.oauth.installation_store import Bot, Installation
from slack_sdk.oauth.installation_store.async_installation_store import AsyncInstallationStore

from bot.config import ConfigError
from bot.permissions import make_folder, opener
from bot.syncs import sync

logger = logging.getLogger(__name__)

FILE_NAME = "slack-installations.json"


class Grants(AsyncInstallationStore):
    """The bots that were installed, by `team_of`, kept in *file* for the bot's user alone.

    Attributes:
        is_kept: Whether all of them are on the disk.
    """

    def __init__(self, file: Path) -> None:
        """Raises:
        ConfigError: The file is there and cannot be read.
        """
        self._file = file
        self.is_kept = True
        self._lock = asyncio.Lock()
        self._bots = _read(file)

    def all(self) -> list[Bot]:
        """The bots, in the order in which they were installed."""
        return list(self._bots.values())

    def of(self, team: str) -> Bot | None:
        """The bot of the workspace, or organisation, *team*."""
        return self._bots.get(team)

    async def async_save(self, installation: Installation) -> None:
        """Keep what Slack has granted; it is on the disk when this returns.

        Raises:
            OSError: It cannot be written; what was there before stays.
        """
        bot = installation.to_bot()
        async with self._lock:
            await self._write({**self._bots, team_of(bot): bot})

    async def async_save_bot(self, bot: Bot) -> None:
        """Keep *bot*, whose token was renewed, in the place of an earlier one, which no longer
        serves. It is on the disk when this returns, unless the disk refuses: see `is_kept`."""
        async with self._lock:
            self._bots = {**self._bots, team_of(bot): bot}
            self.is_kept = False
        await self.keep()

    async def keep(self) -> None:
        """Write what could not be written before."""
        async with self._lock:
            try:
                await self._write(self._bots)
            except OSError as error:
                logger.error(
                    "a new token of Slack's cannot be kept (%s): make room in the data folder"
                    " before the bot is stopped, or its workspace has to install the app again",
                    error,
                )

    async def forget(self, team: str) -> None:
        """Drop the bot of *team*, if there is one.

        Raises:
            OSError: The file cannot be written; the bot stays.
        """
        async with self._lock:
            bots = {id: bot for id, bot in self._bots.items() if id != team}
            if len(bots) < len(self._bots):
                await self._write(bots)

    async def _write(self, bots: dict[str, Bot]) -> None:
        await asyncio.to_thread(_write, self._file, bots)
        self._bots, self.is_kept = bots, True


def team_of(bot: Bot | Installation) -> str:
    """Slack's id of the workspace of *bot*; of the organisation, where it is in all of it."""
    return str((bot.enterprise_id if bot.is_enterprise_install else bot.team_id) or "")


def _read(file: Path) -> dict[str, Bot]:
    try:
        kept: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
        return {team: Bot(**values) for team, values in kept.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{file} cannot be read ({type(error).__name__}: {error}): put it back from a copy, or"
            " move it away and have the workspaces install the app again"
        ) from None


def _write(file: Path, bots: dict[str, Bot]) -> None:
    make_folder(file.parent)
    part = file.with_suffix(".part")
    with open(part, "w", encoding="utf-8", opener=opener) as writing:
        json.dump({team: vars(bot) for team, bot in bots.items()}, writing, indent=1)
    sync(part)
    os.replace(part, file)
    sync(file.parent)

"""What people set for themselves: their own defaults of a drawing."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from functools import partial
from typing import Any

from bot import people, votes
from bot.commands import ImagineCommand
from bot.commands.vocabulary import Notify
from bot.config import Config
from bot.database import Database
from bot.jobs import JobStatus
from bot.preferences import KEY
from bot.presets import Presets
from bot.requests import NOTHING, changed_settings, check_settings
from bot.series import Shown


class OwnSettings:
    """The own defaults of people."""

    def __init__(self, config: Config, database: Database, presets: Presets) -> None:
        self._config = config
        self._database = database
        self._presets = presets

    async def of(self, user: str) -> dict[str, Any]:
        """Own defaults of *user*: the fields of `ImagineCommand` that are set."""
        return _shown(await self._database.read(partial(people.settings, user=user)))

    async def calls_for(self, job: Shown) -> Notify | None:
        """The way in which the person of *job*, which has ended, wants to be called to see it; None
        where they do not."""
        if job.status not in (JobStatus.SUCCEEDED, JobStatus.FAILED):
            return None  # they have cancelled it themselves
        wanted: Notify = (await self.of(job.user)).get("notify", "long")
        waited = (job.finished_at or job.submitted_at) - job.submitted_at
        if wanted == "always":
            return wanted
        is_long = waited >= self._config.queue.seconds_to_notify
        return wanted if is_long and wanted != "never" else None

    async def change(
        self,
        user: str,
        changes: ImagineCommand | None,
        *,
        is_private: bool | None = None,
        is_reset: bool = False,
        is_complete: bool = False,
        beside: Mapping[str, Any] = NOTHING,
    ) -> dict[str, Any]:
        """Own defaults of *user*, changed by *changes* and kept; None forgets them all.

        Args:
            is_private: Whether pictures are hidden from others, where a platform can show them to
                one person alone; kept as ``private``. None keeps it.
            is_reset: Whether all earlier defaults are forgotten.
            is_complete: Whether *changes* replace all earlier defaults but ``private`` and those
                of `bot.requests.BESIDE`.
            beside: Values for some of these.

        Raises:
            InvalidRequest: A value is not allowed here.
        """
        if changes is not None:
            check_settings(changes, self._presets, self._config)

        def keep(db: sqlite3.Connection) -> dict[str, Any]:
            kept = people.settings(db, user)
            old = {} if is_reset else _shown(kept)
            new = changed_settings(
                old, changes, is_private=is_private, is_complete=is_complete, beside=beside
            )
            words = {KEY: kept[KEY]} if KEY in kept else {}
            people.keep_settings(db, user, {**new, **words})
            if beside.get("showcase") is False:
                votes.withdraw_all(db, user)
            return new

        return await self._database.write(keep)


def _shown(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != KEY}

"""Reactions to the bot's messages with pictures, as commands.

⭐ makes a picture a favourite of whoever reacts, for as long as it stays; ✉️ sends it to them
directly, with seed and settings; ❌ cancels a job, or deletes its pictures, where it is their own.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from bot.commands import CancelCommand, Command, DeleteCommand, FavouriteCommand, SendCommand
from bot.jobs import Job
from bot.rates import Rate
from bot.refusals import TooOften
from bot.service import Service
from bot.source import Source

#: Reactions of one person that the bot heeds; further ones are as good as not made.
PER_MINUTE = 20


class Mark(Enum):
    """A reaction that means something."""

    STAR = "⭐"
    LETTER = "✉️"
    CROSS = "❌"


class Reactions:
    """The reactions of people on one platform. *now* returns unix seconds."""

    def __init__(self, service: Service, now: Callable[[], float]) -> None:
        self._service = service
        self._rate = Rate(PER_MINUTE, now)

    def may_react(self, user: str) -> bool:
        """Whether a reaction of *user* is looked at, which counts it."""
        try:
            self._rate.count(user, "reactions")
        except TooOften:
            return False
        return True

    def command(self, source: Source, mark: Mark, job: Job, *, is_added: bool) -> Command | None:
        """The command in a reaction to a message that shows *job* to *source*, which was made
        (*is_added*) or taken back; None where it means nothing."""
        match mark:
            case Mark.STAR:
                return FavouriteCommand(job.id, is_on=is_added)
            case Mark.LETTER if is_added:
                return SendCommand(job.id)
            case Mark.CROSS if is_added and self.is_theirs(source, job):
                is_series = job.series is not None
                if not job.status.is_final:
                    return CancelCommand(job.id, is_whole=is_series)
                # The message of a series shows the pictures of other jobs too.
                return None if is_series else DeleteCommand(job.id)
            case _:
                return None

    def is_theirs(self, source: Source, job: Job) -> bool:
        """Whether *source* has asked for *job*; admins cross out nothing by a reaction."""
        return self._service.lookups.is_own(source, job)

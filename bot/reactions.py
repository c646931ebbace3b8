"""Reactions to the bot's messages with pictures, as commands.

⭐ makes a picture a favourite of whoever reacts, for as long as it stays; ✉️ sends it to them
directly, with seed and settings; ❌ cancels a job, or deletes its pictures, where it is their own.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from bot.commands import CancelCommand, Command, DeleteCommand, FavouriteCommand, SendCommand
from bot.conversation import Reply, converse
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

    async def react(
        self, source: Source, mark: Mark, job: Job, *, is_added: bool, is_whole: bool = True
    ) -> Reply | None:
        """The reply to a reaction to a message that shows *job*, which *source* was shown; None
        where it means nothing. It may have a `Reply.job` to be sent or taken away, by its kind.

        Args:
            is_added: Whether the reaction was made, and not taken back.
            is_whole: Whether the message is that of the job, and not of one of its pictures.
        """
        command: Command
        match mark:
            case Mark.STAR:
                command = FavouriteCommand(job.id, is_on=is_added)
            case Mark.LETTER if is_added:
                command = SendCommand(job.id)
            case Mark.CROSS if is_added and self._service.lookups.is_own(source, job):
                if not is_whole:
                    return Reply(job=job, kind="delete")  # the message alone
                is_series = job.series is not None
                if job.status.is_final and is_series:
                    return None  # it shows the pictures of other jobs too
                command = DeleteCommand(job.id)
                if not job.status.is_final:
                    command = CancelCommand(job.id, is_whole=is_series)
            case _:
                return None
        return await converse(self._service, source, command)

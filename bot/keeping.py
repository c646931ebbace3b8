"""Pictures as they are drawn: each is judged and stored at once, and may be seen from then on."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Protocol, TypeVar

from bot.database import Work
from bot.gallery import Gallery
from bot.job_store import JobStore
from bot.jobs import Job, Review
from bot.judging import Judging
from bot.screens import Action, Verdict
from bot.standstill import CANNOT_SAVE, NO_ROOM_FOR_PICTURES, Standstill
from generation.results import Files, Result

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: The system's errors for a full disk.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Refused(Exception):
    """A picture that nobody is to see, after *verdict*."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.note)
        self.verdict = verdict


class Written(Protocol):
    """What a transaction returns, however long it takes until the storage is back."""

    def __call__(self, work: Work[T], /) -> Awaitable[T]: ...


class Keeping:
    """The way of pictures from the engines into the gallery, one by one.

    A picture that a screen holds is stored and not shown: what becomes of it is decided when the
    others are drawn. One that it refuses ends the job, whose other pictures stay.

    Args:
        written: See `Written`.
    """

    def __init__(
        self,
        store: JobStore,
        gallery: Gallery,
        judging: Judging,
        standstill: Standstill,
        written: Written,
    ) -> None:
        self._store = store
        self._gallery = gallery
        self._judging = judging
        self._standstill = standstill
        self._written = written

    async def keep(self, job: Job, number: int, result: Result, fence: int) -> Verdict:
        """The verdict on picture *number* (from 1) of *job*, which is stored, and may be seen from
        now on unless a moderator has to look at it first.

        Args:
            fence: Fence of the attempt that has drawn it.

        Raises:
            Refused: Nobody is to see it.
            NotAccepting: A screen does not work.
            GenerationError: The engine was lost before the picture had left it.
            OSError, StorageTrouble: The bot is stopping, or nobody could store it.
        """
        files = await asyncio.to_thread(result.files)
        verdict = await self._judging.pictures(job, [files.png])
        if verdict.action is Action.REFUSE:
            raise Refused(verdict)
        await self._stored(partial(self._save, job, number, files))
        is_held = job.review is Review.DUE or verdict.action is Action.HOLD
        if job.images > 1 and not is_held:  # the end of the job shows one that is alone
            is_spoiler = verdict.action is Action.SPOILER
            add = partial(
                self._store.add_ready,
                job_id=job.id,
                number=number,
                seconds=result.seconds,
                is_spoiler=is_spoiler,
                fence=fence,
            )
            if await self._written(add):
                job.is_spoiler = job.is_spoiler or is_spoiler
                job.add_ready(number, result.seconds)
        return verdict

    async def finish(self, job: Job, numbers: Collection[int]) -> None:
        """Leave the pictures *numbers* of *job* alone, and store the file of all of them.

        Raises:
            OSError: The bot is stopping, or nobody could store it.
        """
        await self._stored(partial(self._gallery.finish, job, numbers))

    async def tidy(self, job: Job) -> None:
        """Leave the pictures of *job* that were shown alone, as far as the disk lets us."""
        try:
            await self.finish(job, job.ready)
        except OSError as error:
            logger.error("pictures of %s cannot be tidied up: %s", job.id, error)

    def _save(self, job: Job, number: int, files: Files) -> None:
        self._gallery.save(job, number, list(job.requests)[number - 1], files)

    async def _stored(self, store: Callable[[], None]) -> None:
        """Call *store*, on a thread, however long it takes until the storage is back."""

        def trouble_of(error: Exception) -> str | None:
            if not isinstance(error, OSError) or error.errno is None:
                return None
            return NO_ROOM_FOR_PICTURES if error.errno in NO_ROOM else CANNOT_SAVE

        await self._standstill.until_done("pictures", partial(asyncio.to_thread, store), trouble_of)

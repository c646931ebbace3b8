"""The jobs of people, and their files: who may see which."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from bot import people
from bot.database import Database
from bot.finding import Wanted, is_favourite
from bot.gallery import Gallery, Kind, existing
from bot.job_store import HistoryPage, JobStore
from bot.jobs import Job, JobStatus, Progress
from bot.refusals import Conflict, NotAllowed, NotFound
from bot.requests import check_picture_number
from bot.selves import Selves
from bot.sentences import held, not_yours
from bot.source import Source
from generation.checks import shortened

#: The setting with which a person keeps others from building on their pictures.
REMIX = "remix"


class Lookups:
    """Jobs and files for those who may see them.

    Args:
        unfinished: Jobs that have not ended, by id; these objects are handed out, since they
            move on.
        is_admin: Whether somebody may see all jobs.
    """

    def __init__(
        self,
        database: Database,
        store: JobStore,
        gallery: Gallery,
        unfinished: Mapping[str, Job],
        is_admin: Callable[[str], bool],
        selves: Selves,
    ) -> None:
        self._database = database
        self._store = store
        self._gallery = gallery
        self._unfinished = unfinished
        self._is_admin = is_admin
        self._selves = selves

    def is_own(self, source: Source, job: Job) -> bool:
        """Whether *source* has asked for *job*, by whichever of their accounts."""
        return self._selves.are_one(source.user, job.user)

    async def job(self, source: Source, job_id: str) -> Job:
        """A job of *source*, one that was shown to them, or one of their favourites; for an admin
        any job.

        Raises:
            NotFound: There is no such job, or it is somebody else's.
        """
        job = self._unfinished.get(job_id) or await self._database.read(
            partial(self._store.find, job_id=job_id)
        )
        is_theirs = job is not None and (self.is_own(source, job) or source.shown == job.id)
        if job is None or not (
            is_theirs
            or self._is_admin(source.user)
            or await self._database.read(partial(is_favourite, user=source.user, job_id=job.id))
        ):
            raise NotFound(f"there is no picture {shortened(job_id)} of yours", field="id")
        return job

    async def check_may_build(self, source: Source, job: Job) -> None:
        """Raise NotAllowed where *job* is somebody else's, who keeps others from building on it."""
        if self.is_own(source, job):
            return
        settings = await self._database.read(partial(people.settings, user=job.user))
        if not settings.get(REMIX, True):
            raise NotAllowed("whoever asked for that picture keeps others from building on it")

    async def own_job(self, source: Source, job_id: str) -> Job:
        """A job that *source* may cancel and delete.

        Raises:
            NotFound: There is no such job, or it is somebody else's.
            NotAllowed: The job was shown to *source*, but is somebody else's.
        """
        job = await self.job(source, job_id)
        if not self.is_own(source, job) and not self._is_admin(source.user):
            raise not_yours()
        return job

    async def latest(self, source: Source) -> Job | None:
        """The newest picture of the conversation of *source*, perhaps somebody else's; without one,
        the newest of *source*, or None."""
        if source.thread:
            place = dict(source.thread)
            channel = place.pop("channel")
            job = await self.latest_answered(source.platform, channel, **place)
            if job is not None:
                return job
        return await self._database.read(partial(self._store.latest, user=source.user))

    async def latest_answered(self, platform: str, channel: str, **place: str) -> Job | None:
        """The newest picture that was answered in *channel* of *platform*, of any person; None
        without one.

        Only people who can see that channel may be told of it. *place* are further fields of
        ``reply_to``, such as a thread.
        """
        return await self._database.read(
            partial(self._store.latest_answered, platform=platform, channel=channel, place=place)
        )

    async def of_message(self, platform: str, channel: int | str, message: int | str) -> Job | None:
        """The job that is answered by *message* in *channel* of *platform*, of any person; of
        several the first. None without one.

        Only people who can see that message may be told of it.
        """
        job = await self._database.read(
            partial(self._store.of_message, platform=platform, channel=channel, message=message)
        )
        return None if job is None else self._unfinished.get(job.id, job)

    def being_made(self, platform: str, channel: str, **place: str) -> Job | None:
        """The newest picture that is on its way to *channel* of *platform*, and to *place* there,
        as for `latest_answered`; None without one."""
        wanted = {"channel": channel, **place}
        found = [
            job
            for job in self._unfinished.values()
            if job.user.startswith(f"{platform}:")
            and wanted.items() <= (job.reply_to or {}).items()
        ]
        return max(found, key=lambda job: job.submitted_at, default=None)

    async def history(
        self, user: str, wanted: Wanted | str = "", *, before: int | None = None, limit: int = 20
    ) -> HistoryPage:
        """Jobs of *user*, newest first, that are *wanted*, or whose prompts have these words.

        Args:
            before: ``next`` of the page before this one.
            limit: Jobs on a page, at least 1.
        """
        wanted = Wanted(wanted) if isinstance(wanted, str) else wanted
        page = await self._database.read(
            partial(self._store.history, user=user, wanted=wanted, before=before, limit=limit)
        )
        live = self._unfinished
        return replace(page, jobs=[live.get(job.id, job) for job in page.jobs])

    async def picture(self, source: Source, job_id: str, number: int = 1) -> Path:
        """The PNG file of picture *number* (from 1) of a job.

        Raises:
            NotFound: There is no such job or picture, or it was deleted for its age.
            Conflict: The picture is not drawn yet, is held, or the job failed before it was.
        """
        job = await self.with_picture(source, job_id, number)
        return existing(self._gallery.picture_path(job.id, number), job)

    async def still_there(
        self, source: Source, job_id: str, number: int | None = None
    ) -> Job | None:
        """An earlier job whose picture *number* (from 1), or all of whose pictures, can be shown
        again as they are; None where they must be drawn.

        Raises:
            NotFound: There is no such job, or picture.
        """
        job = await self.job(source, job_id)
        numbers = range(1, job.images + 1) if number is None else [number]
        for each in numbers:
            try:
                path = await self.picture(source, job.id, each)
            except (NotFound, Conflict):
                return None
            if not await asyncio.to_thread(path.exists):
                return None
        return job

    async def sheet(self, job: Job, progress: Progress) -> bytes | None:
        """A small JPEG of the pictures of *job*, which is being drawn: those that are there, and
        the preview of the next; None while there are none, and where they are to be hidden."""
        if not job.ready or job.is_spoiler:
            return None
        try:
            return await asyncio.to_thread(self._gallery.sheet, job, progress.preview)
        except OSError:  # they were deleted at this moment
            return None

    async def picture_file(self, source: Source, job_id: str, kind: Kind) -> Path:
        """The file with all pictures of a job (``grid``, a PNG), a small WebP of it
        (``thumbnail``), or the control map that was used (``map``, a PNG). Of a job that has ended
        early they are of the pictures that it has.

        Raises:
            NotFound: There is no such job or file, or it was deleted for its age.
            Conflict: The picture is not drawn yet, or the job failed.
        """
        job = await self.drawn(source, job_id)
        if kind == "grid" and job.images == 1:
            return existing(self._gallery.picture_path(job.id, 1), job)
        return existing(self._gallery.path(job.id, kind), job)

    async def control_image(self, source: Source, job_id: str, name: str = "control_image") -> Path:
        """The attached picture (PNG, cleaned) that a job was made from, or its mask.

        Raises:
            NotFound: There is no such job, or its picture was deleted for its age, or it had none.
        """
        job = await self.job(source, job_id)
        path = job.request.pictures.get(name)
        if path is None:
            raise NotFound(f"{job.id} was made without a control image")
        return existing(path, job)

    async def drawn(self, source: Source, job_id: str) -> Job:
        """A job of *source* that has ended with pictures, all of them or some.

        Raises:
            NotFound: There is no such job.
            Conflict: The picture is not drawn yet, is held, or the job failed.
        """
        job = await self.job(source, job_id)
        if job.status is not JobStatus.SUCCEEDED and not (job.status.is_final and job.ready):
            raise _not_there(job)
        return job

    async def with_picture(self, source: Source, job_id: str, number: int) -> Job:
        """A job of *source* whose picture *number* (from 1) may be seen by now.

        Raises:
            NotFound: There is no such job or picture.
            Conflict: The picture is not drawn yet, is held, or the job failed before it was.
        """
        job = await self.job(source, job_id)
        check_picture_number(job, number)
        if job.status is not JobStatus.SUCCEEDED and number not in job.ready:
            raise _not_there(job, number)
        return job


def _not_there(job: Job, number: int = 1) -> Conflict:
    """The error for picture *number* of *job*, which is not there, or not yet."""
    if job.status is JobStatus.HELD:
        return held()
    if not job.ready:
        return Conflict(
            f"{job.id} has no picture: it has {job.status}"
            if job.status.is_final
            else f"{job.id} has no picture: it is {job.status}"
        )
    return Conflict(
        f"{job.id} has no picture {number}: it has {job.status}"
        if job.status.is_final
        else f"{job.id} has no picture {number} yet: it is {job.status}"
    )

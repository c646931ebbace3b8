"""Series of jobs: their price before they are drawn, and all of them at once or none."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from bot.admission import Admission
from bot.attachments import Attachments
from bot.commands import AgainCommand, ImagineCommand, SeriesCommand
from bot.drafts import Draft, Drafts
from bot.job_store import JobStore
from bot.jobs import Job
from bot.ledger import QuotaStatus
from bot.lineage import Relation
from bot.lookups import Lookups
from bot.presets import Presets
from bot.refusals import Conflict, NotFound
from bot.requests import check_remembered
from bot.sections import Limits
from bot.series import Series, labels
from bot.source import Picture, PictureOf, Source
from bot.worker import Worker
from generation.checks import MAX_SEED
from generation.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a series, before anything is spent.

    Attributes:
        labels: What each job has that the others have not.
        pictures: Pictures of all jobs together.
        cost: Credits of all.
        left: Credits that the person has.
        seconds: Drawing time of all; None before anything was measured.
        is_relaxed: Whether they are drawn at no charge, when nobody who pays waits.
    """

    labels: tuple[str, ...]
    pictures: int
    cost: int
    left: int
    seconds: float | None
    is_relaxed: bool = False


class Together:
    """The series of everybody.

    Args:
        bytes_of: Content of a picture that came with somebody's words.
        cancel: Cancels a job.
        quota_of: Credits of a person.
    """

    def __init__(
        self,
        limits: Limits,
        drafts: Drafts,
        admission: Admission,
        attachments: Attachments,
        lookups: Lookups,
        presets: Presets,
        store: JobStore,
        worker: Worker,
        bytes_of: Callable[[Source, Picture], Awaitable[bytes]],
        cancel: Callable[[Source, str], Awaitable[Job]],
        quota_of: Callable[[Source], Awaitable[QuotaStatus]],
    ) -> None:
        self._limits = limits
        self._drafts = drafts
        self._admission = admission
        self._attachments = attachments
        self._lookups = lookups
        self._presets = presets
        self._store = store
        self._worker = worker
        self._bytes_of = bytes_of
        self._cancel = cancel
        self._quota_of = quota_of

    async def price(
        self, source: Source, command: SeriesCommand, pictures: Sequence[Picture] = ()
    ) -> Price:
        """The price of *command* for *source*.

        Raises:
            InvalidRequest: One of its jobs can never succeed as written, or there are too many.
            Refused: They could not all be accepted now.
        """
        self._check_number(command)
        self._attachments.check_rate(source.user)
        await self._admission.check(source)
        drafts = await self._complete(source, command, pictures)
        total = await self._admission.check_all(source, drafts)
        jobs = [Job(user=source.user, request=each.request, images=each.images) for each in drafts]
        times = [self._worker.times.estimate(job) for job in jobs]
        known = [seconds for seconds in times if seconds is not None]
        return Price(
            labels=tuple(labels(jobs)),
            pictures=sum(draft.images for draft in drafts),
            cost=total.cost,
            left=(await self._quota_of(source)).left,
            seconds=sum(known) if len(known) == len(times) else None,
            is_relaxed=total.is_relaxed,
        )

    async def draw(
        self, source: Source, command: SeriesCommand, pictures: Sequence[Picture] = ()
    ) -> Series:
        """The jobs of *command*, charged and queued; all are on disk when this returns, or none. A
        repeated event has its earlier ones.

        Raises:
            InvalidRequest: One of them can never succeed as written, or there are too many.
            Refused: They cannot all be accepted now.
        """
        self._check_number(command)
        with self._admission.asking(source.user):
            if earlier := await self._admission.asked_before(source.event_id):
                return await self.of(earlier)
            await self._admission.check(source)
            drafts = await self._complete(source, command, pictures)
            jobs = await self._admission.accept_all(source, drafts)
        return Series(tuple(jobs)) if len(jobs) > 1 else await self.of(jobs[0])

    async def of(self, job: Job) -> Series:
        """The series that *job* belongs to; its own where it was asked for alone."""
        if job.series is None:
            return Series((job,))
        series = job.series

        def find(db: sqlite3.Connection) -> list[Job]:
            return self._store.of_series(db, series)

        found = await self._worker.look_up(find)
        return Series(tuple(found) or (job,))

    async def gathered(self, jobs: Sequence[Job]) -> list[Job | Series]:
        """*jobs*, those of a series as one, with its other jobs, in the place of the first."""
        found: dict[str, Job | Series] = {}
        for job in jobs:
            if job.series is None:
                found[job.id] = job
            elif job.series not in found:
                found[job.series] = await self.of(job)
        return list(found.values())

    async def cancel(self, source: Source, job_id: str) -> Series:
        """The series of a job of *source*, of which all that had not ended is cancelled.

        Raises:
            NotFound, NotAllowed: As for one job.
            Conflict: All of it has ended.
        """
        series = await self.of(await self._lookups.own_job(source, job_id))
        left = series.unfinished
        if not left:
            raise Conflict(f"{job_id} has already {series.status}")
        for job in reversed(left):  # so that none that waits is begun meanwhile
            with suppress(Conflict):  # it ended at that very moment
                await self._cancel(replace(source, shown=job.id), job.id)
        return series

    def _check_number(self, command: SeriesCommand) -> None:
        number, most = len(command.members), self._limits.series
        if number > most:
            raise InvalidRequest(
                f"that makes {number} pictures, and at most {most} are drawn together here: give"
                " fewer alternatives, or put a \\ before braces that are text",
                field="prompt",
            )

    async def _complete(
        self, source: Source, command: SeriesCommand, pictures: Sequence[Picture]
    ) -> list[Draft]:
        """The complete requests, with the job that they build on."""
        parents = [each.job_id for each in pictures if isinstance(each, PictureOf)]
        parent = await self._lookups.job(source, parents[0]) if parents else None
        if parent is not None:
            await self._lookups.check_may_build(source, parent)
        images = [await self._bytes_of(source, picture) for picture in pictures]
        drafts: list[Draft] = []
        seed: int | None = None
        original: Job | None = None
        for member in command.members:
            if isinstance(member.command, AgainCommand):
                original = original or await self._original(source, member.command)
                again = member.command
                draft = await self._drafts.again(
                    original, again.changes, vary=again.vary, same=again.same, number=again.number
                )
            else:
                taken = images if self._takes_picture(member.command) else []
                draft = await self._drafts.draft(source.user, member.command, taken)
                if parent is not None:
                    is_edit = draft.request.kind.edits
                    relation = Relation.EDITED if is_edit else Relation.DRAWN_FROM
                    draft = replace(draft, parent=parent, relation=relation)
            seed = draft.request.seed if seed is None else seed
            own = (seed + member.repeat * draft.images) % (MAX_SEED + 1)
            drafts.append(replace(draft, request=replace(draft.request, seed=own)))
        return drafts

    def _takes_picture(self, command: ImagineCommand) -> bool:
        """Whether the picture that came along goes with *command*: in a contact sheet, presets that
        take none draw from the words alone."""
        preset = self._presets.available.get(command.preset or "")
        return preset is None or preset.needs_image

    async def _original(self, source: Source, command: AgainCommand) -> Job:
        if command.job_id is not None:
            found: Job | None = await self._lookups.job(source, command.job_id)
        else:
            found = await self._lookups.latest(source)
        if found is None:
            raise NotFound("you have no picture yet that could be drawn again")
        check_remembered(found)
        await self._lookups.check_may_build(source, found)
        return found

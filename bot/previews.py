"""Previews, which cost no credits: prices, and control maps of attached pictures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from bot.admission import Admission
from bot.attachments import Attachments
from bot.commands import ImagineCommand
from bot.drafts import Drafts, ToBeAttached
from bot.jobs import Job
from bot.ledger import QuotaStatus, cost
from bot.sections import Quota
from bot.source import Source
from bot.views import Quote
from bot.worker import Worker
from generation.types import MIDDLE, Centering


class Previews:
    """Answers before anything is spent, for people who may draw, and at a limited rate.

    Args:
        quota_of: Credits of a person.
    """

    def __init__(
        self,
        quota: Quota,
        drafts: Drafts,
        admission: Admission,
        attachments: Attachments,
        worker: Worker,
        quota_of: Callable[[str], Awaitable[QuotaStatus]],
    ) -> None:
        self._quota = quota
        self._drafts = drafts
        self._admission = admission
        self._attachments = attachments
        self._worker = worker
        self._quota_of = quota_of

    async def quote(
        self,
        source: Source,
        command: ImagineCommand,
        pictures: Sequence[bytes | ToBeAttached] = (),
    ) -> Quote:
        """The price of *command* for *source*; see `quote_all`."""
        return await self.quote_all(source, {command: 1}, pictures)

    async def quote_all(
        self,
        source: Source,
        asked: Mapping[ImagineCommand, int],
        pictures: Sequence[bytes | ToBeAttached] = (),
        *,
        is_series: bool = False,
    ) -> Quote:
        """The price for *source* of all commands, each as often as *asked* says, and their start.

        Args:
            is_series: Whether those that take no picture are drawn without.

        Raises:
            InvalidRequest: A request can never succeed as written.
            Refused: The person is banned, or asks too often.
        """
        await self._check(source)
        jobs: list[tuple[Job, int]] = []
        for command, times in asked.items():
            taken = pictures
            if is_series and not await self._drafts.needs_a_picture(source.user, command):
                taken = ()
            draft = await self._drafts.draft(source.user, command, taken, is_price=True)
            job = Job(user=source.user, request=draft.request, images=draft.images)
            jobs.append((job, times))
        position, starts_in = self._worker.places.prospect(jobs[0][0])
        price = sum(cost(job, self._quota) * times for job, times in jobs)
        left = (await self._quota_of(source.user)).left
        is_relaxed = self._quota.relaxed and price > left
        seconds = [(self._worker.times.estimate(job), times) for job, times in jobs]
        known = [each * times for each, times in seconds if each is not None]
        first = jobs[0][0].request
        return Quote(
            cost=0 if is_relaxed else price,
            left=left,
            is_relaxed=is_relaxed,
            seconds=sum(known) if len(known) == len(jobs) else None,
            position=position,
            starts_in=starts_in,
            pictures=sum(job.images * times for job, times in jobs),
            width=first.width,
            height=first.height,
        )

    async def control_map(
        self,
        source: Source,
        images: Sequence[bytes],
        preset: str,
        width: int | None = None,
        height: int | None = None,
        centering: Centering = MIDDLE,
        *,
        is_map: bool = False,
    ) -> tuple[bytes, tuple[str, ...]]:
        """The control map that *preset* makes of *images*, or that they are where *is_map*, cropped
        at *centering*, as a PNG, several side by side, and remarks.

        Raises:
            InvalidRequest: One of *images* is not a picture, or *preset* takes none.
            Refused: The person is banned, or asks too often.
        """
        await self._check(source)
        return await self._drafts.control_map(
            source.user, images, preset, width, height, centering, is_map=is_map
        )

    async def _check(self, source: Source) -> None:
        self._attachments.check_rate(source.user)
        await self._admission.check_may_draw(source)

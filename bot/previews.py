"""Previews, which cost no credits: prices, and control maps of attached pictures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from bot.admission import Admission
from bot.attachments import Attachments
from bot.commands import ImagineCommand
from bot.drafts import Drafts
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
        self, source: Source, command: ImagineCommand, pictures: Sequence[bytes] = ()
    ) -> Quote:
        """The price of *command* for *source*, and its start.

        Raises:
            InvalidRequest: The request can never succeed as written.
            Refused: The person is banned, or asks too often.
        """
        await self._check(source)
        draft = await self._drafts.draft(source.user, command, pictures)
        job = Job(user=source.user, request=draft.request, images=draft.images)
        position, starts_in = self._worker.places.prospect()
        price, left = cost(job, self._quota), (await self._quota_of(source.user)).left
        is_relaxed = self._quota.relaxed and price > left
        return Quote(
            cost=0 if is_relaxed else price,
            left=left,
            is_relaxed=is_relaxed,
            seconds=self._worker.times.estimate(job),
            position=position,
            starts_in=starts_in,
        )

    async def control_map(
        self,
        source: Source,
        image: bytes,
        preset: str,
        width: int | None = None,
        height: int | None = None,
        centering: Centering = MIDDLE,
    ) -> tuple[bytes, tuple[str, ...]]:
        """The control map that *preset* makes of *image*, cropped at *centering*, as a PNG, and
        remarks.

        Raises:
            InvalidRequest: *image* is not a picture, or *preset* takes none.
            Refused: The person is banned, or asks too often.
        """
        await self._check(source)
        return await self._drafts.control_map(source.user, image, preset, width, height, centering)

    async def _check(self, source: Source) -> None:
        self._attachments.check_rate(source.user)
        await self._admission.check_may_draw(source)

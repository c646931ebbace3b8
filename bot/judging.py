"""Judging of a job: its words and attached pictures before the charge, its pictures and previews
before anybody sees them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bot.jobs import Job, JobStatus, Review
from bot.origins import Origin
from bot.outcomes import Outcome
from bot.screens import Place, Screens, Verdict, strictest
from bot.sections import ScreenSettings

#: Seconds between two previews that are judged, since judging one takes some of the CPU.
SECONDS_BETWEEN_PREVIEWS = 0.3


@dataclass(slots=True)
class _Previews:
    """Previews of one job: the newest that may be seen, and of which of its pictures it is."""

    shown: bytes | None = None
    number: int = 0
    judged_at: float = float("-inf")
    is_refused: bool = False
    judging: asyncio.Task[None] | None = None


class Judging:
    """The screens, asked about jobs. *clock* is in seconds."""

    def __init__(
        self,
        screens: Screens,
        settings: ScreenSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._screens = screens
        self._settings = settings
        self._clock = clock
        self._previews: dict[str, _Previews] = {}

    async def request(
        self, texts: Iterable[str], attached: Sequence[bytes], origin: Origin, words: Sequence[str]
    ) -> Verdict:
        """The verdict on the words of a request and on the pictures that are attached to it.

        Args:
            attached: Clean PNG files.
            words: Refused in the server from which it comes.

        Raises:
            NotAccepting: A screen does not work.
        """
        place = Place(tuple(words), is_age_restricted=origin.is_age_restricted)
        verdicts = [await self._screens.judge_words(list(texts), place)]
        for picture in attached:
            verdicts.append(await self._screens.judge_file(picture, place))
        return strictest(verdicts)

    async def pictures(self, job: Job, pngs: Sequence[bytes]) -> Verdict:
        """The verdict on the pictures of *job*, PNG files.

        Raises:
            NotAccepting: A screen does not work.
        """
        place = _place(job)
        return strictest([await self._screens.judge_file(each, place) for each in pngs])

    def refusal(self, verdict: Verdict, now: float, seconds: float) -> Outcome:
        """The outcome of a job whose pictures nobody is to see, after *verdict*."""
        back = "; your credits were given back" if self._settings.refund else ""
        return Outcome(
            JobStatus.FAILED,
            now,
            f"{verdict.reason}{back}",
            seconds,
            is_refunded=self._settings.refund,
            strike=verdict.note,
        )

    def preview(self, job: Job, number: int, preview: bytes | None) -> bytes | None:
        """The newest preview of picture *number* of *job* that may be seen.

        *preview*, a JPEG, is judged meanwhile and shown as soon as that is done. After one that
        may not be seen there are no more of this job, and none at all of one that is to be held
        or hidden for its words.
        """
        if job.review is Review.DUE or job.is_spoiler:
            return None
        if not self._screens.names:
            return preview
        mine = self._previews.setdefault(job.id, _Previews())
        if mine.number != number:
            mine.shown, mine.number = None, number
        is_time = self._clock() - mine.judged_at >= SECONDS_BETWEEN_PREVIEWS
        if preview is not None and is_time and mine.judging is None and not mine.is_refused:
            mine.judged_at = self._clock()
            mine.judging = asyncio.create_task(self._judge(mine, job, number, preview))
        return mine.shown

    def forget(self, job: Job) -> None:
        """Forget the previews of *job*, which is no longer being drawn."""
        self._previews.pop(job.id, None)

    async def _judge(self, mine: _Previews, job: Job, number: int, preview: bytes) -> None:
        may_show = await self._screens.may_show(preview, _place(job))
        mine.judging = None
        if may_show is None:
            return
        if not may_show:
            mine.is_refused, mine.shown = True, None
            return
        progress = job.progress
        if progress.status is JobStatus.RUNNING and number == mine.number:
            mine.shown = preview
            job.update(
                JobStatus.RUNNING,
                picture=progress.picture,
                step=progress.step,
                preview=preview,
                note=progress.note,
            )


def _place(job: Job) -> Place:
    return Place(is_age_restricted=job.origin.is_age_restricted)

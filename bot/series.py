"""Series: jobs that were asked for together, and are shown in one message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from bot.jobs import Delivery, Job, JobStatus, Progress
from bot.origins import Origin

#: Longest label, in characters.
MAX_LABEL = 60


@dataclass(eq=False, frozen=True)
class Series:
    """Jobs of one series, in the order in which they were asked for, at least one.

    For people it is like a job with several pictures; each job has its own row, charge, end and
    refund. Its address is that of its first job.
    """

    parts: tuple[Job, ...]

    @property
    def lead(self) -> Job:
        """The job whose id and address stand for all."""
        return self.parts[0]

    @property
    def id(self) -> str:
        return self.lead.series or self.lead.id

    @property
    def user(self) -> str:
        return self.lead.user

    @property
    def submitted_at(self) -> float:
        return self.lead.submitted_at

    @property
    def finished_at(self) -> float | None:
        """The end of the last job; None while one has not ended."""
        ends = [job.finished_at for job in self.parts]
        return None if None in ends else max(end for end in ends if end is not None)

    @property
    def images(self) -> int:
        """Pictures of the jobs that succeeded."""
        return sum(job.images for job in self.parts if job.status is JobStatus.SUCCEEDED)

    @property
    def origin(self) -> Origin:
        return self.lead.origin

    @property
    def reply_to(self) -> dict[str, Any] | None:
        return self.lead.reply_to

    @property
    def delivery(self) -> Delivery:
        """Delivered once every answer is, or is owed no longer."""
        owed = [job.delivery for job in self.parts if job.delivery is not Delivery.DELIVERED]
        return owed[0] if owed else Delivery.DELIVERED

    @property
    def error(self) -> str | None:
        return next((job.error for job in self.parts if job.error), None)

    @property
    def status(self) -> JobStatus:
        """Succeeded, once all have ended, where one has; running while one is drawn."""
        found = {job.status for job in self.parts}
        if not all(status.is_final for status in found):
            active = (JobStatus.RUNNING, JobStatus.QUEUED, JobStatus.HELD)
            return next(status for status in active if status in found)
        ends = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)
        return next(status for status in ends if status in found)

    @property
    def progress(self) -> Progress:
        """The progress of the job that moves, or of the next one."""
        status = self.status
        return next(job.progress for job in self.parts if job.status is status)

    @property
    def labels(self) -> list[str]:
        return labels(self.parts)

    @property
    def unfinished(self) -> list[Job]:
        """The jobs that have not ended."""
        return [job for job in self.parts if not job.status.is_final]

    async def watch(self) -> AsyncIterator[Progress]:
        """Yield the progress now and at every change of a job, ending with a final one. A slow
        watcher skips some."""
        while True:
            news = [job.news for job in self.parts]
            progress, is_final = self.progress, self.status.is_final
            yield progress
            if is_final:
                return
            waits = [asyncio.ensure_future(each.wait()) for each in news]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in waits:
                    each.cancel()

    async def finished(self) -> Progress:
        """The last progress, once every job has ended."""
        async for progress in self.watch():
            if not self.unfinished:
                return progress
        raise AssertionError("watch() ends with a final progress")


#: A job, or several that were asked for together, as one message shows them.
Shown = Job | Series


def labels(jobs: Sequence[Job]) -> list[str]:
    """Labels of *jobs*, which were asked for together: what each has that others have not."""
    requests = [job.request for job in jobs]
    words = _differences([request.prompt for request in requests])
    presets = [request.preset for request in requests]
    seeds = [f"seed {request.seed}" for request in requests]
    found = [words, presets] if len(set(presets)) > 1 else [words]
    if len(set(zip(words, presets, strict=True))) < len(jobs) and len(set(seeds)) > 1:
        found.append(seeds)
    return [
        _cut(" · ".join(part for part in parts if part)) or str(number)
        for number, parts in enumerate(zip(*found, strict=True), start=1)
    ]


def _differences(prompts: Sequence[str]) -> list[str]:
    """*prompts* without the words at both ends that they all share."""
    if len(set(prompts)) == 1:
        return [""] * len(prompts)
    words = [prompt.split() for prompt in prompts]
    shortest = min(map(len, words))
    start = 0
    while start < shortest and len({each[start] for each in words}) == 1:
        start += 1
    end = 0
    while end < shortest - start and len({each[-1 - end] for each in words}) == 1:
        end += 1
    # Where one has no word of its own, it needs a neighbour to be told by.
    if start and any(len(each) == start + end for each in words):
        start -= 1
    elif end and any(len(each) == start + end for each in words):
        end -= 1
    return [" ".join(each[start : len(each) - end]) for each in words]


def _cut(text: str) -> str:
    return text if len(text) <= MAX_LABEL else text[: MAX_LABEL - 1] + "…"

"""Places in the queue and times until the start, told to the jobs that wait.

They are told at most every `TOLD_EVERY` seconds, and each time to the first `FIRST` jobs and to the
next `OTHERS` of those behind, in turn: so it costs the same however long the queue is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from bot.engines import Engines
from bot.jobs import FairQueue, Job, JobStatus, StepTimes, seconds_ahead, waiting_times
from bot.views import EngineState

TOLD_EVERY = 0.5
FIRST = OTHERS = 200


class Places:
    """Tells the jobs in *queue* their places, and that drawing stands still.

    Args:
        running: The jobs that are being drawn.
        state: The state of drawing.
    """

    def __init__(
        self,
        queue: FairQueue,
        times: StepTimes,
        engines: Engines,
        running: Callable[[], list[Job]],
        state: Callable[[], EngineState],
    ) -> None:
        self._queue = queue
        self._times = times
        self._engines = engines
        self._running = running
        self._state = state
        self._told_state = EngineState("ready")
        self._told_at = float("-inf")
        self._later: asyncio.TimerHandle | None = None
        self._behind = FIRST  # place of the first job behind that is told next

    def tell(self) -> None:
        """Tell the jobs their places, as soon as that may be done again."""
        if self._later is not None:
            return
        loop = asyncio.get_running_loop()
        if (rest := self._told_at + TOLD_EVERY - loop.time()) > 0:
            self._later = loop.call_later(rest, self._tell_all)
        else:
            self._tell_all()

    def tell_one(self, job: Job, **progress: Any) -> None:
        """Tell a waiting job its place, or a note; fields that are not given stay."""
        previous = job.progress
        known = {"position": previous.position, "wait": previous.wait, "note": previous.note}
        job.update(JobStatus.QUEUED, **{**known, **progress})

    def join(self, job: Job) -> None:
        """Tell *job*, which was just put into the queue, its place.

        Jobs behind it learn their new places when the queue next moves.
        """
        before = self._queue.before(job)
        if before is None:
            wait = self._until_behind(self._running())
        else:
            wait, seconds = before.progress.wait, self._times.estimate(before)
            if wait is not None:
                wait = None if seconds is None else wait + seconds / self._engines.drawing
        place = self._queue.position(job) + len(self._running())
        self.tell_one(job, position=place, wait=wait)

    def prospect(self) -> tuple[int, float | None]:
        """Place of a job that joined the end of the queue now: number of jobs ahead, and seconds
        until the start (None where a time is not known)."""
        running, waiting = self._running(), len(self._queue)
        first = list(islice(self._queue, FIRST))
        wait = self._until_behind([*running, *first])
        if wait is not None and waiting > len(first):
            wait += (waiting - len(first)) * self._mean(first) / self._engines.drawing
        return len(running) + waiting, wait

    def close(self) -> None:
        """Tell nobody any more."""
        if self._later is not None:
            self._later.cancel()

    def _until_behind(self, jobs: list[Job]) -> float | None:
        seconds = seconds_ahead(jobs, self._times.estimate)
        if seconds is None:
            return None
        return self._engines.seconds_until_one_draws + seconds / self._engines.drawing

    def _mean(self, jobs: list[Job]) -> float:
        """Mean of the drawing times of *jobs*, all of which are known."""
        return sum(self._times.estimate(job) or 0.0 for job in jobs) / len(jobs)

    def _tell_all(self) -> None:
        self._later = None
        self._told_at = asyncio.get_running_loop().time()
        state = self._state()
        is_new, self._told_state = state != self._told_state, state
        for job, place, wait in [*self._places_of_first(), *self._places_behind(is_new)]:
            if is_new or (job.progress.position, job.progress.wait) != (place, wait):
                self.tell_one(job, position=place, wait=wait)

    def _places_of_first(self) -> Iterator[tuple[Job, int, float | None]]:
        return waiting_times(
            islice(self._queue, FIRST),
            self._running(),
            self._engines.drawing,
            self._times.estimate,
            self._engines.seconds_until_one_draws,
        )

    def _places_behind(self, has_all: bool) -> Iterator[tuple[Job, int, float | None]]:
        """Those of the next few jobs behind the first, or of all; their times from the mean of
        the first."""
        waiting = len(self._queue)
        if waiting <= FIRST:
            return
        begin = self._behind if self._behind < waiting else FIRST
        begin, end = (FIRST, waiting) if has_all else (begin, begin + OTHERS)
        first, running = list(islice(self._queue, FIRST)), self._running()
        wait = self._until_behind([*running, *first])
        each = 0.0 if wait is None else self._mean(first) / self._engines.drawing
        for place, job in enumerate(self._queue.between(begin, end), start=begin):
            seconds = None if wait is None else wait + (place - FIRST) * each
            yield job, place + len(running), seconds
        self._behind = end

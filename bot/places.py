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
        changing: Makes what tells, of each job in the order of their turns, how long it takes to
            load its model first.
    """

    def __init__(
        self,
        queue: FairQueue,
        times: StepTimes,
        engines: Engines,
        running: Callable[[], list[Job]],
        state: Callable[[], EngineState],
        changing: Callable[[], Callable[[Job], float]] = lambda: lambda job: 0.0,
    ) -> None:
        self._queue = queue
        self._times = times
        self._engines = engines
        self._running = running
        self._state = state
        self._changing = changing
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
            wait = self._until(0, job)
        else:
            wait, seconds = before.progress.wait, self._times.estimate(before)
            changing = self._changing()
            changing(before)
            if wait is not None and seconds is not None:
                wait += (seconds + changing(job)) / self._engines.drawing
            else:
                wait = None
        place = self._queue.position(job) + len(self._running())
        self.tell_one(job, position=place, wait=wait)

    def prospect(self, job: Job | None = None) -> tuple[int, float | None]:
        """Place of *job*, or of any, if it joined the end of the queue now: number of jobs ahead,
        and seconds until the start, with a change of models (None where a time is not known)."""
        waiting = len(self._queue)
        return len(self._running()) + waiting, self._until(waiting, job)

    def close(self) -> None:
        """Tell nobody any more."""
        if self._later is not None:
            self._later.cancel()

    def _until(self, place: int, job: Job | None = None) -> float | None:
        """Seconds until the *job* at *place* in the queue starts: from the times of those ahead,
        or, behind the first, from these and their mean. None where one is not known."""
        ahead = list(islice(self._queue, min(place, FIRST)))
        running = seconds_ahead(self._running(), self._times.estimate)
        waiting = seconds_ahead(ahead, self._times.estimate)
        if running is None or waiting is None:
            return None
        changing = self._changing()
        running += sum(map(changing, self._running()))
        waiting += sum(map(changing, ahead))
        if place > FIRST:
            waiting *= place / FIRST
        waiting += 0.0 if job is None else changing(job)
        return self._engines.seconds_until_one_draws + (running + waiting) / self._engines.drawing

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
            self._changing(),
        )

    def _places_behind(self, has_all: bool) -> Iterator[tuple[Job, int, float | None]]:
        """Those of the next few jobs behind the first, or of all; their times from the mean of
        the first."""
        waiting = len(self._queue)
        if waiting <= FIRST:
            return
        begin = self._behind if self._behind < waiting else FIRST
        begin, end = (FIRST, waiting) if has_all else (begin, begin + OTHERS)
        # Their times grow evenly, by the mean of the first.
        until, next_until = self._until(FIRST), self._until(FIRST + 1)
        running = len(self._running())
        for place, job in enumerate(self._queue.between(begin, end), start=begin):
            if until is None or next_until is None:
                yield job, place + running, None
            else:
                yield job, place + running, until + (place - FIRST) * (next_until - until)
        self._behind = end

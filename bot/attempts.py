"""A try at a job, whose pictures the engines share."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

from bot.changes import Drawing
from bot.jobs import Job, JobStatus
from bot.screens import Verdict
from generation.errors import DegenerateResult, EngineLost
from generation.results import Result
from generation.types import Step

logger = logging.getLogger(__name__)

#: A note in the message of a job.
DRAWING_AGAIN = "the picture came out blank, trying again"


class Shares:
    """Attempts at jobs that have pictures which no engine has begun, once for each of these."""

    def __init__(self) -> None:
        self._attempts: list[Attempt] = []
        self._changed = asyncio.Event()

    def add(self, attempt: Attempt) -> None:
        """Offer a picture of *attempt* to the engines."""
        self._attempts.append(attempt)
        self._changed.set()

    async def get(self, suits: Callable[[Job], bool]) -> Attempt:
        """The first whose job *suits* an engine; waits for one if there is none."""
        while True:
            self._attempts = [each for each in self._attempts if each.has_work]
            for number, attempt in enumerate(self._attempts):
                if suits(attempt.job):
                    return self._attempts.pop(number)
            self._changed.clear()
            await self._changed.wait()


class Attempt:
    """One try at *job*. The engine that takes it draws until no picture is left; each other that
    joins draws one.

    Pictures that are ready already are not drawn again. What goes wrong with one picture ends the
    others that are being drawn.

    Args:
        turn: The queue's round in which the job was handed out.
        begin: Awaited before the first picture.
        preview: The preview of a picture (by its number, from 1) that may be shown, from that
            which an engine made.
        on_picture: The task that sees to a picture, by its number and result, as soon as it is
            drawn. If it fails, so does the attempt.
        on_end: Called as soon as no engine draws at it any more, when `results` are there.

    Attributes:
        fence: The number with which its end can be written; None before its begin is.
        results: The pictures that it has drawn in their order, or why there are none.
        keeping: The tasks that see to its pictures, by their numbers.
        seconds_before: Time on the engine of the pictures that were ready before it.
        concluding: Sees to the job's end; None before that.
    """

    def __init__(
        self,
        job: Job,
        turn: int,
        begin: Callable[[Attempt], Awaitable[None]],
        preview: Callable[[Job, int, bytes | None], bytes | None],
        on_picture: Callable[[Attempt, int, Result], asyncio.Task[Verdict]],
        on_end: Callable[[Attempt], None],
    ) -> None:
        self.job = job
        self.turn = turn
        self.fence: int | None = None
        self.results: asyncio.Future[list[Result]] = asyncio.Future()
        self.concluding: asyncio.Task[None] | None = None
        self.keeping: dict[int, asyncio.Task[Verdict]] = {}
        self.seconds_before = (job.seconds or 0.0) if job.ready else 0.0
        self._begin = begin
        self._preview = preview
        self._on_picture = on_picture
        self._on_end = on_end
        requests = dict(enumerate(job.requests, start=1))
        self._requests = {each: requests[each] for each in requests if each not in job.ready}
        self._left = deque(self._requests)
        self._drawn: dict[int, Result] = {}
        #: Done, of each picture that was begun.
        self._steps = dict.fromkeys(job.ready, job.request.steps_taken)
        self._parts: dict[asyncio.Task[None], int | None] = {}  # with the picture being drawn
        self._error: BaseException | None = None

    @property
    def has_work(self) -> bool:
        """Whether there is a picture that no engine has begun."""
        return bool(self._left)

    @property
    def images(self) -> int:
        """Number of the pictures that it is to draw."""
        return len(self._requests)

    @property
    def seconds(self) -> float:
        """Time on the engines of the pictures that it has drawn."""
        return sum(result.seconds for result in self._drawn.values())

    @property
    def is_lost(self) -> bool:
        """Whether an engine has died over it."""
        return isinstance(self._error, EngineLost)

    def join(self, executor: Drawing) -> asyncio.Task[None]:
        """The part of an engine, which is free once that is done.

        It raises the engine's error, and is cancelled where another part has failed.
        """
        is_first = not self._parts and self.fence is None
        part = asyncio.create_task(self._draw(executor, is_first=is_first))
        self._parts[part] = None
        part.add_done_callback(self._leave)
        return part

    def cancel(self) -> None:
        """End all drawing, within one denoising step; `results` are then cancelled."""
        self._stop(asyncio.CancelledError())

    async def _draw(self, executor: Drawing, *, is_first: bool) -> None:
        if is_first:
            await self._begin(self)
            if not self._requests:  # all were ready, and the last process died before their end
                self.job.update(
                    JobStatus.RUNNING, picture=self.job.images, step=self.job.request.steps_taken
                )
        while self._left:
            number = self._left.popleft()
            self._drawn[number] = result = await self._picture(number, executor)
            self.keeping[number] = keeping = self._on_picture(self, number, result)
            keeping.add_done_callback(self._kept)
            if not is_first:
                return

    async def _picture(self, number: int, executor: Drawing) -> Result:
        part = asyncio.current_task()
        assert part is not None
        self._parts[part] = number
        # The reason for waiting again stays until the first step is done.
        self._show(number, note=self.job.progress.note if number == 1 else "")
        request, step_done = self._requests[number], partial(self._step_done, number)
        try:
            return await executor.generate(request, step_done)
        except DegenerateResult as error:
            logger.warning("job %s, picture %d, is drawn once more: %s", self.job.id, number, error)
            self._show(number, note=DRAWING_AGAIN)
            return await executor.generate(request, step_done)

    def _step_done(self, number: int, step: Step) -> None:
        if self.job.status is JobStatus.RUNNING:
            self._show(number, step.number, note=step.note, preview=step.preview)

    def _show(self, number: int, step: int = 0, *, note: str, preview: bytes | None = None) -> None:
        """Show progress as if one picture were drawn after the other, and the preview of the first
        of those that are being drawn."""
        self._steps[number] = step
        done, each = sum(self._steps.values()), self.job.request.steps_taken
        picture = min(done // each + 1, len(self._steps))
        if number > min(drawn for drawn in self._parts.values() if drawn is not None):
            shown = self.job.progress.preview
        else:
            shown = self._preview(self.job, number, preview) if step else None
        self.job.update(
            JobStatus.RUNNING,
            picture=picture,
            step=done - (picture - 1) * each,
            preview=shown,
            note=note,
        )

    def _kept(self, keeping: asyncio.Task[Verdict]) -> None:
        if not keeping.cancelled() and (error := keeping.exception()) is not None:
            self._stop(error)

    def _leave(self, part: asyncio.Task[None]) -> None:
        del self._parts[part]
        error = asyncio.CancelledError() if part.cancelled() else part.exception()
        if error is not None:
            self._stop(error)
        if not self._parts:
            self._end()

    def _stop(self, error: BaseException) -> None:
        self._error = self._error or error
        self._left.clear()
        for part in self._parts:
            part.cancel()

    def _end(self) -> None:
        if len(self._drawn) == len(self._requests):  # also where it was cancelled just too late
            self.results.set_result([result for _, result in sorted(self._drawn.items())])
        elif isinstance(self._error, asyncio.CancelledError):
            self.results.cancel()
        else:
            assert self._error is not None, "a part ends when no picture is left"
            self.results.set_exception(self._error)
        self._on_end(self)

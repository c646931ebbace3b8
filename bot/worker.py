"""Takes waiting jobs to the engines, one at a time for each, and settles how they end."""

from __future__ import annotations

import asyncio
import errno
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

from bot.database import Database, Work
from bot.gallery import Gallery
from bot.jobs import FairQueue, Job, JobStatus, StepTimes, seconds_ahead, waiting_times
from bot.ledger import Ledger
from bot.records import Records
from bot.refusals import StorageTrouble
from generation.types import Executor, FluxbotError, GenerationResult, Step

T = TypeVar("T")

logger = logging.getLogger(__name__)

OUR_FAULT = "something went wrong on our side; your credits were given back"
STORAGE_FULL = "the storage is full; your credits were given back, please try again later"

CANNOT_WRITE = "the bot cannot write its records; an admin must look at the log"
NO_ROOM_FOR_PICTURES = "there is no room for pictures; an admin must make some, and resume"

#: Jobs that are being stored and settled while the engine is already at the next.
MAX_ENDING = 4

#: Seconds between attempts to write while the storage refuses.
RETRY_EVERY = 2.0

#: What the system says where there is no room for a file.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class EngineState:
    """Whether pictures can be drawn now, with a sentence for people where they cannot."""

    status: Literal["loading", "ready", "failed", "paused", "draining", "stopping"]
    message: str = ""


class Worker:
    """Draws what waits. `run` does the work; everything else may be called meanwhile.

    Attributes:
        unfinished: Every job that waits, is drawn or is being stored, by id.
        times: What drawing has really taken.
    """

    def __init__(
        self,
        executors: Sequence[Executor],
        database: Database,
        records: Records,
        ledger: Ledger,
        gallery: Gallery,
        now: Callable[[], float],
    ) -> None:
        self.unfinished: dict[str, Job] = {}
        self.times = StepTimes()
        self._executors = executors
        self._queue = FairQueue()
        self._database = database
        self._records = records
        self._ledger = ledger
        self._gallery = gallery
        self._now = now
        self._drawing: dict[str, tuple[Job, asyncio.Task[list[GenerationResult]]]] = {}
        self._unwanted: set[str] = set()  # being drawn, and cancelled by somebody
        self._ending: set[asyncio.Task[None]] = set()
        self._loaded = 0
        self._load_error = ""
        self._try_again = asyncio.Event()
        self._pause_reason: str | None = None  # an admin says when it is over
        self._trouble: str | None = None  # over as soon as something can be written
        self._is_stopping = False

    @property
    def state(self) -> EngineState:
        if self._is_stopping:
            return EngineState("stopping", "the bot is stopping; waiting jobs are kept")
        if self._load_error and not self._loaded:
            return EngineState("failed", self._load_error)
        if not self._loaded:
            return EngineState("loading", "loading the model")
        reason = self._pause_reason or self._trouble
        return EngineState("ready") if reason is None else EngineState("paused", reason)

    @property
    def loaded(self) -> dict[str, int]:
        """Bytes in memory of each repository, of all engines together."""
        total: Counter[str] = Counter()
        for executor in self._executors:
            total.update(executor.loaded)
        return dict(total)

    @property
    def running(self) -> list[Job]:
        """Jobs that are being drawn."""
        return [job for job, _ in self._drawing.values()]

    async def run(self) -> None:
        """Load the engines and work the queue until cancelled.

        A job that is being drawn then goes back to the queue, to be drawn after the
        next start.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for executor in self._executors:
                    group.create_task(self._serve(executor))
        finally:
            self._is_stopping = True
            self._try_again.set()
            if self._ending:
                await asyncio.wait(self._ending)
            for executor in self._executors:
                await executor.close()

    def pause(self, reason: str) -> None:
        """Draw nothing more until `resume`; what is being drawn is finished."""
        self._pause_reason = reason
        self._queue.hold()

    def resume(self) -> None:
        """Draw again, and try again what failed: loading an engine, writing a record."""
        self._pause_reason = None
        self._try_again.set()
        if self._trouble is None:
            self._queue.release()

    def enqueue(self, job: Job) -> None:
        """Let *job*, which is on disk, wait for its turn, and tell it its place."""
        self.unfinished[job.id] = job
        self._queue.put(job)
        before = self._queue.before(job)
        if before is None:
            self._tell_places()
            return
        # Those behind it learn their new places when the queue next moves, so that
        # joining costs the same however many wait.
        wait, seconds = before.progress.wait, self.times.estimate(before)
        if wait is not None and seconds is not None:
            wait += seconds / len(self._executors)
        position = self._queue.position(job) + len(self._drawing)
        job.update(JobStatus.QUEUED, position=position, wait=wait if seconds else None)

    async def cancel(self, job: Job) -> None:
        """End *job* if it waits or is being drawn, then within one denoising step.

        Its status says whether that came in time.

        Raises:
            StorageTrouble: It waits on, since that cannot be written now.
        """
        if self._queue.remove(job.id) is not None:
            await asyncio.shield(self._in_background(self._cancel_waiting(job)))
        elif job.id in self._drawing:
            self._unwanted.add(job.id)
            self._drawing[job.id][1].cancel()
            await job.finished()

    def move(self, job: Job, *, to_front: bool) -> bool:
        """Make *job* the next one to be drawn, or the last; False if it does not wait."""
        is_moved = self._queue.move(job.id, to_front=to_front)
        self._tell_places()
        return is_moved

    async def give_up(self, job: Job, error: str) -> None:
        """End *job*, which is not in the queue, without a picture.

        Raises:
            StorageTrouble: That cannot be written now.
        """
        await self._end(job, JobStatus.FAILED, self._database.write, error=error)

    def in_order(self) -> Iterator[Job]:
        """Jobs that are being drawn, then those that wait, in the order of their turns."""
        yield from self.running
        yield from self._queue

    def waiting(self, user: str) -> tuple[int, int]:
        """How many jobs wait, and how many of them are *user*'s."""
        return len(self._queue), self._queue.waiting(user)

    def prospect(self) -> tuple[int, float | None]:
        """Where a job would stand that joined now, behind all: how many are ahead, and the
        seconds until it would start (None where a time is not known)."""
        everybody = list(self.in_order())
        seconds = seconds_ahead(everybody, self.times.estimate)
        return len(everybody), None if seconds is None else seconds / len(self._executors)

    def soon(self) -> float:
        """Seconds after which the queue has moved on, 1 to 60; 10 before it was measured."""
        first = next(self.in_order(), None)
        seconds = None if first is None else self.times.estimate(first)
        return max(1.0, min(60.0, seconds or 10.0))

    def _tell_places(self) -> None:
        """Tell every waiting job its place, where that has changed."""
        for job, position, wait in waiting_times(
            self._queue, self.running, len(self._executors), self.times.estimate
        ):
            if (job.progress.position, job.progress.wait) != (position, wait):
                job.update(JobStatus.QUEUED, position=position, wait=wait)

    async def _serve(self, executor: Executor) -> None:
        await self._load(executor)
        while True:
            while len(self._ending) >= MAX_ENDING:
                await asyncio.wait(self._ending, return_when=asyncio.FIRST_COMPLETED)
            job = await self._queue.get()
            await self._draw(job, executor)

    async def _load(self, executor: Executor) -> None:
        while True:
            self._try_again.clear()
            try:
                await executor.start()
            except FluxbotError as error:
                self._load_error = str(error)
                logger.error("the model cannot be loaded: %s", error)
            except Exception as error:
                self._load_error = f"the model cannot be loaded ({error}); the log says more"
                logger.exception("the model cannot be loaded")
            else:
                self._loaded += 1
                self._load_error = ""
                logger.info("the model is loaded: ready to draw")
                return
            await self._try_again.wait()

    async def _draw(self, job: Job, executor: Executor) -> None:
        """Draw *job*, and have its end seen to while the engine goes on."""
        generation = asyncio.create_task(self._generate(job, executor))
        self._drawing[job.id] = job, generation
        self._tell_places()
        try:
            await asyncio.wait([generation])
        except asyncio.CancelledError:
            self._is_stopping = True
            generation.cancel()
            await asyncio.wait([generation])
            raise
        finally:
            del self._drawing[job.id]
            self._in_background(self._conclude(job, generation))

    async def _generate(self, job: Job, executor: Executor) -> list[GenerationResult]:
        """All pictures of *job*. Cancelling it ends it once the engine is free."""
        begin = partial(self._records.begin, job=job, now=self._now())
        if not await self._written(begin):
            raise RuntimeError(f"the record of job {job.id} says that it has ended")
        job.attempts += 1
        results = []
        for number, request in enumerate(job.requests, start=1):
            job.update(JobStatus.RUNNING, picture=number)
            step_done = partial(self._step_done, job, number)
            results.append(await executor.generate(request, step_done))
        return results

    def _step_done(self, job: Job, number: int, step: Step) -> None:
        if job.status is JobStatus.RUNNING:
            job.update(
                JobStatus.RUNNING,
                picture=number,
                step=step.number,
                preview=step.preview,
                note=step.note,
            )

    def _in_background(self, ending: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that neither an impatient person nor stopping interrupts."""
        task = asyncio.create_task(ending)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return task

    async def _cancel_waiting(self, job: Job) -> None:
        try:
            await self._end(job, JobStatus.CANCELLED, self._database.write)
        except Exception:
            self._queue.put(job)
            self._tell_places()
            raise

    async def _conclude(self, job: Job, generation: asyncio.Task[list[GenerationResult]]) -> None:
        try:
            if generation.cancelled():
                if self._is_stopping and job.id not in self._unwanted:
                    await self._give_back(job)
                else:
                    await self._end(job, JobStatus.CANCELLED, self._written)
                return
            error = generation.exception()
            if error is None:
                self.times.record(job, sum(result.seconds for result in generation.result()))
                await self._keep(job, generation.result())
            elif isinstance(error, FluxbotError):
                await self._end(job, JobStatus.FAILED, self._written, error=str(error))
            else:
                logger.error("job %s failed", job.id, exc_info=error)
                await self._end(job, JobStatus.FAILED, self._written, error=OUR_FAULT)
        except Exception:
            logger.exception("the end of job %s cannot be written", job.id)
            self.pause(CANNOT_WRITE)

    async def _keep(self, job: Job, results: list[GenerationResult]) -> None:
        """Encode and store the pictures, off the engine's thread, and end the job."""
        try:
            await asyncio.to_thread(self._save, job, results)
        except Exception as error:
            logger.exception("the pictures of job %s cannot be stored", job.id)
            with suppress(OSError):
                await asyncio.to_thread(self._gallery.delete, job.id)
            sentence = OUR_FAULT
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                sentence = STORAGE_FULL
                self.pause(NO_ROOM_FOR_PICTURES)
            await self._end(job, JobStatus.FAILED, self._written, error=sentence)
            return
        seconds = sum(result.seconds for result in results)
        await self._end(job, JobStatus.SUCCEEDED, self._written, seconds=seconds)

    def _save(self, job: Job, results: list[GenerationResult]) -> None:
        for number, (request, result) in enumerate(zip(job.requests, results, strict=True), 1):
            self._gallery.save(job, number, request, result.image, result.control_map)

    async def _give_back(self, job: Job) -> None:
        await self._written(partial(self._records.give_back, job=job))
        if job.status is JobStatus.RUNNING:
            job.update(JobStatus.QUEUED)

    async def _end(
        self,
        job: Job,
        status: JobStatus,
        write: Callable[[Work[None]], Coroutine[Any, Any, None]],
        *,
        error: str | None = None,
        seconds: float | None = None,
    ) -> None:
        """Write how *job* ended, give its credits back unless it succeeded, tell its watchers."""
        now = self._now()

        def end(db: sqlite3.Connection) -> None:
            has_ended_now = self._records.finish(
                db, job.id, status, now, seconds=seconds, error=error
            )
            if has_ended_now and status is not JobStatus.SUCCEEDED:
                self._ledger.refund(db, job.id, now)

        await write(end)
        job.error, job.seconds, job.finished_at = error, seconds, now
        self._unwanted.discard(job.id)
        self.unfinished.pop(job.id, None)
        if status is JobStatus.SUCCEEDED:
            job.update(status, picture=job.images, step=job.request.steps_taken)
        else:
            job.update(status)
        self._tell_places()

    async def _written(self, work: Work[T]) -> T:
        """Run *work* in a transaction, however long it takes until the storage is back.

        Nothing new is drawn meanwhile, since it could not be written down either.

        Raises:
            StorageTrouble: The bot is stopping; the next start finds the job as it was.
        """
        while True:
            self._try_again.clear()
            try:
                outcome = await self._database.write(work)
            except StorageTrouble as error:
                if self._is_stopping:
                    raise
                logger.error("trying again in %g s: %s", RETRY_EVERY, error)
                self._trouble = "the storage cannot be written at the moment; what waits is kept"
                self._queue.hold()
            else:
                if self._trouble is not None:
                    self._trouble = None
                    if self._pause_reason is None:
                        self._queue.release()
                return outcome
            with suppress(TimeoutError):
                await asyncio.wait_for(self._try_again.wait(), RETRY_EVERY)

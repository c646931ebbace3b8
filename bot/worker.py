"""Takes waiting jobs to the engines, one at a time for each, and settles how they end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from bot.database import Database
from bot.gallery import Gallery
from bot.jobs import FairQueue, Job, JobStatus, StepTimes, waiting_times
from bot.ledger import Ledger
from bot.records import Records
from bot.refusals import StorageTrouble
from generation.types import Executor, FluxbotError, GenerationResult, Step

logger = logging.getLogger(__name__)

OUR_FAULT = "something went wrong on our side; your credits were given back"
STORAGE_FULL = "the storage is full; your credits were given back, please try again later"

CANNOT_WRITE = "the bot cannot write its records; an admin must look at the log"

#: Finished jobs whose pictures are being encoded while the engine is already at the next.
MAX_KEEPING = 4


@dataclass(frozen=True, slots=True)
class EngineState:
    """Whether pictures can be drawn now, with a sentence for people where they cannot."""

    status: Literal["loading", "ready", "failed", "paused", "stopping"]
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
        self._keeping: set[asyncio.Task[None]] = set()
        self._loaded = 0
        self._load_error = ""
        self._try_again = asyncio.Event()
        self._pause_reason: str | None = None
        self._is_stopping = False

    @property
    def state(self) -> EngineState:
        if self._is_stopping:
            return EngineState("stopping", "the bot is stopping; waiting jobs are kept")
        if self._load_error and not self._loaded:
            return EngineState("failed", self._load_error)
        if not self._loaded:
            return EngineState("loading", "loading the model")
        if self._pause_reason is not None:
            return EngineState("paused", self._pause_reason)
        return EngineState("ready")

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
            if self._keeping:
                await asyncio.wait(self._keeping)
            for executor in self._executors:
                await executor.close()

    def pause(self, reason: str) -> None:
        """Draw nothing more until `resume`; what is being drawn is finished."""
        self._pause_reason = reason
        self._queue.hold()

    def resume(self) -> None:
        """Draw again, and try again to load engines that could not be loaded."""
        self._pause_reason = None
        self._try_again.set()
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
        """
        if self._queue.remove(job.id) is not None:
            try:
                await self.settle(job, JobStatus.CANCELLED)
            except BaseException:
                self._queue.put(job)
                raise
        elif job.id in self._drawing:
            self._drawing[job.id][1].cancel()
            await job.finished()

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
        times = [self.times.estimate(job) for job in self.in_order()]
        known = [seconds for seconds in times if seconds is not None]
        is_known = len(known) == len(times)
        return len(times), sum(known) / len(self._executors) if is_known else None

    def soon(self) -> float:
        """Seconds after which the queue has moved on, 1 to 60; 10 before it was measured."""
        first = next(self.in_order(), None)
        seconds = None if first is None else self.times.estimate(first)
        return max(1.0, min(60.0, seconds or 10.0))

    async def settle(self, job: Job, status: JobStatus, error: str | None = None) -> None:
        """End *job* without a picture: write it, give its credits back, tell its watchers."""
        now = self._now()

        def end(db: sqlite3.Connection) -> None:
            self._records.finish(db, job.id, status, now, error=error)
            self._ledger.refund(db, job.id, now)

        await self._database.write(end)
        job.error, job.finished_at = error, now
        self.unfinished.pop(job.id, None)
        job.update(status)
        self._tell_places()

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
        """Draw *job* and see to how it ends."""
        generation = asyncio.create_task(self._generate(job, executor))
        self._drawing[job.id] = job, generation
        self._tell_places()
        try:
            await asyncio.wait([generation])
        except asyncio.CancelledError:
            self._is_stopping = True
            generation.cancel()
            await asyncio.wait([generation])
            if generation.cancelled():
                await self._give_back(job)
            else:
                await self._conclude(job, generation)
            raise
        finally:
            del self._drawing[job.id]
        try:
            await self._conclude(job, generation)
        except Exception:
            logger.exception("job %s cannot be settled", job.id)
            self.pause(CANNOT_WRITE)

    async def _generate(self, job: Job, executor: Executor) -> list[GenerationResult]:
        """All pictures of *job*. Cancelling it ends it once the engine is free."""
        await self._database.write(partial(self._records.begin, job=job, now=self._now()))
        job.attempts += 1
        results = []
        for number, request in enumerate(job.requests, start=1):
            job.update(JobStatus.RUNNING, picture=number)
            step_done = partial(self._step_done, job, number)
            results.append(await executor.generate(request, step_done))
        return results

    async def _conclude(self, job: Job, generation: asyncio.Task[list[GenerationResult]]) -> None:
        try:
            results = generation.result()
        except asyncio.CancelledError:
            await self.settle(job, JobStatus.CANCELLED)
        except StorageTrouble as error:
            logger.error("drawing is paused: %s", error)
            self._queue.put(job)
            self.pause("the storage is full; an admin must make room")
        except FluxbotError as error:
            await self.settle(job, JobStatus.FAILED, str(error))
        except Exception as error:
            logger.error("job %s failed", job.id, exc_info=error)
            await self.settle(job, JobStatus.FAILED, OUR_FAULT)
        else:
            self.times.record(job, sum(result.seconds for result in results))
            while len(self._keeping) >= MAX_KEEPING:
                await asyncio.wait(self._keeping, return_when=asyncio.FIRST_COMPLETED)
            keeping = asyncio.create_task(self._keep(job, results))
            self._keeping.add(keeping)
            keeping.add_done_callback(self._kept)

    def _step_done(self, job: Job, number: int, step: Step) -> None:
        if job.status is JobStatus.RUNNING:
            job.update(JobStatus.RUNNING, picture=number, step=step.number, preview=step.preview)

    async def _give_back(self, job: Job) -> None:
        await self._database.write(partial(self._records.give_back, job=job))
        if job.status is JobStatus.RUNNING:
            job.update(JobStatus.QUEUED)

    async def _keep(self, job: Job, results: list[GenerationResult]) -> None:
        """Encode and store the pictures, off the engine's thread, and end the job."""
        try:
            await asyncio.to_thread(self._save, job, results)
        except Exception as error:
            logger.exception("the pictures of job %s cannot be stored", job.id)
            await asyncio.to_thread(self._gallery.delete, job.id)
            sentence = STORAGE_FULL if isinstance(error, OSError) else OUR_FAULT
            await self.settle(job, JobStatus.FAILED, sentence)
            return
        now = self._now()
        seconds = sum(result.seconds for result in results)
        await self._database.write(
            lambda db: self._records.finish(db, job.id, JobStatus.SUCCEEDED, now, seconds=seconds)
        )
        job.seconds, job.finished_at = seconds, now
        self.unfinished.pop(job.id, None)
        job.update(JobStatus.SUCCEEDED, picture=job.images, step=job.request.steps_taken)

    def _save(self, job: Job, results: list[GenerationResult]) -> None:
        for number, (request, result) in enumerate(zip(job.requests, results, strict=True), 1):
            self._gallery.save(job, number, request, result.image, result.control_map)

    def _kept(self, keeping: asyncio.Task[None]) -> None:
        self._keeping.discard(keeping)
        with contextlib.suppress(asyncio.CancelledError):
            if (lost := keeping.exception()) is not None:
                logger.error("a finished job could not be settled", exc_info=lost)
                self.pause(CANNOT_WRITE)

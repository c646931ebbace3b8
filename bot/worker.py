"""The worker: takes waiting jobs to the engines, one at a time each, and has their ends written."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from bot.attempts import DRAWING_AGAIN, Attempt, Shares
from bot.changes import Changes
from bot.database import Database, Work
from bot.engines import Engines
from bot.gallery import Gallery
from bot.job_store import JobStore, Unfinished
from bot.jobs import (
    FairQueue,
    Job,
    JobStatus,
    Review,
    StepTimes,
    seconds_ahead,
)
from bot.judging import Judging
from bot.keeping import Keeping, Refused
from bot.metrics import Metrics
from bot.outcomes import (
    ENGINE_LOST_TOO_OFTEN,
    LOST_TOO_OFTEN,
    MACHINES_LOST_TOO_OFTEN,
    MAX_ATTEMPTS,
    MAX_ENGINE_LOSSES,
    MAX_UNRELATED_LOSSES,
    OUR_FAULT,
    Outcome,
    Outcomes,
    cancelled,
    given_up,
)
from bot.places import Places
from bot.refusals import NotAccepting, StorageTrouble
from bot.screens import Action, Verdict, strictest
from bot.standstill import CANNOT_SAVE, CANNOT_WRITE, Standstill
from bot.views import EngineState, EngineView
from generation.errors import EngineLost, FluxbotError
from generation.protocols import Executor, Fleet
from generation.results import Result

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: Notes in the message of a job that waits again, or still.
GPU_RESTARTED = "the GPU had to restart, drawing your picture again"
BOT_RESTARTED = "the bot restarted, drawing your picture again"
RESTARTING = "the bot is restarting, your picture will follow"
NOTES = (GPU_RESTARTED, BOT_RESTARTED, RESTARTING, DRAWING_AGAIN)

#: Jobs that are being stored and ended while an engine is already at the next, for each engine.
MAX_ENDING = 4


class Worker:
    """Draws the waiting jobs. `run` does the work; all other methods may be called meanwhile.

    Args:
        models: The names that requests have for models, the main one first.

    Attributes:
        unfinished: Jobs that wait, are drawn, are being stored or are held, by id.
        held: Those among them that wait for a moderator.
        times: Measured drawing times.
        places: Tells waiting jobs where they are.
    """

    def __init__(
        self,
        executors: Sequence[Executor],
        database: Database,
        store: JobStore,
        outcomes: Outcomes,
        gallery: Gallery,
        judging: Judging,
        models: Sequence[str],
        metrics: Metrics,
        now: Callable[[], float],
        person_of: Callable[[str], str],
        fleet: Fleet | None = None,
    ) -> None:
        self.unfinished: dict[str, Job] = {}
        self.held: dict[str, Job] = {}
        self.times = StepTimes()
        self._queue = FairQueue(person_of)
        self._database = database
        self._store = store
        self._outcomes = outcomes
        self._gallery = gallery
        self._judging = judging
        self._metrics = metrics
        self._now = now
        self._drawing: dict[str, Attempt] = {}
        self._shared = Shares()
        #: Engines that wait for a job.
        self._idle: set[Executor] = set()
        #: Being drawn, and cancelled; and why, unless its own person did it.
        self._unwanted: dict[str, str | None] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._standstill = Standstill(self._queue, lambda: self.places.tell())
        self._keeping = Keeping(store, gallery, judging, self._standstill, self._written)
        main = models[0]
        self._engines = Engines(
            executors, self._standstill, database, main, lambda: self.places.tell(), fleet=fleet
        )
        self._changes = Changes(models, database)
        self.places = Places(
            self._queue,
            self.times,
            self._engines,
            lambda: self.running,
            lambda: self.state,
            lambda: self._changes.counting(self.loaded),
        )

    @property
    def state(self) -> EngineState:
        against, engines = self._standstill.state, self._engines.state
        if engines is not None and engines.status == "failed":  # which outlasts a pause
            return engines if against is None or against.status == "paused" else against
        return against or engines or EngineState("ready")

    @property
    def loaded(self) -> dict[str, int]:
        """Bytes in memory by model and repository, all engines together."""
        return self._engines.loaded

    def engines(self) -> tuple[EngineView, ...]:
        """What there is to say of each engine."""
        return self._engines.views()

    @property
    def running(self) -> list[Job]:
        """Jobs that are being drawn."""
        return [attempt.job for attempt in self._drawing.values()]

    async def run(self) -> None:
        """Load the engines and work the queue until cancelled.

        A job that is being drawn then goes back to the queue, to be drawn after the
        next start.
        """
        try:
            await self._engines.recall()
            await self._changes.recall()
            await self._engines.run(self._serve)
        finally:
            self._standstill.stop()
            if self._ending:
                await asyncio.wait(self._ending)
            self.places.close()
            await self._engines.close()

    def pause(self, reason: str) -> None:
        """Begin no job until `resume`; running jobs are finished."""
        self._standstill.pause(reason)

    def resume(self) -> None:
        """Draw again, and at once retry loading an engine or storing something."""
        self._standstill.resume()

    async def rest(self, seconds: float) -> None:
        """Begin no job for *seconds*, after crash upon crash; `resume` ends that earlier."""
        await self._standstill.rest(seconds)

    def fail(self, reason: str) -> None:
        """Begin no job any more: the database cannot be relied upon, for *reason*."""
        self._standstill.fail(reason)

    async def finish(self, seconds: float) -> None:
        """Begin no more jobs, tell waiting people that the bot restarts, and wait for running
        jobs: *seconds* at most, and not at all where a job is known to take longer."""
        self._standstill.stop()
        for job in self._queue:
            self.places.tell_one(job, note=RESTARTING)
        soon = []
        for attempt in self._drawing.values():
            left = seconds_ahead([attempt.job], self.times.estimate)
            if left is None or left <= seconds:
                soon.append(attempt.results)
        if soon:
            await asyncio.wait(soon, timeout=seconds)

    def take_up(self, left: Unfinished) -> None:
        """Queue the jobs that the last process left, in their old order."""
        self._queue.resume(left.round, left.had_their_turn)
        for job in (*left.waiting, *left.begun, *left.held):
            self.unfinished[job.id] = job
        self.held |= {job.id: job for job in left.held}
        for job in left.waiting:
            self._queue.put(job)
        for job_id, to_front in left.moved:
            self._queue.move(job_id, to_front=to_front)
        for job in reversed(left.begun):
            if job.status is JobStatus.RUNNING:
                job.update(JobStatus.QUEUED, note=BOT_RESTARTED)
            self._queue.put_first(job)
        self.places.tell()

    def enqueue(self, job: Job) -> None:
        """Queue *job*, which is on disk, and tell it its place."""
        self.unfinished[job.id] = job
        self._queue.put(job)
        self.places.join(job)

    async def cancel(self, job: Job, reason: str | None = None) -> None:
        """Cancel *job*: at once while it waits, within one denoising step while it is drawn.

        Its status says whether that came in time. *reason* is a sentence for the person, where
        somebody else cancels; without one they pay for the steps that were drawn.

        Raises:
            StorageTrouble: The end cannot be written now; the job waits on.
        """
        if self._queue.remove(job.id) is not None:
            await asyncio.shield(self._in_background(self._cancel_waiting(job, reason)))
        elif job.id in self._drawing:
            self._unwanted.setdefault(job.id, reason)
            self._drawing[job.id].cancel()
            await job.drawn()  # where it was too late, moderators may take hours for the end

    def move(self, job: Job, *, to_front: bool) -> bool:
        """Move *job* to the front or the end of the queue; False if it does not wait."""
        is_moved = self._queue.move(job.id, to_front=to_front)
        self.places.tell()
        return is_moved

    async def give_up(self, job: Job, error: str) -> None:
        """End *job*, which is not in the queue, without a picture, and keep it for an admin.

        Raises:
            StorageTrouble: The end cannot be written now.
        """
        await self._end(job, given_up(error, self._now()), self._database.write)

    async def settled(self) -> None:
        """Return once the jobs that are ending just now have ended, or wait again."""
        if self._ending:
            await asyncio.wait(set(self._ending))

    async def look_up(self, read: Work[list[Job]]) -> list[Job]:
        """The jobs that *read* finds in the database; those that go on are the objects that move.

        That holds also for a job that ends while its row is on the way. The row says that it
        goes on, and whoever waited for a job made from it would wait for ever.
        """
        known = dict(self.unfinished)
        jobs = await self._database.read(read)
        return [self.unfinished.get(job.id) or known.get(job.id, job) for job in jobs]

    def in_order(self) -> Iterator[Job]:
        """Running jobs, then waiting ones in the order of their turns."""
        yield from self.running
        yield from self._queue

    def of(self, accounts: Collection[str]) -> list[Job]:
        """The running and waiting jobs of *accounts*, in the order of their turns."""
        waiting = [job for each in accounts for job in self._queue.of(each)]
        waiting.sort(key=self._queue.position)
        return [*(job for job in self.running if job.user in accounts), *waiting]

    def waiting(self, accounts: Collection[str]) -> tuple[int, int]:
        """Number of waiting jobs, and of those of *accounts*."""
        return len(self._queue), sum(map(self._queue.waiting, accounts))

    @property
    def relaxed(self) -> int:
        """Number of waiting jobs that are drawn when nobody who pays waits."""
        return self._queue.relaxed

    def held_of(self, accounts: Collection[str]) -> int:
        """Number of jobs of *accounts* that wait for a moderator."""
        return sum(job.user in accounts for job in self.held.values())

    def soon(self) -> float:
        """Seconds after which the queue will have moved, 1 to 60; 10 before any measurement."""
        first = next(self.in_order(), None)
        seconds = None if first is None else self.times.estimate(first)
        return max(1.0, min(60.0, seconds or 10.0))

    async def _serve(self, executor: Executor) -> None:
        while await self._engines.load(executor):
            while len(self._ending) >= MAX_ENDING * self._engines.drawing:
                await asyncio.wait(self._ending, return_when=asyncio.FIRST_COMPLETED)
            attempt = await self._next(executor)
            if attempt is None:
                self._engines.lose(executor)
            else:
                await self._draw(attempt, executor)

    async def _next(self, executor: Executor) -> Attempt | None:
        """A try at the next job, or one that other engines have begun and that has pictures left;
        None where the engine has died, or leaves, before there was one."""
        suits, is_left = partial(self._suits, executor), partial(self._is_left, executor)
        self._idle.add(executor)
        try:
            return await self._first_of(executor, suits, is_left)
        finally:
            self._idle.discard(executor)
            self._queue.wake()  # what was left to it is others' now

    async def _first_of(
        self,
        executor: Executor,
        suits: Callable[[Job], bool],
        is_left: Callable[[Job], bool],
    ) -> Attempt | None:
        while True:
            getting = asyncio.create_task(self._queue.get(suits, is_left))
            sharing = asyncio.create_task(self._shared.get(partial(self._has_model, executor)))
            died = asyncio.create_task(executor.died())
            left = asyncio.create_task(self._engines.left(executor))
            waits = getting, sharing, died, left
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                shared = sharing.result() if sharing.done() else None
                if getting.done():
                    if shared is not None:
                        self._shared.add(shared)
                    return self._new_attempt(getting.result())
                if shared is None:
                    return None
                if shared.has_work:
                    return shared
            finally:
                for waiting in waits:
                    waiting.cancel()

    def _new_attempt(self, job: Job) -> Attempt:
        def preview(job: Job, number: int, jpeg: bytes | None) -> bytes | None:
            marked = self._gallery.provenance.preview(job, jpeg)
            return self._judging.preview(job, number, marked)

        def keep(attempt: Attempt, number: int, result: Result) -> asyncio.Task[Verdict]:
            assert attempt.fence is not None, "no engine draws before its attempt is written"
            return asyncio.create_task(self._keeping.keep(job, number, result, attempt.fence))

        return Attempt(job, self._queue.round, self._begin, preview, keep, self._end_drawing)

    async def _draw(self, attempt: Attempt, executor: Executor) -> None:
        """Have the engine draw its part of an attempt, whose end is seen to while it goes on."""
        part = attempt.join(self._changes.watching(executor))
        self._engines.begin(executor)
        self._drawing[attempt.job.id] = attempt
        self.places.tell()
        try:
            await asyncio.wait([part])
        except asyncio.CancelledError:
            self._standstill.stop()
            attempt.cancel()
            await asyncio.wait([attempt.results])
            raise
        self._engines.end(executor, part)
        if attempt.is_lost:
            await asyncio.wait([attempt.results])
            if attempt.concluding is not None:  # so that it is this job's turn again
                await asyncio.wait([attempt.concluding])

    async def _begin(self, attempt: Attempt) -> None:
        job = attempt.job
        begin = partial(self._store.begin, job=job, now=self._now(), turn=attempt.turn)
        attempt.fence = await self._written(begin)
        if attempt.fence is None:
            raise RuntimeError(f"job {job.id} has ended, by its row")
        job.attempts += 1
        self._metrics.began(job, self._now())
        for _ in range(attempt.images - 1):
            self._shared.add(attempt)

    def _end_drawing(self, attempt: Attempt) -> None:
        del self._drawing[attempt.job.id]
        self._judging.forget(attempt.job)
        attempt.concluding = self._in_background(self._conclude(attempt))

    def _in_background(self, ending: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that neither an impatient person nor stopping interrupts."""
        task = asyncio.create_task(ending)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return task

    async def _cancel_waiting(self, job: Job, reason: str | None) -> None:
        try:
            await self._end(job, cancelled(job, self._now(), reason), self._database.write)
        except Exception:
            self._queue.put(job)
            self.places.tell()
            raise

    async def _conclude(self, attempt: Attempt) -> None:
        job, results = attempt.job, attempt.results
        end = partial(self._end, job, write=self._written, fence=attempt.fence)
        is_stopping = self._standstill.is_stopping and job.id not in self._unwanted
        try:
            kept = await asyncio.gather(*attempt.keeping.values(), return_exceptions=True)
            errors = [each for each in kept if isinstance(each, Exception)]
            refused = next((each for each in errors if isinstance(each, Refused)), None)
            error = None if results.cancelled() else results.exception()
            if refused is not None:  # and nobody gets round that by cancelling
                await self._keeping.tidy(job)
                await end(self._judging.refusal(refused.verdict, self._now(), attempt.seconds))
            elif results.cancelled() and is_stopping:
                await self._give_back(attempt)
            elif results.cancelled():
                await self._keeping.tidy(job)
                await end(cancelled(job, self._now(), self._unwanted.get(job.id)))
            elif error is not None or errors:
                await self._fail(attempt, error or errors[0])
            else:
                await self._succeed(attempt, [each for each in kept if isinstance(each, Verdict)])
        except Exception:
            logger.exception("the end of job %s cannot be written", job.id)
            self.pause(CANNOT_WRITE)

    async def _fail(self, attempt: Attempt, error: BaseException) -> None:
        """End a job that could not be drawn, or have it drawn again. Pictures that were shown
        stay."""
        job = attempt.job
        end = partial(self._end, job, write=self._written, fence=attempt.fence)
        if isinstance(error, EngineLost):
            await self._draw_again(attempt, error)
            return
        if self._standstill.is_stopping and isinstance(error, OSError | StorageTrouble):
            await self._give_back(attempt)
            return
        await self._keeping.tidy(job)
        if isinstance(error, NotAccepting):
            sentence = f"{error}; your credits were given back"
        elif isinstance(error, FluxbotError):
            sentence = str(error)
        else:
            logger.error("job %s failed", job.id, exc_info=error)
            sentence = OUR_FAULT
        await end(Outcome(JobStatus.FAILED, self._now(), sentence))

    async def _succeed(self, attempt: Attempt, verdicts: Sequence[Verdict]) -> None:
        """End a job whose pictures are stored, or have it held for moderators."""
        job, seconds = attempt.job, attempt.seconds
        if attempt.images:
            whole = seconds * job.images / attempt.images
            self.times.record(job, whole)
            self._metrics.drawn(job, whole)
        seconds += attempt.seconds_before
        try:
            await self._keeping.finish(job, range(1, job.images + 1))
        except Exception as error:
            await self._fail(attempt, error)
            return
        verdict = strictest(verdicts)
        is_spoiler = verdict.action is Action.SPOILER
        if job.review is Review.DUE or verdict.action is Action.HOLD:
            await self._hold(attempt, verdict.note or job.verdict, seconds, is_spoiler)
            return
        end = Outcome(JobStatus.SUCCEEDED, self._now(), seconds=seconds, is_spoiler=is_spoiler)
        await self._end(job, end, self._written, fence=attempt.fence)
        if job.status in (JobStatus.FAILED, JobStatus.CANCELLED):
            await self._keeping.tidy(job)  # it had ended otherwise meanwhile

    async def _hold(self, attempt: Attempt, verdict: str, seconds: float, is_spoiler: bool) -> None:
        """Leave a job, drawn and stored, to moderators."""
        job = attempt.job
        job.verdict, job.seconds, job.is_spoiler = verdict, seconds, job.is_spoiler or is_spoiler
        hold = partial(self._outcomes.hold, job=job, fence=attempt.fence, now=self._now())
        if not await self._written(hold):
            return
        self._unwanted.pop(job.id, None)
        job.review = Review.HELD
        job.update(JobStatus.HELD)
        self.held[job.id] = job
        self.places.tell()

    def end_held(self, job_id: str, holds: Outcome | None) -> None:
        """Show the end of a held job, which is written."""
        job = self.unfinished.pop(job_id, None)
        self.held.pop(job_id, None)
        if job is not None and holds is not None:
            holds.show(job, self._metrics)

    async def _give_back(self, attempt: Attempt) -> None:
        """Leave a job, interrupted by the stop, to the next start."""
        job = attempt.job
        if attempt.fence is not None:
            await self._written(partial(self._store.give_back, job_id=job.id, fence=attempt.fence))
        if job.status is JobStatus.RUNNING:
            job.update(JobStatus.QUEUED, note=RESTARTING)

    async def _draw_again(self, attempt: Attempt, error: EngineLost) -> None:
        """Put a job whose engine has died back into the queue, unless that keeps happening."""
        job, fence = attempt.job, attempt.fence
        assert fence is not None, "no engine draws before its attempt is written"
        logger.error("job %s lost its engine: %s", job.id, error)
        sentence, draw_again = None, self._store.draw_again
        if error.is_unrelated:
            draw_again = self._store.give_back
            job.attempts -= 1
            job.unrelated_losses += 1
            if job.unrelated_losses >= MAX_UNRELATED_LOSSES:
                sentence = MACHINES_LOST_TOO_OFTEN
        else:
            job.engine_losses += 1
            if job.engine_losses >= MAX_ENGINE_LOSSES:
                sentence = ENGINE_LOST_TOO_OFTEN
            elif job.attempts >= MAX_ATTEMPTS:
                sentence = LOST_TOO_OFTEN
        if sentence is not None:
            await self._end(job, given_up(sentence, self._now()), self._written, fence=fence)
        elif await self._written(partial(draw_again, job_id=job.id, fence=fence)):
            if job.status is JobStatus.RUNNING:
                job.update(JobStatus.QUEUED, note=GPU_RESTARTED)
            self._queue.put_first(job)
            self.places.tell()

    async def _end(
        self,
        job: Job,
        outcome: Outcome,
        write: Callable[[Work[Outcome | None]], Coroutine[Any, Any, Outcome | None]],
        *,
        fence: int | None = None,
    ) -> None:
        """Have *outcome* written as the end of *job*, and show the outcome that holds.

        With the fence of an attempt that is not the latest, nothing is written: its result
        comes too late.
        """
        holds = await write(
            partial(
                self._outcomes.write,
                job_id=job.id,
                outcome=outcome,
                fence=fence,
                engine_losses=job.engine_losses,
            )
        )
        if holds is None:
            return
        self._unwanted.pop(job.id, None)
        self.unfinished.pop(job.id, None)
        self.held.pop(job.id, None)
        holds.show(job, self._metrics)
        self.places.tell()

    async def _written(self, work: Work[T]) -> T:
        """Run *work* in a transaction, however long it takes until the storage is back.

        Nothing new is drawn meanwhile, since it could not be written down either.

        Raises:
            StorageTrouble: The bot is stopping; the next start finds the job as it was.
        """

        def trouble_of(error: Exception) -> str | None:
            return CANNOT_SAVE if isinstance(error, StorageTrouble) else None

        return await self._standstill.until_done(
            "the database", partial(self._database.write, work), trouble_of
        )

    def _suits(self, executor: Executor, job: Job) -> bool:
        """Whether the engine needs to load nothing for *job*."""
        weights = job.request.kind.weights
        return self._has_model(executor, job) and all(n in executor.loaded for n, _ in weights)

    def _is_left(self, executor: Executor, job: Job) -> bool:
        """Whether an engine that waits too has the model of *job*, and this one has not."""
        if self._has_model(executor, job):
            return False
        return any(self._has_model(each, job) for each in self._idle)

    def _has_model(self, executor: Executor, job: Job) -> bool:
        """Whether the engine needs to load no model for *job*: for a picture of a job that another
        draws anyway that would take longer than it helps."""
        return self._changes.needs_none(executor, job.request)

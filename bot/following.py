"""Following jobs on a platform, and delivering their ends at least once, whatever happens.

A platform brings a `bot.windows.Window` for each job: the message in which a person watches it,
and the ways on which its end may reach them. The rest is the same everywhere and stands here. A
job is shown until it ends; then its ways are tried in turn, each with patience, until the platform
has taken the answer or refuses it for good. An answer that was taken is written as delivered; a
job whose answer can be delivered nowhere is refunded. No way is tried without end.

Jobs of an earlier process are followed by the same code as new ones, since all facts that a
window needs stand in the job's ``reply_to``. Its ``locale`` is the person's language.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from bot import reasons, replies, series_talk
from bot.jobs import Delivery, JobStatus
from bot.languages import Language, language_of
from bot.reasons import RESTARTS, Reason
from bot.refusals import StorageTrouble
from bot.series import Shown
from bot.service import Service
from bot.source import Source
from bot.windows import Attempt, Fault, Meaning, OpenWindow, Way, Window
from generation.errors import FluxbotError

logger = logging.getLogger(__name__)

#: Seconds between two looks for owed answers that are not being delivered.
SECONDS_BETWEEN_LOOKS = 60.0
#: Seconds between two attempts: at first, and at most. Each pause is twice the one before.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
#: Rounds in which all ways that may open again are tried once more, and the longest pause between
#: two, in seconds: the platform may be away for half a day.
MOST_ROUNDS, LONGEST_PAUSE_OF_ROUNDS = 100, 600.0
#: Seconds after which an attempt hangs. The pictures of one message have 25 MB at most.
SECONDS_FOR_AN_ATTEMPT = 300.0
#: Faults of our own, one a minute, after which a job is given up.
MOST_FAULTS_OF_OURS = 5
#: How often a file that is too large is made smaller for one way.
MOST_SHRINKS = 8
#: Attempts to have a last word in a message, some seven minutes.
TRIES_FOR_A_NOTE = 12
#: Seconds that an edit which is under way may still take once the job has ended. An edit takes
#: some 0.2 s, and one that is cut off may arrive after the picture.
SECONDS_FOR_AN_EDIT = 0.75
#: Seconds after which an edit that was cut off will have arrived, if it ever does.
SECONDS_UNTIL_ARRIVED = 15.0
#: Seconds that leaving may take for the sake of a last word.
SECONDS_TO_LEAVE = 3.0


class _Gone(Exception):
    """The platform no longer knows the bot."""


@dataclass(eq=False)
class _Followed:
    """A job that is being followed.

    Attributes:
        attempt: Facts for the next attempt.
        is_showing: Whether an edit is under way.
        may_arrive: Whether an act was given up whose outcome is unknown, such as an edit that was
            under way when the job ended: it may still arrive.
        is_over: Whether the person has the answer, or will never have it.
    """

    job: Shown
    window: Window
    say: Language
    task: asyncio.Task[None] | None = None
    attempt: Attempt = field(default_factory=Attempt)
    is_showing: bool = False
    may_arrive: bool = False
    is_over: bool = False


class Following:
    """The jobs of *platform* that are being followed, each in a task of its own.

    Args:
        platform: As in the ids of its people: ``discord``.
        on_gone: Called with a job that met a `Meaning.GONE`. Its answer stays owed.
        sleep: The clock.
    """

    def __init__(
        self,
        service: Service,
        platform: str,
        open_window: OpenWindow,
        *,
        on_gone: Callable[[Shown], Awaitable[None]] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._service = service
        self._platform = platform
        self._open_window = open_window
        self._on_gone = on_gone
        self._sleep = sleep
        self._followed: dict[str, _Followed] = {}
        self._faults_of_ours: Counter[str] = Counter()
        self._closed = asyncio.Event()

    def follow(self, job: Shown, *, is_new: bool = False) -> None:
        """Show *job*, or a whole series, to the person who asked for it, and deliver its end.
        Calls can be repeated.

        Unless it *is_new*, its message may stand there already without our knowing. After
        `close` it is left to the next start, since the job is on disk.
        """
        if self._closed.is_set() or job.id in self._followed:
            return
        if not job.reply_to or job.delivery is Delivery.DELIVERED:
            return
        try:
            say = language_of(job.reply_to.get("locale"))
            window = self._open_window(job, say)
        except Exception:
            logger.exception("job %s cannot be shown, and is still owed", job.id)
            self._faults_of_ours[job.id] += 1
            return
        if window is None:
            logger.warning("job %s waits until %s lets the bot in", job.id, self._platform)
            return
        followed = _Followed(job, window, say, attempt=Attempt(is_repeated=not is_new))
        self._followed[job.id] = followed
        name = f"{self._platform} follows {job.id}"
        followed.task = asyncio.create_task(self._follow(followed), name=name)

    def is_following(self, job: Shown) -> bool:
        """Whether *job* is shown, or its answer on its way, just now."""
        return job.id in self._followed

    async def follow_all(self) -> None:
        """Follow all jobs whose answer is owed, or will be; those that faults of our own have
        kept from their people too often are given up."""
        for job in await self._owed():
            if self._faults_of_ours[job.id] < MOST_FAULTS_OF_OURS:
                self.follow(job)
            elif job.id not in self._followed:
                say = language_of((job.reply_to or {}).get("locale"))
                await self._end_undelivered(job, say(Reason.OUR_FAULT))

    async def run(self) -> None:
        """Follow all owed jobs, and look again now and then, until cancelled: an admin may have
        replayed one, or a delivery failed before."""
        while True:
            try:
                await self.follow_all()
            except Exception:
                logger.exception("owed answers on %s cannot be looked up", self._platform)
            await self._sleep(SECONDS_BETWEEN_LOOKS)

    async def close(self, *, is_silent: bool = False) -> None:
        """Stop following; the next start goes on. Unless *is_silent*, people are told that the
        bot restarts. Takes some seconds at most."""
        self._closed.set()
        followed = list(self._followed.values())
        last_words = [each.task for each in followed if each.is_over and each.task is not None]
        left = [each for each in followed if not each.is_over]
        tasks = [each.task for each in left if each.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        goodbyes = [] if is_silent else [self._say_goodbye(each) for each in left]
        with suppress(TimeoutError):
            async with asyncio.timeout(SECONDS_TO_LEAVE):
                await asyncio.gather(*goodbyes, *last_words, return_exceptions=True)

    async def abandon(self, is_lost: Callable[[Shown], bool], reason: str) -> None:
        """End the jobs that *is_lost* picks out, whose people can no longer be reached for
        *reason*, and give their credits back."""
        for job in await self._owed():
            if not is_lost(job):
                continue
            followed = self._followed.get(job.id)
            if followed is not None and followed.is_over:
                continue  # they have the answer already
            task = followed.task if followed is not None else None
            if task is not None and task is not asyncio.current_task():
                task.cancel()
            say = language_of((job.reply_to or {}).get("locale"))
            name = self._platform.capitalize()
            await self._end_undelivered(job, reasons.unreachable(name, reason, say))

    async def _owed(self) -> list[Shown]:
        """All whose answers are owed, or will be, oldest first; a series is one."""
        jobs = await self._service.answers.undelivered(self._platform)
        return await self._service.together.gathered(jobs)

    # One job

    async def _follow(self, followed: _Followed) -> None:
        job = followed.job
        try:
            fault = await self._open(followed) or await self._show_progress(followed)
            if fault is not None:
                await self._give_up(followed, fault.why)
                return
            await self._deliver(followed)
        except _Gone:
            logger.error("%s no longer knows the bot; job %s is owed", self._platform, job.id)
            if self._on_gone is not None:
                await self._on_gone(job)
        except Exception:
            logger.exception("the answer to job %s is still owed", job.id)
            self._faults_of_ours[job.id] += 1
            if self._faults_of_ours[job.id] == MOST_FAULTS_OF_OURS:
                with suppress(Exception):  # the next look ends it, if need be
                    await self._give_up(followed, followed.say(Reason.OUR_FAULT))
        finally:
            del self._followed[job.id]

    async def _open(self, followed: _Followed) -> Fault | None:
        """The fault that keeps the message of the job from being there for good. Where it only
        passes, the job is drawn meanwhile, and its ways begin with a message at its end."""
        pause, tries = LONGEST_PAUSE, None
        for _ in range(MOST_ROUNDS):
            was_repeated = followed.attempt.is_repeated
            fault = await self._carry_out(followed, followed.window.open, tries)
            followed.may_arrive |= followed.attempt.is_repeated and not was_repeated
            if fault is None or not fault.is_passing:
                return fault
            if followed.job.status.is_final:
                break
            await _first(self._sleep(pause), followed.job.finished())
            pause, tries = min(2 * pause, LONGEST_PAUSE_OF_ROUNDS), 1
        return None

    async def _show_progress(self, followed: _Followed) -> Fault | None:
        """Show the progress of the job until it has ended. After that only an edit that is being
        carried out may take a moment longer. Returns the fault for which no end would be taken
        either; None without one."""
        showing = asyncio.ensure_future(self._keep_showing(followed))
        try:
            await _first(showing, followed.job.finished())
            if followed.is_showing:
                await _first(showing, self._sleep(SECONDS_FOR_AN_EDIT))
            followed.may_arrive |= followed.is_showing
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
        return None if showing.cancelled() else showing.result()

    async def _keep_showing(self, followed: _Followed) -> Fault | None:
        job, window = followed.job, followed.window
        async for progress in job.watch():
            if progress.status.is_final:
                return None
            await window.ready()
            progress = job.progress  # it went on meanwhile
            if progress.status.is_final:
                return None
            state = self._service.state
            is_drawing = state.status in ("ready", "draining")
            why_not = "" if is_drawing else state.said(followed.say)
            followed.is_showing = True
            try:
                await window.show(progress, why_not)
                self._count(None)
            except Exception as error:
                fault = window.judge(error)
                self._count(fault, is_ours=fault is None)
                if fault is not None and fault.meaning is Meaning.GONE:
                    raise _Gone from error
                followed.may_arrive |= fault is not None and fault.meaning is Meaning.UNKNOWN
                level = logging.ERROR if fault is None else logging.DEBUG
                logger.log(level, "progress of job %s is not shown: %r", job.id, error)
                if fault is not None and fault.meaning is Meaning.REFUSED:
                    followed.is_showing = False
                    return fault
            followed.is_showing = False
        return None

    async def _deliver(self, followed: _Followed) -> None:
        """Send the end of the job on the first way that works."""
        job, why = followed.job, ""
        is_known = job.status is JobStatus.CANCELLED and job.error is None
        ways = [way for way in followed.window.ways() if not (is_known and way.is_new)]
        pause, tries = LONGEST_PAUSE, None
        for _ in range(MOST_ROUNDS):
            for way in list(ways):
                was_repeated = followed.attempt.is_repeated
                fault = await self._carry_out(followed, way.finish, tries)
                is_lost = followed.attempt.is_repeated and not was_repeated
                followed.may_arrive |= is_lost and way.is_found_again
                if fault is None:
                    await self._end_delivered(followed, way)
                    return
                why = fault.why or why
                if fault.meaning is Meaning.REFUSED:
                    await self._give_up(followed, why)
                    return
                if not fault.is_passing:
                    ways.remove(way)
            if not ways:
                break
            await self._sleep(pause)
            pause, tries = min(2 * pause, LONGEST_PAUSE_OF_ROUNDS), 1
        if is_known:
            followed.is_over = True
            await self._leave(followed, series_talk.last_line(job, followed.say))
            await self._until_written(job, lambda: self._service.answers.delivered(job))
        else:
            await self._give_up(followed, why)

    async def _end_delivered(self, followed: _Followed, way: Way) -> None:
        followed.is_over = True
        job = followed.job
        self._faults_of_ours.pop(job.id, None)
        if way.left_behind and way.is_found_again:
            await self._leave(followed, followed.say(way.left_behind))
        await self._until_written(job, lambda: self._service.answers.delivered(job))
        if way.left_behind and not way.is_found_again:
            await self._leave(followed, followed.say(way.left_behind))
        if not way.is_new and not way.left_behind:  # a new message has called them already
            await self._call(followed)
        if not way.left_behind and followed.may_arrive and not way.is_new:
            # Progress that arrives after the picture would take its place.
            await self._until_arrived()
            followed.attempt = Attempt(is_repeated=True)
            await self._insist(followed, way.finish)

    async def _call(self, followed: _Followed) -> None:
        """Call the person to the end of their job where they want to be called. Since that is
        written as delivered by now, they are not called again: rather no call than two."""
        job = followed.job
        try:
            wanted = await self._service.own_settings.calls_for(job)
            if wanted is None:
                return
            async with asyncio.timeout(SECONDS_FOR_AN_ATTEMPT):
                await followed.window.call(
                    replies.done(job, followed.say), is_direct=wanted == "dm"
                )
        except Exception as error:
            logger.info("the person of job %s is not called: %r", job.id, error)

    async def _give_up(self, followed: _Followed, why: str) -> None:
        why = why or followed.say(Reason.NOWHERE)
        await self._end_undelivered(followed.job, why)
        followed.is_over = True
        await self._leave(followed, reasons.given_up(why, followed.say))

    async def _leave(self, followed: _Followed, sentence: str) -> None:
        """Leave *sentence* as the last word in the message, if possible."""

        async def note(_: Attempt) -> None:
            await followed.window.note(sentence)

        await self._insist(followed, note)
        if followed.may_arrive:
            await self._until_arrived()
            await self._insist(followed, note)

    async def _until_arrived(self) -> None:
        await _first(self._sleep(SECONDS_UNTIL_ARRIVED), self._closed.wait())

    async def _end_undelivered(self, job: Shown, why: str) -> None:
        logger.warning("job %s cannot be delivered: %s", job.id, why)
        self._faults_of_ours.pop(job.id, None)
        for part in job.parts:
            if part.status.is_final:
                continue
            try:
                await self._service.cancel(Source(part.user), part.id, why)
            except FluxbotError:
                await part.finished()  # it ended at that very moment
        await self._until_written(job, lambda: self._service.answers.undeliverable(job, why))

    # Shared by the steps above

    async def _carry_out(
        self,
        followed: _Followed,
        work: Callable[[Attempt], Awaitable[None]],
        tries: int | None = None,
    ) -> Fault | None:
        """The fault that keeps *work* from being done; None once it is done.

        A fault that passes is returned after *tries* attempts; None takes the fault's own number.

        Raises:
            _Gone: The platform no longer knows the bot.
        """
        shrunk = failures = 0
        pause = FIRST_PAUSE
        while True:
            try:
                async with asyncio.timeout(SECONDS_FOR_AN_ATTEMPT):
                    await work(replace(followed.attempt, shrunk=shrunk))
            except Exception as error:
                fault = self._judged(followed.window, error)
                level = logging.INFO if fault.meaning is Meaning.CLOSED else logging.WARNING
                logger.log(level, "the answer to job %s: %s", followed.job.id, error)
                if fault.meaning is Meaning.GONE:
                    raise _Gone from error
            else:
                self._count(None)
                return None
            if fault.meaning is Meaning.TOO_LARGE and shrunk < MOST_SHRINKS:
                shrunk += 1
                continue
            if not fault.is_passing:
                return fault
            if fault.meaning is Meaning.UNKNOWN:
                followed.attempt = Attempt(is_repeated=True)
            failures += 1
            if failures >= (tries or fault.tries):
                return fault
            await self._sleep(max(pause, fault.retry_in))
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _insist(
        self, followed: _Followed, work: Callable[[Attempt], Awaitable[None]]
    ) -> None:
        """Carry out *work* on the message of a job that is over, if possible: nothing more
        depends on it."""
        try:
            fault = await self._carry_out(followed, work, TRIES_FOR_A_NOTE)
        except _Gone:
            return
        except Exception:
            logger.exception("the message of job %s stays as it is", followed.job.id)
            return
        if fault is not None:
            logger.info("the message of job %s stays as it is", followed.job.id)

    async def _until_written(self, job: Shown, write: Callable[[], Awaitable[None]]) -> None:
        """Write the end of the delivery of *job*, however long that takes: an answer must not be
        given twice because the disk was full."""
        while True:
            try:
                await write()
                return
            except StorageTrouble as error:
                logger.warning(
                    "the delivery of job %s has ended, but cannot be written: %s", job.id, error
                )
                await self._sleep(FIRST_PAUSE)

    def _judged(self, window: Window, error: Exception) -> Fault:
        """The meaning of *error*, ours or the platform's.

        Raises:
            Exception: *error* itself, where it is unexpected.
        """
        fault = window.judge(error)
        if fault is None and isinstance(error, TimeoutError):
            fault = Fault(Meaning.UNKNOWN)
        elif fault is None and isinstance(error, (StorageTrouble, OSError)):
            self._count(None, is_ours=True)  # the disk, or too many open files
            return Fault(Meaning.PASSES)
        self._count(fault, is_ours=fault is None)
        if fault is None:
            raise error
        return fault

    def _count(self, fault: Fault | None, *, is_ours: bool = False) -> None:
        """Count a call to the platform, that has ended in *fault* or well."""
        meaning = None if fault is None else fault.meaning
        self._service.metrics.called(self._platform, meaning, is_ours=is_ours)

    async def _say_goodbye(self, followed: _Followed) -> None:
        job = followed.job
        if not job.status.is_final:
            progress = replace(job.progress, note=RESTARTS, preview=None)
            await followed.window.show(progress, "")


async def _first(*works: Awaitable[object]) -> None:
    """Wait for the first of *works* to be done. The others are cancelled, but for tasks, which
    belong to somebody else."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ours = [task for task, work in zip(tasks, works, strict=True) if task is not work]
        for task in ours:
            task.cancel()
        await asyncio.gather(*ours, return_exceptions=True)

"""Following jobs on a platform, and delivering their ends at least once, whatever happens.

A platform brings a `Window` for each job: the message in which a person watches it, and the ways
on which its end may reach them. The rest is the same everywhere and stands here. A job is shown
until it ends; then its ways are tried in turn, each until the platform has taken the answer or
refuses it for good. An answer that was taken is written as delivered; a job whose answer can be
delivered nowhere is refunded.

The platform tells the meaning of a fault (`Window.judge`):

| meaning | consequence |
| --- | --- |
| `Meaning.PASSES` | the same again, a little later |
| `Meaning.UNKNOWN` | the same again, by an `Attempt` that looks first whether it was carried out |
| `Meaning.TOO_LARGE` | the same again, with a smaller file |
| `Meaning.CLOSED` | the next way |
| `Meaning.REFUSED` | no other way: the person is told why, and refunded |
| `Meaning.GONE` | nothing more; the platform does not know the bot any longer |

Jobs of an earlier process are followed by the same code as new ones, since all facts that a
window needs stand in the job's ``reply_to``. Its ``locale`` is the person's language.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

from bot import reasons
from bot.jobs import Delivery, Job, JobStatus, Progress
from bot.languages import Language, language_of
from bot.reasons import RESTARTS, Reason
from bot.refusals import StorageTrouble
from bot.service import Service
from bot.source import Source
from generation.errors import FluxbotError

logger = logging.getLogger(__name__)

#: Seconds between two looks for owed answers that are not being delivered.
SECONDS_BETWEEN_LOOKS = 60.0
#: Seconds between two attempts: at first, and at most. Each pause is twice the one before.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
#: Attempts on one way, some ten minutes, before the others have another chance.
TRIES_ON_A_WAY = 15
#: How often a file that is too large is made smaller for one way.
MOST_SHRINKS = 8
#: Attempts to have a last word in a message.
TRIES_FOR_A_NOTE = 5
#: Seconds that an edit which is under way may still take once the job has ended. An edit takes
#: some 0.2 s, and one that is cut off may arrive after the picture.
SECONDS_FOR_AN_EDIT = 0.75
#: Seconds after which an edit that was cut off will have arrived, if it ever does.
SECONDS_UNTIL_ARRIVED = 15.0
#: Seconds that leaving may take for the sake of a last word.
SECONDS_TO_LEAVE = 3.0


class Meaning(StrEnum):
    """Meaning of a fault for the attempt in which it came."""

    PASSES = "passes"  #: Not carried out, and may be a little later.
    UNKNOWN = "unknown"  #: No answer came, so that nobody knows whether it was carried out.
    TOO_LARGE = "too large"  #: The file; a smaller one may pass.
    CLOSED = "closed"  #: Final for this way.
    REFUSED = "refused"  #: Final for every way.
    GONE = "gone"  #: The platform no longer knows the bot.


@dataclass(frozen=True, slots=True)
class Fault:
    """A platform's fault, judged.

    Attributes:
        why: A sentence for the person, in their language; empty without one.
        retry_in: Seconds before which the platform wants no other attempt.
    """

    meaning: Meaning
    why: str = ""
    retry_in: float = 0.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """Facts about an attempt that a window takes into account.

    Attributes:
        is_repeated: Whether the act may have been carried out before without our knowing: in
            another process, or because an answer was lost. Look first, where the platform can.
        shrunk: Times that the platform has found the file too large.
    """

    is_repeated: bool = False
    shrunk: int = 0


@dataclass(frozen=True, slots=True)
class Way:
    """One way on which the end of a job reaches a person.

    Attributes:
        finish: Sends the end of the job. Raises errors that `Window.judge` understands.
        is_new: Whether it is another message than the one that showed progress. People who have
            cancelled the job themselves do not get one.
        left_behind: Sentence in the message that showed progress, once this way has succeeded.
    """

    finish: Callable[[Attempt], Awaitable[None]]
    is_new: bool = False
    left_behind: str = ""


class Window(Protocol):
    """The message in which a person watches one job.

    All methods but `ready` may raise errors that `judge` understands.
    """

    async def open(self, attempt: Attempt) -> None:
        """Have a message in which progress can be shown, posted now or found again. Where
        nothing can be shown a fault that is `Meaning.CLOSED` ends the job, and refunds it."""

    async def ready(self) -> None:
        """Wait until the platform may be told of progress."""

    async def show(self, progress: Progress, why_not: str) -> None:
        """Show the progress of the job; *why_not* is the reason why nothing is being drawn.

        Cancelled when the job ends meanwhile. Faults do no harm, since newer progress follows.
        """

    def ways(self) -> Iterable[Way]:
        """The ways to the person, in the order in which they are tried."""

    async def note(self, sentence: str) -> None:
        """Leave *sentence* as the last word in every message that still shows the job on its
        way, without a way to cancel."""

    def judge(self, error: Exception) -> Fault | None:
        """The meaning of *error*; None where the platform is not at fault."""


#: Opens the window of a job, for a person of that language; None where that is not possible
#: now, and the answer stays owed.
OpenWindow = Callable[[Job, Language], Window | None]


class _Gone(Exception):
    """The platform no longer knows the bot."""


@dataclass(eq=False)
class _Followed:
    """A job that is being followed.

    Attributes:
        attempt: Facts for the next attempt.
        pause: Seconds until the next attempt.
        is_showing: Whether an edit is under way.
        was_cut_off: Whether an edit was under way when the job ended, and may still arrive.
        is_over: Whether the person has the answer, or will never have it.
    """

    job: Job
    window: Window
    say: Language
    task: asyncio.Task[None] | None = None
    attempt: Attempt = field(default_factory=Attempt)
    pause: float = 0.0
    is_showing: bool = False
    was_cut_off: bool = False
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
        on_gone: Callable[[Job], Awaitable[None]] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._service = service
        self._platform = platform
        self._open_window = open_window
        self._on_gone = on_gone
        self._sleep = sleep
        self._followed: dict[str, _Followed] = {}
        self._closed = asyncio.Event()

    def follow(self, job: Job, *, is_new: bool = False) -> None:
        """Show *job* to the person who asked for it, and deliver its end. Calls can be repeated.

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
            return
        if window is None:
            logger.warning("job %s waits until %s lets the bot in", job.id, self._platform)
            return
        followed = _Followed(job, window, say, attempt=Attempt(is_repeated=not is_new))
        self._followed[job.id] = followed
        name = f"{self._platform} follows {job.id}"
        followed.task = asyncio.create_task(self._follow(followed), name=name)

    def is_following(self, job: Job) -> bool:
        """Whether *job* is shown, or its answer on its way, just now."""
        return job.id in self._followed

    async def follow_all(self) -> None:
        """Follow all jobs whose answer is owed, or will be."""
        for job in await self._service.answers.undelivered(self._platform):
            self.follow(job)

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

    async def abandon(self, is_lost: Callable[[Job], bool], reason: str) -> None:
        """End the jobs that *is_lost* picks out, whose people can no longer be reached for
        *reason*, and give their credits back."""
        for job in await self._service.answers.undelivered(self._platform):
            if not is_lost(job):
                continue
            followed = self._followed.get(job.id)
            task = followed.task if followed is not None else None
            if task is not None and task is not asyncio.current_task():
                task.cancel()
            say = language_of((job.reply_to or {}).get("locale"))
            name = self._platform.capitalize()
            await self._end_undelivered(job, reasons.unreachable(name, reason, say))

    # One job

    async def _follow(self, followed: _Followed) -> None:
        job = followed.job
        try:
            fault = await self._carry_out(followed, followed.window.open)
            if fault is not None:
                await self._give_up(followed, fault.why)
                return
            await self._show_progress(followed)
            await self._deliver(followed)
        except _Gone:
            logger.error("%s no longer knows the bot; job %s is owed", self._platform, job.id)
            if self._on_gone is not None:
                await self._on_gone(job)
        except Exception:
            logger.exception("the answer to job %s is still owed", job.id)
        finally:
            del self._followed[job.id]

    async def _show_progress(self, followed: _Followed) -> None:
        """Show the progress of the job until it has ended. After that only an edit that is being
        carried out may take a moment longer."""
        showing = asyncio.ensure_future(self._keep_showing(followed))
        try:
            await _first(showing, followed.job.finished())
            if followed.is_showing:
                await _first(showing, self._sleep(SECONDS_FOR_AN_EDIT))
            followed.was_cut_off = followed.is_showing
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
        if not showing.cancelled():
            showing.result()

    async def _keep_showing(self, followed: _Followed) -> None:
        job, window = followed.job, followed.window
        async for progress in job.watch():
            if progress.status.is_final:
                return
            await window.ready()
            progress = job.progress  # it went on meanwhile
            if progress.status.is_final:
                return
            state = self._service.state
            why_not = state.message if state.status not in ("ready", "draining") else ""
            followed.is_showing = True
            try:
                await window.show(progress, followed.say(why_not))
            except Exception as error:
                fault = window.judge(error)
                if fault is not None and fault.meaning is Meaning.GONE:
                    raise _Gone from error
                level = logging.ERROR if fault is None else logging.DEBUG
                logger.log(level, "progress of job %s is not shown: %r", job.id, error)
            followed.is_showing = False

    async def _deliver(self, followed: _Followed) -> None:
        """Send the end of the job on the first way that works."""
        job, why = followed.job, ""
        is_known = job.status is JobStatus.CANCELLED and job.error is None
        ways = deque(way for way in followed.window.ways() if not (is_known and way.is_new))
        followed.pause = FIRST_PAUSE
        while ways:
            way = ways.popleft()
            fault = await self._carry_out(followed, way.finish, TRIES_ON_A_WAY)
            if fault is None:
                await self._end_delivered(followed, way)
                return
            if fault.meaning is Meaning.REFUSED:
                await self._give_up(followed, fault.why)
                return
            if fault.meaning in (Meaning.PASSES, Meaning.UNKNOWN):
                ways.append(way)
            why = fault.why or why
        if is_known:
            await self._until_written(job, lambda: self._service.answers.delivered(job))
        else:
            await self._give_up(followed, why)

    async def _end_delivered(self, followed: _Followed, way: Way) -> None:
        followed.is_over = True
        job = followed.job
        await self._until_written(job, lambda: self._service.answers.delivered(job))
        if way.left_behind:
            await self._note(followed, followed.say(way.left_behind))
        elif followed.was_cut_off and not way.is_new:
            # Progress that arrives after the picture would take its place.
            await _first(self._sleep(SECONDS_UNTIL_ARRIVED), self._closed.wait())
            await self._once(followed, lambda: way.finish(Attempt(is_repeated=True)))

    async def _give_up(self, followed: _Followed, why: str) -> None:
        why = why or followed.say(Reason.NOWHERE)
        await self._end_undelivered(followed.job, why)
        followed.is_over = True
        await self._note(followed, reasons.given_up(why, followed.say))

    async def _end_undelivered(self, job: Job, why: str) -> None:
        logger.warning("job %s cannot be delivered: %s", job.id, why)
        if not job.status.is_final:
            try:
                await self._service.cancel(Source(job.user), job.id, why)
            except FluxbotError:
                await job.finished()  # it ended at that very moment
        await self._until_written(job, lambda: self._service.answers.undeliverable(job, why))

    # Shared by the steps above

    async def _carry_out(
        self,
        followed: _Followed,
        work: Callable[[Attempt], Awaitable[None]],
        tries: int | None = None,
    ) -> Fault | None:
        """The fault that keeps *work* from being done; None once it is done.

        Work is tried again for as long as the platform is away, or at most *tries* times.

        Raises:
            _Gone: The platform no longer knows the bot.
        """
        shrunk = failures = 0
        while True:
            try:
                await work(replace(followed.attempt, shrunk=shrunk))
            except Exception as error:
                fault = _judged(followed.window, error)
                level = logging.INFO if fault.meaning is Meaning.CLOSED else logging.WARNING
                logger.log(level, "the answer to job %s: %s", followed.job.id, error)
                if fault.meaning is Meaning.GONE:
                    raise _Gone from error
            else:
                return None
            if fault.meaning is Meaning.TOO_LARGE and shrunk < MOST_SHRINKS:
                shrunk += 1
                continue
            if fault.meaning not in (Meaning.PASSES, Meaning.UNKNOWN):
                return fault
            if fault.meaning is Meaning.UNKNOWN:
                followed.attempt = Attempt(is_repeated=True)
            failures += 1
            await self._wait(followed, fault)
            if failures == tries:
                return fault

    async def _wait(self, followed: _Followed, fault: Fault) -> None:
        pause = followed.pause or FIRST_PAUSE
        followed.pause = min(2 * pause, LONGEST_PAUSE)
        await self._sleep(max(pause, fault.retry_in))

    async def _note(self, followed: _Followed, sentence: str) -> None:
        """Leave a last word in the message, if possible."""
        followed.pause = FIRST_PAUSE
        for _ in range(TRIES_FOR_A_NOTE):
            fault = await self._once(followed, lambda: followed.window.note(sentence))
            if fault is None or fault.meaning not in (Meaning.PASSES, Meaning.UNKNOWN):
                return
            await self._wait(followed, fault)

    async def _once(self, followed: _Followed, work: Callable[[], Awaitable[None]]) -> Fault | None:
        """The fault of *work*, tried once, since nothing depends on it; None without one."""
        try:
            await work()
        except Exception as error:
            fault = followed.window.judge(error)
            level = logging.ERROR if fault is None else logging.INFO
            logger.log(level, "the message of job %s stays as it is: %r", followed.job.id, error)
            return fault
        return None

    async def _until_written(self, job: Job, write: Callable[[], Awaitable[None]]) -> None:
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


def _judged(window: Window, error: Exception) -> Fault:
    """The meaning of *error*, ours or the platform's.

    Raises:
        Exception: *error* itself, where it is unexpected.
    """
    fault = window.judge(error)
    if fault is not None:
        return fault
    if isinstance(error, (StorageTrouble, OSError)):  # the disk, or too many open files
        return Fault(Meaning.PASSES)
    raise error

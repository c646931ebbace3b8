"""Jobs: a request on its way from a person to the GPU and back.

The core never calls an adapter. An adapter submits a request, is handed a
`Job`, and watches it.
"""

from __future__ import annotations

import asyncio
import secrets
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from bot.lineage import Relation
from bot.origins import NOWHERE, Origin
from generation.checks import MAX_SEED
from generation.types import GenerationRequest

#: Letters and digits that cannot be mistaken for one another when read aloud.
ID_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
ID_LENGTH = 8


def new_id() -> str:
    """A job id that people can type: 8 of 31 characters, about 39 bits. One of them is a digit, as
    none is in a word: where people type an id, it is taken for no prompt."""
    while True:
        number, id = secrets.randbelow(len(ID_ALPHABET) ** ID_LENGTH), ""
        for _ in range(ID_LENGTH):
            number, digit = divmod(number, len(ID_ALPHABET))
            id += ID_ALPHABET[digit]
        if not id.isalpha():
            return id


class JobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    HELD = "held"  #: Drawn, and shown to moderators alone until one of them has decided.
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return not TRANSITIONS[self]


#: Every legal change of status. A status that leads nowhere is final. A running
#: job returns to the queue when the process that ran it has gone.
TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED, JobStatus.FAILED}),
    JobStatus.RUNNING: frozenset(
        {
            JobStatus.SUCCEEDED,
            JobStatus.FAILED,
            JobStatus.CANCELLED,
            JobStatus.QUEUED,
            JobStatus.HELD,
        }
    ),
    JobStatus.HELD: frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED}),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}


class Review(StrEnum):
    """State of a picture that moderators look at."""

    DUE = "due"  #: It will be held once it is drawn, for what was asked.
    HELD = "held"
    RELEASED = "released"
    REJECTED = "rejected"


class Delivery(StrEnum):
    """State of the answer to a job.

    Without ``reply_to`` no answer is owed: the client fetches the picture itself.
    """

    NONE = "none"
    OWED = "owed"
    DELIVERED = "delivered"


@dataclass(frozen=True, slots=True)
class Progress:
    """A snapshot of a job for its watchers.

    Attributes:
        status: The job's status.
        position: Jobs ahead of this one, running ones included; 0 while it runs.
        wait: Seconds until the job starts, or None before any step was measured.
        picture: Number of the picture being drawn, 1 to ``job.images``; 0 before the start.
        step: Denoising steps done of this picture, out of ``request.steps_taken``.
        preview: A small JPEG of the unfinished picture.
        note: Reason for an unusual delay, such as "downloading canny's ControlNet, 43 %"; empty
            in the usual case.
    """

    status: JobStatus
    position: int = 0
    wait: float | None = None
    picture: int = 0
    step: int = 0
    preview: bytes | None = field(default=None, repr=False)
    note: str = ""


@dataclass(eq=False, kw_only=True)
class Job:
    """One request of a person, and its progress.

    Attributes:
        id: Unique, and short enough to type.
        user: ``platform:id``, such as ``discord:1234``.
        request: The first picture, completely specified; the others differ in the seed alone.
        images: Number of pictures, with seeds seed, seed + 1, ….
        cost: Credits charged.
        refunded: Credits of these that were given back.
        steps_drawn: Denoising steps of all pictures that were drawn when the person cancelled the
            job; None before that, and where somebody else did.
        submitted_at: Unix seconds.
        origin: Place of the request; the database keeps only its server.
        reply_to: Address of the answer, which only the adapter understands; None where the
            client fetches the picture itself.
        event_id: The platform's id of the event behind the job; a repeated event makes no
            second job.
        webhook_url: Address that is told of its end, on its way into a table of its own; None
            without one, and once it stands there.
        parent: Id of the job that this one repeats or varies.
        is_relaxed: Whether it is drawn at no charge, and when nobody who pays waits.
        series: Id of the first job of those that were asked for together; None for one alone.
        parent_user: Person who asked for that, ``platform:id``; empty without one.
        relation: How it came of its parent; None without one, and in older rows.
        is_seed_given: Whether a person gave the seed, which is then kept by drawing again.
        attempts: Times that drawing was begun.
        engine_losses: Times that the engine died while drawing, perhaps of this job.
        unrelated_losses: Times that it did for another reason, in this run of the bot.
        remarks: Sentences for the person, such as a warning of words unknown to the model.
        delivery: State of the answer.
        error: Sentence for the person that explains a failure, or a cancellation by somebody else.
        seconds: Time on the engine of the pictures that are there, together; None before the first.
        finished_at: Unix seconds; None before the end.
        is_pruned: Whether the files were deleted for their age.
        is_forgotten: Whether the words were forgotten, for their age or because somebody wished so.
        review: State of the moderators' look at it; None without one.
        verdict: A note of the screens for moderators.
        ready: Numbers (from 1) of the pictures that may be seen before all are drawn, and that
            stay whatever becomes of the others; see `available`.
        is_spoiler: Whether the picture is hidden until somebody wants to see it.
        progress: The latest progress.
    """

    user: str
    request: GenerationRequest
    images: int = 1
    cost: int = 0
    refunded: int = 0
    steps_drawn: int | None = None
    submitted_at: float = 0.0
    id: str = field(default_factory=new_id)
    origin: Origin = NOWHERE
    reply_to: dict[str, Any] | None = None
    event_id: str | None = None
    webhook_url: str | None = None
    parent: str | None = None
    series: str | None = None
    is_relaxed: bool = False
    parent_user: str = ""
    relation: Relation | None = None
    is_seed_given: bool = False
    attempts: int = 0
    engine_losses: int = 0
    unrelated_losses: int = 0
    delivery: Delivery = Delivery.NONE
    remarks: tuple[str, ...] = ()
    error: str | None = None
    seconds: float | None = None
    finished_at: float | None = None
    is_pruned: bool = False
    is_forgotten: bool = False
    review: Review | None = None
    verdict: str = ""
    ready: tuple[int, ...] = ()
    is_spoiler: bool = False
    progress: Progress = field(default=Progress(JobStatus.QUEUED))
    _changed: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    @property
    def status(self) -> JobStatus:
        return self.progress.status

    @property
    def parts(self) -> tuple[Job, ...]:
        """The job alone: a `bot.series.Series` has several."""
        return (self,)

    @property
    def news(self) -> asyncio.Event:
        """An event that the next change sets."""
        return self._changed

    @property
    def requests(self) -> Iterator[GenerationRequest]:
        """One request for each picture."""
        for number in range(self.images):
            yield replace(self.request, seed=(self.request.seed + number) % (MAX_SEED + 1))

    @property
    def available(self) -> tuple[int, ...]:
        """Numbers of the pictures that may be seen by now, unless their files are gone."""
        if self.is_pruned:
            return ()
        if self.status is JobStatus.SUCCEEDED:
            return tuple(range(1, self.images + 1))
        return self.ready

    @property
    def steps(self) -> int:
        """Denoising steps of all pictures together."""
        return self.images * self.request.steps_taken

    @property
    def work(self) -> float:
        """Steps that are computed x megapixels of each, of all pictures. Time and credits are
        proportional to it."""
        request = self.request
        pictures = len(request.pictures)
        pixels = request.kind.pixels_drawn(request.width, request.height, pictures) / 2**20
        return self.images * request.expected_evaluations * pixels

    def update(self, status: JobStatus, **progress: Any) -> None:
        """Set the status and the fields of `Progress` in *progress*, and wake the watchers.

        Raises:
            ValueError: The status may not follow the current one.
        """
        current = self.progress.status
        if status is not current and status not in TRANSITIONS[current]:
            raise ValueError(f"job {self.id}: {current} cannot become {status}")
        self.progress = Progress(status, **progress)
        self._wake()

    def add_ready(self, number: int, seconds: float) -> None:
        """Let picture *number* (from 1), which took *seconds*, be seen, and wake the watchers."""
        self.ready = tuple(sorted({*self.ready, number}))
        self.seconds = (self.seconds or 0.0) + seconds
        self._wake()

    async def watch(self) -> AsyncIterator[Progress]:
        """Yield the current progress, then each newer one, ending with a final one.

        A slow watcher skips intermediate progress instead of falling behind, so an
        adapter obeys a rate limit simply by sleeping.
        """
        while True:
            changed, progress = self._changed, self.progress
            yield progress
            if progress.status.is_final:
                return
            await changed.wait()

    async def finished(self) -> Progress:
        """The last progress, once the job has ended."""
        async for progress in self.watch():
            if progress.status.is_final:
                return progress
        raise AssertionError("watch() ends with a final progress")

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def drawn(self) -> Progress:
        """The first progress after which a client should not wait on: the job has ended, or
        is held for moderators, who may take hours."""
        async for progress in self.watch():
            if progress.status.is_final or progress.status is JobStatus.HELD:
                return progress
        raise AssertionError("watch() ends with a final progress")


@dataclass(frozen=True, order=True, slots=True)
class _Place:
    """A job's place in the queue. People take turns, one job each in a round.

    Round robin as virtual time: a person's next job goes one round after their
    last one, but never into a round that is over (start-time fair queueing,
    Goyal et al. 1996, with every job of length 1).
    """

    is_relaxed: bool  # behind all others, since it is drawn at no charge
    round: int
    arrival: int
    job_id: str


#: How far an engine looks for a job that suits it, and how often a job waits for that.
LOOKED_AT, MOST_PASSED_OVER = 8, 4


class FairQueue:
    """Waiting jobs, in the order in which they will be drawn.

    People take turns, so that one job never waits for all twenty of somebody else. Waiting
    jobs can be moved and taken out.

    Args:
        person_of: One name for all accounts of the person of an account. Jobs that wait keep their
            places when it changes.
    """

    def __init__(self, person_of: Callable[[str], str] = lambda user: user) -> None:
        self._person_of = person_of
        self._person: dict[str, str] = {}  # by the id of a waiting job
        self._of_person: dict[str, list[str]] = {}
        self._places: list[_Place] = []  # sorted; the first is next
        self._jobs: dict[str, Job] = {}
        self._place_of: dict[str, _Place] = {}
        self._of_user: dict[str, list[str]] = {}
        self._round = 0
        self._had_their_turn: set[str] = set()  # in this round
        self._arrivals = 0
        self._moved_to_front = 0
        self._is_held = False
        self._changed = asyncio.Event()
        self._passed_over: Counter[str] = Counter()  # by the id of a waiting job

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return (self._jobs[place.job_id] for place in self._places)

    def between(self, begin: int, end: int) -> Iterator[Job]:
        """The jobs from place *begin* on, counted from 0, up to that before *end*."""
        return (self._jobs[place.job_id] for place in self._places[begin:end])

    def of(self, user: str) -> list[Job]:
        """The waiting jobs of the account *user*, in the order in which they will be drawn."""
        return [self._jobs[job_id] for job_id in self._of_user.get(user, ())]

    @property
    def round(self) -> int:
        """Round of the job that was handed out last."""
        return self._round

    def resume(self, round: int, had_their_turn: Iterable[str]) -> None:
        """Continue an earlier queue in *round*, in which these accounts had their turn already.

        To be called before any `put`: jobs that are then put in the order of their arrival
        get their old places.
        """
        self._round = round
        self._had_their_turn = set(map(self._person_of, had_their_turn))

    @property
    def relaxed(self) -> int:
        """Number of waiting jobs that are drawn when nobody who pays waits."""
        return sum(place.is_relaxed for place in self._places)

    def waiting(self, user: str) -> int:
        """Number of waiting jobs of the account *user*."""
        return len(self._of_user.get(user, ()))

    def position(self, job: Job) -> int:
        """Number of waiting jobs that are drawn before *job*, which waits too."""
        return bisect_left(self._places, self._place_of[job.id])

    def before(self, job: Job) -> Job | None:
        """The waiting job whose turn is just before that of *job*; None if it is next."""
        position = self.position(job)
        return self._jobs[self._places[position - 1].job_id] if position else None

    def put(self, job: Job) -> None:
        person = self._person_of(job.user)
        # Coming back at once earns nobody a second turn in a round.
        turn = self._round + (person in self._had_their_turn)
        mine = [self._place_of[each] for each in self._of_person.get(person, ())]
        if like := [place for place in mine if place.is_relaxed == job.is_relaxed]:
            turn = max(turn, like[-1].round + 1)
        self._arrivals += 1
        self._add(job, _Place(job.is_relaxed, turn, self._arrivals, job.id))

    def put_first(self, job: Job) -> None:
        """Put *job* in front of all others."""
        self._moved_to_front += 1
        place = _Place(False, self._round, -self._moved_to_front, job.id)
        self._add(job, place, is_first=True)

    def move(self, job_id: str, *, to_front: bool) -> bool:
        """Move a waiting job to the front or the end of the queue; False if it does not wait."""
        old = self._place_of.get(job_id)
        if old is None:
            return False
        job = self._take(old)
        if to_front:
            self.put_first(job)
            return True
        self._arrivals += 1
        last = self._places[-1] if self._places else _Place(False, self._round, 0, "")
        self._add(job, _Place(last.is_relaxed, last.round, self._arrivals, job_id))
        return True

    def _add(self, job: Job, place: _Place, *, is_first: bool = False) -> None:
        insort(self._places, place)
        self._jobs[job.id] = job
        self._place_of[job.id] = place
        person = self._person[job.id] = self._person_of(job.user)
        for mine in (
            self._of_user.setdefault(job.user, []),
            self._of_person.setdefault(person, []),
        ):
            # Those who pay come before those who do not, also within one person.
            behind = 0 if place.is_relaxed else sum(self._place_of[o].is_relaxed for o in mine)
            mine.insert(0 if is_first else len(mine) - behind, job.id)
        self._changed.set()

    def hold(self) -> None:
        """Hand out no job until `release`."""
        self._is_held = True

    def release(self) -> None:
        self._is_held = False
        self._changed.set()

    def wake(self) -> None:
        """Have those look again who wait for a job, since they may leave it to others no longer."""
        self._changed.set()

    async def get(
        self,
        suits: Callable[[Job], bool] = lambda job: True,
        is_left: Callable[[Job], bool] = lambda job: False,
    ) -> Job:
        """The next job, taken out of the queue; waits for one if there is none, or if it *is_left*
        to somebody else who waits for one too.

        Where whatever is behind it in the same round *suits* an engine, which need not load
        anything for it, and the next does not, that one is handed out: of the first `LOOKED_AT`
        places, and past no job more than `MOST_PASSED_OVER` times.
        """
        while (place := self._choose(suits, is_left)) is None:
            self._changed.clear()
            await self._changed.wait()
        if place.is_relaxed:  # the rounds of those who pay stand still meanwhile
            return self._take(place)
        if place.round != self._round:
            self._round = place.round
            self._had_their_turn.clear()
        self._had_their_turn.add(self._person[place.job_id])
        return self._take(place)

    def _choose(
        self, suits: Callable[[Job], bool], is_left: Callable[[Job], bool]
    ) -> _Place | None:
        if self._is_held or not self._places:
            return None
        first = self._places[0]
        passed: list[str] = []
        for place in self._places[:LOOKED_AT]:
            if (place.is_relaxed, place.round) != (first.is_relaxed, first.round):
                break
            job = self._jobs[place.job_id]
            is_due = place.arrival < 0 or self._passed_over[place.job_id] >= MOST_PASSED_OVER
            if is_due and not suits(job) and is_left(job):
                return None
            if is_due or suits(job):
                self._passed_over.update(passed)
                return place
            passed.append(place.job_id)
        return None if is_left(self._jobs[first.job_id]) else first

    def remove(self, job_id: str) -> Job | None:
        """Take a waiting job out of the queue; None if it does not wait.

        The person's later jobs move up into its turn.
        """
        place = self._place_of.get(job_id)
        if place is None:
            return None
        mine = self._of_person[self._person[job_id]]
        later = mine[mine.index(job_id) + 1 :]
        turn = place.round
        job = self._take(place)
        for follower in later:
            old = self._place_of[follower]
            if old.is_relaxed != place.is_relaxed:
                continue
            self._places.pop(bisect_left(self._places, old))
            new = _Place(old.is_relaxed, turn, old.arrival, follower)
            insort(self._places, new)
            self._place_of[follower] = new
            turn = old.round
        return job

    def _take(self, place: _Place) -> Job:
        self._places.pop(bisect_left(self._places, place))
        job = self._jobs.pop(place.job_id)
        del self._place_of[job.id]
        self._passed_over.pop(job.id, None)
        for by, name in (
            (self._of_user, job.user),
            (self._of_person, self._person.pop(job.id)),
        ):
            by[name].remove(job.id)
            if not by[name]:
                del by[name]
        return job


class StepTimes:
    """Measured drawing times, from which waiting times are estimated.

    Attributes:
        smoothing: Weight of the newest measurement, 0 to 1.
    """

    smoothing = 0.3

    def __init__(self) -> None:
        self._seconds_per_work: dict[tuple[object, ...], float] = {}
        #: The latest of each model: a step of one is not a step of another.
        self._latest: dict[str, float] = {}

    def record(self, job: Job, seconds: float) -> None:
        """Learn from a job that took *seconds* on the engine."""
        measured = seconds / job.work
        old = self._seconds_per_work.get(self._kind(job), measured)
        latest = old + self.smoothing * (measured - old)
        self._latest[job.request.model] = self._seconds_per_work[self._kind(job)] = latest

    def estimate(self, job: Job) -> float | None:
        """Seconds that *job* will take on the engine, or None before any step of its model was
        measured."""
        latest = self._latest.get(job.request.model)
        rate = self._seconds_per_work.get(self._kind(job), latest)
        return None if rate is None else rate * job.work

    def _kind(self, job: Job) -> tuple[object, ...]:
        request = job.request
        kind = request.kind
        return (request.model, request.width, request.height, kind.name, kind.conditioning_model)


def waiting_times(
    waiting: Iterable[Job],
    running: list[Job],
    engines: int,
    estimate: Callable[[Job], float | None],
    until_one_draws: float = 0.0,
    changing: Callable[[Job], float] = lambda job: 0.0,
) -> Iterator[tuple[Job, int, float | None]]:
    """Each *waiting* job, in the order of their turns, with the number of jobs ahead of it,
    running ones included, and the seconds until it starts (None where a time is not known).

    The work ahead is shared by *engines*, after *until_one_draws* seconds. *changing* tells how
    long it takes to load the model of each job, where that is to be loaded first.
    """
    ahead = seconds_ahead(running, estimate)
    changes = sum(map(changing, running))
    ahead = None if ahead is None else ahead + changes
    for position, job in enumerate(waiting, start=len(running)):
        change = changing(job)
        ahead = None if ahead is None else ahead + change
        yield job, position, None if ahead is None else until_one_draws + ahead / engines
        seconds = estimate(job)
        ahead = None if ahead is None or seconds is None else ahead + seconds


def seconds_ahead(jobs: Iterable[Job], estimate: Callable[[Job], float | None]) -> float | None:
    """Seconds that *jobs* still take on one engine; None where a time is not known."""
    total = 0.0
    for job in jobs:
        seconds = estimate(job)
        if seconds is None:
            return None
        total += seconds * (1 - share_done(job))
    return total


def share_done(job: Job) -> float:
    """Share of *job* that is drawn, 0 to 1, counted in denoising steps."""
    return min(1.0, steps_drawn(job) / job.steps)


def steps_drawn(job: Job) -> int:
    """Denoising steps of all pictures of *job* that are drawn by now."""
    return max(0, job.progress.picture - 1) * job.request.steps_taken + job.progress.step

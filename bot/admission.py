"""Admission of jobs: the checks, and the way onto the disk and into the queue."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from bot import access, departed, due_deletions, incidents, people, refused_words, strikes, webhooks
from bot.administration import DRAINING, Administration
from bot.config import Config
from bot.database import FULL, Database
from bot.drafts import Draft
from bot.gallery import Gallery
from bot.job_ids import JobIds
from bot.job_store import JobStore
from bot.jobs import Job, Review
from bot.judging import Judging
from bot.ledger import Ledger, cost
from bot.origins import Origin
from bot.refusals import Conflict, NotAccepting, QueueFull, Screened, StorageTrouble, TooManyJobs
from bot.screens import Action, Verdict
from bot.selves import Selves
from bot.sentences import Sentence
from bot.source import Source
from bot.worker import Worker

logger = logging.getLogger(__name__)


UNREADABLE = "the attached picture cannot be read; nothing was charged, please attach it again"
DELETING = "your data is being deleted: one moment, please"


class Admission:
    """The door of the queue. Jobs that pass it are charged, and on disk.

    Attributes:
        leaving: People whose data is being deleted, and who may ask for nothing meanwhile.
    """

    def __init__(
        self,
        config: Config,
        database: Database,
        store: JobStore,
        ledger: Ledger,
        worker: Worker,
        gallery: Gallery,
        admin: Administration,
        ids: JobIds,
        judging: Judging,
        selves: Selves,
        now: Callable[[], float],
    ) -> None:
        self._config = config
        self._database = database
        self._store = store
        self._ledger = ledger
        self._worker = worker
        self._gallery = gallery
        self._admin = admin
        self._ids = ids
        self._judging = judging
        self._selves = selves
        self._now = now
        self.leaving: set[str] = set()
        self._asking: Counter[str] = Counter()
        self._admitting: Counter[str] = Counter()
        self._changed = asyncio.Event()
        #: Names of attached pictures whose jobs are on their way, and of those that were meanwhile.
        self._in_use: Counter[str] = Counter()
        self._watched: list[set[str]] = []

    async def asked_before(self, event_id: str | None) -> Job | None:
        """The job that the platform's event has made already; None if it has made none."""
        if event_id is None:
            return None
        find = partial(self._store.find_event, event_id=event_id)
        found = await self._worker.look_up(lambda db: [job] if (job := find(db)) else [])
        return _not_deleted(found[0]) if found else None

    @contextmanager
    def asking(self, user: str) -> Iterator[None]:
        """The time in which *user* asks for a job; see `settled`."""
        self._asking[user] += 1
        try:
            yield
        finally:
            self._count_down(self._asking, user)

    async def settled(self, user: str) -> None:
        """Return once *user* (anybody, where it is empty) asks for nothing any more, all jobs that
        they asked for being in the queue, or refused."""
        while any(each[user] if user else each for each in (self._asking, self._admitting)):
            if not user and not self._admitting:
                return  # others go on asking, for jobs that come later
            await self._changed.wait()

    @contextmanager
    def watching(self) -> Iterator[set[str]]:
        """File names of attached pictures whose jobs are being written, or were begun to be written
        since."""
        watched = set(self._in_use)
        self._watched.append(watched)
        try:
            yield watched
        finally:
            self._watched.remove(watched)

    async def check(self, source: Source) -> None:
        """Raise Refused where no job of *source* can be accepted now, of whatever kind.

        It comes before anything that the person has attached is fetched or looked at.
        """
        self._check_accepting(source.user)
        await self.check_may_draw(source)

    async def check_may_draw(self, source: Source) -> None:
        """Raise NotAllowed where the person is banned, or drawing is not allowed in the place."""

        def check(db: sqlite3.Connection) -> None:
            self._check_person(db, source.user, source.origin)

        await self._database.read(check)

    async def accept(self, source: Source, draft: Draft) -> Job:
        """The job for *draft*, queued, and on disk with its attached pictures and its charge; the
        earlier job, where the event was repeated.

        Raises:
            Refused: A screen refuses it, the credits do not suffice, or the queue or the disk is
                full.
        """
        (job,) = await self.accept_all(source, [draft])
        return job

    async def accept_all(self, source: Source, drafts: Sequence[Draft]) -> list[Job]:
        """The jobs for *drafts*, likewise, as a series where there are several: all of them or
        none. Of a repeated event the first of the earlier ones.

        Raises:
            Refused: As for `accept`.
        """
        jobs = [
            self._job(source, draft, source.event_id if number == 0 else None)
            for number, draft in enumerate(drafts)
        ]
        names = {path.name for draft in drafts for path in draft.request.pictures.values()}
        self._in_use.update(names)
        for watched in self._watched:
            watched |= names
        try:
            admitting = await self._prepare(jobs, drafts)
        except BaseException:
            self._no_longer_uses(names)
            raise
        admitting.add_done_callback(lambda _: self._no_longer_uses(names))
        # Once on disk, the job must be in the queue too, even if the person has gone.
        return await asyncio.shield(admitting)

    async def check_all(self, source: Source, drafts: Sequence[Draft]) -> Job:
        """A job with the price of all *drafts* of *source* together, which are not asked for yet.

        Raises:
            Refused: They could not be accepted now: the credits do not suffice, or the queue is
                full. No screen was asked.
        """
        jobs = [self._job(source, draft, None) for draft in drafts]
        self._check_accepting(source.user, len(jobs))
        await self._database.read(partial(self._check_may_pay, jobs=jobs))
        return _together(jobs)

    def _job(self, source: Source, draft: Draft, event_id: str | None) -> Job:
        job = Job(
            user=source.user,
            request=draft.request,
            images=draft.images,
            remarks=draft.remarks,
            parent=None if draft.parent is None else draft.parent.id,
            parent_user="" if draft.parent is None else draft.parent.user,
            relation=draft.relation,
            is_seed_given=draft.is_seed_given,
            origin=source.origin,
            reply_to=None if source.reply_to is None else dict(source.reply_to),
            event_id=event_id,
            webhook_url=source.webhook_url,
            submitted_at=self._now(),
        )
        job.cost = cost(job, self._config.quota)
        return job

    async def _prepare(
        self, jobs: Sequence[Job], drafts: Sequence[Draft]
    ) -> asyncio.Task[list[Job]]:
        """The task that writes *jobs*, whose pictures are on the disk."""
        for job, draft in zip(jobs, drafts, strict=True):
            kept = await asyncio.to_thread(_kept_pictures, draft)
            await self._judge(job, [*kept, *(clean.png for clean in draft.attached)])
        attached = {clean.png for draft in drafts for clean in draft.attached}
        if attached:
            # Checked here already, so that refused requests never fill the disk.
            await self._database.read(partial(self._check_may_pay, jobs=jobs))
        for png in attached:
            try:
                await asyncio.to_thread(self._gallery.keep_control_image, png)
            except OSError as error:
                logger.error("a control image cannot be stored: %s", error)
                raise StorageTrouble(FULL) from error
        self._check_accepting(jobs[0].user, len(jobs))
        self._admitting[jobs[0].user] += len(jobs)
        return asyncio.create_task(self._admit(jobs))

    @property
    def is_admitting(self) -> bool:
        """Whether a job is being written just now."""
        return bool(self._admitting)

    def _check_accepting(self, user: str, count: int = 1) -> None:
        if not self.leaving.isdisjoint(self._selves.of(user)):
            raise Conflict(DELETING)
        state = self._worker.state
        if state.status in ("failed", "stopping"):
            raise NotAccepting(f"no jobs are accepted now: {state.message}", retry_in=30.0)
        if self._admin.is_draining:
            raise NotAccepting(DRAINING)
        if self._database.is_full:
            raise StorageTrouble(FULL)
        queue = self._config.queue
        mine_too = self._selves.of(user)
        waiting, mine = self._worker.waiting(mine_too)
        held = self._worker.held_of(mine_too)
        admitting = sum(self._admitting[each] for each in mine_too)
        if count > 1 and mine + held + admitting + count > queue.max_waiting_per_user:
            raise TooManyJobs(
                f"these are {count} jobs, and one person may have {queue.max_waiting_per_user}"
                f" waiting at once, of which you have {mine + held + admitting} already: ask for"
                " fewer, or wait for some",
                retry_in=self._worker.soon(),
            )
        if mine + held + admitting >= queue.max_waiting_per_user:
            held_too = f" ({held} of them for a moderator)" if held else ""
            raise TooManyJobs(
                f"you have {queue.max_waiting_per_user} jobs waiting already{held_too}, the most"
                " one person may have: wait for one, or cancel one",
                retry_in=self._worker.soon(),
            )
        if waiting + self._admitting.total() + count > queue.max_waiting:
            raise QueueFull(
                f"the queue is full ({queue.max_waiting} jobs wait): try again in a little while",
                retry_in=self._worker.soon(),
            )

    async def _judge(self, job: Job, attached: Sequence[bytes]) -> None:
        """Have the screens judge the words and the attached pictures of *job*, and mark it where
        it may be drawn on a condition.

        Raises:
            Screened: It may not be drawn.
            NotAccepting: A screen does not work.
        """
        words = await self._database.read(partial(refused_words.of, server=job.origin.server))
        request = job.request
        texts = (request.templated_prompt, request.negative_prompt)
        verdict = await self._judging.request(texts, attached, job.origin, words)
        if verdict.action is Action.REFUSE:
            await self._refuse(job, verdict)
        if verdict.action is Action.HOLD:
            job.review = Review.DUE
        job.is_spoiler = verdict.action is Action.SPOILER
        job.verdict = verdict.note

    async def _refuse(self, job: Job, verdict: Verdict) -> None:
        """Raise Screened, with a strike where the configuration wants one for words. Sexual words
        about minors always are one."""
        sentence = verdict.reason
        note = f"{verdict.note}: {job.request.prompt}"
        await self._database.write(
            partial(
                incidents.add,
                kind=incidents.Kind.REFUSED,
                now=self._now(),
                note=note,
                user=job.user,
                server=job.origin.server,
            )
        )
        if self._config.screens.words_strike or verdict.screen == "minors":
            told = await self._database.write(
                partial(
                    strikes.strike,
                    user=job.user,
                    reason=verdict.note,
                    now=self._now(),
                    settings=self._config.screens,
                )
            )
            sentence = f"{sentence}. {told}" if told else sentence
        raise Screened(sentence, field="prompt")

    def _check_person(self, db: sqlite3.Connection, user: str, origin: Origin) -> None:
        people.check_not_banned(db, user)
        is_manager = self._admin.manages(user, origin.server)
        access.check_may_draw(db, user, origin, is_manager=is_manager)
        strikes.check_not_paused(db, user, self._now(), self._config.screens)

    def _check_may_pay(self, db: sqlite3.Connection, jobs: Sequence[Job]) -> None:
        self._check_person(db, jobs[0].user, jobs[0].origin)
        self._relax(db, jobs)
        self._ledger.check(db, _together(jobs), jobs[0].submitted_at)

    def _relax(self, db: sqlite3.Connection, jobs: Sequence[Job]) -> None:
        """Make *jobs* of one person free of charge, where they have too few credits for them and
        may draw when nobody else waits."""
        total = _together(jobs)
        if total.is_relaxed or not self._ledger.relaxes(db, total, total.submitted_at):
            return
        if self._worker.relaxed + len(jobs) > self._config.queue.max_waiting // 2:
            raise QueueFull(Sentence.TOO_MANY_RELAXED, retry_in=self._worker.soon())
        for job in jobs:
            job.cost, job.is_relaxed = 0, True
            job.remarks = (*job.remarks, Sentence.RELAXED)

    async def _admit(self, jobs: Sequence[Job]) -> list[Job]:
        first = jobs[0]

        def admit(db: sqlite3.Connection) -> Job | None:
            if first.event_id is not None:
                earlier = self._store.find_event(db, first.event_id)
                if earlier is not None:
                    return _not_deleted(earlier)
            self._check_person(db, first.user, first.origin)
            server = first.origin.server
            if server is not None:  # they are there, whatever was said of their leaving
                due_deletions.take_back(db, first.user, server, first.submitted_at)
            self._relax(db, jobs)
            if len(jobs) > 1:  # so that the sentence is about all of them
                self._ledger.check(db, _together(jobs), first.submitted_at)
            for job in jobs:
                self._store.insert(db, job)
                if job.webhook_url is not None:
                    webhooks.add(db, job)
                self._ledger.charge(db, job, job.submitted_at)
            return None

        earlier: Job | None = first
        try:
            # From the commit on, a reader of the row must find the live job too.
            for job in jobs:
                await self._ids.give(job)
                if len(jobs) > 1:
                    job.series = first.id
            earlier = await self._database.write(admit)
        finally:
            self._count_down(self._admitting, first.user, len(jobs))
            for job in jobs:
                if earlier is not None and self._worker.unfinished.get(job.id) is job:
                    del self._worker.unfinished[job.id]
        if earlier is not None:
            return [self._worker.unfinished.get(earlier.id, earlier)]
        for job in jobs:
            self._worker.enqueue(job)
        return list(jobs)

    def _no_longer_uses(self, names: set[str]) -> None:
        self._in_use -= Counter(names)

    def _count_down(self, counter: Counter[str], user: str, count: int = 1) -> None:
        counter[user] -= count
        if not counter[user]:
            del counter[user]
        self._changed.set()
        self._changed = asyncio.Event()


def _together(jobs: Sequence[Job]) -> Job:
    """A job that costs what *jobs* of one person cost together, for the checks of their credits."""
    return replace(jobs[0], cost=sum(job.cost for job in jobs))


def _kept_pictures(draft: Draft) -> list[bytes]:
    """The pictures that *draft* has from an earlier job, PNG files. They are judged again: the
    verdict on that job, or in its place, may have been another.

    Raises:
        StorageTrouble: One cannot be read.
    """
    if draft.attached:  # then all of its pictures are new
        return []
    try:
        return [path.read_bytes() for path in draft.request.pictures.values()]
    except OSError as error:
        logger.error("a control image cannot be read: %s", error)
        raise StorageTrouble(UNREADABLE) from error


def _not_deleted(job: Job) -> Job:
    """*job*, unless its person has deleted it; then Conflict is raised."""
    if job.user.startswith(f"{departed.DELETED}:"):
        raise Conflict("that was deleted together with your data: ask for it again")
    return job

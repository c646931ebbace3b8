"""The end of a job: its status, its refund and the dead letter, in one transaction.

A refund is written together with the failure, or the failed delivery, that it belongs to. All
functions that take a connection run inside a transaction of `bot.database.Database.write`.
"""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass, replace
from fractions import Fraction

from bot import incidents, strikes
from bot.incidents import Kind
from bot.job_store import JobStore
from bot.jobs import Delivery, Job, JobStatus, Review, steps_drawn
from bot.ledger import NOTHING, Ledger
from bot.metrics import Metrics
from bot.sections import ScreenSettings

logger = logging.getLogger(__name__)

#: Begins of one job, and engines that died of it, perhaps, after which the job is given up.
MAX_ATTEMPTS = 3
MAX_ENGINE_LOSSES = 2
#: Engines that were lost under one job for reasons that have nothing to do with it, in one run of
#: the bot: so that nothing goes round for ever.
MAX_UNRELATED_LOSSES = 10

OUR_FAULT = "something went wrong on our side; your credits were given back"
UNREADABLE = "the bot can no longer read this job; your credits were given back"
LOST_TOO_OFTEN = (
    f"the bot went down {MAX_ATTEMPTS} times while drawing this; your credits were given back"
)
ENGINE_LOST_TOO_OFTEN = (
    f"the GPU had to be restarted {MAX_ENGINE_LOSSES} times over this; your credits were given"
    " back, and an admin can look at it"
)
MACHINES_LOST_TOO_OFTEN = (
    f"the machines that drew this were lost {MAX_UNRELATED_LOSSES} times; your credits were given"
    " back, and an admin can look at it"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a job.

    Attributes:
        status: Succeeded, failed or cancelled.
        finished_at: Unix seconds.
        error: A sentence for the person who asked; None where there is nothing to say.
        seconds: Drawing time; None where nothing was drawn.
        is_refunded: Whether the credits are given back, unless it succeeded.
        strike: A note of the reason for which the person gets a strike; empty without one.
        review: State of the moderators' look at the picture; None where there was none.
        is_spoiler: Whether the picture is hidden until somebody wants to see it.
        is_dead_letter: Whether the job is kept for an admin to look at and to replay.
        steps_drawn: Denoising steps of all pictures that were drawn, for which the person pays
            who has cancelled the job; None where nobody has to.
        share_drawn: These as a share of all steps of the job.
        refunded: Credits that were given back, once the outcome is written.
    """

    status: JobStatus
    finished_at: float
    error: str | None = None
    seconds: float | None = None
    is_refunded: bool = True
    strike: str = ""
    review: Review | None = None
    is_spoiler: bool = False
    is_dead_letter: bool = False
    steps_drawn: int | None = None
    share_drawn: Fraction = NOTHING
    refunded: int = 0

    def show(self, job: Job, metrics: Metrics) -> None:
        """Show the outcome on *job*, count it, and wake its watchers."""
        is_new = not job.status.is_final
        job.error, job.finished_at = self.error, self.finished_at
        job.seconds = job.seconds if self.seconds is None else self.seconds
        job.review = self.review or job.review
        job.is_spoiler = self.is_spoiler or job.is_spoiler
        job.steps_drawn, job.refunded = self.steps_drawn, self.refunded
        if self.status is JobStatus.SUCCEEDED:
            job.update(self.status, picture=job.images, step=job.request.steps_taken)
        else:
            job.update(self.status)
        if is_new:
            metrics.ended(job)


def given_up(error: str, now: float) -> Outcome:
    """The outcome of a job that is given up, for the reason *error*, a sentence."""
    return Outcome(JobStatus.FAILED, now, error, is_dead_letter=True)


def cancelled(job: Job, now: float, reason: str | None = None) -> Outcome:
    """The outcome of *job*, cancelled at *now*: by its own person, who pays for the steps that
    were drawn, or for *reason*, a sentence, and then nobody does."""
    if reason is not None or job.status is not JobStatus.RUNNING:
        return Outcome(JobStatus.CANCELLED, now, reason)
    drawn = min(steps_drawn(job), job.steps)
    return Outcome(
        JobStatus.CANCELLED, now, steps_drawn=drawn, share_drawn=Fraction(drawn, job.steps)
    )


class Outcomes:
    """Ends of jobs in *store*, with their refunds in *ledger*."""

    def __init__(self, store: JobStore, ledger: Ledger, screens: ScreenSettings) -> None:
        self._store = store
        self._ledger = ledger
        self._screens = screens

    def write(
        self,
        db: sqlite3.Connection,
        job_id: str,
        outcome: Outcome,
        *,
        fence: int | None = None,
        engine_losses: int | None = None,
    ) -> Outcome | None:
        """Write the end of a job, and give its credits back unless it succeeded; of a job that its
        own person cancelled, only those of the steps that were not drawn, and never those of
        pictures that were shown already.

        Args:
            fence: Fence of the attempt with that outcome; None for an end without an attempt.
            engine_losses: Times that the job has lost its engine; None keeps the count.

        Returns:
            The outcome that holds. It is an earlier one where the job had ended already, and
            None where a later attempt will end the job; in both cases nothing was written.
        """
        if self._store.finish(
            db,
            job_id,
            outcome.status,
            outcome.finished_at,
            fence=fence,
            seconds=outcome.seconds,
            error=outcome.error,
            engine_losses=engine_losses,
            is_dead_letter=outcome.is_dead_letter,
            steps_drawn=outcome.steps_drawn,
            review=outcome.review,
            is_spoiler=outcome.is_spoiler,
        ):
            if outcome.strike:
                outcome = self._with_strike(db, job_id, outcome)
            if outcome.status is JobStatus.SUCCEEDED or not outcome.is_refunded:
                return outcome
            # Pictures that were shown stay, and are paid for, whatever has become of the others.
            share = max(outcome.share_drawn, self._store.share_ready(db, job_id))
            refunded = self._ledger.refund(db, job_id, outcome.finished_at, share)
            return replace(outcome, refunded=refunded)
        found = self._store.find(db, job_id)
        if found is None:
            return outcome  # no record is left that could say anything else
        logger.warning("a late end of job %s is thrown away: %s", job_id, outcome.status)
        if not found.status.is_final:
            return None
        finished_at = found.finished_at or outcome.finished_at
        return Outcome(
            found.status,
            finished_at,
            found.error,
            found.seconds,
            steps_drawn=found.steps_drawn,
            refunded=found.refunded,
        )

    def _with_strike(self, db: sqlite3.Connection, job_id: str, outcome: Outcome) -> Outcome:
        """*outcome* with a strike that is written and told."""
        found = self._store.find(db, job_id)
        if found is None:
            return outcome
        if outcome.review is None:
            incidents.add(
                db,
                Kind.REFUSED,
                outcome.finished_at,
                f"{outcome.strike}: {found.request.prompt}",
                user=found.user,
                server=found.origin.server,
                job_id=job_id,
            )
        told = strikes.strike(
            db, found.user, outcome.strike, outcome.finished_at, self._screens, job_id=job_id
        )
        error = ". ".join(filter(None, [outcome.error, told]))
        self._store.set_error(db, job_id, error)
        return replace(outcome, error=error)

    def hold(self, db: sqlite3.Connection, job: Job, fence: int | None, now: float) -> bool:
        """Hold *job*, which is drawn and stored, and tell moderators; False if that attempt is not
        the latest."""
        if not self._store.hold(db, job, fence):
            return False
        note = f"{job.verdict}: {job.request.prompt}"
        server = job.origin.server
        incidents.add(db, Kind.HELD, now, note, user=job.user, server=server, job_id=job.id)
        return True

    def give_up_delivery(
        self, db: sqlite3.Connection, job_id: str, reason: str, now: float
    ) -> None:
        """Close the owed answer of a job, and give its credits back; without an owed answer
        nothing changes. *reason* is a sentence for the person's history.

        A person who has cancelled the job gets nothing more, since the answer has no picture.
        """
        if not self._store.close_delivery(db, job_id, Delivery.NONE, reason):
            return
        if not self._store.was_cancelled_by_its_person(db, job_id):
            self._ledger.refund(db, job_id, now)

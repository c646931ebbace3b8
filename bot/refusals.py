"""Errors of sound requests that are not carried out. They continue the tree in
``generation/errors.py``::

Refused
├── QuotaExceeded    the credits are used up; retry_in tells when enough come back
├── TooManyJobs      the person has as many jobs waiting as one person may have
├── TooOften         the person asks more often than one person may
├── QueueFull        the queue holds no more jobs
├── NotAccepting     paused by an admin, stopping, or the model cannot be loaded
├── NotAllowed       banned, or not an admin
│   └── Screened     a screen refuses the words or an attached picture
├── NotFound         no such job, preset or picture, or one of somebody else
├── Conflict         the job is past the point where that is possible
├── KeyReused        an idempotency key came with another request before
└── StorageTrouble   the disk is full or the database is busy; nothing was charged
"""

from __future__ import annotations

from generation.errors import FluxbotError


class Refused(FluxbotError):
    """A sound request that is not carried out. Nothing was charged.

    Attributes:
        retry_in: Seconds after which asking again makes sense; None where it does not.
    """

    code = "refused"

    def __init__(
        self, sentence: str, *, field: str | None = None, retry_in: float | None = None
    ) -> None:
        super().__init__(sentence, field=field)
        self.retry_in = retry_in


class QuotaExceeded(Refused):
    """The person's credits are used up."""

    code = "quota_exceeded"


class TooManyJobs(Refused):
    """The person has as many jobs waiting as one person may have."""

    code = "too_many_jobs"


class TooOften(Refused):
    """The person asks more often than one person may, or for too much at once."""

    code = "too_often"


class QueueFull(Refused):
    """The queue holds no more jobs."""

    code = "queue_full"


class NotAccepting(Refused):
    """No jobs are accepted now: paused, stopping, or the model cannot be loaded."""

    code = "not_accepting"


class NotAllowed(Refused):
    """The person may not do that."""

    code = "not_allowed"


class Screened(NotAllowed):
    """A screen refuses the words of a request, or a picture that is attached to it."""

    code = "screened"


class NotFound(Refused):
    """No such job, preset or picture, or one of somebody else."""

    code = "not_found"


class Conflict(Refused):
    """The job is past the point where that is possible."""

    code = "conflict"


class KeyReused(Refused):
    """An idempotency key belongs to another request."""

    code = "key_reused"

    def __init__(self) -> None:
        super().__init__(
            "this Idempotency-Key came with another request before: take a new key for a new"
            " request, or send the same request again",
            field="Idempotency-Key",
        )


class StorageTrouble(Refused):
    """The disk is full or the database is busy."""

    code = "storage"

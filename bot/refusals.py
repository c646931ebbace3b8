"""A sound request, but not now, or not you. Continues the tree in ``generation/errors.py``::

Refused
├── QuotaExceeded    the credits are used up; retry_in says when enough come back
├── TooManyJobs      this person already has as many jobs waiting as one may
├── QueueFull        everybody together has
├── NotAccepting     paused by an admin, stopping, or the model cannot be loaded
├── NotAllowed       banned, or not an admin
├── NotFound         no such job, preset or picture, or it is somebody else's
├── Conflict         the job is past the point where that is possible
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
    """The credits of this person are used up."""

    code = "quota_exceeded"


class TooManyJobs(Refused):
    """This person already has as many jobs waiting as one may."""

    code = "too_many_jobs"


class QueueFull(Refused):
    """All people together have as many jobs waiting as the queue holds."""

    code = "queue_full"


class NotAccepting(Refused):
    """Nothing is accepted now: paused, stopping, or the model cannot be loaded."""

    code = "not_accepting"


class NotAllowed(Refused):
    """This person may not do that."""

    code = "not_allowed"


class NotFound(Refused):
    """No such job, preset or picture, or it is somebody else's."""

    code = "not_found"


class Conflict(Refused):
    """The job is past the point where that is possible."""

    code = "conflict"


class StorageTrouble(Refused):
    """The disk is full or the database is busy."""

    code = "storage"

"""Links to pictures for programs that fetch them without a token."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

#: Seconds for which a link leads somewhere, as OpenAI's do.
HOUR = 3600.0
MAX_LINKS = 10_000


@dataclass(frozen=True, slots=True)
class Linked:
    """A picture of a job, as a link leads to it.

    Attributes:
        user: The person whose link it is.
        number: Which of the job's pictures, from 1.
        media_type: The format in which it is handed out.
        ends_at: When the link ends, on the clock of `Links`.
    """

    user: str
    job_id: str
    number: int
    media_type: str
    ends_at: float


class Links:
    """Links, by secrets that nobody can guess; they end after an hour, and with the process.

    Whoever has one may see the picture. *now* is a clock in seconds that never goes back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._links: OrderedDict[str, Linked] = OrderedDict()

    def new(self, user: str, job_id: str, number: int, media_type: str) -> str:
        """The secret of a new link."""
        while len(self._links) >= MAX_LINKS:
            self._links.popitem(last=False)
        secret = secrets.token_urlsafe(32)
        self._links[secret] = Linked(user, job_id, number, media_type, self._now() + HOUR)
        return secret

    def find(self, secret: str) -> Linked | None:
        """The picture behind *secret*; None where there is no such link any more."""
        linked = self._links.get(secret)
        return linked if linked is not None and self._now() < linked.ends_at else None

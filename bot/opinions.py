"""What people think of their pictures, as numbers for the operator alone.

Somebody's last word about a picture is what counts. Nothing of it is written down: the words are
forgotten with the process, as all that `Metrics` counts, and none of the numbers names a person.
"""

from __future__ import annotations

from collections import OrderedDict

from prometheus_client import CollectorRegistry, Gauge

#: Words that can be taken back; those before them stand.
REMEMBERED = 10_000
GOOD, BAD = "good", "bad"


class Opinions:
    """The opinions since the start of the process, in *registry*."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._latest: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._counts = Gauge(
            "fluxbot_opinions",
            "Pictures that people have called good or bad, by their last word.",
            ("opinion", "preset"),
            registry=registry,
        )

    def say(self, user: str, job_id: str, preset: str, *, is_good: bool) -> None:
        """*user* finds the picture *job_id*, drawn with *preset*, good or bad."""
        key, opinion = (user, job_id), GOOD if is_good else BAD
        before = self._latest.pop(key, None)
        if before is not None:
            self._counts.labels(before, preset).dec()
        self._latest[key] = opinion
        self._counts.labels(opinion, preset).inc()
        while len(self._latest) > REMEMBERED:
            self._latest.popitem(last=False)

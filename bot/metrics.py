"""Counts of what the bot does, for Prometheus; what is there at a moment is read by `bot.gauges`.

Parts of the bot tell `Metrics` what has happened, one place for each: the worker of begins and
drawing times, the outcomes of ends, `bot.following` of calls to platforms. Labels have few values:
a preset that is not configured counts as "other", and so does an unknown platform. Nothing that
is counted names a person, a place, a job or a word of a prompt.
"""

from __future__ import annotations

from collections.abc import Container

from prometheus_client import CollectorRegistry, Counter, Histogram

from bot.jobs import Job
from bot.opinions import Opinions
from bot.windows import Meaning

#: The platforms that have a name in labels.
PLATFORMS = ("web", "discord", "slack")
OTHER = "other"
#: How a call to a platform can end: well, or by a fault's meaning; "unexpected" is a fault of ours.
CALLED, UNEXPECTED = "ok", "unexpected"

WAITS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
DRAWINGS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """The counts since the start of the process.

    Args:
        presets: Those that have a name in labels.

    Attributes:
        registry: All of them, for a scrape.
    """

    def __init__(self, presets: Container[str]) -> None:
        self._presets = presets
        self.registry = CollectorRegistry()
        of_job = ("preset", "platform")
        self._ended = Counter(
            "fluxbot_jobs_ended",
            "Jobs that have ended.",
            ("status", *of_job),
            registry=self.registry,
        )
        self._spent = Counter(
            "fluxbot_credits_spent",
            "Credits charged for jobs that have ended, without those that were given back.",
            of_job,
            registry=self.registry,
        )
        self._refunded = Counter(
            "fluxbot_credits_refunded",
            "Credits that were given back as jobs ended.",
            of_job,
            registry=self.registry,
        )
        self._waits = Histogram(
            "fluxbot_job_wait_seconds",
            "Time from the request until drawing was first begun.",
            registry=self.registry,
            buckets=WAITS,
        )
        self._drawings = Histogram(
            "fluxbot_job_drawing_seconds",
            "Time on the engine of a job that was drawn, all its pictures together.",
            ("preset",),
            registry=self.registry,
            buckets=DRAWINGS,
        )
        self._steps = Histogram(
            "fluxbot_step_seconds",
            "Mean time of a denoising step of a job that was drawn.",
            ("preset",),
            registry=self.registry,
            buckets=STEPS,
        )
        self._calls = Counter(
            "fluxbot_platform_calls",
            "Attempts to show a job, or its end, on a platform.",
            ("platform", "outcome"),
            registry=self.registry,
        )
        self._opinions = Opinions(self.registry)

    def began(self, job: Job, now: float) -> None:
        """An engine has begun *job*, at *now* in unix seconds. Further attempts count no wait."""
        if job.attempts == 1:
            self._waits.observe(max(0.0, now - job.submitted_at))

    def drawn(self, job: Job, seconds: float) -> None:
        """An engine has drawn all of *job* in *seconds*."""
        preset = self._preset(job)
        self._drawings.labels(preset).observe(seconds)
        self._steps.labels(preset).observe(seconds / max(1, job.steps))

    def ended(self, job: Job) -> None:
        """*job* has ended, and is said to have."""
        labels = self._preset(job), platform_of(job.user.partition(":")[0])
        self._ended.labels(job.status.value, *labels).inc()
        self._spent.labels(*labels).inc(max(0, job.cost - job.refunded))
        self._refunded.labels(*labels).inc(job.refunded)

    def called(self, platform: str, meaning: Meaning | None, *, is_ours: bool = False) -> None:
        """A call to *platform* has ended: well, or by a fault of that *meaning*, or by a fault
        that *is_ours*."""
        outcome = UNEXPECTED if is_ours else CALLED if meaning is None else meaning.value
        self._calls.labels(platform_of(platform), outcome).inc()

    def judged(self, user: str, job: Job, *, is_good: bool) -> None:
        """*user* finds the pictures of *job* good or bad; their last word counts."""
        self._opinions.say(user, job.id, self._preset(job), is_good=is_good)

    def _preset(self, job: Job) -> str:
        name = job.request.preset
        return name if name in self._presets else OTHER


def platform_of(name: str) -> str:
    """The label of the platform called *name*."""
    return name if name in PLATFORMS else OTHER

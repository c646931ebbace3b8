"""What people are shown of the queue, and of the price of a picture."""

from __future__ import annotations

from dataclasses import dataclass

from bot.jobs import Job


@dataclass(frozen=True, slots=True)
class QueueView:
    """The queue as one person sees it.

    Attributes:
        waiting: Jobs of everybody that wait.
        running: Jobs of everybody that are being drawn.
        mine: This person's unfinished jobs, in the order in which they will be drawn.
    """

    waiting: int
    running: int
    mine: tuple[Job, ...]


@dataclass(frozen=True, slots=True)
class Quote:
    """What a request would cost, before anything is spent.

    Attributes:
        cost: Credits.
        left: Credits that the person has.
        seconds: Drawing time; None before anything was measured.
        position: Jobs that would be ahead.
        starts_in: Seconds until it would start; None before anything was measured.
    """

    cost: int
    left: int
    seconds: float | None
    position: int
    starts_in: float | None

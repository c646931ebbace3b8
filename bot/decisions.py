"""Decisions of moderators about an incident, as buttons offer them on every platform."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bot.commands import AdminCommand, AdminReports, AdminReview
from bot.incidents import Kind


class Decision(StrEnum):
    SHOW = "show"
    RELEASE = "release"
    REJECT = "reject"
    DISMISS = "dismiss"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Wording:
    """Words of a decision.

    Attributes:
        label: Words on its button.
        done: A word for it once it is carried out; empty where nothing is decided by it.
        is_danger: Whether it deletes something.
    """

    label: str
    done: str = ""
    is_danger: bool = False


WORDS = {
    Decision.SHOW: Wording("Show"),
    Decision.RELEASE: Wording("Release", "Released"),
    Decision.REJECT: Wording("Reject", "Rejected", is_danger=True),
    Decision.DISMISS: Wording("Dismiss", "Dismissed"),
    Decision.REMOVE: Wording("Delete picture", "Deleted", is_danger=True),
}
#: Decisions that moderators have about an incident.
OF_KIND: dict[Kind, tuple[Decision, ...]] = {
    Kind.HELD: (Decision.SHOW, Decision.RELEASE, Decision.REJECT),
    Kind.REPORTED: (Decision.SHOW, Decision.DISMISS, Decision.REMOVE),
    Kind.REFUSED: (),
    Kind.ACT: (),
}


def command_of(decision: Decision, job_id: str) -> AdminCommand:
    """The command that carries out *decision* about a job.

    Raises:
        ValueError: The decision is ``SHOW``, which each platform does in its own way.
    """
    match decision:
        case Decision.RELEASE:
            return AdminReview("release", job_id)
        case Decision.REJECT:
            return AdminReview("reject", job_id)
        case Decision.DISMISS:
            return AdminReports("dismiss", job_id)
        case Decision.REMOVE:
            return AdminReports("remove", job_id)
        case _:
            raise ValueError(f"{decision} is no command")

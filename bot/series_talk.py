"""What is said about several pictures at once: their price before, and their progress."""

from __future__ import annotations

from collections.abc import Sequence

from bot import replies
from bot.jobs import Job, JobStatus
from bot.languages import ENGLISH, Language, in_words
from bot.proposals import Proposal
from bot.sentences import Sentence
from bot.series import Series, Shown
from bot.together import Price
from bot.views import Choice


def proposed(price: Price, say: Language) -> str:
    """The question whether a series is to be drawn, with its number and price."""
    count = say.counted(price.pictures, "1 picture", "{count} pictures")
    lines = [f"{count}:", *(f"{n}. {each}" for n, each in enumerate(price.labels, start=1))]
    lines.append(
        say("Together they cost {cost} credits; you have {left}.", cost=price.cost, left=price.left)
    )
    if price.is_relaxed:
        lines[-1] = say(Sentence.RELAXED)
    if price.seconds is not None:
        time = in_words(price.seconds, say)
        lines.append(say("Drawing them takes about {time}.", time=time))
    lines.append(say("Shall I draw them?"))
    return "\n".join(lines)


def yes_or_no(proposal: Proposal, yes: str, say: Language) -> tuple[Choice, ...]:
    """Buttons that answer *proposal*; *yes* is the label of the first."""
    return (
        Choice(yes, f"yes {proposal.code}", is_main=True),
        Choice(say("No"), f"no {proposal.code}"),
    )


def head(series: Series) -> str:
    """What all prompts of *series* have in common, in one line: the first of them."""
    return replies.short(series.lead)


def line(series: Series, say: Language = ENGLISH) -> str:
    """Progress of *series* in one line."""
    done = sum(job.status is JobStatus.SUCCEEDED for job in series.parts)
    cost = sum(job.cost for job in series.parts)
    if series.status.is_final and not done:
        return replies.progress_line(series.lead, series.lead.progress, say)
    counted = say("{done} of {count} are drawn", done=done, count=len(series.parts))
    return f"{counted} · {say.counted(cost, '1 credit', '{count} credits')}"


def last_line(shown: Shown, say: Language = ENGLISH) -> str:
    """The end of a job or a series in one line."""
    if isinstance(shown, Series):
        return line(shown, say)
    return replies.progress_line(shown, shown.progress, say)


def legend(series: Series, say: Language = ENGLISH) -> list[str]:
    """The jobs of *series*, a line each: number, label and progress, or the id of the picture."""
    return [
        f"{number}. {label} · {_state(job, say)}"
        for number, (job, label) in enumerate(
            zip(series.parts, series.labels, strict=True), start=1
        )
    ]


def _state(job: Job, say: Language) -> str:
    if job.status is JobStatus.SUCCEEDED:
        return job.id
    return replies.progress_line(job, job.progress, say)


def cancelled(series: Series, say: Language = ENGLISH) -> str:
    """The answer to the person who has cancelled all of *series* that was left."""
    jobs = [job for job in series.parts if job.status is JobStatus.CANCELLED]
    back = sum(job.refunded for job in jobs)
    count = say.counted(len(jobs), "1 picture", "{count} pictures")
    return say("{pictures} cancelled; credits given back: {credits}.", pictures=count, credits=back)


def alternative(jobs: Sequence[Job], say: Language) -> str:
    """The pictures of a series in words, for people who do not see them."""
    return replies.alternative(jobs[0], say)

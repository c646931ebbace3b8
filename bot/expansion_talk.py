"""What is said of richer words for a prompt, before they are drawn."""

from __future__ import annotations

from dataclasses import replace

from bot.commands import AgainCommand, ExpandCommand, ImagineCommand
from bot.expansion import AXES
from bot.jobs import Job
from bot.languages import Language
from bot.proposals import Proposal
from bot.refusals import NotFound
from bot.requests import check_remembered
from bot.service import Service
from bot.source import Source
from bot.views import Choice


async def expand(service: Service, source: Source, command: ExpandCommand) -> Proposal:
    """The proposal to draw *command*'s words, made richer; a yes draws them.

    Raises:
        Refused: See `bot.expansion` and `bot.lookups`.
    """
    await service.check_may_draw(source)
    drawn: ImagineCommand | AgainCommand
    if command.code:  # on from an earlier proposal, whose own words are expanded anew
        earlier = service.proposals.take(source.user, command.code)
        service.proposals.put_back(earlier)
        assert isinstance(earlier.command, ImagineCommand | AgainCommand)
        original, drawn = earlier.original, earlier.command
    elif job := await _job(service, source, command):
        check_remembered(job)
        original, drawn = job.request.prompt, AgainCommand(job.id)
    else:
        original, drawn = command.asked.prompt, command.asked
    words = await service.expansion.of(source.user, source.origin, original, command.axes)
    if isinstance(drawn, AgainCommand):
        drawn = replace(drawn, changes=replace(drawn.changes, prompt=words))
    else:
        drawn = replace(drawn, prompt=words)
    return service.proposals.make(source.user, drawn, original=original)


async def _job(service: Service, source: Source, command: ExpandCommand) -> Job | None:
    """The job that is meant; None where words are."""
    if not command.job_id:
        return None
    try:
        return await service.lookups.job(source, command.job_id)
    except NotFound:
        if command.asked.prompt:
            return None
        raise


def proposed(proposal: Proposal, say: Language) -> tuple[str, tuple[Choice, ...]]:
    """The new words with the question whether to draw them, and buttons that answer."""
    command = proposal.command
    changes = command.changes if isinstance(command, AgainCommand) else command
    assert isinstance(changes, ImagineCommand)
    text = "\n\n".join([say("“{words}” could become:", words=proposal.original), changes.prompt])
    labels = {
        "camera": say("Camera"),
        "light": say("Light"),
        "mood": say("Mood"),
        "style": say("Style"),
    }
    return text, (
        Choice(say("Draw this"), f"yes {proposal.code}", is_main=True),
        *(Choice(labels[axis], f"expand {proposal.code} {axis}") for axis in AXES),
        Choice(say("No"), f"no {proposal.code}"),
    )


def remark(proposal: Proposal, say: Language) -> str:
    """A sentence with the words that the person had written."""
    return say("Expanded from: {words}", words=proposal.original)

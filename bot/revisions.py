"""Messages whose words are changed after they were sent. One message makes one picture: the new
words take the place of the old ones while the job waits, and come too late after that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

from bot.commands import Command
from bot.conversation import Reply, converse, refusal
from bot.jobs import Job, JobStatus
from bot.refusals import Conflict
from bot.sentences import Sentence, edited_too_late
from bot.service import Service
from bot.source import Picture, Source


async def revise(
    service: Service, source: Source, said: str | Command, pictures: Sequence[Picture] = ()
) -> Reply:
    """The reply to *said*, which are the new words of the message that ``source.event_id`` names.

    The old job is cancelled once there is the new one, so that words which are refused lose
    nothing. A message that has made no job is as good as new.
    """
    say = source.language
    job, number = await _last(service, source)
    if job is None:
        return await converse(service, source, said, pictures)
    if job.status is not JobStatus.QUEUED:
        return refusal(edited_too_late(), say)
    event_id = _event_id(source, number + 1)
    reply = await converse(service, replace(source, event_id=event_id), said, pictures)
    if not reply.is_new or reply.job is None:
        return reply
    if job.status is JobStatus.QUEUED:
        try:
            await service.cancel(source, job.id, say(Sentence.EDITED))
            return reply
        except Conflict:
            pass  # its turn came at this very moment
    await service.cancel(source, reply.job.id, say(Sentence.EDITED_TOO_LATE))
    await service.answers.delivered(reply.job)  # by this reply
    return refusal(edited_too_late(), say)


async def _last(service: Service, source: Source) -> tuple[Job | None, int]:
    """The newest job of the message, and its number among them."""
    last = None
    for number in count():
        job = await service.answers.to_event(_event_id(source, number))
        if job is None:
            return last, number - 1
        last = job
    raise AssertionError("a message is not changed for ever")


def _event_id(source: Source, number: int) -> str:
    return f"{source.event_id}#{number}" if number else str(source.event_id)

"""Pictures that are made from earlier ones: variations, and the final pictures of drafts."""

from __future__ import annotations

from dataclasses import replace

from bot.commands import Variation
from bot.jobs import Job
from bot.lineage import Relation
from bot.models import model_of
from bot.refusals import NotFound
from bot.requests import finished
from bot.service import Service
from bot.source import PictureOf, Source
from generation.errors import InvalidRequest
from generation.types import Preset


async def final(service: Service, source: Source, job_id: str | None, number: int | None) -> Job:
    """The job for the final picture of a draft, the latest without *job_id*: the same words and
    seed with all steps and pixels, of its picture *number* (from 1) alone or of all.

    Raises:
        NotFound: There is no such job.
        InvalidRequest: It has all of them already.
        Refused: As for `Service.submit`.
    """
    if job_id is None:
        draft = await service.lookups.latest(source)
        if draft is None:
            raise NotFound("you have no picture yet that could be finished")
        source = replace(source, shown=draft.id)
    else:
        draft = await service.lookups.job(source, job_id)
    preset = service.presets.get(draft.request.preset) or Preset(name=draft.request.preset)
    model = model_of(draft.request, service.config, service.presets)
    changes = finished(draft.request, preset, model)
    return await service.again(source, draft.id, changes, number=number, relation=Relation.FINAL)


async def vary(
    service: Service,
    source: Source,
    job_id: str | None,
    number: int | None,
    how: Variation | None,
) -> Job:
    """The job for a variation of picture *number* (from 1) of a job; without one of its only
    picture, or of all with new seeds.

    Raises:
        NotFound, Refused: As for `Service.from_picture`.
        InvalidRequest: Of several pictures, none was named to be varied so far.
    """
    if job_id is None:  # and there is no latest
        return await service.again(source, vary=True)
    job = await service.lookups.job(source, job_id)
    if number is None and job.images > 1:
        if how is not None:
            raise InvalidRequest(
                f"{job_id} has pictures 1 to {job.images}: say which, for example"
                f" vary {job_id} 2 --{how}",
                field="number",
            )
        return await service.again(source, job_id, vary=True)
    # Only below a mask there is anything to vary; and of an edit the words say no picture.
    if job.request.kind.takes_mask or job.request.kind.edits:
        return await service.again(source, job_id, vary=True, number=number or 1)
    return await service.from_picture(source, PictureOf(job_id, number or 1), "vary", how)

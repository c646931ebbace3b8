"""Pictures of jobs, brought to Slack and shown in messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from adapters.slack_chat import blocks, files
from adapters.slack_chat.errors import OutcomeUnknown, SlackError
from adapters.slack_chat.places import Place, post_once
from adapters.slack_chat.workspaces import Workspace
from bot import sentences
from bot.jobs import Job
from bot.languages import ENGLISH, Language
from bot.service import Service
from bot.source import Source


async def show_again(service: Service, place: Place, job: Job, say: Language = ENGLISH) -> None:
    """Post the picture of *job* once more, for somebody who asked to see it.

    Raises:
        FluxbotError: The files are gone.
        SlackError, OutcomeUnknown: The picture cannot be posted.
    """
    ids: list[str] = []
    try:
        await upload(service, place.workspace, job, ids, job.available)
        said = picture_message(service, place.workspace, job, ids, "", say)
        try:
            await post_once(place, *said, job.submitted_at)
        except SlackError as error:
            if error.error != "invalid_blocks" or not blocks.has_carousel(said[1]):
                raise
            place.workspace.shows_carousels = False
            said = picture_message(service, place.workspace, job, ids, "", say)
            await post_once(place, *said, job.submitted_at)
    except (SlackError, OutcomeUnknown):
        await files.delete(place.workspace, ids)
        raise


def picture_message(
    service: Service,
    workspace: Workspace,
    job: Job,
    ids: list[str],
    note: str,
    say: Language,
    *,
    asks_opinion: bool = False,
) -> tuple[str, list[blocks.Block]]:
    """The message of *job* with its pictures, which are at Slack as *ids*; with *asks_opinion* it
    has two thumbs."""
    can_upscale = service.can_enlarge(job)
    text, parts = blocks.picture_message(
        job,
        ids,
        note,
        can_upscale=can_upscale,
        can_change=service.offered.editing() is not None,
        can_mask=service.offered.inpainting() is not None,
        side_by_side=workspace.shows_carousels,
        can_expand=service.expansion.is_on,
        can_vote=service.showcase.may_be_voted_for(job),
        say=say,
    )
    if asks_opinion and ids:
        parts = [*parts, blocks.opinion(job, say)]
    return text, parts


async def upload(
    service: Service,
    workspace: Workspace,
    job: Job,
    ids: list[str],
    numbers: Sequence[int],
    keep: Callable[[], Awaitable[None]] = files.forgotten,
    attempts: int = files.UPLOADS,
) -> None:
    """Upload the pictures *numbers* of *job* that Slack lacks, each in so many *attempts*; *ids*
    has the files at Slack, in the end all of them. *keep* is called at each change of *ids*.

    Raises:
        NotFound: They were deleted.
    """
    if not numbers:
        raise sentences.no_longer_kept()
    for index, number in enumerate(numbers):
        path = await service.lookups.picture(Source(job.user), job.id, number)
        data = await asyncio.to_thread(path.read_bytes)
        earlier = ids[index] if len(ids) > index else None

        async def keep_one(id: str, index: int = index) -> None:
            ids[index : index + 1] = [id]
            await keep()

        name = f"{job.id}-{number}.png"
        await files.upload(workspace, data, name, job.id, keep_one, earlier, attempts=attempts)
    for id in ids:
        await files.until_shown(workspace, id)

"""The routes for jobs: how far they are, their events, cancelling, and one's history."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from adapters.web_chat.sharing import EVENTS, Asker, JobId, TheWeb, responses
from adapters.web_chat.views import FavouriteView, HistoryView, JobView
from bot.commands import CancelCommand, DeleteCommand, read_filter
from bot.commands.history import narrowed
from bot.conversation import converse

#: Jobs that one stream follows at most, and the largest number of a row.
MAX_FOLLOWED, MAX_ROW = 50, 2**63 - 1

router = APIRouter(tags=["jobs"])


@router.get("/api/jobs/{id}", summary="How far a job has come", responses=responses(404, 503))
async def get_job(web: TheWeb, source: Asker, id: JobId) -> JobView:
    return JobView.of(await web.service.lookups.job(source, id), source.language)


@router.delete(
    "/api/jobs/{id}",
    summary="Cancel a job",
    description="It ends within one denoising step. Credits of steps that were drawn are kept, the"
    " others given back.",
    responses=responses(404, 409, 503),
)
async def cancel_job(web: TheWeb, source: Asker, id: JobId) -> JobView:
    job = (await converse(web.service, source, CancelCommand(id))).the_job()
    return JobView.of(job, source.language)


@router.delete(
    "/api/jobs/{id}/pictures",
    summary="Delete the pictures of a job that has ended",
    description="For good; its line in the history stays. One that has not ended is refused: cancel"
    " it first.",
    responses=responses(404, 409, 503),
)
async def delete_pictures(web: TheWeb, source: Asker, id: JobId) -> JobView:
    job = (await converse(web.service, source, DeleteCommand(id))).the_job()
    return JobView.of(job, source.language)


@router.put(
    "/api/jobs/{id}/favourite",
    summary="Make a job a favourite",
    responses=responses(404, 409, 503),
)
async def add_favourite(web: TheWeb, source: Asker, id: JobId) -> FavouriteView:
    job = await web.service.favourites.add(source, id)
    return FavouriteView(id=job.id, is_favourite=True)


@router.delete(
    "/api/jobs/{id}/favourite",
    summary="Take a favourite back",
    responses=responses(404, 503),
)
async def remove_favourite(web: TheWeb, source: Asker, id: JobId) -> FavouriteView:
    job = await web.service.favourites.remove(source, id)
    return FavouriteView(id=job.id, is_favourite=False)


@router.get(
    "/api/jobs/{id}/events",
    summary="Follow a job",
    description=(
        "Server-sent events. `queued`: `{id, status, position, wait}`; `held`: `{id, status}`,"
        " while a moderator looks at the picture; `step`: `{id, status,"
        " picture, images, step, steps, preview, pictures, is_spoiler}` with a small JPEG as a data"
        " URL, and the pictures of several that are there already; at the end"
        " `done`, `failed` or `cancelled` with the job. Each says everything, so whoever"
        " connects anew has missed nothing."
    ),
    status_code=200,
    response_class=Response,
    responses={**responses(404, 429, 503), **EVENTS},
)
async def follow_job(web: TheWeb, source: Asker, request: Request, id: JobId) -> Response:
    return web.stream(request, source, [await web.service.lookups.job(source, id)])


@router.get(
    "/api/events",
    summary="Follow several jobs in one stream",
    description="As for one job; browsers open only a few connections to one host.",
    status_code=200,
    response_class=Response,
    responses={**responses(404, 429, 503), **EVENTS},
)
async def follow_jobs(
    web: TheWeb,
    source: Asker,
    request: Request,
    job: Annotated[
        list[Annotated[str, Field(max_length=64)]],
        Query(min_length=1, max_length=MAX_FOLLOWED, description="Ids of jobs"),
    ],
) -> Response:
    jobs = [await web.service.lookups.job(source, id) for id in dict.fromkeys(job)]
    return web.stream(request, source, jobs)


@router.get(
    "/api/history",
    summary="One's own jobs, newest first",
    description="`words` may have filters in it, as people type them: `favourites`, `by:canny`,"
    " `since:2026-11-01`, `until:2026-11-20`, `on:yesterday`. Days are those of UTC.",
    responses=responses(400, 503),
)
async def get_history(
    web: TheWeb,
    source: Asker,
    words: Annotated[str, Query(max_length=200, description="Words of the prompt")] = "",
    before: Annotated[
        int | None, Query(ge=0, le=MAX_ROW, description="`next` of the page before")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Jobs on a page")] = 20,
    favourites: Annotated[bool, Query(description="One's favourites alone")] = False,
    preset: Annotated[str, Query(max_length=64, description="Pictures of this preset alone")] = "",
    since: Annotated[str, Query(max_length=10, description="First day, `2026-11-01`")] = "",
    until: Annotated[str, Query(max_length=10, description="Last day, likewise")] = "",
) -> HistoryView:
    wanted = narrowed(
        read_filter(words), favourites=favourites, preset=preset, since=since, until=until
    )
    page = await web.service.histories.find(source.user, wanted, before=before, limit=limit)
    return HistoryView(
        jobs=[JobView.of(job, source.language) for job in page.jobs],
        favourites=await web.service.favourites.among(source.user, page.jobs),
        next=page.next,
    )

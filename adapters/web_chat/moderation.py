"""The routes for moderators: held pictures, and the audit log as a file."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from adapters.web_chat.pictures import read
from adapters.web_chat.sharing import Asker, JobId, TheWeb, file, responses
from bot.audit_log import as_lines
from bot.commands import AdminReview
from bot.conversation import converse

router = APIRouter(tags=["moderation"])

#: Most acts in one file.
MOST_ACTS = 100_000


class HeldView(BaseModel):
    """A picture that a screen holds for moderators."""

    id: str
    user: str = Field(description="Who asked for it, as platform:id")
    prompt: str
    images: int
    width: int
    height: int
    submitted_at: float = Field(description="Unix seconds")
    verdict: str = Field(description="The screen's note")


class RejectBody(BaseModel):
    reason: str = Field("", max_length=200, description="A sentence for the person")


class DecidedView(BaseModel):
    """A moderator's decision, carried out."""

    text: str


@router.get(
    "/api/admin/held",
    summary="Pictures that wait for moderators",
    responses=responses(403, 503),
)
async def list_held(web: TheWeb, source: Asker) -> list[HeldView]:
    jobs = await web.service.review.held(source.user)
    return [
        HeldView(
            id=job.id,
            user=job.user,
            prompt=job.request.prompt,
            images=job.images,
            width=job.request.width,
            height=job.request.height,
            submitted_at=job.submitted_at,
            verdict=job.verdict,
        )
        for job in jobs
    ]


@router.get(
    "/api/admin/held/{id}/image",
    summary="A held picture",
    response_class=Response,
    responses={**responses(403, 404, 409, 503), **file("image/png")},
)
async def get_held_picture(
    web: TheWeb,
    source: Asker,
    id: JobId,
    number: Annotated[int, Query(ge=1, le=16)] = 1,
) -> Response:
    path = await web.service.review.picture(source.user, id, number)
    headers = {"Cache-Control": "no-store"}
    return Response(await read(path), media_type="image/png", headers=headers)


@router.post(
    "/api/admin/held/{id}/release",
    summary="Send a held picture to its person",
    responses=responses(403, 404, 409, 503),
)
async def release_held(web: TheWeb, source: Asker, id: JobId) -> DecidedView:
    return await _decided(web, source, AdminReview("release", id))


@router.post(
    "/api/admin/held/{id}/reject",
    summary="Delete a held picture",
    responses=responses(403, 404, 409, 503),
)
async def reject_held(web: TheWeb, source: Asker, id: JobId, body: RejectBody) -> DecidedView:
    return await _decided(web, source, AdminReview("reject", id, body.reason))


@router.get(
    "/api/admin/audit",
    summary="The audit log, an act a line",
    response_class=Response,
    responses={**responses(403, 503), **file("application/jsonl")},
)
async def get_audit_log(
    web: TheWeb,
    source: Asker,
    words: Annotated[str, Query(max_length=200)] = "",
    days: Annotated[float | None, Query(gt=0, le=36_600)] = None,
) -> Response:
    acts = await web.service.admin.audit(source.user, limit=MOST_ACTS, words=words, days=days)
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": 'attachment; filename="audit.jsonl"',
    }
    return Response(as_lines(acts), media_type="application/jsonl", headers=headers)


async def _decided(web: TheWeb, source: Asker, command: AdminReview) -> DecidedView:
    reply = await converse(web.service, source, command)
    if reply.error is not None:
        raise reply.error
    return DecidedView(text=reply.text)

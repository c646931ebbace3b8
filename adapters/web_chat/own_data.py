"""The routes for one's own data: all of it in a file, and its deletion."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response

from adapters.web_chat.sharing import Asker, TheWeb, file, responses
from adapters.web_chat.views import DeletionView, NotificationsView

router = APIRouter(tags=["own data"])


@router.get(
    "/api/me/export",
    summary="Everything that is kept about oneself",
    description="A zip of pictures, attached pictures and JSON; a few times a day.",
    response_class=Response,
    responses={**responses(409, 429, 503), **file("application/zip")},
)
async def export_own_data(web: TheWeb, source: Asker) -> Response:
    made = await web.service.own_data.export(source.user)
    return FileResponse(
        made.files[0],
        media_type="application/zip",
        filename=made.files[0].name,
        headers={"Cache-Control": "no-store"},
        background=BackgroundTask(made.close),
    )


@router.get(
    "/api/me/notifications",
    summary="When one wants to be told that a picture is done",
    description="Set with the message `settings --notify`. `long` and `dm` are for pictures that"
    " were waited for as long as `after_seconds` says.",
    responses=responses(503),
)
async def get_notifications(web: TheWeb, source: Asker) -> NotificationsView:
    own = await web.service.own_settings.of(source.user)
    after = web.config.queue.seconds_to_notify
    return NotificationsView(when=own.get("notify", "long"), after_seconds=after)


@router.delete(
    "/api/me",
    summary="Delete everything that is kept about oneself",
    description="For good, and without another question: pictures, attached pictures, words and"
    " settings. Jobs that are not done are cancelled. Spent credits stay spent.",
    responses=responses(409, 503),
)
async def delete_own_data(web: TheWeb, source: Asker) -> DeletionView:
    deleted = await web.service.own_data.delete(source.user)
    return DeletionView.model_validate(deleted, from_attributes=True)

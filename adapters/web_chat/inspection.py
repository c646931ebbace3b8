"""The route that tells what a picture says about itself."""

from __future__ import annotations

from fastapi import APIRouter

from adapters.web_chat.forms import FormRoute
from adapters.web_chat.schemas import InspectBody
from adapters.web_chat.sharing import Asker, TheWeb, responses
from adapters.web_chat.views import InspectView
from bot.inspection import told

router = APIRouter(tags=["previews"], route_class=FormRoute)


@router.post(
    "/api/inspect",
    summary="What a picture says about itself; nothing is spent",
    description="Of a PNG, JPEG or WebP: words, settings and the signature, as far as the file"
    " names them. Anybody can write these; a signature alone shows who has made the file.",
    responses=responses(429, 503),
)
async def inspect_picture(web: TheWeb, source: Asker, body: InspectBody) -> InspectView:
    data = await web.image(body.image, "image")
    found = await web.service.inspections.findings(source, data)
    return InspectView(text=told(found), again=found.again, **found.to_dict())

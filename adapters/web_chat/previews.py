"""The routes that show what would come, before anything is spent."""

from __future__ import annotations

from fastapi import APIRouter

from adapters.web_chat import errors
from adapters.web_chat.drawing import imagine
from adapters.web_chat.events import data_url
from adapters.web_chat.forms import FormRoute
from adapters.web_chat.schemas import ControlMapBody, QuoteBody
from adapters.web_chat.sharing import Asker, TheWeb, responses
from adapters.web_chat.views import ControlMapView, QuoteView
from bot.drafts import ToBeAttached
from bot.quoting import quote

router = APIRouter(tags=["previews"], route_class=FormRoute)


@router.post(
    "/api/quote",
    summary="The price of a request; nothing is spent",
    description="Of options alone, or with `text` of all pictures that a message asks for. A"
    " picture need not be sent for it: its size is enough.",
    responses=responses(404, 429, 503),
)
async def get_price(web: TheWeb, source: Asker, body: QuoteBody) -> QuoteView:
    attached: list[bytes | ToBeAttached] = []
    if body.image is not None:
        attached.append(await web.image(body.image, "image"))
    elif body.image_width is not None and body.image_height is not None:
        attached.append(ToBeAttached(body.image_width, body.image_height))
    elif body.image_width is not None or body.image_height is not None:
        raise errors.half_a_size()
    if attached:  # of the others no more than their number has a price
        attached += [ToBeAttached(1, 1)] * (body.pictures - 1)
    told = await quote(web.service, source, body.text, imagine(body, ""), attached)
    return QuoteView.model_validate(told, from_attributes=True)


@router.post(
    "/api/control-map",
    summary="The control map that a preset makes of a picture; nothing is spent",
    responses=responses(404, 429, 503),
)
async def draw_control_map(web: TheWeb, source: Asker, body: ControlMapBody) -> ControlMapView:
    data = [await web.image(body.image, "image")]
    data += [await web.image(image, name) for name, image in body.next_images.items()]
    png, remarks = await web.service.previews.control_map(
        source,
        data,
        body.preset,
        body.width,
        body.height,
        (body.crop_x, body.crop_y),
        is_map=body.is_map,
    )
    width, height = _png_size(png)
    return ControlMapView(
        image=data_url("image/png", png),
        width=width,
        height=height,
        preset=body.preset,
        remarks=list(remarks),
    )


def _png_size(png: bytes) -> tuple[int, int]:
    """Width and height from the header (PNG specification, 11.2.2)."""
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")

"""The route for typed messages, in the grammar of every platform."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from adapters.web_chat.drawing import imagine
from adapters.web_chat.errors import response_to
from adapters.web_chat.forms import FormRoute
from adapters.web_chat.idempotency import IdempotencyKey, once
from adapters.web_chat.schemas import MessageBody, OptionsBody
from adapters.web_chat.sharing import Asker, TheWeb, responses
from adapters.web_chat.views import (
    ChoiceView,
    FileView,
    JobView,
    LinkView,
    MessageErrorView,
    MessageView,
)
from bot.commands import WITH_PICTURES, CommandError, parse
from bot.conversation import Reply, converse
from bot.source import Picture

router = APIRouter(tags=["messages"], route_class=FormRoute)


@router.post(
    "/api/messages",
    response_model=MessageView,
    summary="Say something, in the grammar of every platform",
    description="A prompt with options (`a fox --steps 20`) or a verb (`history fox`, `help`)."
    " Several pictures (`{red,blue} house`) are first proposed, with their price; the first of the"
    " `choices` draws them, and the answer has their `jobs`.",
    responses=responses(404, 409, 429, 503, model=MessageErrorView),
)
async def send_message(
    web: TheWeb,
    source: Asker,
    request: Request,
    body: MessageBody,
    key: IdempotencyKey = None,
) -> MessageView | Response:
    source = await once(web, source, key, request, body)
    attached: list[Picture] = []
    if body.image is not None and _takes_a_picture(body.text):
        attached.append(partial(web.image, body.image, "image"))
        attached += [partial(web.image, each, name) for name, each in body.next_images.items()]
        if body.mask_image is not None:
            attached.append(partial(web.image, body.mask_image, "mask_image"))
    options = imagine(body.options or OptionsBody(), "")
    inpaints = web.service.offered.inpainting()
    if body.mask_image is not None and options.preset is None and inpaints is not None:
        # Else the mask would be one more picture of a preset that takes several.
        options = replace(options, preset=inpaints.name)
    reply = await converse(web.service, source, body.text, attached, options=options)
    if reply.error is not None:
        # In the words that people type, since they typed this.
        return response_to(reply.error, reply.text)
    shown, say = None if reply.text else reply.job, source.language
    jobs = reply.series.parts if reply.series else reply.jobs
    return MessageView(
        kind=reply.kind,
        text=f"{reply.text}\n{reply.link}" if reply.link else reply.text,
        job=JobView.of(shown, say) if shown else None,
        jobs=[JobView.of(job, say) for job in jobs],
        is_export=reply.is_export,
        asks_to_delete=reply.asks_to_delete,
        link=_link(reply),
        choices=[ChoiceView.model_validate(each) for each in reply.choices],
        file=FileView(name=reply.file.name, text=reply.file.text) if reply.file else None,
    )


def _link(reply: Reply) -> LinkView | None:
    if reply.joining is None:
        return None
    return LinkView(text=reply.text, code=reply.joining.code, asks=reply.asks_to_join)


def _takes_a_picture(text: str) -> bool:
    """Whether an attached picture goes with *text*; else the page keeps it for the next prompt."""
    try:
        return isinstance(parse(text), WITH_PICTURES)
    except CommandError:
        return False

"""The routes of OpenAI's images API (https://platform.openai.com/docs/api-reference/images)."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from adapters.web_chat.answers import Answer, Wish
from adapters.web_chat.bodies import BodyRoute
from adapters.web_chat.idempotency import IdempotencyKey
from adapters.web_chat.openai import forms, refusals
from adapters.web_chat.openai.telling import Teller, error_event
from adapters.web_chat.openai.wishes import (
    MODEL,
    VARIATION,
    GenerationBody,
    WishBody,
    models_of,
    preset_of,
    redrawing_preset,
)
from adapters.web_chat.repeats import RETRIES
from adapters.web_chat.security import OPENAI
from adapters.web_chat.sharing import Asker, TheWeb, Web
from bot.commands import ImagineCommand
from bot.source import Source

# It is described by those whose protocol it is.
router = APIRouter(prefix=OPENAI, route_class=BodyRoute, include_in_schema=False)


@router.get("/models")
async def list_models(web: TheWeb, source: Asker) -> dict[str, object]:
    return {"object": "list", "data": [_model(*each) for each in models_of(web.service).items()]}


@router.get("/models/{model}")
async def get_model(web: TheWeb, source: Asker, model: str) -> dict[str, object]:
    preset_of(web.service, model)
    known = models_of(web.service)
    return _model(model, known.get(model, known[MODEL]))


@router.post("/images/generations")
async def generate(
    web: TheWeb, source: Asker, request: Request, body: GenerationBody, key: IdempotencyKey = None
) -> Response:
    command = body.command(body.prompt, preset_of(web.service, body.model))
    return _answer(web, source, request, body, command, key)


@router.post("/images/edits")
async def edit(
    web: TheWeb, source: Asker, request: Request, key: IdempotencyKey = None
) -> Response:
    form = await forms.read(web, request)
    body = form.body(GenerationBody)
    edits = body.strength is None
    return _redrawn(web, source, request, body, body.prompt, form, key, edits=edits)


@router.post("/images/variations")
async def vary(
    web: TheWeb, source: Asker, request: Request, key: IdempotencyKey = None
) -> Response:
    form = await forms.read(web, request)
    return _redrawn(web, source, request, form.body(WishBody), VARIATION, form, key)


@router.get("/pictures/{secret}")
async def get_linked_picture(web: TheWeb, secret: str) -> Response:
    linked = web.links.find(secret)
    if linked is None:
        raise refusals.no_longer_linked()
    path = await web.service.lookups.picture(Source(linked.user), linked.job_id, linked.number)
    data = await web.service.formats.encoded(linked.user, path, linked.media_type)
    return Response(data, media_type=linked.media_type)


def _redrawn(
    web: Web,
    source: Source,
    request: Request,
    body: WishBody,
    prompt: str,
    form: forms.Form,
    key: str | None,
    *,
    edits: bool = False,
) -> Response:
    """The answer to a request that draws over the pictures of *form*, or *edits* them."""
    has_mask = form.mask is not None
    preset = redrawing_preset(web.service, body.model, has_mask=has_mask, edits=edits)
    return _answer(web, source, request, body, body.command(prompt, preset), key, form)


def _answer(
    web: Web,
    source: Source,
    request: Request,
    body: WishBody,
    command: ImagineCommand,
    key: str | None,
    form: forms.Form | None = None,
) -> Response:
    pictures = form.attached if form else ()
    fingerprint = form.fingerprint if form else ""
    # What is asked for, and not the bytes: boundaries of multipart forms are new each time.
    content = f"{request.url.path}\n{body.model_dump_json()}\n{fingerprint}".encode()
    is_retry = request.headers.get(RETRIES, "0") != "0"
    wish = Wish(source, command, pictures, content, key, is_retry)
    noun = "image_generation" if form is None else "image_edit"
    teller = Teller(web, body, str(request.base_url), noun)
    if body.stream:
        places = web.streams.of(source.user)
        return Answer(web, wish, teller.as_events, "text/event-stream", places, error_event)
    return Answer(web, wish, teller.as_json)


def _model(name: str, weights: str) -> dict[str, object]:
    """A model as OpenAI tells of it, and what draws for it, as vLLM does in ``root``."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "fluxbot", "root": weights}

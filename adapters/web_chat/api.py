"""The routes. Each is three moves: parse, converse, put the reply into JSON."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request
from starlette.responses import Response

from adapters.web_chat import errors, inspection, moderation, own_data, pages, pictures, signing_in
from adapters.web_chat.bodies import BodyRoute
from adapters.web_chat.errors import response_to
from adapters.web_chat.events import data_url
from adapters.web_chat.pictures import read
from adapters.web_chat.schemas import (
    AboutView,
    AgainBody,
    ControlMapBody,
    ControlMapView,
    EngineView,
    FileView,
    GenerateBody,
    GenerateView,
    HealthView,
    HistoryView,
    JobView,
    MessageBody,
    MessageErrorView,
    MessageView,
    Metadata,
    OptionsBody,
    PresetsView,
    PresetView,
    QuotaView,
    QuoteBody,
    QuoteView,
    StatusView,
    Word,
)
from adapters.web_chat.security import COOKIE, Gate, is_guarded
from adapters.web_chat.sharing import EVENTS, Asker, JobId, TheWeb, Web, file, responses
from bot import sentences
from bot.commands import (
    OPTIONS,
    VERBS,
    WITH_PICTURES,
    AgainCommand,
    CancelCommand,
    CommandError,
    ImagineCommand,
    parse,
)
from bot.config import Config, Secrets
from bot.conversation import converse
from bot.jobs import Job, JobStatus
from bot.service import Service
from bot.source import Picture, Source
from generation.errors import InvalidImage, InvalidRequest

#: Base64 makes four bytes of three; the rest of the JSON is small.
BODY_OVERHEAD = 64 * 1024
MAX_FOLLOWED = 50
MAX_ROW = 2**63 - 1

router = APIRouter(route_class=BodyRoute)


@router.get("/health", summary="Whether the bot is alive", responses=responses(503))
async def health(web: TheWeb) -> HealthView:
    return HealthView(status="ok", engine=web.service.state.status)


@router.get("/api/about", summary="Examples, limits, grammar", responses=responses())
async def about(web: TheWeb, source: Asker) -> AboutView:
    limits, model = web.config.limits, web.config.model
    told = web.service.about
    return AboutView(
        text=told.text,
        examples=list(told.examples),
        model=model.repository,
        limits={
            "num_inference_steps": limits.num_inference_steps,
            "pixels": limits.pixels,
            "images": limits.images,
        },
        max_image_bytes=web.max_image_bytes,
        verbs=[
            Word(word=verb.name, hint=verb.help, example=verb.usage)
            for verb in VERBS
            if verb.name != "admin" or source.user in web.config.admins.users
        ],
        options=[
            Word(
                word=option.name,
                hint=option.help,
                example=f"{model.width}x{model.height}"
                if option.name == "size"
                else option.example,
            )
            for option in OPTIONS
        ],
    )


@router.get("/api/status", summary="The engine, the queue, one's own jobs", responses=responses())
async def status(web: TheWeb, source: Asker, request: Request) -> StatusView:
    queue = web.service.queue(source.user)
    state = web.service.state
    return StatusView(
        user=source.user,
        is_signed_in=request.state.session is not None,
        engine=EngineView(status=state.status, message=state.message),
        waiting=queue.waiting,
        running=queue.running,
        held=web.service.review.waiting(source.user),
        mine=[JobView.of(job) for job in queue.mine],
    )


@router.get("/api/presets", summary="Ways of making pictures", responses=responses())
async def presets(web: TheWeb, source: Asker) -> PresetsView:
    model = web.config.model
    return PresetsView(
        presets=[
            PresetView(
                name=preset.name,
                description=preset.description,
                needs_image=preset.needs_image,
                controlnet=preset.kind.conditioning_model,
                preprocessor=preset.kind.control_map or "none",
                strength=preset.kind.to_dict()["strength"],
                num_inference_steps=preset.num_inference_steps or model.num_inference_steps,
                guidance_scale=model.guidance_scale
                if preset.guidance_scale is None
                else preset.guidance_scale,
                width=preset.width or model.width,
                height=preset.height or model.height,
            )
            for preset in web.service.presets.values()
        ],
        default=await _default_preset(web, source.user),
    )


def _command(body: OptionsBody, prompt: str, preset: str | None = None) -> ImagineCommand:
    return ImagineCommand(
        prompt=prompt,
        preset=preset or body.preset,
        num_inference_steps=body.num_inference_steps,
        width=body.width,
        height=body.height,
        guidance_scale=body.guidance_scale,
        seed=body.seed,
        images=body.images,
        strength=body.strength,
        negative_prompt=body.negative_prompt,
    )


async def _default_preset(web: Web, user: str) -> str:
    own = (await web.service.own_settings.of(user)).get("preset")
    return own if own in web.service.presets else web.config.model.default_preset


async def _submit(web: Web, source: Source, body: GenerateBody) -> Job:
    control = body.controlnet
    if control and body.preset and body.preset != control.preset:
        raise errors.presets_differ(body.preset, control.preset)
    attached = [await web.image(control.image, "controlnet.image")] if control else []
    command = _command(body, body.prompt, control.preset if control else None)
    try:
        return (await converse(web.service, source, command, attached)).the_job()
    except InvalidRequest as error:
        # The picture and its preset stand inside `controlnet` here.
        inside = {"control_image": "controlnet.image"}
        if control:
            inside["preset"] = "controlnet.preset"
        field = error.field or ("control_image" if isinstance(error, InvalidImage) else "")
        error.field = inside.get(field, error.field)
        raise


@router.post(
    "/api/generate",
    summary="Make a picture and wait for it",
    description="A client that hangs up before the end cancels the job, and pays for the steps that"
    " were drawn."
    " With `Accept: image/png` the answer is the picture itself, or all of them in a grid.",
    response_model=GenerateView,
    responses=responses(404, 409, 429, 503) | file("image/png"),
)
async def generate(
    web: TheWeb, source: Asker, request: Request, body: GenerateBody
) -> GenerateView | Response:
    job = await _submit(web, source, body)
    finished = asyncio.ensure_future(job.drawn())
    waiting = {
        finished,
        asyncio.ensure_future(request.receive()),
        asyncio.ensure_future(web.stopping.wait()),
    }
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
    if job.status is JobStatus.HELD:
        raise sentences.held(job)
    if not job.status.is_final:
        if web.stopping.is_set():
            raise sentences.restarting(job)
        # If it has ended at that very moment, nobody is left to be told.
        await converse(web.service, source, CancelCommand(job.id))
    if job.status is JobStatus.FAILED:
        raise sentences.not_drawn(job)
    if job.status is not JobStatus.SUCCEEDED:
        raise sentences.was_cancelled(job)
    images = [
        await read(await web.service.lookups.picture(source, job.id, number))
        for number in range(1, job.images + 1)
    ]
    shown = images[0]
    if job.images > 1:
        shown = await read(await web.service.lookups.picture_file(source, job.id, "grid"))
    if request.headers.get("accept", "").startswith("image/"):
        return Response(shown, media_type="image/png")
    return GenerateView(
        image=data_url("image/png", shown),
        images=[data_url("image/png", image) for image in images],
        metadata=Metadata.of(job),
    )


@router.post(
    "/api/jobs",
    status_code=202,
    summary="Ask for a picture and come back for it",
    responses=responses(404, 429, 503),
)
async def submit(web: TheWeb, source: Asker, body: GenerateBody, response: Response) -> JobView:
    job = await _submit(web, source, body)
    response.headers["Location"] = f"/api/jobs/{job.id}"
    return JobView.of(job)


@router.get("/api/jobs/{id}", summary="How far a job has come", responses=responses(404, 503))
async def job(web: TheWeb, source: Asker, id: JobId) -> JobView:
    return JobView.of(await web.service.lookups.job(source, id))


@router.delete(
    "/api/jobs/{id}",
    summary="Cancel a job",
    description="It ends within one denoising step. Credits of steps that were drawn are kept, the"
    " others given back.",
    responses=responses(404, 409, 503),
)
async def cancel(web: TheWeb, source: Asker, id: JobId) -> JobView:
    return JobView.of((await converse(web.service, source, CancelCommand(id))).the_job())


@router.post(
    "/api/jobs/{id}/again",
    status_code=202,
    summary="Draw it again, the same or with a new seed",
    responses=responses(404, 409, 429, 503),
)
async def again(
    web: TheWeb, source: Asker, id: JobId, response: Response, body: AgainBody | None = None
) -> JobView:
    body = body or AgainBody()
    again = AgainCommand(id, vary=body.vary, number=body.number)
    repeated = (await converse(web.service, source, again)).the_job()
    response.headers["Location"] = f"/api/jobs/{repeated.id}"
    return JobView.of(repeated)


@router.get(
    "/api/jobs/{id}/events",
    summary="Follow a job",
    description=(
        "Server-sent events. `queued`: `{id, status, position, wait}`; `held`: `{id, status}`,"
        " while a moderator looks at the picture; `step`: `{id, status,"
        " picture, images, step, steps, preview}` with a small JPEG as a data URL; at the end"
        " `done`, `failed` or `cancelled` with the job. Each says everything, so whoever"
        " connects anew has missed nothing."
    ),
    status_code=200,
    response_class=Response,
    responses={**responses(404, 429, 503), **EVENTS},
)
async def job_events(web: TheWeb, source: Asker, request: Request, id: JobId) -> Response:
    return web.stream(request, source, [await web.service.lookups.job(source, id)])


@router.get(
    "/api/events",
    summary="Follow several jobs in one stream",
    description="As for one job; browsers open only a few connections to one host.",
    status_code=200,
    response_class=Response,
    responses={**responses(404, 429, 503), **EVENTS},
)
async def events(
    web: TheWeb,
    source: Asker,
    request: Request,
    job: Annotated[list[str], Query(min_length=1, max_length=MAX_FOLLOWED)],
) -> Response:
    jobs = [await web.service.lookups.job(source, id) for id in dict.fromkeys(job)]
    return web.stream(request, source, jobs)


@router.get("/api/history", summary="One's own jobs, newest first", responses=responses(503))
async def history(
    web: TheWeb,
    source: Asker,
    words: Annotated[str, Query(max_length=200, description="Words of the prompt")] = "",
    before: Annotated[int | None, Query(ge=0, le=MAX_ROW)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> HistoryView:
    page = await web.service.lookups.history(source.user, words, before=before, limit=limit)
    return HistoryView(jobs=[JobView.of(job) for job in page.jobs], next=page.next)


@router.get("/api/quota", summary="Credits: used and left", responses=responses(503))
async def quota(web: TheWeb, source: Asker) -> QuotaView:
    return QuotaView.model_validate(await web.service.quota(source.user), from_attributes=True)


@router.post(
    "/api/quote",
    summary="The price of a request; nothing is spent",
    responses=responses(404, 429, 503),
)
async def quote(web: TheWeb, source: Asker, body: QuoteBody) -> QuoteView:
    attached = [] if body.image is None else [await web.image(body.image, "image")]
    told = await web.service.previews.quote(source, _command(body, body.prompt), attached)
    return QuoteView.model_validate(told, from_attributes=True)


@router.post(
    "/api/control-map",
    summary="The control map that a preset makes of a picture; nothing is spent",
    responses=responses(404, 429, 503),
)
async def control_map(web: TheWeb, source: Asker, body: ControlMapBody) -> ControlMapView:
    data = await web.image(body.image, "image")
    png, remarks = await web.service.previews.control_map(
        source, data, body.preset, body.width, body.height
    )
    width, height = _png_size(png)
    return ControlMapView(
        image=data_url("image/png", png),
        width=width,
        height=height,
        preset=body.preset,
        remarks=list(remarks),
    )


@router.post(
    "/api/messages",
    response_model=MessageView,
    summary="Say something, in the grammar of every platform",
    description="A prompt with options (`a fox --steps 20`) or a verb (`history fox`, `help`).",
    responses=responses(404, 409, 429, 503, model=MessageErrorView),
)
async def message(web: TheWeb, source: Asker, body: MessageBody) -> MessageView | Response:
    attached: list[Picture] = []
    if body.image is not None and _takes_a_picture(body.text):
        attached.append(partial(web.image, body.image, "image"))
    options = None if body.options is None else _command(body.options, "")
    reply = await converse(web.service, source, body.text, attached, options=options)
    if reply.error is not None:
        # In the words that people type, since they typed this.
        return response_to(reply.error, reply.text)
    shown = None if reply.text else reply.job
    return MessageView(
        kind=reply.kind,
        text=reply.text,
        job=JobView.of(shown) if shown else None,
        jobs=[JobView.of(job) for job in reply.jobs],
        is_export=reply.is_export,
        asks_to_delete=reply.asks_to_delete,
        file=FileView(name=reply.file.name, text=reply.file.text) if reply.file else None,
    )


def _takes_a_picture(text: str) -> bool:
    """Whether an attached picture goes with *text*; else the page keeps it for the next prompt."""
    try:
        return isinstance(parse(text), WITH_PICTURES)
    except CommandError:
        return False


def _png_size(png: bytes) -> tuple[int, int]:
    """Width and height from the header (PNG specification, 11.2.2)."""
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def _describe_tokens(app: FastAPI) -> None:
    """Add the need for a token to the description, where there are tokens."""
    document = app.openapi  # made at the first call and kept

    def described() -> dict[str, Any]:
        told = document()
        told["components"]["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer"},
            "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
        }
        for path, routes in told["paths"].items():
            if is_guarded(path):
                for route in routes.values():
                    route["security"] = [{"token": []}, {"session": []}]
        return told

    app.openapi = described  # type: ignore[method-assign]


def create_app(service: Service, config: Config, secrets: Secrets) -> FastAPI:
    """The application behind its gate; ``app.state.web.stopping`` ends its streams."""
    app = FastAPI(
        title="fluxbot",
        summary="Pictures from FLUX.1-dev, asked for by anyone with a browser or a script",
        version="0.1.0",
        # Their pages load scripts from another host.
        docs_url=None,
        redoc_url=None,
        telemetry=None,
    )
    web = Web(service, config, secrets)
    app.state.web = web
    if web.tokens:
        _describe_tokens(app)
    errors.install(app)
    app.include_router(router)
    app.include_router(pictures.router)
    app.include_router(own_data.router)
    app.include_router(inspection.router)
    app.include_router(signing_in.router)
    app.include_router(moderation.router)
    pages.install(app)
    app.add_middleware(
        Gate,
        host=config.web.host,
        allowed_hosts=config.web.allowed_hosts,
        tokens=web.tokens,
        user_of_session=service.sessions.user,
        guesses=web.guesses,
        max_body_bytes=web.max_image_bytes * 4 // 3 + BODY_OVERHEAD,
    )
    return app

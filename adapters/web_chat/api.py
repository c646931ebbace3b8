"""The routes. Each is three moves: parse, ask the service, put the answer into JSON."""

from __future__ import annotations

import asyncio
import contextlib
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi import Path as PathParameter
from starlette.responses import Response

from adapters.web_chat import errors, pages
from adapters.web_chat.errors import CODES, error_response, response_to
from adapters.web_chat.events import EventStream, data_url
from adapters.web_chat.schemas import (
    AboutView,
    AgainBody,
    ControlMapBody,
    ControlMapView,
    EngineView,
    ErrorView,
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
    SessionBody,
    SessionView,
    StatusView,
    Word,
    decode_image,
)
from adapters.web_chat.security import COOKIE, LOCAL_USER, Gate, Tokens, is_guarded
from bot import replies
from bot.commands import OPTIONS, VERBS, ImagineCommand, parse
from bot.config import Config, Secrets
from bot.conversation import answer
from bot.jobs import Job, JobStatus
from bot.refusals import Conflict, NotAccepting, NotFound
from bot.service import Service
from generation.errors import FluxbotError, GenerationError, InvalidImage, InvalidRequest

#: Base64 makes four bytes of three; the rest of the JSON is small.
BODY_OVERHEAD = 64 * 1024
#: Larger pictures are decoded on a thread, so that nobody else waits for them.
DECODED_HERE = 256 * 1024
MAX_FOLLOWED = 50
MAX_ROW = 2**63 - 1


class Web:
    """What the routes share.

    Attributes:
        stopping: Set when the server ends, so that open streams end with it.
    """

    def __init__(self, service: Service, config: Config, secrets: Secrets) -> None:
        self.service = service
        self.config = config
        self.tokens = Tokens(secrets.web_tokens)
        self.stopping = asyncio.Event()
        self.max_image_bytes = int(config.control_images.max_megabytes * 1e6)

    async def image(self, text: str | None, field: str) -> bytes | None:
        """The bytes of an attached picture; see `decode_image`."""
        if text is None:
            return None
        if len(text) <= DECODED_HERE:
            return decode_image(text, self.max_image_bytes, field)
        return await asyncio.to_thread(decode_image, text, self.max_image_bytes, field)


def _web(request: Request) -> Web:
    web: Web = request.app.state.web
    return web


def _user(request: Request) -> str:
    user: str = request.state.user
    return user


TheWeb = Annotated[Web, Depends(_web)]
Asker = Annotated[str, Depends(_user)]
JobId = Annotated[str, PathParameter(description="Id of a job", examples=["k7m2p9xd"])]

ERRORS: dict[int, str] = {
    400: "The request cannot succeed as written, or the Host header names another host",
    401: "A bearer token is needed",
    403: "Not from a foreign site, and not for this person",
    404: "No such thing, or it is somebody else's",
    405: "The path takes other methods",
    409: "The job is past the point where that is possible",
    413: "The body or the picture is too large",
    422: "The body or a parameter has the wrong type or is out of range",
    429: "The quota or the number of waiting jobs is used up; Retry-After says when to ask again",
    500: "A fault in the bot",
    503: "Not now: the queue is full, the bot is paused, the disk is full or the model failed;"
    " nothing was charged, or it was given back",
}
RETRY_AFTER = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}}
AUTHENTICATE = {"WWW-Authenticate": {"description": "Bearer", "schema": {"type": "string"}}}


def _responses(*statuses: int, model: Any = ErrorView) -> dict[int | str, dict[str, Any]]:
    """The error responses of a route, for OpenAPI."""
    answers: dict[int | str, dict[str, Any]] = {}
    for status in sorted({400, 401, 403, 413, 422, 500, *statuses}):
        answers[status] = {"model": model, "description": ERRORS[status]}
        if status in (429, 503):
            answers[status]["headers"] = RETRY_AFTER
        if status == 401:
            answers[status]["headers"] = AUTHENTICATE
    return answers


def _file(media_type: str) -> dict[int | str, dict[str, Any]]:
    schema = {"type": "string", "format": "binary"}
    return {200: {"description": "The file", "content": {media_type: {"schema": schema}}}}


router = APIRouter()


@router.get("/health", summary="Whether the bot is alive", responses=_responses(503))
async def health(web: TheWeb) -> HealthView:
    return HealthView(status="ok", engine=web.service.state.status)


@router.get("/api/about", summary="Examples, limits, grammar", responses=_responses())
async def about(web: TheWeb, user: Asker) -> AboutView:
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
            if verb.name != "admin" or user in web.config.admins.users
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


@router.get("/api/status", summary="The engine, the queue, one's own jobs", responses=_responses())
async def status(web: TheWeb, user: Asker) -> StatusView:
    queue = web.service.queue(user)
    state = web.service.state
    return StatusView(
        user=user,
        engine=EngineView(status=state.status, message=state.message),
        waiting=queue.waiting,
        running=queue.running,
        mine=[JobView.of(job) for job in queue.mine],
    )


@router.get("/api/presets", summary="Ways of making pictures", responses=_responses())
async def presets(web: TheWeb, user: Asker) -> PresetsView:
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
        default=await _default_preset(web, user),
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
    own = (await web.service.settings(user)).get("preset")
    return own if own in web.service.presets else web.config.model.default_preset


async def _submit(web: Web, user: str, body: GenerateBody) -> Job:
    control = body.controlnet
    if control and body.preset and body.preset != control.preset:
        raise InvalidRequest(
            f"preset ({body.preset}) and controlnet.preset ({control.preset}) differ: name one",
            field="preset",
        )
    image = await web.image(control.image if control else None, "controlnet.image")
    command = _command(body, body.prompt, control.preset if control else None)
    try:
        return await web.service.submit(user, command, image)
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
    description="Whoever hangs up before it is done cancels it, and is given back the credits."
    " With `Accept: image/png` the answer is the picture itself, or all of them in a grid.",
    response_model=GenerateView,
    responses=_responses(404, 409, 429, 503) | _file("image/png"),
)
async def generate(
    web: TheWeb, user: Asker, request: Request, body: GenerateBody
) -> GenerateView | Response:
    job = await _submit(web, user, body)
    finished = asyncio.ensure_future(job.finished())
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
    if not job.status.is_final:
        if web.stopping.is_set():
            raise NotAccepting(
                f"the bot is restarting; your picture is still being made: ask for job {job.id}"
            )
        with contextlib.suppress(Conflict, NotFound):
            await web.service.cancel(user, job.id)
    if job.status is JobStatus.FAILED:
        raise GenerationError(job.error or "the picture could not be made")
    if job.status is not JobStatus.SUCCEEDED:
        raise Conflict("the job was cancelled; its credits were given back")
    images = [
        await _bytes(await web.service.picture(user, job.id, number))
        for number in range(1, job.images + 1)
    ]
    shown = images[0]
    if job.images > 1:
        shown = await _bytes(await web.service.picture_file(user, job.id, "grid"))
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
    responses=_responses(404, 429, 503),
)
async def submit(web: TheWeb, user: Asker, body: GenerateBody, response: Response) -> JobView:
    job = await _submit(web, user, body)
    response.headers["Location"] = f"/api/jobs/{job.id}"
    return JobView.of(job)


@router.get("/api/jobs/{id}", summary="How far a job has come", responses=_responses(404, 503))
async def job(web: TheWeb, user: Asker, id: JobId) -> JobView:
    return JobView.of(await web.service.job(user, id))


@router.delete(
    "/api/jobs/{id}",
    summary="Cancel a job",
    description="It ends within one denoising step, and its credits are given back.",
    responses=_responses(404, 409, 503),
)
async def cancel(web: TheWeb, user: Asker, id: JobId) -> JobView:
    return JobView.of(await web.service.cancel(user, id))


@router.post(
    "/api/jobs/{id}/again",
    status_code=202,
    summary="Make it once more, the same or with a new seed",
    responses=_responses(404, 409, 429, 503),
)
async def again(
    web: TheWeb, user: Asker, id: JobId, response: Response, body: AgainBody | None = None
) -> JobView:
    body, changes = body or AgainBody(), None
    if body.number is not None:
        seeds = [each.seed for each in (await web.service.job(user, id)).requests]
        if body.number > len(seeds):
            raise NotFound(
                f"{id} has pictures 1 to {len(seeds)}, not {body.number}", field="number"
            )
        seed = None if body.vary else seeds[body.number - 1]
        changes = ImagineCommand(seed=seed, images=1)
    repeated = await web.service.again(user, id, changes, vary=body.vary)
    response.headers["Location"] = f"/api/jobs/{repeated.id}"
    return JobView.of(repeated)


EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events: queued, step, then one of done, failed, cancelled",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


@router.get(
    "/api/jobs/{id}/events",
    summary="Follow a job",
    description=(
        "Server-sent events. `queued`: `{id, status, position, wait}`; `step`: `{id, status,"
        " picture, images, step, steps, preview}` with a small JPEG as a data URL; at the end"
        " `done`, `failed` or `cancelled` with the job. Each says everything, so whoever"
        " connects anew has missed nothing."
    ),
    status_code=200,
    response_class=Response,
    responses={**_responses(404, 503), **EVENTS},
)
async def job_events(web: TheWeb, user: Asker, id: JobId) -> Response:
    return EventStream([await web.service.job(user, id)], web.stopping)


@router.get(
    "/api/events",
    summary="Follow several jobs in one stream",
    description="As for one job; browsers open only a few connections to one host.",
    status_code=200,
    response_class=Response,
    responses={**_responses(404, 503), **EVENTS},
)
async def events(
    web: TheWeb,
    user: Asker,
    job: Annotated[list[str], Query(min_length=1, max_length=MAX_FOLLOWED)],
) -> Response:
    jobs = [await web.service.job(user, id) for id in dict.fromkeys(job)]
    return EventStream(jobs, web.stopping)


@router.get(
    "/api/jobs/{id}/image",
    summary="A picture",
    response_class=Response,
    responses={**_responses(404, 409, 503), **_file("image/png")},
)
async def image(
    web: TheWeb,
    user: Asker,
    id: JobId,
    number: Annotated[int, Query(ge=1, le=16)] = 1,
    download: Annotated[bool, Query(description="To be saved, under a telling name")] = False,
) -> Response:
    path = await web.service.picture(user, id, number)
    name = None
    if download:
        job = await web.service.job(user, id)
        name = file_name(job, number)
    return await _file_response(path, "image/png", name)


@router.get(
    "/api/jobs/{id}/grid",
    summary="All pictures of a job in one",
    response_class=Response,
    responses={**_responses(404, 409, 503), **_file("image/png")},
)
async def grid(web: TheWeb, user: Asker, id: JobId) -> Response:
    return await _file_response(await web.service.picture_file(user, id, "grid"), "image/png")


@router.get(
    "/api/jobs/{id}/thumbnail",
    summary="A small picture",
    response_class=Response,
    responses={**_responses(404, 409, 503), **_file("image/webp")},
)
async def thumbnail(web: TheWeb, user: Asker, id: JobId) -> Response:
    return await _file_response(await web.service.picture_file(user, id, "thumbnail"), "image/webp")


@router.get(
    "/api/jobs/{id}/control/{kind}",
    summary="The attached picture, or the control map made of it",
    response_class=Response,
    responses={**_responses(404, 409, 503), **_file("image/png")},
)
async def control(web: TheWeb, user: Asker, id: JobId, kind: Literal["image", "map"]) -> Response:
    if kind == "map":
        path = await web.service.picture_file(user, id, "map")
    else:
        path = await web.service.control_image(user, id)
    return await _file_response(path, "image/png")


@router.get("/api/history", summary="One's own jobs, newest first", responses=_responses(503))
async def history(
    web: TheWeb,
    user: Asker,
    words: Annotated[str, Query(max_length=200, description="Words of the prompt")] = "",
    before: Annotated[int | None, Query(ge=0, le=MAX_ROW)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> HistoryView:
    page = await web.service.history(user, words, before=before, limit=limit)
    return HistoryView(jobs=[JobView.of(job) for job in page.jobs], next=page.next)


@router.get("/api/quota", summary="Credits: used and left", responses=_responses(503))
async def quota(web: TheWeb, user: Asker) -> QuotaView:
    return QuotaView.model_validate(await web.service.quota(user), from_attributes=True)


@router.post(
    "/api/quote",
    summary="What a request would cost; nothing is spent",
    responses=_responses(404, 503),
)
async def quote(web: TheWeb, user: Asker, body: QuoteBody) -> QuoteView:
    image = await web.image(body.image, "image")
    told = await web.service.quote(user, _command(body, body.prompt), image)
    return QuoteView.model_validate(told, from_attributes=True)


@router.post(
    "/api/control-map",
    summary="What a preset makes of a picture; nothing is spent",
    responses=_responses(404, 503),
)
async def control_map(web: TheWeb, body: ControlMapBody) -> ControlMapView:
    data = await web.image(body.image, "image")
    assert data is not None
    png, remarks = await web.service.control_map(data, body.preset, body.width, body.height)
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
    responses=_responses(404, 409, 429, 503, model=MessageErrorView),
)
async def message(web: TheWeb, user: Asker, body: MessageBody) -> MessageView | Response:
    image = None
    try:
        command = parse(body.text)
        if isinstance(command, ImagineCommand):
            command = _with_options(command, body.options)
            image = await web.image(body.image, "image")
        reply = await answer(web.service, user, command, image)
    except FluxbotError as error:
        # In the words that people type, since they typed this.
        return response_to(error, replies.error_sentence(error))
    return MessageView(
        kind=_kind(command),
        text=reply.text,
        job=JobView.of(reply.job) if reply.job else None,
        jobs=[JobView.of(job) for job in reply.jobs],
    )


@router.post(
    "/api/session",
    response_model=SessionView,
    summary="Change a bearer token into a cookie",
    responses=_responses(),
)
async def sign_in(web: TheWeb, request: Request, body: SessionBody) -> SessionView | Response:
    if not web.tokens:
        return SessionView(user=LOCAL_USER)
    user = web.tokens.user(body.token)
    if user is None:
        return error_response(
            401,
            CODES[401],
            "this token is not known: ask the operator for yours",
            "token",
            headers={"WWW-Authenticate": 'Bearer realm="fluxbot"'},
        )
    signed_in = Response(SessionView(user=user).model_dump_json(), media_type="application/json")
    signed_in.set_cookie(
        COOKIE,
        web.tokens.cookie(body.token),
        max_age=90 * 24 * 3600,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return signed_in


@router.delete("/api/session", status_code=204, summary="Sign out", responses=_responses())
async def sign_out(response: Response) -> None:
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")


def _with_options(command: ImagineCommand, options: OptionsBody | None) -> ImagineCommand:
    """*command*, with what it leaves open taken from *options*."""
    if options is None:
        return command
    chosen = _command(options, command.prompt)
    values = {
        name: getattr(chosen, name) if getattr(command, name) is None else getattr(command, name)
        for name in OptionsBody.model_fields
    }
    if command.aspect_ratio is not None or command.width is not None:
        # A size that was typed replaces the chosen one as a whole.
        values |= {"width": command.width, "height": command.height}
    return ImagineCommand(prompt=command.prompt, aspect_ratio=command.aspect_ratio, **values)


def _kind(command: object) -> str:
    name = type(command).__name__
    return "admin" if name.startswith("Admin") else name.removesuffix("Command").lower()


def file_name(job: Job, number: int) -> str:
    """A name to save a picture under: words of the prompt, the id, the number."""
    words = "-".join(re.findall(r"[a-z0-9]+", job.request.prompt.lower()))[:48].strip("-")
    return "-".join(filter(None, [words, job.id, str(number) if job.images > 1 else ""])) + ".png"


async def _bytes(path: Path) -> bytes:
    try:
        return await asyncio.to_thread(path.read_bytes)
    except FileNotFoundError:
        raise NotFound("the picture is no longer kept; `again` makes it once more") from None


async def _file_response(path: Path, media_type: str, name: str | None = None) -> Response:
    headers = {"Cache-Control": "private, max-age=86400, immutable"}
    if name:
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return Response(await _bytes(path), media_type=media_type, headers=headers)


def _png_size(png: bytes) -> tuple[int, int]:
    """Width and height from the header (PNG specification, 11.2.2)."""
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def _describe_tokens(app: FastAPI) -> None:
    """Have the description say that a token is needed, where one is."""
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
    pages.install(app)
    app.add_middleware(
        Gate,
        host=config.web.host,
        allowed_hosts=config.web.allowed_hosts,
        tokens=web.tokens,
        max_body_bytes=web.max_image_bytes * 4 // 3 + BODY_OVERHEAD,
    )
    return app

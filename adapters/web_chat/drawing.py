"""The routes that ask for pictures: parse, converse, put the reply into JSON."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request
from starlette.responses import Response

from adapters.web_chat import errors
from adapters.web_chat.events import data_url
from adapters.web_chat.fields import numbers
from adapters.web_chat.forms import FormRoute
from adapters.web_chat.idempotency import IdempotencyKey, once
from adapters.web_chat.negotiation import JSON, PICTURES, PNG, of_answer
from adapters.web_chat.pictures import read
from adapters.web_chat.schemas import AgainBody, EditBody, GenerateBody, OptionsBody, VaryBody
from adapters.web_chat.sharing import Asker, JobId, TheWeb, Web, file, responses
from adapters.web_chat.views import GenerateView, JobView, Metadata
from adapters.web_chat.waiting import drawn_for
from adapters.web_chat.webhooks import with_webhook
from bot.commands import (
    AgainCommand,
    Command,
    EditCommand,
    ImagineCommand,
    VaryCommand,
    escaped,
    read_option,
)
from bot.conversation import converse
from bot.jobs import Job
from bot.source import Picture, Source
from generation.errors import InvalidImage, InvalidRequest

router = APIRouter(tags=["drawing"], route_class=FormRoute)


async def _submit(web: Web, source: Source, body: GenerateBody) -> Job:
    control = body.controlnet
    if control and body.preset and body.preset != control.preset:
        raise errors.presets_differ(body.preset, control.preset)
    attached = [await web.image(control.image, "controlnet.image")] if control else []
    for name, image in (control.next_images if control else {}).items():
        attached.append(await web.image(image, f"controlnet.{name}"))
    if control and control.mask_image is not None:
        attached.append(await web.image(control.mask_image, "controlnet.mask_image"))
    command = imagine(body, body.prompt, control.preset if control else None)
    source = with_webhook(web, source, body.webhook_url)
    try:
        return await _asked(web, source, command, attached)
    except InvalidRequest as error:
        # The picture and its preset stand inside `controlnet` here.
        inside = {"control_image": "controlnet.image", "mask_image": "controlnet.mask_image"}
        if control:
            inside["preset"] = "controlnet.preset"
        field = error.field or ("control_image" if isinstance(error, InvalidImage) else "")
        error.field = inside.get(field, error.field)
        raise


@router.post(
    "/api/generate",
    summary="Make a picture and wait for it",
    description="A client that hangs up before the end cancels the job, and pays for the steps that"
    " were drawn; with an `Idempotency-Key` the job goes on, and the same request again waits for"
    " it. With `Accept: image/png`, `image/jpeg` or `image/webp` the answer is the picture itself,"
    " or all of them in a grid.",
    response_model=GenerateView,
    responses=responses(404, 409, 429, 503) | file(*PICTURES),
)
async def generate(
    web: TheWeb, source: Asker, request: Request, body: GenerateBody, key: IdempotencyKey = None
) -> GenerateView | Response:
    source = await once(web, source, key, request, body)
    job = await _submit(web, source, body)
    await drawn_for(web, source, request, job, ends_with_client=key is None)
    lookups = web.service.lookups
    paths = [await lookups.picture(source, job.id, each) for each in range(1, job.images + 1)]
    shown = paths[0]
    if job.images > 1:
        shown = await lookups.picture_file(source, job.id, "grid")
    media_type = of_answer(request.headers.get("accept", ""))
    if media_type != JSON:
        if media_type == PNG:
            data = await read(shown)
        else:
            data = await web.service.formats.encoded(source.user, shown, media_type)
        return Response(data, media_type=media_type, headers={"Vary": "Accept"})
    return GenerateView(
        image=data_url(PNG, await read(shown)),
        images=[data_url(PNG, await read(path)) for path in paths],
        metadata=Metadata.of(job),
    )


@router.post(
    "/api/jobs",
    status_code=202,
    summary="Ask for a picture and come back for it",
    responses=responses(404, 429, 503),
)
async def create_job(
    web: TheWeb,
    source: Asker,
    request: Request,
    body: GenerateBody,
    response: Response,
    key: IdempotencyKey = None,
) -> JobView:
    source = await once(web, source, key, request, body)
    job = await _submit(web, source, body)
    response.headers["Location"] = f"/api/jobs/{job.id}"
    return JobView.of(job, source.language)


@router.post(
    "/api/jobs/{id}/again",
    status_code=202,
    summary="Draw it again, as a new picture or the same one",
    responses=responses(404, 409, 429, 503),
)
async def draw_again(
    web: TheWeb,
    source: Asker,
    request: Request,
    id: JobId,
    response: Response,
    body: AgainBody | None = None,
    key: IdempotencyKey = None,
) -> JobView:
    body = body or AgainBody()
    source = await once(web, source, key, request, body)
    again = AgainCommand(id, vary=body.vary, number=body.number, same=body.same)
    source = with_webhook(web, source, body.webhook_url)
    repeated = await _asked(web, source, again)
    response.headers["Location"] = f"/api/jobs/{repeated.id}"
    return JobView.of(repeated, source.language)


@router.post(
    "/api/jobs/{id}/vary",
    status_code=202,
    summary="Draw a variation of one of its pictures",
    responses=responses(404, 409, 429, 503),
)
async def draw_variation(
    web: TheWeb,
    source: Asker,
    request: Request,
    id: JobId,
    response: Response,
    body: VaryBody | None = None,
    key: IdempotencyKey = None,
) -> JobView:
    body = body or VaryBody()
    source = await once(web, source, key, request, body)
    vary = VaryCommand(id, body.number, body.how)
    varied = await _asked(web, with_webhook(web, source, body.webhook_url), vary)
    response.headers["Location"] = f"/api/jobs/{varied.id}"
    return JobView.of(varied, source.language)


@router.post(
    "/api/jobs/{id}/edit",
    status_code=202,
    summary="Change one of its pictures as words say",
    description="By the first preset that edits, or by the one that is named. A picture of your own"
    " is changed by `/api/generate` with such a preset.",
    responses=responses(404, 409, 429, 503),
)
async def draw_edit(
    web: TheWeb,
    source: Asker,
    request: Request,
    id: JobId,
    response: Response,
    body: EditBody,
    key: IdempotencyKey = None,
) -> JobView:
    source = await once(web, source, key, request, body)
    edit = EditCommand(imagine(body, escaped(body.prompt)), id, body.number)
    edited = await _asked(web, with_webhook(web, source, body.webhook_url), edit)
    response.headers["Location"] = f"/api/jobs/{edited.id}"
    return JobView.of(edited, source.language)


async def _asked(
    web: Web, source: Source, command: Command, attached: Sequence[Picture] = ()
) -> Job:
    job = (await converse(web.service, source, command, attached)).the_job()
    if source.webhook_url is not None:
        web.service.webhooks.watch(job)
    return job


def imagine(body: OptionsBody, prompt: str, preset: str | None = None) -> ImagineCommand:
    """The command for *prompt* with the options of *body*.

    Raises:
        CommandError: An option does not fit.
    """
    return ImagineCommand(
        prompt=prompt,
        preset=preset or body.preset,
        num_inference_steps=body.num_inference_steps,
        width=body.width,
        height=body.height,
        guidance_scale=body.guidance_scale,
        seed=body.seed,
        images=body.images,
        strength=numbers(body.strength),
        control_guidance_start=numbers(body.control_guidance_start),
        control_guidance_end=numbers(body.control_guidance_end),
        crop_x=body.crop_x,
        crop_y=body.crop_y,
        negative_prompt=body.negative_prompt,
        draft=body.draft,
        is_map=body.is_map,
        **(read_option("mask", body.mask) if body.mask else {}),
        **(read_option("outpaint", body.outpaint) if body.outpaint else {}),
        **(read_option("lora", body.loras) if body.loras else {}),
    )

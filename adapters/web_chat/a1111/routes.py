"""The routes of the web UI's API (https://github.com/AUTOMATIC1111/stable-diffusion-webui/wiki/API)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from adapters.web_chat.a1111.wishes import PictureBody, SettingsBody, TextBody
from adapters.web_chat.answers import Answer, Wish
from adapters.web_chat.bodies import BodyRoute
from adapters.web_chat.openai import refusals
from adapters.web_chat.openai.wishes import MODEL, models_of, preset_of, redrawing_preset
from adapters.web_chat.pictures import read
from adapters.web_chat.repeats import RETRIES
from adapters.web_chat.security import A1111
from adapters.web_chat.sharing import Asker, TheWeb, Web
from bot import sentences
from bot.commands import ImagineCommand
from bot.jobs import Job, JobStatus
from bot.source import Source

# It is described by those whose protocol it is.
router = APIRouter(prefix=A1111, route_class=BodyRoute, include_in_schema=False)

#: Lists that clients ask for and offer; none of what they offer changes anything here.
LISTS: dict[str, list[dict[str, Any]]] = {
    "samplers": [{"name": "Euler", "aliases": ["euler"], "options": {}}],
    "schedulers": [{"name": "simple", "label": "Simple", "aliases": None}],
    "upscalers": [{"name": "None", "model_name": None, "model_path": None, "scale": 4}],
    "latent-upscale-modes": [],
    "sd-vae": [],
}


@router.post("/txt2img")
async def draw(web: TheWeb, source: Asker, request: Request, body: TextBody) -> Response:
    preset = preset_of(web.service, _model(web, source, body))
    return _answer(web, source, request, body, body.command(preset), ())


@router.post("/img2img")
async def redraw(web: TheWeb, source: Asker, request: Request, body: PictureBody) -> Response:
    model = _model(web, source, body)
    preset = redrawing_preset(web.service, model, has_mask=bool(body.mask))
    pictures = [await web.image(each, "init_images") for each in body.init_images]
    if body.mask:
        if body.inpainting_mask_invert:
            raise refusals.no_inverted_mask()
        pictures.append(await web.image(body.mask, "mask"))
    command = body.command(preset, body.denoising_strength)
    return _answer(web, source, request, body, command, pictures)


@router.get("/options")
async def get_options(web: TheWeb, source: Asker) -> dict[str, Any]:
    chosen = web.checkpoints.get(source.user, MODEL)
    return {"sd_model_checkpoint": chosen, "samples_format": "png"}


@router.post("/options")
async def set_options(web: TheWeb, source: Asker, body: SettingsBody) -> None:
    """Choose a model for this person's further requests, until the bot restarts."""
    if body.sd_model_checkpoint is not None:
        preset_of(web.service, body.sd_model_checkpoint)
        web.checkpoints[source.user] = body.sd_model_checkpoint


@router.get("/sd-models")
async def list_models(web: TheWeb, source: Asker) -> list[dict[str, Any]]:
    """What may be chosen, each with the model that draws then for a file."""
    return [
        {"title": name, "model_name": name, "hash": None, "sha256": None, "filename": weights}
        for name, weights in models_of(web.service).items()
    ]


@router.get("/loras")
async def list_loras(web: TheWeb, source: Asker) -> list[dict[str, Any]]:
    """LoRAs for prompts: <lora:NAME:WEIGHT>."""
    return [
        {
            "name": lora.name,
            "alias": lora.name,
            "path": lora.name,
            "metadata": {"trigger_words": list(lora.trigger_words)},
        }
        for lora in web.service.offered.loras.values()
    ]


@router.get("/progress")
async def get_progress(web: TheWeb, source: Asker) -> dict[str, Any]:
    """How far the first of this person's jobs is."""
    jobs = web.service.queue(source.user).mine
    job = next((job for job in jobs if job.status is JobStatus.RUNNING), None)
    done, steps, preview = 0, 0, None
    if job is not None:
        steps = job.request.steps_taken
        done = max(0, job.progress.picture - 1) * steps + job.progress.step
        preview = job.progress.preview
    return {
        "progress": done / job.steps if job is not None else 0.0,
        "eta_relative": 0.0,
        "state": {
            "skipped": False,
            "interrupted": False,
            "job": job.id if job is not None else "",
            "job_count": len(jobs),
            "job_no": 0,
            "sampling_step": job.progress.step if job is not None else 0,
            "sampling_steps": steps,
        },
        "current_image": await web.base64(preview) if preview else None,
        "textinfo": None,
    }


@router.get("/samplers")
@router.get("/schedulers")
@router.get("/upscalers")
@router.get("/latent-upscale-modes")
@router.get("/sd-vae")
async def list_choices(request: Request, source: Asker) -> list[dict[str, Any]]:
    return LISTS[request.url.path.rpartition("/")[2]]


@router.post("/interrupt")
async def interrupt(web: TheWeb, source: Asker) -> dict[str, Any]:
    """Nothing: a client that interrupts hangs up too, and that cancels its job."""
    return {}


def _model(web: Web, source: Source, body: TextBody) -> str:
    chosen = body.override_settings.sd_model_checkpoint
    return chosen or web.checkpoints.get(source.user, MODEL)


def _answer(
    web: Web,
    source: Source,
    request: Request,
    body: TextBody,
    command: ImagineCommand,
    pictures: Sequence[bytes],
) -> Response:
    async def tell(source: Source, job: Job) -> AsyncIterator[bytes]:
        await job.drawn()
        sentences.check_drawn(job)
        lookups = web.service.lookups
        texts = [
            await web.base64(await read(await lookups.picture(source, job.id, number)))
            for number in range(1, job.images + 1)
        ]
        # In pieces, since JSON of large pictures is slow to write and base64 needs no quoting.
        yield b'{"images": ["' + '", "'.join(texts).encode() + b'"], "parameters": {}, "info": '
        yield json.dumps(json.dumps(_info(job))).encode() + b"}"

    digests = ",".join(hashlib.sha256(each).hexdigest() for each in pictures)
    asked = body.model_dump_json(exclude={"init_images", "mask"})
    content = f"{request.url.path}\n{command.preset}\n{asked}\n{digests}".encode()
    is_retry = request.headers.get(RETRIES, "0") != "0"
    return Answer(web, Wish(source, command, pictures, content, is_retry=is_retry), tell)


def _info(job: Job) -> dict[str, Any]:
    """What *job* was drawn with, as the web UI writes it."""
    seeds = [request.seed for request in job.requests]
    return {
        "prompt": job.request.prompt,
        "negative_prompt": job.request.negative_prompt,
        "seed": seeds[0],
        "all_seeds": seeds,
        "width": job.request.width,
        "height": job.request.height,
        "steps": job.request.num_inference_steps,
        "sampler_name": "Euler",
        "sd_model_name": f"{MODEL}:{job.request.preset}",
    }

"""The routes that tell what the bot is, how it is, and what one has left."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from adapters.web_chat.pictures import picture_response, read
from adapters.web_chat.sharing import Asker, TheWeb, Web, file, responses
from adapters.web_chat.views import (
    AboutView,
    EngineHealth,
    EngineView,
    HealthView,
    JobView,
    LoraView,
    ModelsView,
    ModelView,
    PresetsView,
    PresetView,
    QuotaView,
    StatusView,
    Word,
    of_controlnet,
)
from bot.commands import DRAWING, VERBS
from bot.loras import takers
from bot.sections import Model
from bot.source import Source
from generation.checks import MAX_SIZE, public_name
from generation.kinds import CONTROL_IMAGES, flat_values
from generation.types import Preset

router = APIRouter(tags=["facts"])

#: Media types of samples, by the ends of their names.
SAMPLE_TYPES = {".webp": "image/webp", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}


@router.get("/health", summary="Whether the bot is alive", responses=responses(503))
async def get_health(web: TheWeb) -> HealthView:
    engines = [EngineHealth.model_validate(each) for each in web.service.engines()]
    return HealthView(status="ok", engine=web.service.state.status, engines=engines)


@router.get("/api/about", summary="Examples, limits, grammar", responses=responses())
async def get_about(web: TheWeb, source: Asker) -> AboutView:
    limits, model = web.config.limits, web.config.model
    told, say = web.service.about, source.language
    return AboutView(
        text=say(told.text),
        examples=list(told.examples),
        model=public_name(model.repository),
        limits={
            "num_inference_steps": limits.num_inference_steps,
            "pixels": limits.pixels,
            "upscaled_pixels": limits.upscaled_pixels,
            "images": limits.images,
        },
        upscale=(larger := web.service.offered.enlarging()) and larger.kind.enlargement,
        can_expand=web.service.expansion.is_on,
        can_edit=web.service.offered.editing() is not None,
        fit=web.config.control_images.fit,
        max_image_bytes=web.max_image_bytes,
        max_image_side=MAX_SIZE,
        verbs=[
            Word(word=verb.name, hint=say(verb.help), example=verb.usage)
            for verb in VERBS
            if verb.name != "admin" or source.user in web.config.admins.users
        ],
        options=[
            Word(
                word=option.name,
                hint=say(option.help),
                example=f"{model.width}x{model.height}"
                if option.name == "size"
                else option.example,
            )
            for option in DRAWING
        ],
    )


@router.get("/api/status", summary="The engine, the queue, one's own jobs", responses=responses())
async def get_status(web: TheWeb, source: Asker, request: Request) -> StatusView:
    queue = web.service.queue(source.user)
    state = web.service.state
    return StatusView(
        user=source.user,
        is_signed_in=request.state.session is not None,
        engine=EngineView(status=state.status, message=source.language(state.message)),
        waiting=queue.waiting,
        running=queue.running,
        held=web.service.review.waiting(source.user),
        mine=[JobView.of(job, source.language) for job in queue.mine],
    )


@router.get("/api/presets", summary="Ways of making pictures", responses=responses())
async def list_presets(web: TheWeb, source: Asker) -> PresetsView:
    samples = await samples_there_are(web)
    models = web.service.catalogue.names()
    return PresetsView(
        presets=[
            _preset_view(
                preset,
                web.config.model_for(preset.model),
                models[preset.name],
                samples.get(preset.name),
            )
            for preset in web.service.presets.values()
        ],
        default=await _default_preset(web, source.user),
        loras=await _loras(web, source),
    )


@router.get("/api/models", summary="Models that presets draw with", responses=responses(503))
async def list_models(web: TheWeb, source: Asker) -> ModelsView:
    say = source.language
    listed = await web.service.catalogue.models()
    models = [ModelView.model_validate(each, from_attributes=True) for each in listed]
    for each in models:
        each.description = each.description and say(each.description)
    return ModelsView(models=models)


@router.get(
    "/api/presets/{name}/sample",
    summary="A picture that a preset has made",
    response_class=Response,
    responses={**responses(404, 503), **file("image/webp")},
)
async def get_sample(
    web: TheWeb, source: Asker, name: Annotated[str, Path(max_length=64)]
) -> Response:
    path = await asyncio.to_thread(web.service.samples.find, name)
    return picture_response(await read(path), "image/webp")


@router.get(
    "/api/loras/{name}/sample",
    summary="A picture that was made with a LoRA",
    response_class=Response,
    responses={**responses(404, 503), **file("image/webp", "image/png", "image/jpeg")},
)
async def get_sample_of_lora(
    web: TheWeb, source: Asker, name: Annotated[str, Path(max_length=64)]
) -> Response:
    path = await asyncio.to_thread(web.service.samples.find_of_lora, name)
    media_type = SAMPLE_TYPES.get(path.suffix.lower(), "image/png")
    return picture_response(await read(path), media_type)


def _preset_view(
    preset: Preset, model: Model, name_of_model: str, sample: str | None
) -> PresetView:
    kind, guidance = preset.kind, preset.guidance_scale
    values = flat_values(kind)
    return PresetView(
        name=preset.name,
        description=preset.description,
        needs_image=preset.needs_image,
        pictures=len({*kind.pictures, *kind.more_pictures} & {*CONTROL_IMAGES}),
        mask_feather=values["mask_feather"] if kind.takes_mask else None,
        controlnet=kind.conditioning_model and public_name(kind.conditioning_model),
        preprocessor=next(iter(kind.control_maps), "none"),
        strength=values["strength"],
        **of_controlnet(kind),
        model=name_of_model,
        enlarges=kind.enlargement,
        num_inference_steps=preset.num_inference_steps or model.num_inference_steps,
        guidance_scale=model.guidance_scale if guidance is None else guidance,
        width=preset.width or model.width,
        height=preset.height or model.height,
        takes_loras=kind.takes_loras,
        sample=sample,
    )


async def _loras(web: Web, source: Source) -> list[LoraView]:
    samples = await asyncio.to_thread(web.service.samples.of_loras)
    return [
        LoraView(
            name=lora.name,
            description=source.language(lora.description) if lora.description else "",
            lora_scale=lora.lora_scale,
            min_lora_scale=lora.min_lora_scale,
            max_lora_scale=lora.max_lora_scale,
            trigger_words=list(lora.trigger_words),
            presets=list(takers(lora, web.service.presets.values(), web.config)),
            sample=f"/api/loras/{lora.name}/sample?v={samples[lora.name][1]:x}"
            if lora.name in samples
            else None,
        )
        for lora in web.service.offered.loras.values()
    ]


async def samples_there_are(web: Web) -> dict[str, str]:
    """The address of each sample, which changes with it, by preset."""
    found = await asyncio.to_thread(web.service.samples.all)
    return {
        name: f"/api/presets/{name}/sample?v={version:x}" for name, (_, version) in found.items()
    }


@router.get("/api/quota", summary="Credits: used and left", responses=responses(503))
async def get_quota(web: TheWeb, source: Asker) -> QuotaView:
    return QuotaView.model_validate(await web.service.quota(source.user), from_attributes=True)


async def _default_preset(web: Web, user: str) -> str:
    own = (await web.service.own_settings.of(user)).get("preset")
    return own if own in web.service.presets else web.config.model.default_preset

"""The API of AUTOMATIC1111's web UI, as Open WebUI and SillyTavern ask for it."""

import asyncio
import base64
import json

import httpx
import pytest
from PIL import Image

from bot.config import Secrets
from tests.bot.test_loras import LORAS
from tests.conftest import ADMIN, INPAINTING, until
from tests.samples import file, noise, opened, picture

ADA = "ada-token-0123456789"
SMALL = {"prompt": "a red circle", "width": 64, "height": 80, "steps": 2}


@pytest.fixture
async def sdapi(make_server, gate):
    server = await make_server(Secrets(web_tokens={ADA: "ada"}), web={"a1111": True})
    address = f"{server.address}/sdapi/v1"
    async with httpx.AsyncClient(base_url=address, auth=("anybody", ADA), timeout=30) as client:
        client.bot = server.bot
        yield client


async def jobs_of(sdapi):
    return (await sdapi.bot.service.lookups.history("web:ada")).jobs


async def test_open_webui_chooses_a_model_and_draws(sdapi, gate):
    """As version 0.12.4 does: it reads the options, and sends them back with another model."""
    gate.open()
    models = (await sdapi.get("/sd-models")).json()
    assert {each["filename"] for each in models} == {"demo"}, "which draws"
    options = (await sdapi.get("/options")).json()
    assert [model["title"] for model in models][:2] == ["flux", "flux:plain"]
    assert options["sd_model_checkpoint"] == "flux"
    chosen = await sdapi.post("/options", json={**options, "sd_model_checkpoint": "flux:plain"})
    assert chosen.status_code == 200
    assert (await sdapi.get("/options")).json()["sd_model_checkpoint"] == "flux:plain"

    drawn = (await sdapi.post("/txt2img", json={**SMALL, "batch_size": 2})).json()

    assert [opened(base64.b64decode(each)).size for each in drawn["images"]] == [(64, 80)] * 2
    info = json.loads(drawn["info"])
    job = (await jobs_of(sdapi))[0]
    assert info["all_seeds"] == [job.request.seed, job.request.seed + 1]
    assert (job.request.preset, job.request.num_inference_steps) == ("plain", 2)


async def test_sillytavern_finds_all_that_it_offers_and_draws(sdapi, gate):
    gate.open()
    for name in ("samplers", "schedulers", "upscalers"):
        assert [each["name"] for each in (await sdapi.get(f"/{name}")).json()]
    for name in ("latent-upscale-modes", "sd-vae"):
        assert (await sdapi.get(f"/{name}")).json() == []
    progress = (await sdapi.get("/progress")).json()
    assert (progress["progress"], progress["state"]["job_count"]) == (0.0, 0)
    assert (await sdapi.post("/interrupt")).status_code == 200

    body = {
        **SMALL,
        "negative_prompt": "a square",
        "sampler_name": "Euler",
        "scheduler": "simple",
        "cfg_scale": 7,
        "seed": -1,
        "enable_hr": False,
        "override_settings": {"CLIP_stop_at_last_layers": 1},
        "save_images": True,
    }
    drawn = await sdapi.post("/txt2img", json=body)

    assert drawn.status_code == 200
    job = (await jobs_of(sdapi))[0]
    assert job.request.negative_prompt == "a square"
    assert job.request.guidance_scale == 3.5


async def test_a_picture_is_drawn_over_as_far_as_is_asked(sdapi, gate):
    gate.open()
    fox = base64.b64encode(picture(64, 64)).decode()

    body = {**SMALL, "init_images": [fox], "denoising_strength": 0.75}
    drawn = await sdapi.post("/img2img", json=body)
    masked = await sdapi.post("/img2img", json={**body, "mask": fox})

    assert drawn.status_code == 200
    job = (await jobs_of(sdapi))[0]
    assert (job.request.preset, job.request.kind.strength_setting) == ("redraw", 0.75)
    assert (masked.status_code, len(await jobs_of(sdapi))) == (400, 1)
    assert "takes no mask" in masked.json()["detail"]


async def test_what_is_white_in_a_mask_is_drawn_and_the_rest_stays(sdapi, gate):
    gate.open()
    sdapi.bot.settings["presets"] = INPAINTING
    await sdapi.bot.service.admin.reload_presets(ADMIN)
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 32, 64))
    fox, mask = (base64.b64encode(file(each)).decode() for each in (noise(64, 64), mask))
    body = {**SMALL, "height": 64, "init_images": [fox], "mask": mask}

    drawn = await sdapi.post("/img2img", json=body)
    inverted = await sdapi.post("/img2img", json={**body, "inpainting_mask_invert": 1})

    shown, right = opened(base64.b64decode(drawn.json()["images"][0])), (32, 0, 64, 64)
    assert shown.convert("RGB").crop(right).tobytes() == noise(64, 64).crop(right).tobytes()
    assert "cannot be inverted: send the mask inverted" in inverted.json()["detail"]


async def test_progress_is_that_of_the_job_under_way(sdapi, gate):
    task = asyncio.create_task(sdapi.post("/txt2img", json=SMALL))
    await until(lambda: gate.drawn)
    gate.allow()
    progress = {"progress": 0.0}
    while not progress["progress"]:
        progress = (await sdapi.get("/progress")).json()
    gate.open()
    await task

    assert progress["progress"] == 0.5
    assert (progress["state"]["job_count"], progress["state"]["sampling_steps"]) == (1, 2)


async def test_a_token_is_the_password_here_alone_and_errors_are_the_web_uis(sdapi):
    refused = await sdapi.get("/options", auth=("ada", "wrong"))
    bearer = await sdapi.get("/options", auth=None, headers={"Authorization": f"Bearer {ADA}"})
    bare = await sdapi.get("/options", auth=(ADA, ""))
    elsewhere = await sdapi.get(f"{sdapi.base_url.copy_with(path='/v1/models')}")
    unknown = await sdapi.post("/options", json={"sd_model_checkpoint": "sdxl"})
    large = await sdapi.post("/txt2img", json={**SMALL, "width": 70})

    assert (refused.status_code, bare.status_code, elsewhere.status_code) == (401, 401, 401)
    assert refused.headers["WWW-Authenticate"] == 'Basic realm="fluxbot"'
    assert bearer.status_code == 200
    assert (unknown.status_code, large.status_code) == (404, 400)
    assert "sdxl" in unknown.json()["detail"]
    assert await jobs_of(sdapi) == []


async def test_it_is_off_unless_the_operator_wants_it(server, http):
    assert (await http.get("/sdapi/v1/options")).status_code == 404


async def test_loras_are_listed_and_taken_out_of_the_prompt(sdapi, gate):
    """As people write them for the web UI, and as its own lists are read."""
    gate.open()
    sdapi.bot.settings["loras"] = LORAS
    await sdapi.bot.service.admin.reload_presets(ADMIN)

    assert [each["name"] for each in (await sdapi.get("/loras")).json()] == ["ink", "slow"]
    asked = {**SMALL, "prompt": "a fox <lora:ink:0.5>, at dusk"}
    drawn = await sdapi.post("/txt2img", json=asked)
    refused = await sdapi.post("/txt2img", json={**SMALL, "prompt": "a fox <lora:pale:1>"})

    (job,) = await jobs_of(sdapi)
    assert drawn.status_code == 200
    assert (job.request.prompt, job.request.lora_scales) == ("a fox, at dusk", {"lab/ink": 0.5})
    assert (refused.status_code, "pale" in refused.text) == (400, True)

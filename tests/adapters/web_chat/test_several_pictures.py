"""Requests with as many pictures as a preset takes, each of the largest size."""

import base64
import io

import pytest
from PIL import Image

from generation.kinds import Edit
from generation.types import Preset
from tests.adapters.web_chat.api.conftest import said, spent
from tests.conftest import ADMIN, PRESETS

SEVERAL = {**PRESETS, "edit": Preset(name="edit", kind=Edit(references=3))}
SMALL = {"prompt": "put it on him", "width": 64, "height": 64, "num_inference_steps": 2}
NAMES = ["image", "image_2", "image_3", "image_4"]


def noise(side=256):
    """A PNG that nothing makes smaller."""
    file = io.BytesIO()
    Image.effect_noise((side, side), 120).convert("RGB").save(file, "PNG", compress_level=0)
    return file.getvalue()


LARGEST = len(noise())


@pytest.fixture
async def bot(make_bot, gate):
    gate.open()
    return await make_bot(presets=SEVERAL, control_images={"max_megabytes": (LARGEST + 0.5) / 1e6})


def as_json(pictures):
    named = {
        name: base64.b64encode(data).decode() for name, data in zip(NAMES, pictures, strict=True)
    }
    return "/api/jobs", {"json": {**SMALL, "controlnet": {"preset": "edit", **named}}}


def as_form(pictures):
    form = {name: (None, str(value)) for name, value in {**SMALL, "preset": "edit"}.items()}
    files = {name: (f"{name}.png", data) for name, data in zip(NAMES, pictures, strict=True)}
    return "/api/jobs", {"files": {**form, **files}}


def as_edit(pictures):
    form = [("prompt", (None, "put it on him")), ("size", (None, "64x64")), ("steps", (None, "2"))]
    files = [("image[]", (f"{number}.png", data)) for number, data in enumerate(pictures)]
    return "/v1/images/edits", {"files": [*form, *files]}


@pytest.mark.parametrize("made", [as_json, as_form, as_edit])
async def test_four_of_the_largest_pictures_come_in_one_request(bot, make_client, made):
    address, body = made([noise() for _ in NAMES])

    async with make_client(bot) as web:
        answer = await web.post(address, **body)
        (job,) = (await bot.service.lookups.history(ADMIN)).jobs

    assert answer.status_code in (200, 202), answer.text
    assert len(job.request.pictures) == 4


@pytest.mark.parametrize("made", [as_json, as_form, as_edit])
async def test_each_of_several_pictures_has_the_limit_of_one(bot, make_client, made):
    address, body = made([noise(), noise(), noise(), noise(270)])

    async with make_client(bot) as web:
        answer = await web.post(address, **body)

    assert answer.status_code == 413
    assert "at most 0.196993 MB are allowed: send" in answer.json()["error"]["message"]
    assert await spent(bot) == 0


async def test_where_presets_take_one_picture_a_body_has_room_for_one(bot, make_client):
    address, body = as_json([noise() for _ in NAMES])
    bot.settings["presets"] = PRESETS
    await bot.service.admin.reload_presets(ADMIN)

    async with make_client(bot) as web:
        sentence = said(await web.post(address, **body), 413, "too_large")

    assert sentence.startswith("the request is larger than the 0.3 MB allowed")
    assert "send smaller ones, or fewer" in sentence

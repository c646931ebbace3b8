"""Rows that every older version of the bot has written, read and drawn from by this one.

The history of the project has four schemas (the numbered scripts) and two shapes of the JSON in
``jobs.request``: the first from the beginning on, the second with LoRAs' weights and Control
LoRAs. Kinds of presets came later and are read out of the same flat fields.
"""

import json
import sqlite3

import pytest

from bot.commands import ImagineCommand
from bot.database import migrations
from bot.jobs import JobStatus
from bot.source import Source
from generation.kinds import ControlLora, ControlNet, ImageToImage, TextToImage
from tests.conftest import ADA, PRESETS, Bot, finished
from tests.samples import picture

FIRST_SHAPE = {
    "prompt": "a fox in snow",
    "num_inference_steps": 3,
    "guidance_scale": 3.5,
    "width": 64,
    "height": 64,
    "seed": 7,
    "negative_prompt": "",
    "true_cfg_scale": 1.0,
    "preset": "plain",
    "prompt_template": "{prompt}",
    "controlnet": None,
    "control_mode": None,
    "preprocessor": "none",
    "controlnet_conditioning_scale": 0.7,
    "control_guidance_start": 0.0,
    "control_guidance_end": 1.0,
    "strength": None,
    "control_image": None,
    "fit": "crop",
    "lora": None,
    "model": "demo",
}
SECOND_SHAPE = {**FIRST_SHAPE, "lora_scale": 1.0, "control_lora": None}
#: Each schema, with the shape that was written at its time.
VERSIONS = [(1, FIRST_SHAPE), (2, FIRST_SHAPE), (2, SECOND_SHAPE), (3, SECOND_SHAPE)]
VERSIONS += [(4, SECOND_SHAPE)]

CANNY = {
    "preset": "canny",
    "controlnet": "demo/controlnet-canny",
    "preprocessor": "canny",
    "control_guidance_end": 0.5,
}
MADE = {
    "words": ({}, TextToImage()),
    "redraw": ({"preset": "redraw", "strength": 0.5}, ImageToImage(strength=0.5)),
    "canny": (
        CANNY,
        ControlNet(
            controlnet="demo/controlnet-canny", preprocessor="canny", control_guidance_end=0.5
        ),
    ),
    "control-lora": (
        {"preset": "canny", "control_lora": "lab/canny", "preprocessor": "canny"},
        ControlLora(control_lora="lab/canny", preprocessor="canny"),
    ),
}
ROWS = [
    pytest.param(
        schema, {**shape, **values}, kind, id=f"schema {schema}, {len(shape)} keys, {name}"
    )
    for schema, shape in VERSIONS
    for name, (values, kind) in MADE.items()
    if values.keys() <= shape.keys()
]


@pytest.mark.parametrize(("schema", "request_json", "kind"), ROWS)
async def test_a_row_of_an_older_version_is_read_and_drawn_from(
    tmp_path, gate, clock, schema, request_json, kind
):
    bot = Bot(tmp_path, gate, clock, presets=PRESETS)
    attach(tmp_path, request_json, kind)
    write_row(tmp_path / "bot.sqlite3", schema, request_json)
    await bot.start()
    gate.open()

    waiting = await bot.service.lookups.job(Source(ADA), "k7m2p9xd")
    again = None
    if kind.name != "control-lora":  # whose preset this bot does not have
        assert await finished(waiting) is JobStatus.SUCCEEDED
        again = await bot.service.again(Source(ADA), waiting.id, ImagineCommand(seed=8))
        assert await finished(again) is JobStatus.SUCCEEDED
    await bot.stop()

    assert waiting.request.kind == kind
    if again is not None:
        assert (again.request.kind, again.request.seed) == (kind, 8)
        assert [each.kind for each in gate.drawn] == [kind, kind]


def attach(folder, request_json, kind):
    if kind.pictures:
        request_json["control_image"] = "square.png"
        (folder / "control-images").mkdir()
        (folder / "control-images" / "square.png").write_bytes(picture(64, 64))


def write_row(path, schema, request_json):
    with sqlite3.connect(path) as db:
        for script in migrations()[:schema]:
            db.executescript(script)
        db.execute(f"PRAGMA user_version = {schema}")
        db.execute(
            "INSERT INTO jobs (id, user, status, prompt, request, images, cost, submitted_at)"
            " VALUES ('k7m2p9xd', ?, 'queued', ?, ?, 1, 1, 1.7e9)",
            (ADA, request_json["prompt"], json.dumps(request_json)),
        )
    db.close()

"""Weights that presets name beside the model, there or not."""

import signal
from pathlib import Path

import httpx
import pytest

from bot.assembly.engine import Plan
from bot.assembly.parts import (
    controlnets,
    faulty_loras,
    faulty_presets,
    loras,
    parts_of,
    wanted,
)
from bot.config import Config, Secrets
from generation.preprocessors import Preprocessors
from tests.samples import data_url, picture

ROOT = Path(__file__).parent.parent.parent.parent


@pytest.fixture
def faulty_preset(tmp_path):
    """The options that name a configuration with a preset over what does not exist."""
    path = tmp_path / "config.toml"
    shipped = (ROOT / "config.toml").read_text(encoding="utf-8")
    own = '[presets.p]\ncontrolnet = "./nets/mine"\npreprocessor = "canny"\n'
    path.write_text(shipped + own, encoding="utf-8")
    return "--config", str(path)


async def test_check_and_download_name_a_preset_over_a_folder_that_does_not_exist(
    run, faulty_preset
):
    for command in ("check", "download"):
        status, output = await run(command, *faulty_preset)

        assert status == 1
        assert "preset p: the folder ./nets/mine does not exist" in output


async def test_a_preset_over_a_folder_that_does_not_exist_is_refused_alone(started, faulty_preset):
    bot = await started(*faulty_preset)
    small = {"num_inference_steps": 1, "width": 64, "height": 64}

    async with httpx.AsyncClient(base_url=bot.address, timeout=60) as web:
        plain = await web.post("/api/generate", json={"prompt": "a red circle", **small})
        guide = {"preset": "p", "image": data_url(picture(64, 64))}
        body = {"prompt": "a red circle", "controlnet": guide, **small}
        over_nothing = await web.post("/api/generate", json=body)

    assert plain.json()["image"].startswith("data:image/png;base64,")
    assert "the folder ./nets/mine does not exist" in over_nothing.text
    bot.process.send_signal(signal.SIGINT)
    assert await bot.ended() == 0
    assert "WARNING  preset p: the folder ./nets/mine does not exist" in bot.output
    assert "no room is planned" not in bot.output, "that would say it twice"


NET = {"controlnet": "lab/net", "preprocessor": "canny"}
DEPTH = {"controlnet": "lab/net", "preprocessor": "depth", "lora": "lab/ink"}
NOWHERE = {"controlnet": "./nets/mine", "preprocessor": "canny"}


def config_with(**presets):
    return Config(presets={"plain": {}, **presets})


def test_a_preset_draws_with_its_kinds_weights_its_lora_and_its_preprocessors_model():
    preset = config_with(deep=DEPTH).presets["deep"]

    parts = parts_of(preset, Preprocessors(depth="lab/depth"))

    assert parts == [("lab/net", "controlnet"), ("lab/ink", "lora"), ("lab/depth", "preprocessor")]


def test_weights_that_several_presets_share_are_wanted_once():
    config = config_with(canny=NET, deep=DEPTH)

    found = wanted(config, config.presets)

    repositories = [each.repository for each in found]
    assert repositories == ["lab/net", "lab/ink", config.preprocessors.depth]
    assert controlnets(config, config.model) == (("lab/net",),)


def test_a_model_of_a_preset_is_wanted_too_and_each_has_room_for_its_own_parts_alone():
    config = config_with(canny=NET, fast={"model": "lab/klein@abc", "lora": "lab/lines"})

    found = wanted(config, config.presets)

    assert [(each.repository, each.role, each.revision) for each in found] == [
        ("lab/net", "controlnet", None),
        ("lab/klein", "pipeline", "abc"),
        ("lab/lines", "lora", None),
    ]
    models = Plan(config, Secrets(), Preprocessors(), "cpu").arguments["models"]
    assert {name: (each["controlnets"], each["loras"]) for name, each in models.items()} == {
        "demo": ((("lab/net",),), ()),
        "lab/klein@abc": ((), ("lab/lines",)),
    }
    assert (models["lab/klein@abc"]["repository"], models["lab/klein@abc"]["revision"]) == (
        "lab/klein",
        "abc",
    )


def test_no_room_is_planned_for_a_preset_whose_weights_are_nowhere():
    config = config_with(canny=NET, mine=NOWHERE)

    assert list(faulty_presets(config)) == ["mine"]
    assert controlnets(config, config.model) == (("lab/net",),)


def test_listed_loras_are_fetched_and_have_room_where_they_can_be_had():
    listed = {"ink": {"repository": "lab/ink"}, "mine": {"repository": "./loras/mine"},
              "pale": {"repository": "lab/pale/pale.safetensors"}}  # fmt: skip
    config = Config(presets={"plain": {}, "deep": DEPTH}, loras=listed)

    assert [*faulty_loras(config)] == ["mine"]
    assert faulty_loras(config)["mine"].startswith("LoRA mine: the folder ./loras/mine does not ex")
    assert loras(config, config.model) == ("lab/ink", "lab/pale/pale.safetensors")
    found = wanted(config, ["plain"], ["ink", "pale"])
    assert [each.repository for each in found] == ["lab/ink", "lab/pale"]
    of_demo = Plan(config, Secrets(), Preprocessors(), "cpu").arguments["models"]["demo"]
    assert (of_demo["loras"], of_demo["combines_loras"]) == (loras(config, config.model), True)


def test_room_is_planned_for_controlnets_that_a_picture_follows_at_once():
    several = {"controlnets": [NET, {"controlnet": "lab/other", "preprocessor": "depth"}]}
    config = config_with(canny=NET, several=several)

    assert controlnets(config, config.model) == (("lab/net",), ("lab/net", "lab/other"))
    assert [each.repository for each in wanted(config, ["several"])] == [
        "lab/net", "lab/other", config.preprocessors.depth,
    ]  # fmt: skip

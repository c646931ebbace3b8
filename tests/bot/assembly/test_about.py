"""The introduction of the model that the bot draws with."""

from pathlib import Path

import pytest
from PIL import Image

from bot.assembly.about import about_model
from bot.config import Config, load_config
from generation.demo.vocabulary import unknown_words
from generation.types import GenerationRequest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"prompt": "A Red circle on blue"}, []),
        ({"prompt": "a red fox", "width": 192}, ["does not know “fox”"]),
        ({"prompt": "a red circle", "width": 512, "height": 512}, ["192 × 128, 128 × 192"]),
        ({"prompt": "a red circle " * 30}, ["the first 64"]),
    ],
)
def test_the_demo_model_says_what_it_does_not_know(asked, told):
    usual = {"width": 128, "height": 128, "num_inference_steps": 12, "guidance_scale": 3.5}

    remarks = about_model(Config()).remarks(GenerationRequest(**{**usual, "seed": 0, **asked}))

    assert len(remarks) == len(told)
    assert all(part in remark for part, remark in zip(told, remarks, strict=True))


def test_the_demo_model_offers_five_prompts_and_the_way_to_flux():
    about = about_model(Config())

    assert len(about.examples) == 5
    assert not [told for prompt in about.examples for told in unknown_words(prompt)]
    assert "small demo model" in about.text
    assert "FLUX.1-dev" in about.text


def test_the_demo_model_brings_a_small_sample_of_each_of_its_presets_and_loras():
    folder = about_model(Config()).samples

    config = load_config(ROOT / "config.toml")
    names = {*config.presets, *(f"lora-{name}" for name in config.loras)}
    assert {path.stem for path in folder.glob("*.webp")} == names
    for path in folder.glob("*.webp"):
        assert path.stat().st_size < 20_000
        with Image.open(path) as sample:
            assert max(sample.size) >= 128
            assert b"rainedAlgorithmicMedia" in path.read_bytes(), "it says that AI has made it"

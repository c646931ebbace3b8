"""The models that people draw with."""

from bot.config import Config
from bot.models import offered_models


def offered(**model):
    config = Config(model=model, presets={"plain": {}, "ink": {"lora": "demo/lora-ink"}})
    return offered_models(config, config.presets.values())


def test_the_model_is_offered_with_the_presets_that_draw_with_it():
    found = offered(repository="black-forest-labs/FLUX.1-schnell", revision="741f7c3")

    name = "black-forest-labs/FLUX.1-schnell@741f7c3"
    assert [(each.name, each.presets, each.is_default) for each in found] == [
        (name, ("plain", "ink"), True)
    ]


def test_no_folder_of_the_operators_disk_is_told():
    (found,) = offered(repository="/srv/secret/klein-4b")

    assert found.name == "klein-4b"

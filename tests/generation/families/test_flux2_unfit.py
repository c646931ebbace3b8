"""What FLUX.2-klein does not draw with, and what is nearly it, is refused in words."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from bot.assembly.unfit_weights import unfit_model, unfit_presets
from bot.config import Config
from generation.errors import ModelUnavailable
from generation.families import unfit
from tests.generation.engines import ignore, new_engine


def test_loras_of_the_other_family_are_refused_by_its_name(klein, tiny, fox, tmp_path):
    of_flux1 = tmp_path / "kohya.safetensors"
    layer = "lora_unet_double_blocks_0_img_mod_lin"
    save_file(
        {
            f"{layer}.lora_down.weight": torch.ones(2, 32),
            f"{layer}.lora_up.weight": torch.ones(192, 2),
        },
        of_flux1,
    )
    lora = tmp_path / "klein.safetensors"
    layer = "diffusion_model.single_blocks.1.linear1"
    save_file(
        {f"{layer}.lora_A.weight": torch.ones(2, 32), f"{layer}.lora_B.weight": torch.ones(288, 2)},
        lora,
    )
    first, engine = new_engine(tiny), new_engine(klein)
    first.load()
    engine.load()

    with pytest.raises(ModelUnavailable, match=r"it is made for FLUX\.1, and not for this model"):
        engine.generate(replace(fox, lora=str(of_flux1)), ignore)
    with pytest.raises(ModelUnavailable, match="made for another model"):
        first.generate(replace(fox, lora=str(lora)), ignore)
    config = Config(
        model={"repository": str(klein)},
        presets={
            "plain": {},
            "style": {"lora": str(lora)},
            "kohya": {"lora": str(of_flux1)},
            "canny": {"controlnet": str(tiny / "controlnet"), "preprocessor": "canny"},
            "night": {"kind": "edit"},
            "kontext": {"kontext": "black-forest-labs/FLUX.1-Kontext-dev"},
        },
    )
    found = unfit_presets(config)
    assert sorted(found) == ["canny", "kohya", "kontext"]
    assert "leave black-forest-labs/FLUX.1-Kontext-dev out of the preset" in found["kontext"]
    assert "made for FLUX.1" in found["kohya"]
    assert f"preset canny: {klein} draws no picture with a ControlNet, but those" in found["canny"]


@pytest.mark.parametrize(
    ("file", "changes", "sentence"),
    [
        ("model_index.json", {"is_distilled": False}, "is not distilled: it is made to be trained"),
        ("model_index.json", {"_class_name": "Flux2Pipeline"}, "is a larger FLUX.2, of which this"),
        ("model_index.json", {"_class_name": "Flux2KleinKVPipeline"}, "draws by another pipeline"),
        ("model_index.json", {"tokenizer": [None, None]}, "has no tokenizer: name a whole one"),
        ("transformer/config.json", {"_class_name": "FluxTransformer2DModel"}, "none of FLUX.2's"),
        ("transformer/config.json", {"in_channels": 64}, "takes 64 channels, and its VAE gives"),
        ("transformer/config.json", {"joint_attention_dim": 32}, "not made for its text encoder"),
        ("text_encoder/config.json", {"model_type": "mistral3"}, "is a mistral3, and no Qwen3"),
    ],
)  # fmt: skip
def test_what_is_nearly_the_right_model_is_refused_in_words(
    klein, tmp_path, file, changes, sentence
):
    folder = tmp_path / "model"
    shutil.copytree(klein, folder)
    written = folder / file
    written.write_text(json.dumps({**json.loads(written.read_text()), **changes}))

    with pytest.raises(ModelUnavailable) as raised:
        new_engine(folder).load()

    assert sentence in str(raised.value)
    assert unfit_model(Config(model={"repository": str(folder)})) == str(raised.value)


def test_a_transformer_of_its_own_is_refused_before_and_while_it_is_loaded(klein):
    named = {"repository": str(klein), "transformer": str(klein)}

    with pytest.raises(ModelUnavailable) as raised:
        new_engine(klein, transformer=str(klein)).load()

    assert "stands in for a transformer of FLUX.1 alone: leave it out" in str(raised.value)
    assert unfit_model(Config(model=named)) == str(raised.value)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("FLUX.2-klein-4B", None),
        ("FLUX.2-dev", "is a larger FLUX.2"),
        ("FLUX.2-klein-base-4B", "is not distilled"),
    ],
)
def test_models_that_everybody_knows_are_told_apart_by_their_names(name, sentence):
    found = unfit.by_name(f"black-forest-labs/{name}")

    assert found is None if sentence is None else sentence in found

"""Weights that are nearly the right ones are refused in a sentence that says what to do."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from bot.assembly.unfit_weights import unfit_loras, unfit_model, unfit_presets
from bot.config import Config
from generation.diffusion.engine import DiffusionEngine
from generation.errors import ModelUnavailable
from generation.families import unfit
from tests.generation.engines import ignore, model, new_engine


@pytest.fixture
def copied(tiny, tmp_path):
    """A copy of the random model, with some keys of its files changed."""

    def copy(changes):
        folder = tmp_path / "model"
        shutil.copytree(tiny / "flux", folder)
        for name, keys in changes.items():
            file = folder / name
            file.write_text(json.dumps({**json.loads(file.read_text()), **keys}))
        return folder

    return copy


INDEX, TRANSFORMER = "model_index.json", "transformer/config.json"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({INDEX: {"_class_name": "FluxFillPipeline"}}, "for filling: name it as fill of a preset"),
        ({TRANSFORMER: {"in_channels": 384}}, "for filling: name it as fill of a preset"),
        ({INDEX: {"_class_name": "FluxControlPipeline"}}, "FLUX.1-Canny-dev-lora, or FLUX.1-Depth"),
        ({TRANSFORMER: {"in_channels": 128}}, "takes 128 channels, and FLUX.1 gives 64"),
        ({INDEX: {"_class_name": "Flux2Pipeline"}}, "is a larger FLUX.2, of which this bot knows"),
        ({INDEX: {"_class_name": "StableDiffusionXLPipeline"}}, "is neither of FLUX.1's"),
        ({INDEX: {"text_encoder_2": [None, None]}}, "has no text_encoder_2: name a whole one"),
        ({TRANSFORMER: {"_class_name": "Flux2Transformer2DModel"}}, "is a Flux2Transformer2DModel"),
    ],
)
def test_a_model_of_the_wrong_kind_is_refused_at_load_and_in_check(copied, changes, sentence):
    folder = copied(changes)

    with pytest.raises(ModelUnavailable) as raised:
        DiffusionEngine(str(folder), device="cpu").load()

    assert sentence in str(raised.value)
    assert str(folder) in str(raised.value)
    assert unfit_model(Config(model={"repository": str(folder)})) == str(raised.value)


def test_a_folder_of_a_single_file_says_how_it_is_named(tmp_path):
    (tmp_path / "flux1-dev-Q4_K_S.gguf").touch()

    with pytest.raises(ModelUnavailable, match=r"gguf as model\.transformer, and a whole model"):
        DiffusionEngine(str(tmp_path), device="cpu").load()


def test_whole_models_that_everybody_knows_are_refused_before_they_are_fetched():
    name = "black-forest-labs/FLUX.1-Canny-dev"
    config = Config(model={"repository": name}, models={name: {}})

    assert "FLUX.1-Canny-dev is a whole model for control images" in unfit_model(config)
    with pytest.raises(ModelUnavailable, match="is a whole model for control images"):
        DiffusionEngine(name).load()
    assert unfit.by_name("black-forest-labs/FLUX.1-dev") is None


def test_check_says_where_the_model_itself_edits_nothing(copied):
    def found(folder):
        presets = {"edit": {"kind": "edit"}, "taught": {"kind": "edit", "lora": "owner/edits"}}
        return unfit_presets(Config(model={"repository": str(folder)}, presets=presets))

    folder = copied({})
    assert list(found(folder)) == ["edit"]
    assert "preset edit: " in found(folder)["edit"]
    assert "edits no pictures: name a model that does as kontext" in found(folder)["edit"]
    shutil.rmtree(folder)
    assert not found(copied({INDEX: {"_class_name": "FluxKontextPipeline"}}))


def test_check_looks_at_the_model_that_a_preset_edits_with(tiny, kontext, fill, tmp_path):
    packed = tmp_path / "packed"
    shutil.copytree(kontext, packed)
    file = packed / "transformer" / "config.json"
    how = {"quantization_config": {"quant_method": "torchao"}}
    file.write_text(json.dumps({**json.loads(file.read_text()), **how}))
    folders = {"edit": kontext, "filling": fill, "packed": packed, "words": tiny / "flux"}

    found = unfit_presets(
        Config(
            model={"repository": str(tiny / "flux"), "quantization": "4bit"},
            presets={name: {"kontext": str(folder)} for name, folder in folders.items()},
        )
    )

    assert sorted(found) == ["filling", "packed", "words"]
    assert "draws by words alone, and would draw without regard" in found["words"]
    assert "is a whole model for filling: name it as fill of a preset" in found["filling"]
    assert "packed in fewer bits already (torchao)" in found["packed"]


def test_a_controlnet_of_another_family_is_refused(tiny, canny, tmp_path):
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "config.json").write_text('{"_class_name": "ControlNetModel"}')
    engine = new_engine(tiny)
    engine.load()

    with pytest.raises(ModelUnavailable, match=r"is made for Stable Diffusion 1\.5, 2 or XL, and"):
        engine.generate(replace(canny, kind=replace(canny.kind, controlnet=str(folder))), ignore)

    assert not model(engine).conditioned
    (folder / "config.json").unlink()
    assert "has no config.json" in unfit.controlnet(folder)
    assert "holds a whole model" in unfit.controlnet(tiny / "flux" / "transformer")
    assert unfit.controlnet(tiny / "controlnet") is None


def test_check_says_which_presets_do_not_fit_the_model(tiny, lora, control_lora, tmp_path):
    torch_names = {"transformer.transformer_blocks.7.attn.to_q.lora_A.weight": torch.ones(2, 32)}
    file = tmp_path / "half.safetensors"
    save_file(torch_names, file)
    net = tmp_path / "net"
    net.mkdir()
    (net / "config.json").write_text('{"_class_name": "SD3ControlNetModel"}')
    controlled = {"preprocessor": "canny"}
    names = {"sound": str(lora), "half": str(file), "nowhere": "./no/such.safetensors",
             "later": "lab/not-here-yet", "taken-for-a-style": str(control_lora)}  # fmt: skip
    config = Config(
        model={"repository": str(tiny / "flux")},
        presets={
            "plain": {},
            "sound": {"lora": str(lora)},
            "guided": {"control_lora": str(control_lora), **controlled},
            "half": {"lora": str(file)},
            "net": {"controlnet": str(net), **controlled},
            "taken-for-a-style": {"lora": str(control_lora)},
            "nowhere": {"lora": "./no/such.safetensors"},
        },
        loras={name: {"repository": repository} for name, repository in names.items()},
    )

    found = unfit_presets(config)
    of_loras = unfit_loras(config)

    assert sorted(of_loras) == ["half", "taken-for-a-style"]
    assert "LoRA half: half.safetensors cannot be used: 1 of its 1" in of_loras["half"]
    assert sorted(found) == ["half", "net", "taken-for-a-style"]
    assert "preset half: half.safetensors cannot be used: 1 of its 1 tensors" in found["half"]
    assert "is made for Stable Diffusion 3, and not for FLUX.1" in found["net"]
    assert "as a Control LoRA does: name it as control_lora" in found["taken-for-a-style"]

import numpy as np
import pytest
import torch
from diffusers import FluxControlNetModel, FluxControlNetPipeline, FluxPipeline
from PIL import Image

from generation.demo import tiny

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

SETTINGS = {"width": 64, "height": 64, "num_inference_steps": 2, "max_sequence_length": 64}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    tiny.build(folder)
    return folder


@pytest.fixture(scope="module")
def pipeline(folder):
    pipeline = FluxPipeline.from_pretrained(folder / "flux")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline, prompt, seed=1, **settings):
    generator = torch.Generator().manual_seed(seed)
    image = pipeline(prompt, generator=generator, **SETTINGS, **settings).images[0]
    return np.asarray(image).astype(int)


def test_prompt_and_seed_both_change_the_picture(pipeline):
    picture = draw(pipeline, "a red circle")

    assert picture.shape == (64, 64, 3)
    assert (draw(pipeline, "a red circle") == picture).all()
    assert (draw(pipeline, "four blue stars at night") != picture).any()
    assert (draw(pipeline, "a red circle", seed=2) != picture).any()


def test_the_controlnet_changes_the_picture_as_much_as_it_is_told(pipeline, folder):
    controlnet = FluxControlNetModel.from_pretrained(folder / "controlnet")
    controlled = FluxControlNetPipeline(**pipeline.components, controlnet=controlnet)
    controlled.set_progress_bar_config(disable=True)
    lines = Image.new("RGB", (64, 64))
    lines.paste("white", (16, 16, 48, 48))

    off, on = (
        draw(controlled, "a red circle", control_image=lines, controlnet_conditioning_scale=scale)
        for scale in (0.0, 1.0)
    )

    assert np.abs(on - off).max() > 20


def test_the_same_seed_builds_the_same_weights(folder, tmp_path):
    tiny.build(tmp_path)

    for written in sorted(folder.rglob("*.safetensors")):
        again = tmp_path / written.relative_to(folder)
        assert again.read_bytes() == written.read_bytes(), written.name


def test_building_leaves_the_random_state_alone(tmp_path):
    torch.manual_seed(3)
    before = torch.get_rng_state()

    tiny.build(tmp_path)

    assert torch.equal(torch.get_rng_state(), before)

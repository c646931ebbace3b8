"""A picture changed as words say, by a model that was made for it."""

import json
import shutil
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from diffusers import FluxKontextPipeline, FluxPipeline, FluxTransformer2DModel
from diffusers.image_processor import VaeImageProcessor
from diffusers.pipelines.flux.pipeline_flux_kontext import PREFERRED_KONTEXT_RESOLUTIONS
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from generation.control_images import shown_to_model
from generation.diffusion.engine import DiffusionEngine
from generation.errors import InvalidRequest, ModelUnavailable
from generation.kinds import Edit, Inpaint
from generation.kinds.editing import PREFERRED_SIZES
from generation.types import Lora
from tests.generation.engines import drawn_by, ignore, model, new_engine, same
from tests.samples import noise, picture


@pytest.fixture(scope="module")
def engine(tiny):
    engine = new_engine(tiny)
    engine.load()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def whole(tiny, kontext, tmp_path_factory):
    """A random model of which every picture is an edit, or drawn by words alone."""
    folder = tmp_path_factory.mktemp("whole") / "flux"
    shutil.copytree(tiny / "flux", folder, ignore=shutil.ignore_patterns("transformer"))
    shutil.copytree(kontext / "transformer", folder / "transformer")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(
        json.dumps({**index, "_class_name": "FluxKontextPipeline"})
    )
    return folder


def bare(tiny, kontext):
    """diffusers' own pipeline over the same weights."""
    own = FluxTransformer2DModel.from_pretrained(
        kontext, subfolder="transformer", local_files_only=True
    )
    return FluxKontextPipeline.from_pretrained(
        tiny / "flux", transformer=own, local_files_only=True
    )


@pytest.mark.parametrize("negative", [{}, {"negative_prompt": "blue", "true_cfg_scale": 3.0}])
def test_an_edit_is_what_diffusers_draws(engine, tiny, kontext, edited, negative):
    request = replace(edited, **negative)
    with Image.open(request.control_image) as image:
        expected = drawn_by(
            bare(tiny, kontext), request, image=image, max_area=96 * 64, _auto_resize=False,
            **negative,
        )  # fmt: skip

    assert engine.generate(request, ignore).image == expected


def test_at_a_preferred_size_the_model_is_shown_what_diffusers_makes_of_the_picture(
    edited, tmp_path
):
    file = tmp_path / "long.png"
    file.write_bytes(picture(300, 130))
    request = replace(edited, width=1568, height=672, pictures={"control_image": file})

    with Image.open(file) as image:
        expected = VaeImageProcessor().resize(image.convert("RGB"), 672, 1568)
    assert shown_to_model(request)["control_image"] == expected


def test_the_preferred_sizes_are_those_of_diffusers_and_next_to_every_shape():
    assert list(PREFERRED_SIZES) == PREFERRED_KONTEXT_RESOLUTIONS
    for (width, height), (wider, lower) in pairwise(PREFERRED_SIZES):
        between = (width / height + wider / lower) / 2
        assert Edit().shown_size((round(between * 1e6), 10**6), (wider, lower)) == (wider, lower)


@given(st.integers(4, 128), st.integers(4, 128))
def test_the_pipeline_draws_every_size_that_is_asked_for(across, down):
    """diffusers' own computes it anew from the area and the shape, rounded down."""
    width, height = 16 * across, 16 * down
    shape = width / height

    assert round((width * height * shape) ** 0.5) == width
    assert round((width * height / shape) ** 0.5) == height


def test_a_result_of_another_shape_has_seen_the_whole_picture(edited, tmp_path):
    file = tmp_path / "wide.png"
    file.write_bytes(picture(400, 100))
    request = replace(edited, width=256, height=256, pictures={"control_image": file})

    (shown,) = shown_to_model(request).values()

    assert shown.size == (512, 128)
    assert shown.size[0] * shown.size[1] == 256 * 256


def test_the_picture_and_the_words_decide_what_is_drawn(engine, edited, tmp_path):
    other = tmp_path / "noise.png"
    noise(96, 64).save(other)

    first = engine.generate(edited, ignore)

    assert same(first, engine.generate(edited, ignore))
    assert not same(first, engine.generate(replace(edited, prompt="at night"), ignore))
    assert not same(
        first, engine.generate(replace(edited, pictures={"control_image": other}), ignore)
    )


def test_the_base_is_shared_and_the_editing_transformer_is_loaded_once(engine, edited, kontext):
    engine.generate(edited, ignore)
    pipelines = model(engine)
    editing = pipelines.conditioned[str(kontext)]

    engine.generate(edited, ignore)

    assert pipelines.conditioned[str(kontext)] is editing
    assert editing.vae is pipelines.text_to_image.vae
    assert editing.transformer is not pipelines.text_to_image.transformer
    assert engine.loaded[str(kontext)] > 0


def test_a_cached_step_is_guessed_for_an_edit_too(engine, edited):
    request = replace(edited, num_inference_steps=12, step_cache_tolerance=2.0)
    seen = []
    transformer = model(engine).editing_pipeline(edited.kind.kontext, None).transformer
    hook = transformer.register_forward_pre_hook(lambda *_: seen.append(1))

    engine.generate(request, ignore)
    hook.remove()

    assert 0 < len(seen) < 12


def test_a_single_file_draws_what_its_folder_draws(engine, edited, kontext, tmp_path):
    own = FluxTransformer2DModel.from_pretrained(kontext / "transformer", local_files_only=True)
    save_file(own.state_dict(), tmp_path / "kontext.safetensors")
    request = replace(edited, kind=Edit(kontext=str(tmp_path / "kontext.safetensors")))

    found = np.asarray(engine.generate(request, ignore).image, int)

    assert np.abs(found - np.asarray(engine.generate(edited, ignore).image)).max() <= 1


def test_a_whole_model_for_editing_draws_by_words_and_edits_and_takes_loras(
    whole, tiny, kontext, fox, edited, lora
):
    engine = DiffusionEngine(str(whole), device="cpu", max_sequence_length=32, threads=1)
    engine.load()
    request = replace(edited, kind=Edit())
    words = FluxPipeline(**bare(tiny, kontext).components)

    assert engine.generate(fox, ignore).image == drawn_by(words, fox)
    plain = engine.generate(request, ignore)
    with Image.open(request.control_image) as image:
        assert plain.image == drawn_by(
            bare(tiny, kontext), request, image=image, max_area=96 * 64, _auto_resize=False
        )
    assert not same(plain, engine.generate(replace(request, lora=str(lora)), ignore))
    assert same(plain, engine.generate(request, ignore))
    engine.close()


def test_a_model_that_edits_nothing_is_refused_in_a_sentence(engine, edited):
    with pytest.raises(ModelUnavailable, match="edits no pictures: name a model that does as"):
        engine.generate(replace(edited, kind=Edit()), ignore)


def test_a_lora_of_the_preset_teaches_the_model_itself_to_edit(engine, edited, lora, tiny):
    taught = replace(edited, kind=Edit(), lora=str(lora))
    drawn_so = engine.generate(taught, ignore)

    assert same(drawn_so, engine.generate(taught, ignore))
    assert not same(drawn_so, engine.generate(replace(taught, prompt="at night"), ignore))
    added = replace(edited, kind=Edit(), loras=(Lora(name="own", lora=str(lora)),))
    with pytest.raises(ModelUnavailable, match="or as its lora one that teaches it to"):
        engine.generate(added, ignore)


def test_a_model_that_draws_by_words_alone_is_refused_as_kontext(engine, edited, tiny):
    with pytest.raises(ModelUnavailable, match="draws by words alone, and would draw without"):
        engine.generate(replace(edited, kind=Edit(kontext=str(tiny / "flux"))), ignore)


def test_a_model_for_something_else_is_refused_as_kontext(engine, edited, fill):
    with pytest.raises(ModelUnavailable, match="is a whole model for filling"):
        engine.generate(replace(edited, kind=Edit(kontext=str(fill))), ignore)


def test_a_lora_beside_a_model_for_editing_is_refused(edited):
    with pytest.raises(InvalidRequest, match="for a LoRA of the model that edits, name that"):
        replace(edited, kind=Edit(kontext="a/b"), lora="c/d")


def test_room_is_made_for_a_model_for_editing_as_for_a_controlnet(tiny, edited, masked, fill):
    engine = new_engine(tiny, max_controlnets=1)
    engine.load()

    first = engine.generate(edited, ignore)
    engine.generate(replace(masked, kind=Inpaint(fill=str(fill))), ignore)
    assert list(model(engine).conditioned) == [str(fill)]
    assert same(first, engine.generate(edited, ignore))
    engine.close()

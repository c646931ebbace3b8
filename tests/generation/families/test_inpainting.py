"""A part of a picture drawn anew, by every way there is, over one set of base weights."""

from dataclasses import replace

import numpy as np
import pytest
from diffusers import (
    FluxControlNetInpaintPipeline,
    FluxControlNetModel,
    FluxFillPipeline,
    FluxInpaintPipeline,
    FluxTransformer2DModel,
)

from generation.control_images import finished, shown_to_model
from generation.errors import InvalidRequest, ModelUnavailable
from generation.kinds import Inpaint
from tests.generation.engines import drawn_by, ignore, model, new_engine, pixels, same
from tests.samples import noise


@pytest.fixture(scope="module")
def engine(tiny):
    engine = new_engine(tiny)
    engine.load()
    yield engine
    engine.close()


@pytest.fixture
def ways(masked, tiny, fill):
    """A request, the class of diffusers that draws it, and what that one has beside the base."""
    net, canny = str(tiny / "controlnet"), {"preprocessor": "canny"}

    def controlnet():
        return {"controlnet": FluxControlNetModel.from_pretrained(net, local_files_only=True)}

    def filling():
        return {
            "transformer": FluxTransformer2DModel.from_pretrained(
                fill, subfolder="transformer", local_files_only=True
            )
        }

    def of(**kind):
        return replace(masked, kind=Inpaint(**kind))

    return {
        "plain": (of(strength=0.7), FluxInpaintPipeline, dict),
        "fill": (of(fill=str(fill)), FluxFillPipeline, filling),
        "controlnet": (
            of(controlnet=net, controlnet_conditioning_scale=1.0, **canny),
            FluxControlNetInpaintPipeline,
            controlnet,
        ),
    }


@pytest.mark.parametrize("way", ["plain", "fill", "controlnet"])
def test_each_way_draws_what_diffusers_draws_with_it_and_keeps_the_rest(engine, ways, tiny, way):
    request, pipeline, own = ways[way]
    pipe = pipeline.from_pretrained(tiny / "flux", local_files_only=True, **own())
    shown = shown_to_model(request)
    if way != "controlnet":
        shown["image"] = shown.pop("control_image")

    expected = drawn_by(
        pipe,
        request,
        **shown,
        **({"controlnet_conditioning_scale": 1.0} if way == "controlnet" else {}),
        strength=request.kind.strength,
    )

    result = engine.generate(request, ignore)
    assert result.image == finished(expected, request)
    outside = np.ones((64, 96), bool)
    outside[10:50, 20:70] = False
    assert (pixels(result)[outside] == np.asarray(noise(96, 64))[outside]).all()
    assert (pixels(result)[20:40, 30:60] != np.asarray(noise(96, 64))[20:40, 30:60]).any()


def test_the_base_is_shared_and_a_fill_is_loaded_once(engine, ways, fill):
    for request, _, _ in ways.values():
        first = engine.generate(request, ignore)
        assert same(first, engine.generate(request, ignore))

    pipelines = model(engine)
    filling = pipelines.conditioned[str(fill)]
    assert filling.vae is pipelines.text_to_image.vae
    assert filling.transformer is not pipelines.text_to_image.transformer
    assert engine.loaded[str(fill)] > 0


def test_a_model_that_does_not_fill_is_refused_in_a_sentence(engine, masked, tiny):
    with pytest.raises(ModelUnavailable, match="is no model for filling: its transformer takes 64"):
        engine.generate(replace(masked, kind=Inpaint(fill=str(tiny / "flux"))), ignore)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lora": "a/b"}, "either a fill or a lora"),
        ({"negative_prompt": "x", "true_cfg_scale": 2.0}, "that fills follows no negative prompt"),
    ],
)
def test_what_a_model_for_filling_cannot_do_is_refused(masked, changes, words):
    with pytest.raises(InvalidRequest, match=words):
        replace(masked, kind=Inpaint(fill="a/b"), **changes)

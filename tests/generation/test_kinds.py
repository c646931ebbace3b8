"""Kinds of presets, and the flat values that they are written as."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.errors import InvalidRequest
from generation.kinds import (
    KINDS,
    ControlLora,
    ControlNet,
    ImageToImage,
    Inpaint,
    Kind,
    TextToImage,
    flat_names,
    flat_values,
    kind_of,
    picture_names,
)
from generation.stub import StubEngine
from generation.types import GenerationRequest, Preset
from tests.samples import picture

UPSCALE = st.none() | st.integers(2, 4)
PREPROCESSORS = st.sampled_from(["none", "canny", "depth"])
ANY_KIND = st.one_of(
    st.just(TextToImage()),
    st.builds(ImageToImage, strength=st.floats(0.1, 1), upscale=UPSCALE),
    st.builds(
        ControlNet,
        controlnet=st.just("a/b"),
        control_mode=st.none() | st.integers(0, 9),
        preprocessor=PREPROCESSORS,
        controlnet_conditioning_scale=st.floats(0, 2),
        control_guidance_start=st.floats(0, 0.4),
        control_guidance_end=st.floats(0.5, 1),
        upscale=UPSCALE,
    ),
    st.builds(
        ControlLora, control_lora=st.just("a/b"), preprocessor=PREPROCESSORS, upscale=UPSCALE
    ),
)

#: And those that are chosen by their name alone.
EVERY_KIND = ANY_KIND | st.builds(
    Inpaint,
    strength=st.floats(0.1, 1),
    mask_feather=st.integers(0, 64),
    controlnet=st.none() | st.just("a/b"),
    preprocessor=PREPROCESSORS,
)


@given(EVERY_KIND)
def test_a_kind_comes_back_from_its_flat_values(kind):
    flat = flat_values(kind)

    assert kind_of(flat) == kind
    assert set(flat) == {*flat_names(), "kind"}


@given(ANY_KIND)
def test_a_kind_need_not_be_named_where_one_of_its_fields_says_it(kind):
    flat = flat_values(kind)
    del flat["kind"]

    assert kind_of(flat) == kind


@given(EVERY_KIND)
def test_a_preset_and_a_request_come_back_from_their_flat_values(kind):
    preset = Preset(name="x", kind=kind, width=128)
    pictures = {name: Path("/pictures") / f"{name}.png" for name in kind.pictures}
    request = GenerationRequest(
        prompt="a fox", num_inference_steps=20, guidance_scale=3.5, width=64, height=64, seed=1,
        kind=kind, pictures=pictures,
    )  # fmt: skip

    assert Preset.from_dict(preset.to_dict()) == preset
    assert GenerationRequest.from_dict(request.to_dict(), Path("/pictures")) == request


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"strength": 0.5, "controlnet": "a/b"}, "either a controlnet or a strength .image to im"),
        ({"control_lora": "a/b", "controlnet": "a/b"}, "either a control_lora or a controlnet, no"),
        ({"upscale": 2}, "upscale enlarges an attached picture: set a controlnet"),
        ({"strength": 0.5, "upscale": 5}, "upscale must be a whole number between 2 and 4, not 5"),
        ({"kind": "edit"}, "no kind 'edit': choose one of text-to-image, image-to-image"),
        ({"controlnet": "a/b", "preprocessor": "hed"}, "preprocessor must be one of none, canny"),
        ({"controlnet": "a/b", "control_guidance_start": 1.0}, "must be below control_guidance"),
        ({"kind": "inpaint", "controlnet": "a/b", "fill": "c/d"}, "either a fill or a controlnet"),
        ({"kind": "inpaint", "mask_feather": 65}, "mask_feather must be a whole number between 0"),
    ],
)
def test_flat_values_that_make_no_kind_are_refused_in_a_sentence(values, words):
    with pytest.raises(InvalidRequest, match=words):
        kind_of(values)


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (ImageToImage(strength=0.5), "strength"),
        (ControlNet(controlnet="a/b"), "controlnet_conditioning_scale"),
    ],
)
def test_strength_sets_what_the_kind_has_for_it(kind, field):
    stronger = kind.with_strength(0.9, "mine")

    assert getattr(stronger, field) == stronger.strength_setting == 0.9
    with pytest.raises(InvalidRequest, match="must be a number between 0 and"):
        kind.with_strength(9.0, "mine")


@pytest.mark.parametrize("kind", [TextToImage(), ControlLora(control_lora="a/b")])
def test_strength_is_refused_where_it_sets_nothing(kind):
    with pytest.raises(InvalidRequest, match="strength means nothing to the preset mine, wh"):
        kind.with_strength(0.5, "mine")


def test_every_kind_has_a_name_a_label_and_pictures_of_known_names():
    for name, kind in KINDS.items():
        assert (kind.name, bool(kind.label)) == (name, True)
        assert kind.key is None or kind.key in {field.name for field in fields(kind)}
        assert set(kind.pictures) <= set(picture_names())


@dataclass(frozen=True, kw_only=True, slots=True)
class Inpainting(Kind):
    """A throw-away kind: what it takes to add one."""

    name: ClassVar[str] = "inpainting"
    label: ClassVar[str] = "inpainting"
    pictures: ClassVar[tuple[str, ...]] = ("control_image", "mask_image")
    strength_field: ClassVar[str | None] = "strength"

    strength: float = 1.0
    feather: int = 8


def test_a_new_kind_is_one_class_and_one_line_and_draws(monkeypatch, tmp_path, fox):
    monkeypatch.setitem(KINDS, Inpainting.name, Inpainting)
    for name in Inpainting.pictures:
        (tmp_path / f"{name}.png").write_bytes(picture(64, 64))
    values = fox.to_dict() | {
        "kind": "inpainting",
        "feather": 4,
        "control_image": "control_image.png",
        "mask_image": "mask_image.png",
    }
    engine = StubEngine()
    engine.load()

    request = GenerationRequest.from_dict(values, tmp_path)

    assert request.kind == Inpainting(feather=4)
    assert request.to_dict()["mask_image"] == "mask_image.png"
    assert engine.generate(request, lambda step: None).image.size == (64, 64)
    with pytest.raises(InvalidRequest, match="this preset needs 2 pictures"):
        GenerationRequest.from_dict({**values, "mask_image": None}, tmp_path)


@pytest.mark.parametrize("steps", [0, 3.5, 51, True])
def test_a_preset_has_a_whole_number_of_steps(steps):
    with pytest.raises(InvalidRequest, match="num_inference_steps"):
        Preset(name="x", num_inference_steps=steps)

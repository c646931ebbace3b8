"""Kinds of presets, and the flat values that they are written as."""

import json
from dataclasses import dataclass, fields, replace
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
    ControlNets,
    Edit,
    ImageToImage,
    Inpaint,
    Kind,
    Redux,
    TextToImage,
    flat_names,
    flat_values,
    kind_of,
    picture_names,
)
from generation.stub import StubEngine
from generation.types import GenerationRequest, Lora, Preset
from tests.samples import picture

UPSCALE = st.none() | st.integers(2, 4)
PREPROCESSORS = st.sampled_from(["none", "canny", "depth"])
FOLLOWED = {
    "controlnet": st.just("a/b"),
    "control_mode": st.none() | st.integers(0, 9),
    "preprocessor": PREPROCESSORS,
    "controlnet_conditioning_scale": st.floats(0, 2),
    "control_guidance_start": st.floats(0, 0.4),
    "control_guidance_end": st.floats(0.5, 1),
    "is_map": st.booleans(),
}
ANY_KIND = st.one_of(
    st.just(TextToImage()),
    st.builds(ImageToImage, strength=st.floats(0.1, 1), upscale=UPSCALE),
    st.builds(ControlNet, **FOLLOWED, upscale=UPSCALE, strength=st.none() | st.floats(0.1, 1)),
    st.builds(Redux, redux=st.just("a/b"), image_embeds_scale=st.floats(0, 2)),
    st.builds(
        ControlNets,
        controlnets=st.lists(st.builds(ControlNet, **FOLLOWED), min_size=2, max_size=4).map(tuple),
        strength=st.none() | st.floats(0.1, 1),
    ),
    st.builds(
        ControlLora, control_lora=st.just("a/b"), preprocessor=PREPROCESSORS, upscale=UPSCALE
    ),
    st.just(Edit(kontext="a/b")),
)

#: And those that are chosen by their name alone.
EVERY_KIND = (
    ANY_KIND
    | st.just(Edit())
    | st.builds(
        Inpaint,
        strength=st.floats(0.1, 1),
        mask_feather=st.integers(0, 64),
        controlnet=st.none() | st.just("a/b"),
        preprocessor=PREPROCESSORS,
    )
)


@given(EVERY_KIND)
def test_a_kind_comes_back_from_its_flat_values(kind):
    flat = flat_values(kind)

    assert kind_of(flat) == kind
    assert set(flat) == {*flat_names(), "kind"}
    for net in flat["controlnets"] or ():
        assert set(net) == set(FOLLOWED)


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


def with_loras(*loras, **changes):
    values = {"prompt": "a fox.", "num_inference_steps": 20, "guidance_scale": 3.5, "width": 64,
              "height": 64, "seed": 1, **changes}  # fmt: skip
    return GenerationRequest(**values, loras=loras)


INK = Lora(name="ink", lora="lab/ink", lora_scale=0.8, trigger_words=("INKSTYLE", "pale wash"))


@pytest.mark.parametrize(
    ("prompt", "template", "given", "added"),
    [
        ("a fox.", "{prompt}", "a fox, INKSTYLE, pale wash", ("INKSTYLE", "pale wash")),
        ("a Pale Wash of a fox", "{prompt}", "a Pale Wash of a fox, INKSTYLE", ("INKSTYLE",)),
        ("inkstyles", "{prompt}, pale wash", "inkstyles, INKSTYLE, pale wash", ("INKSTYLE",)),
        ("a pale wash", "inkstyle: {prompt}", "inkstyle: a pale wash", ()),
    ],
)
def test_trigger_words_are_added_once_and_where_they_are_missing(prompt, template, given, added):
    other = replace(INK, name="other", lora="lab/other")
    request = with_loras(INK, other, prompt=prompt, prompt_template=template)

    assert request.templated_prompt == given
    assert request.added_trigger_words == added


def test_a_request_with_loras_comes_back_from_its_flat_values():
    request = with_loras(INK, Lora(name="slow", lora="lab/slow", lora_scale=-1))

    stored = json.loads(json.dumps(request.to_dict()))

    assert GenerationRequest.from_dict(stored, Path("/pictures")) == request
    del stored["loras"]  # as older versions wrote it
    assert GenerationRequest.from_dict(stored, Path("/pictures")) == replace(request, loras=())


def test_loras_are_added_to_kinds_that_draw_with_the_models_own_transformer():
    pictures = {"control_image": Path("a.png"), "mask_image": Path("b.png")}
    taken = with_loras(INK, kind=KINDS["inpaint"](), pictures=pictures)

    assert taken.lora_scales == {"lab/ink": 0.8}
    for kind, label in (
        (KINDS["inpaint"](fill="lab/fill"), "inpainting"),
        (ControlLora(control_lora="lab/canny"), "a Control LoRA"),
    ):
        with pytest.raises(InvalidRequest, match=f"the preset mine takes no LoRAs.* {label}: leav"):
            with_loras(INK, kind=kind, preset="mine", pictures=pictures)


def test_the_same_loras_in_another_order_are_the_same_to_the_engine():
    slow = Lora(name="slow", lora="lab/slow", lora_scale=-1.0)
    preset = {"lora": "lab/ink", "lora_scale": 0.5}

    one, other = with_loras(slow, INK, **preset), with_loras(INK, slow, **preset)

    assert [*one.lora_scales.items()] == [*other.lora_scales.items()]
    assert one.lora_scales == {"lab/ink": 1.3, "lab/slow": -1.0}
    for asked in ((slow, INK), (INK, slow)):
        assert [*with_loras(*asked).lora_scales] == ["lab/ink", "lab/slow"]
    assert with_loras(replace(INK, lora_scale=-0.5), **preset).lora_scales == {}


@pytest.mark.parametrize("lora_scale", [-2.1, 2.1, float("nan")])
def test_a_weight_out_of_range_and_a_lora_too_many_are_refused(lora_scale):
    with pytest.raises(InvalidRequest, match="lora_scale must be a number between -2 and 2"):
        replace(INK, lora_scale=lora_scale)
    with pytest.raises(InvalidRequest, match="a picture takes 4 LoRAs at most, not 5"):
        with_loras(*(Lora(name=name, lora=name) for name in "abcde"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"strength": 0.5, "control_lora": "a/b"}, "either a control_lora or a strength .image to"),
        ({"control_lora": "a/b", "controlnet": "a/b"}, "either a control_lora or a controlnet, no"),
        ({"redux": "a/b", "upscale": 2}, "upscale enlarges no picture that is made with reference"),
        (
            {"controlnets": [{"controlnet": "a/b"}] * 2, "upscale": 2},
            "made with several ControlNets: leave it out",
        ),
        ({"kind": "edit", "upscale": 2}, "made with editing by words: leave it out"),
        ({"upscale": 2}, "upscale enlarges an attached picture: set a controlnet"),
        ({"strength": 0.5, "upscale": 5}, "upscale must be a whole number between 2 and 4, not 5"),
        ({"kind": "paint"}, "no kind 'paint': choose one of text-to-image, image-to-image"),
        ({"controlnet": "a/b", "preprocessor": "hed"}, "preprocessor must be one of none, canny"),
        ({"controlnet": "a/b", "control_guidance_start": 1.0}, "must be below control_guidance"),
        ({"controlnets": [{"controlnet": "a/b"}]}, "controlnets must be a list of 2 to 4"),
        (
            {"controlnets": [], "controlnet": "a/b"},
            "either a controlnets or a controlnet",
        ),
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

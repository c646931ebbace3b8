"""The presets that ship for FLUX.1, as requests that leave nothing open."""

from dataclasses import replace
from pathlib import Path

import pytest

from bot.commands import ImagineCommand
from bot.config import Preset, load_config
from bot.requests import Attachment, complete, picture_size
from generation.errors import InvalidRequest
from generation.kinds import ControlLora, Edit, TextToImage

SHIPPED = Path(__file__).parent.parent.parent / "config.toml"
PICTURE = Attachment(Path("picture.png"), 512, 384)
MODELS = ("FLUX.1-dev", "FLUX.1-Krea-dev", "FLUX.1-schnell", "FLUX.1-Kontext-dev")


def presets():
    for model in MODELS:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("FLUXBOT_MODEL__REPOSITORY", f"black-forest-labs/{model}")
            config = load_config(SHIPPED)
        for preset in config.presets.values():
            yield pytest.param(config, preset, id=f"{model} {preset.name}")


def completed(config, preset, **said):
    command = ImagineCommand(prompt="a fox", **said)
    attachments = [PICTURE] * len(preset.kind.pictures)
    return complete(command, {}, preset, attachments, config, seed=1)[0]


@pytest.mark.parametrize(("config", "preset"), list(presets()))
def test_every_shipped_preset_makes_a_complete_request(config, preset):
    request = completed(config, preset)

    for field in ("kind", "lora", "lora_scale"):
        assert getattr(request, field) == getattr(preset, field), field
    assert bool(request.pictures) == preset.needs_image
    assert request.num_inference_steps == config.model.num_inference_steps
    own = preset.guidance_scale
    assert request.guidance_scale == (config.model.guidance_scale if own is None else own)
    pixels = request.width * request.height
    assert 0.9 * 2**20 < pixels <= 2**20 or preset.kind.enlargement
    if preset.kind.enlargement:
        assert (request.width, request.height) == (1024, 768)


EDITING = Preset(name="edit", kind=Edit())


@pytest.mark.parametrize(
    ("picture", "size"),
    [((1024, 1024), (1024, 1024)), ((512, 384), (1184, 880)), ((384, 512), (880, 1184)),
     ((3000, 1000), (1552, 656)), ((100, 900), (656, 1552)), ((1000, 1100), (944, 1104))],
)  # fmt: skip
def test_an_edit_has_the_preferred_shape_that_is_nearest_to_the_picture_s(picture, size):
    """FluxKontextPipeline's own choice, made within a megapixel as it does by default."""
    config, defaults = load_config(SHIPPED), {"width": 512, "height": 512}
    model = config.model.model_copy(update={"width": 1024, "height": 1024})
    attachment = Attachment(Path("picture.png"), *picture)

    def asked(**said):
        return picture_size(ImagineCommand(**said), defaults, EDITING, attachment, model)

    assert asked() == size
    assert asked(width=768, height=512) == (768, 512)
    assert asked(aspect_ratio=(1, 1)) == (1024, 1024)
    smaller = model.model_copy(update={"width": 256, "height": 256})
    width, height = picture_size(ImagineCommand(), defaults, EDITING, attachment, smaller)
    assert 0.8 * 256**2 < width * height <= 256**2


def test_an_edit_shows_the_model_the_whole_picture_so_that_nothing_is_cropped():
    with pytest.raises(InvalidRequest, match="the preset edit crops no picture"):
        completed(load_config(SHIPPED), EDITING, crop_x=0.5, crop_y=0.5)


GUIDED = Preset(name="canny-bfl", kind=ControlLora(control_lora="a/b", preprocessor="canny"))


def test_a_control_lora_knows_no_strength_and_says_so():
    config = load_config(SHIPPED)

    with pytest.raises(InvalidRequest, match="strength means nothing to the preset canny-bfl"):
        completed(config, GUIDED, strength=0.5)

    assert completed(config, GUIDED).kind == GUIDED.kind


def test_a_negative_prompt_for_a_control_lora_is_refused_before_anything_is_spent():
    config = load_config(SHIPPED)

    with pytest.raises(InvalidRequest, match="follows no negative prompt"):
        completed(config, GUIDED, negative_prompt="blurry")
    words = replace(GUIDED, kind=TextToImage())
    assert completed(config, words, negative_prompt="blurry").true_cfg_scale > 1


@pytest.mark.parametrize("size", ["4B", "9B"])
def test_a_part_of_a_picture_costs_what_an_edit_of_it_costs_with_klein(monkeypatch, size):
    """Its transformer is shown the picture in both."""
    monkeypatch.setenv("FLUXBOT_MODEL__REPOSITORY", f"black-forest-labs/FLUX.2-klein-{size}")
    presets = load_config(SHIPPED).presets

    inpainted = presets["inpaint"].kind.pixels_drawn(1024, 1024, pictures=2)
    edited = presets["edit"].kind.pixels_drawn(1024, 1024, pictures=1)

    assert inpainted == edited == 2 * 1024 * 1024

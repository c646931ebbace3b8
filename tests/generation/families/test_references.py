"""Reference pictures, by FLUX.1-Redux, over one set of base weights."""

from dataclasses import replace

import pytest
import torch
from diffusers import FluxPipeline, FluxPriorReduxPipeline
from diffusers.pipelines.flux.modeling_flux import ReduxImageEncoder
from transformers import SiglipImageProcessorPil, SiglipVisionConfig, SiglipVisionModel

from generation.control_images import shown_to_model
from generation.diffusion.memory import OFFLOAD_LEVELS, controlnet_bytes, read_sizes
from generation.diffusion.offloading import layers
from generation.errors import ModelUnavailable
from generation.kinds import CONTROL_IMAGES, Redux, TextToImage
from tests.generation.engines import (
    alike,
    computing_on_its_device,
    drawn_by,
    ignore,
    model,
    new_engine,
    on_small_device,
    same,
)
from tests.samples import noise

WIDTH = 16


@pytest.fixture(scope="module")
def engine(tiny):
    engine = new_engine(tiny)
    engine.load()
    yield engine
    engine.close()


def prior(folder, features):
    """A random encoder of pictures in the genuine format."""
    torch.manual_seed(3)
    config = SiglipVisionConfig(
        hidden_size=WIDTH, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        image_size=32, patch_size=8,
    )  # fmt: skip
    FluxPriorReduxPipeline(
        image_encoder=SiglipVisionModel(config),
        feature_extractor=SiglipImageProcessorPil(size={"height": 32, "width": 32}),
        image_embedder=ReduxImageEncoder(redux_dim=WIDTH, txt_in_features=features),
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def redux(tiny, tmp_path_factory):
    pipe = FluxPipeline.from_pretrained(tiny / "flux", local_files_only=True)
    return prior(tmp_path_factory.mktemp("redux"), pipe.transformer.config.joint_attention_dim)


@pytest.fixture
def referring(fox, redux, square, tmp_path):
    # To a random encoder, a square of another colour would be nearly the same.
    noise(64, 64).save(tmp_path / "noise.png")
    pictures = named([square, tmp_path / "noise.png"])
    return replace(fox, kind=Redux(redux=str(redux)), pictures=pictures)


def named(pictures):
    """*pictures* as those of a request."""
    return dict(zip(CONTROL_IMAGES, pictures, strict=False))


def drawn_by_diffusers(request, tiny, redux, pictures):
    """What bare diffusers draws with a prior that sums *pictures*, each with an equal share."""
    pipe = FluxPipeline.from_pretrained(tiny / "flux", local_files_only=True)
    texts = {name: pipe.components[name] for name in ("text_encoder", "text_encoder_2")}
    before = FluxPriorReduxPipeline.from_pretrained(redux, **texts, local_files_only=True)
    before.set_progress_bar_config(disable=True)
    words, pooled, _ = pipe.encode_prompt(request.prompt, None, max_sequence_length=32)
    count = len(pictures)
    read = before(
        image=pictures,
        prompt_embeds=words.repeat(count, 1, 1),
        pooled_prompt_embeds=pooled.repeat(count, 1),
        prompt_embeds_scale=[1 / count] * count,
        pooled_prompt_embeds_scale=[1 / count] * count,
    )
    return drawn_by(pipe, request, prompt=None, **read)


@pytest.mark.parametrize("count", [1, 2])
def test_reference_pictures_draw_what_diffusers_draws_with_them(
    engine, referring, tiny, redux, count
):
    all_of_them = list(referring.pictures.values())
    request = replace(referring, pictures=named(all_of_them[:count]))
    pictures = list(shown_to_model(request).values())
    assert pictures[0].size == (96, 64)  # the whole of it, though the result is square

    result = engine.generate(request, ignore)

    expected = drawn_by_diffusers(request, tiny, redux, pictures)
    assert alike(result, replace(result, image=expected))
    for others in (all_of_them[:1], all_of_them[1:], all_of_them):
        drawn = engine.generate(replace(referring, pictures=named(others)), ignore)
        assert alike(result, drawn) == (others == all_of_them[:count])
    assert result.control_map is None
    assert engine.loaded[str(redux)] > 0


def test_their_weight_is_that_of_the_pictures_alone(engine, referring, fox):
    full, half = (
        engine.generate(replace(referring, kind=referring.kind.with_strength(weight, "x")), ignore)
        for weight in (1.0, 0.5)
    )

    assert not same(full, half)
    assert not same(full, engine.generate(fox, ignore))
    assert same(full, engine.generate(referring, ignore))


def test_a_negative_prompt_weighs_against_the_words_and_not_the_pictures(engine, referring):
    plain = engine.generate(referring, ignore)
    guided = {"true_cfg_scale": 3.0}

    unlike = engine.generate(replace(referring, negative_prompt="blue", **guided), ignore)
    nothing = replace(referring, negative_prompt=referring.prompt, **guided)

    assert not same(unlike, plain)
    assert alike(engine.generate(nothing, ignore), plain)


def test_a_cached_step_is_guessed_beside_reference_pictures_too(engine, referring):
    seen = []
    transformer = model(engine).text_to_image.transformer
    hook = transformer.register_forward_pre_hook(lambda *_: seen.append(1))

    engine.generate(replace(referring, step_cache_tolerance=2.0, num_inference_steps=12), ignore)

    hook.remove()
    assert 0 < len(seen) < 12


def test_words_alone_are_drawn_as_before(engine, referring, fox):
    before = engine.generate(fox, ignore)

    engine.generate(replace(referring, step_cache_tolerance=2.0, num_inference_steps=12), ignore)

    assert same(before, engine.generate(replace(fox, kind=TextToImage()), ignore))


def test_room_is_planned_for_the_encoders(tiny, redux):
    sizes = read_sizes(tiny / "flux", 4)

    assert controlnet_bytes(sizes, redux) == 4 * sum(
        weight.numel()
        for part in ("image_encoder", "image_embedder")
        for weight in FluxPriorReduxPipeline.from_pretrained(redux).components[part].parameters()
    )


def test_a_picture_is_encoded_once(engine, referring, redux):
    engine.generate(referring, ignore)
    encoder = model(engine).conditioned[str(redux)]
    seen = []
    hook = encoder.image_encoder.register_forward_hook(lambda *args: seen.append(1))

    engine.generate(replace(referring, seed=8), ignore)

    hook.remove()
    assert not seen


def test_one_that_was_made_for_another_family_is_refused(engine, referring, tmp_path):
    wide = prior(tmp_path, 24)

    with pytest.raises(ModelUnavailable, match=r"was not made for .*its embeddings are 24 wide"):
        engine.generate(replace(referring, kind=Redux(redux=str(wide))), ignore)


@pytest.mark.parametrize("level", OFFLOAD_LEVELS)
def test_they_draw_the_same_on_every_offload_level(engine, referring, tiny, level):
    elsewhere = on_small_device(tiny, offload_level=level)

    for _ in range(2):  # what the first use loads, the second finds
        with computing_on_its_device(elsewhere):
            drawn = elsewhere.generate(referring, ignore)
        assert alike(drawn, engine.generate(referring, ignore))
    assert elsewhere.current_offload_level == level


def test_every_layer_that_may_rest_elsewhere_is_called(engine, referring, redux):
    """On sequential-offload a layer's weights come when it is called."""
    engine.generate(referring, ignore)
    encoder, called = model(engine).conditioned[str(redux)], set()
    resting = set(layers(encoder))
    hooks = [
        layer.register_forward_hook(lambda layer, given, made: called.add(layer))
        for layer in resting
    ]

    with torch.no_grad():
        encoder(torch.zeros(1, 3, 32, 32))

    for hook in hooks:
        hook.remove()
    assert called == resting

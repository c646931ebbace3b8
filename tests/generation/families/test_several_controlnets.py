"""Several ControlNets that are followed at once, and ControlNets over a picture."""

from dataclasses import replace

import pytest
import torch
from diffusers import (
    FluxControlNetImg2ImgPipeline,
    FluxControlNetModel,
    FluxControlNetPipeline,
)

from generation.control_images import shown_to_model
from generation.diffusion.memory import OFFLOAD_LEVELS
from generation.errors import InvalidRequest, ModelUnavailable
from generation.families.flux1_controlnets import summed
from generation.kinds import ControlNets
from tests.generation.engines import (
    alike,
    computing_on_its_device,
    drawn_by,
    ignore,
    model,
    new_engine,
    on_small_device,
    pixels,
    same,
)
from tests.samples import picture


@pytest.fixture(scope="module")
def engine(tiny):
    engine = new_engine(tiny, max_controlnets=1)
    engine.load()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def blurry(tiny, tmp_path_factory):
    """Another random ControlNet of the same shape."""
    net = FluxControlNetModel.from_pretrained(tiny / "controlnet", local_files_only=True)
    torch.manual_seed(5)
    for layer in (net.controlnet_x_embedder, *net.controlnet_blocks):
        torch.nn.init.normal_(layer.weight, std=0.1)
    folder = tmp_path_factory.mktemp("blurry")
    net.save_pretrained(folder)
    return folder


@pytest.fixture
def both(canny, blurry):
    """A request for two ControlNets, each with a map of the same picture."""
    outlines = replace(canny.kind, controlnet_conditioning_scale=0.9)
    colours = replace(
        canny.kind,
        controlnet=str(blurry),
        preprocessor="blur",
        controlnet_conditioning_scale=0.6,
        control_guidance_start=0.4,
    )
    return replace(canny, kind=ControlNets(controlnets=(outlines, colours)), num_inference_steps=5)


def weighing(request, *scales):
    return replace(request, kind=request.kind.with_strength(scales, "both"))


def drawn_by_diffusers(request, tiny):
    nets = [
        FluxControlNetModel.from_pretrained(net.controlnet, local_files_only=True)
        for net in request.kind.controlnets
    ]
    shown, over = shown_to_model(request), {}
    pipeline = FluxControlNetPipeline
    if request.kind.strength is not None:
        pipeline = FluxControlNetImg2ImgPipeline
        over = {"image": shown.pop("image"), "strength": request.kind.strength}
    pipe = pipeline.from_pretrained(tiny / "flux", controlnet=nets, local_files_only=True)
    return drawn_by(
        pipe,
        request,
        **over,
        control_image=list(shown.values()),
        control_mode=[net.control_mode for net in request.kind.controlnets],
        controlnet_conditioning_scale=[
            net.controlnet_conditioning_scale for net in request.kind.controlnets
        ],
        control_guidance_start=[net.control_guidance_start for net in request.kind.controlnets],
        control_guidance_end=[net.control_guidance_end for net in request.kind.controlnets],
    )


def test_two_controlnets_draw_what_diffusers_draws_with_them(engine, both, tiny):
    result = engine.generate(both, ignore)

    assert result.image == drawn_by_diffusers(both, tiny)
    halves = [result.control_map.crop((left, 0, left + 64, 64)) for left in (0, 64)]
    assert halves == list(shown_to_model(both).values())
    assert result.control_map.size == (128, 64)
    # One may be kept, and still neither makes room for the other within a picture.
    assert set(model(engine).conditioned) == {name for name, _ in both.kind.weights}


def test_each_takes_a_picture_of_its_own_where_several_come(engine, both, tiny, tmp_path):
    (tmp_path / "other.png").write_bytes(picture(64, 64, colour="blue"))
    pictures = {**both.pictures, "control_image_2": tmp_path / "other.png"}
    apart = replace(both, pictures=pictures)

    result = engine.generate(apart, ignore)

    assert result.image == drawn_by_diffusers(apart, tiny)
    assert not same(result, engine.generate(both, ignore))


def test_modes_of_one_union_checkpoint_are_followed_at_once(engine, canny, union, tiny):
    modes = tuple(replace(canny.kind, controlnet=str(union), control_mode=mode) for mode in (0, 2))
    request = replace(canny, kind=ControlNets(controlnets=modes))

    assert engine.generate(request, ignore).image == drawn_by_diffusers(request, tiny)
    assert len(engine.loaded) == len({str(tiny / "flux"), *model(engine).conditioned})


def test_one_without_weight_leaves_what_the_other_draws_alone(engine, canny, both):
    alone = replace(canny, num_inference_steps=5, kind=both.kind.controlnets[1])

    result = engine.generate(weighing(both, 0.0, 0.6), ignore)

    assert same(result, engine.generate(alone, ignore))


def test_their_order_does_not_matter(engine, both, monkeypatch):
    """But for the sample that the VAE takes of each map, which differs much on random weights."""
    monkeypatch.setattr(
        "diffusers.pipelines.flux.pipeline_flux_controlnet.retrieve_latents",
        lambda output, generator: output.latent_dist.mode(),
    )
    turned = replace(both, kind=ControlNets(controlnets=both.kind.controlnets[::-1]))

    assert alike(engine.generate(both, ignore), engine.generate(turned, ignore))


def test_one_goes_on_where_the_other_has_ended(engine, both):
    """diffusers' own sum would lose both where the first has ended."""
    first, second = both.kind.controlnets
    ended = replace(first, control_guidance_end=0.2)
    whole = replace(second, control_guidance_start=0.0)
    request = replace(both, kind=ControlNets(controlnets=(ended, whole)))
    engine.generate(request, ignore)
    calls = []
    hooks = [
        model(engine)
        .conditioned[net.controlnet]
        .controlnet.register_forward_pre_hook(lambda module, given, name=name: calls.append(name))
        for name, net in (("ended", ended), ("whole", whole))
    ]

    result = engine.generate(request, ignore)

    for hook in hooks:
        hook.remove()
    assert (calls.count("ended"), calls.count("whole")) == (1, 5)
    begun_alone = ControlNets(controlnets=(ended, replace(whole, control_guidance_end=0.2)))
    assert not same(result, engine.generate(replace(both, kind=begun_alone), ignore))


@pytest.mark.parametrize("repeats", [False, True])
def test_each_block_gets_its_share_of_controlnets_of_different_depths(repeats):
    def brought(count, start):
        return [torch.tensor(float(start + number)) for number in range(count)]

    two, three = brought(2, 10), brought(3, 100)

    found = summed([(two, repeats), (three, False), (None, False)], 5)

    of_two = [0, 1, 0, 1, 0] if repeats else [0, 0, 0, 1, 1]
    of_three = [0, 0, 1, 1, 2]
    assert [float(each) for each in found] == [
        10 + first + 100 + second for first, second in zip(of_two, of_three, strict=True)
    ]
    assert summed([(None, False)], 5) is None


def test_with_a_step_cache_both_are_called_for_computed_steps_alone(engine, both):
    cached = replace(both, num_inference_steps=20, step_cache_tolerance=2.0)
    engine.generate(both, ignore)
    seen = []
    hooks = [
        pipe.controlnet.controlnet_x_embedder.register_forward_hook(lambda *args: seen.append(1))
        for pipe in model(engine).conditioned.values()
    ]

    engine.generate(cached, ignore)

    for hook in hooks:
        hook.remove()
    assert 8 <= len(seen) < 28


def test_controlnets_that_take_their_maps_differently_are_refused_together(engine, both, tmp_path):
    net = FluxControlNetModel.from_pretrained(
        both.kind.controlnets[0].controlnet, local_files_only=True
    )
    hinted = FluxControlNetModel.from_config({**net.config, "conditioning_embedding_channels": 3})
    hinted.save_pretrained(tmp_path)
    odd = replace(both.kind.controlnets[1], controlnet=str(tmp_path))
    kind = ControlNets(controlnets=(both.kind.controlnets[0], odd))

    with pytest.raises(ModelUnavailable, match="one takes latents and guidance, the other pixels"):
        engine.generate(replace(both, kind=kind), ignore)


@pytest.mark.parametrize("count", [0, 3])
def test_other_numbers_of_pictures_are_refused(both, square, count):
    names = ("control_image", "control_image_2", "control_image_3")
    with pytest.raises(InvalidRequest, match="this preset takes 1 or 2 pictures"):
        replace(both, pictures=dict.fromkeys(names[:count], square))


@pytest.mark.parametrize("level", OFFLOAD_LEVELS)
def test_they_draw_the_same_on_every_offload_level(engine, both, union, tiny, level):
    modes = tuple(
        replace(net, controlnet=str(union), control_mode=mode)
        for mode, net in enumerate(both.kind.controlnets)
    )
    elsewhere = on_small_device(tiny, offload_level=level)

    for request in (both, replace(both, kind=ControlNets(controlnets=modes)), both):
        with computing_on_its_device(elsewhere):
            drawn = elsewhere.generate(request, ignore)
        assert alike(drawn, engine.generate(request, ignore))
    assert elsewhere.current_offload_level == level
    assert pixels(engine.generate(both, ignore)).std() > 0


# Over a picture


@pytest.fixture
def over(canny):
    """A request for outlines and colours of one picture, 6 steps of which 3 are taken."""
    return replace(canny, kind=replace(canny.kind, strength=0.5), num_inference_steps=6)


def test_a_controlnet_over_a_picture_draws_what_diffusers_draws(engine, over, tiny, tmp_path):
    (tmp_path / "other.png").write_bytes(picture(64, 64, colour="blue"))
    other = {**over.pictures, "control_image_2": tmp_path / "other.png"}
    net = FluxControlNetModel.from_pretrained(tiny / "controlnet", local_files_only=True)
    pipe = FluxControlNetImg2ImgPipeline.from_pretrained(
        tiny / "flux", controlnet=net, local_files_only=True
    )
    drawn = []

    for request in (over, replace(over, pictures=other)):
        steps = []
        result = engine.generate(request, steps.append)

        assert result.image == drawn_by(
            pipe,
            request,
            **shown_to_model(request),
            strength=0.5,
            controlnet_conditioning_scale=1.0,
        )
        assert result.control_map == shown_to_model(over)["control_image"]
        assert [step.number for step in steps if step.number] == [1, 2, 3]
        drawn.append(result)
    assert not same(*drawn)


def test_several_controlnets_over_a_picture_draw_what_diffusers_draws(engine, both, tiny):
    request = replace(both, kind=replace(both.kind, strength=0.7))

    assert engine.generate(request, ignore).image == drawn_by_diffusers(request, tiny)


def test_over_a_picture_strength_is_how_far_to_leave_it(over, both):
    assert over.kind.with_strength(0.2, "x") == replace(over.kind, strength=0.2)
    assert over.kind.scale_setting == 1.0
    several = replace(both.kind, strength=0.5)
    assert several.with_strength(0.2, "x") == replace(several, strength=0.2)
    with pytest.raises(InvalidRequest, match="with a ControlNet follows no negative prompt"):
        replace(over, negative_prompt="blurry", true_cfg_scale=2.0)
    with pytest.raises(InvalidRequest, match="leaves no step to take"):
        replace(over, kind=replace(over.kind, strength=0.0))

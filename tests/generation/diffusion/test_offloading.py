"""Short of memory: every offload level, and the way down."""

import gc
from dataclasses import replace

import pytest
import torch

from generation.diffusion.exhaustion import PICTURES_IN_TILES, Tiling
from generation.diffusion.memory import OFFLOAD_LEVELS
from generation.diffusion.offloading import Offloading
from generation.diffusion.tensors import weights_of
from generation.errors import GenerationCancelled, OutOfMemory
from generation.kinds import ControlLora, ImageToImage, Inpaint, Upscale
from generation.types import Lora
from tests.generation.engines import (
    SmallDevice,
    computing_on_its_device,
    ignore,
    model,
    new_engine,
    offloading,
    on_small_device,
    pixels,
    same,
)

FULL = "CUDA out of memory. Tried to allocate 2.00 GiB"


@pytest.fixture(scope="module")
def resident(tiny):
    return on_small_device(tiny)


@pytest.fixture
def requests(fox, canny, lora, control_lora, masked, fill, edited, tmp_path):
    other = str(tmp_path / "other")
    (tmp_path / "other").symlink_to(lora)
    return {
        "text": replace(fox, negative_prompt="blue", true_cfg_scale=3.0),
        "controlnet": canny,
        "redraw": replace(canny, kind=ImageToImage(strength=0.7)),
        "control_lora": replace(
            canny, kind=ControlLora(control_lora=str(control_lora), preprocessor="canny")
        ),
        "lora": replace(fox, lora=str(lora)),
        "loras": replace(fox, lora=str(lora), loras=(Lora(name="x", lora=other, lora_scale=-0.5),)),
        "upscale": replace(canny, kind=Upscale(tile_size=64, strength=0.5), width=112, height=64),
        "upscale with a ControlNet": replace(
            canny,
            kind=Upscale(tile_size=64, strength=0.5, controlnet=canny.kind.controlnet),
            width=112,
            height=64,
        ),
        "inpaint": masked,
        "fill": replace(masked, kind=Inpaint(fill=str(fill))),
        "edit": edited,
        "inpaint with a ControlNet": replace(
            masked, kind=Inpaint(controlnet=canny.kind.controlnet, preprocessor="canny")
        ),
    }


def fail(times, at_call=1):
    """A hook that runs out of memory at the *at_call*-th call, *times* calls long."""
    calls = []

    def hook(module, args, kwargs=None):
        calls.append(1)
        if at_call <= len(calls) < at_call + times:
            raise torch.OutOfMemoryError(FULL)

    return hook


@pytest.mark.parametrize("level", OFFLOAD_LEVELS)
def test_every_offload_level_draws_the_same_pixels_for_every_kind_of_preset(
    tiny, resident, requests, level
):
    engine = on_small_device(tiny, offload_level=level)

    for _ in range(2):  # what the first use loads, the second finds
        for kind, request in requests.items():
            with computing_on_its_device(engine):
                drawn = engine.generate(request, ignore)
            assert same(drawn, resident.generate(request, ignore)), kind

    assert engine.current_offload_level == level


@pytest.mark.parametrize("level", OFFLOAD_LEVELS[1:])
def test_on_lower_offload_levels_less_rests_on_the_device(tiny, requests, level):
    engine = on_small_device(tiny, offload_level=level)
    above = on_small_device(tiny, offload_level=OFFLOAD_LEVELS[OFFLOAD_LEVELS.index(level) - 1])
    for each in (engine, above):
        each.generate(requests["controlnet"], ignore)

    ours, theirs = offloading(engine).resting_bytes, offloading(above).resting_bytes

    is_the_vae_alone = level in OFFLOAD_LEVELS[3:]
    assert ours == theirs if is_the_vae_alone else ours < theirs


@pytest.mark.parametrize("level", OFFLOAD_LEVELS[1:])
def test_parts_go_back_to_rest_when_a_generation_is_cancelled(tiny, fox, resident, level):
    engine = on_small_device(tiny, offload_level=level)
    device = offloading(engine).device
    at_rest, weights = device.state["used"], identities(engine)

    def cancel(step):
        assert device.state["used"] > at_rest or level == "text-offload"
        raise GenerationCancelled

    with pytest.raises(GenerationCancelled):
        engine.generate(fox, cancel)

    gc.collect()
    assert device.state["used"] == at_rest
    assert identities(engine) == weights, "the very same weights are in their places again"
    assert same(engine.generate(fox, ignore), resident.generate(fox, ignore))


def identities(engine):
    return [id(weight) for weight in weights_of(model(engine).parts)]


@pytest.mark.parametrize("level", ["model-offload", "group-offload", "sequential-offload"])
def test_what_rests_is_never_written_and_never_used_to_compute(tiny, fox, level):
    """On a card it would be on the wrong side; and nothing is to be copied back."""
    engine = on_small_device(tiny, offload_level=level)
    transformer = model(engine).text_to_image.transformer
    block = transformer.transformer_blocks[0]
    layer = block.attn.to_q
    at_rest, before = layer.weight, layer.weight.clone()
    version = at_rest._version
    device, seen = offloading(engine).device, []
    layer.register_forward_pre_hook(lambda module, args: seen.append(device.holds(layer.weight)))

    engine.generate(fox, ignore)

    assert seen == [True] * fox.num_inference_steps
    assert layer.weight is at_rest
    assert not device.holds(at_rest)
    assert torch.equal(at_rest, before)
    assert at_rest._version == version


def test_memory_is_given_back_with_the_parts_that_were_on_the_device_for_a_while():
    class Counting(SmallDevice):
        def free_unused(self):
            self.state["freed"] = self.state.get("freed", 0) + 1

    device = Counting()
    held = Offloading(device, "model-offload")
    guest, inmate = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    held.register_all({guest: "denoiser", inmate: "vae"})

    with held.onloaded(inmate):
        pass
    assert "freed" not in device.state

    with held.onloaded(guest, inmate):
        assert "freed" not in device.state
    assert device.state["freed"] == 1


@pytest.mark.parametrize("step", [1, 2, 3])
def test_out_of_memory_while_denoising_costs_one_level_and_not_the_picture(
    tiny, fox, resident, step
):
    engine = on_small_device(tiny)
    steps = []
    transformer = model(engine).text_to_image.transformer
    transformer.register_forward_pre_hook(fail(times=1, at_call=step))

    drawn = engine.generate(fox, steps.append)

    assert same(drawn, resident.generate(fox, ignore))
    told = [each.note or each.number for each in steps]
    assert told == [
        *range(1, step), "short of memory; trying again in smaller parts", 1, 2, 3,
    ]  # fmt: skip
    assert engine.current_offload_level == "text-offload", "the level that worked is remembered"
    engine.generate(fox, ignore)
    assert engine.current_offload_level == "text-offload"


def test_a_job_is_tried_again_once_and_then_refused_with_a_way_out(tiny, fox, resident):
    engine = on_small_device(tiny)
    transformer = model(engine).text_to_image.transformer
    transformer.register_forward_pre_hook(fail(times=2))

    with pytest.raises(OutOfMemory, match=r"64 × 64 pixels do not fit.*smaller.*2\.00 GiB"):
        engine.generate(fox, ignore)

    assert engine.current_offload_level == "text-offload"
    assert same(engine.generate(fox, ignore), resident.generate(fox, ignore))


def test_on_the_last_offload_level_there_is_nowhere_to_go(tiny, fox):
    engine = on_small_device(tiny, offload_level=OFFLOAD_LEVELS[-1])
    transformer = model(engine).text_to_image.transformer
    transformer.register_forward_pre_hook(fail(times=1))

    with pytest.raises(OutOfMemory):
        engine.generate(fox, ignore)


def test_the_way_down_ends_at_the_first_level_on_which_the_weights_fit(tiny, fox, resident):
    """Not all parts fit at once; transformer and VAE do, and nothing beside them."""
    engine = on_small_device(tiny, budget=460_000)

    assert engine.current_offload_level == "text-offload"
    drawn = engine.generate(fox, ignore)  # and there no text encoder finds room
    assert engine.current_offload_level == "model-offload"
    assert same(drawn, resident.generate(fox, ignore))


def test_a_model_that_fits_in_no_part_is_refused_and_leaves_nothing_behind(tiny):
    device = SmallDevice(budget=1000)
    engine = new_engine(tiny, choose_device=lambda *asked: device)

    with pytest.raises(OutOfMemory, match="does not fit into the memory of cpu, not even in parts"):
        engine.load()

    assert engine.loaded == {}


@pytest.mark.parametrize("words", [FULL, "MPS backend out of memory", "can't allocate memory"])
def test_the_vae_decodes_tile_by_tile_where_it_runs_out(tiny, fox, resident, words):
    """The latents are kept: not one step is taken again."""
    engine = on_small_device(tiny)
    steps, calls = [], []
    vae = model(engine).text_to_image.vae

    def exhaust(module, args):
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError(words)

    vae.decoder.register_forward_pre_hook(exhaust)

    drawn = engine.generate(fox, steps.append)

    assert [step.number for step in steps] == [1, 2, 3]
    assert same(drawn, resident.generate(fox, ignore)), "one tile holds such a small picture"
    assert engine.current_offload_level == "resident"
    assert not vae.use_tiling


def test_a_size_that_did_not_decode_at_once_is_tiled_from_then_on(tiny, fox):
    engine = on_small_device(tiny)
    vae = model(engine).text_to_image.vae
    wide = replace(fox, width=96)
    failing = vae.decoder.register_forward_pre_hook(fail(times=1))
    engine.generate(wide, ignore)
    failing.remove()
    tiled = []
    vae.decoder.register_forward_pre_hook(lambda module, args: tiled.append(vae.use_tiling))

    for request in (wide, replace(wide, width=112), fox):
        engine.generate(request, ignore)

    assert tiled == [True, True, False], "what is smaller still decodes at once"


def test_whole_pictures_are_tried_again_after_a_while_and_where_there_is_more_room():
    tiling = Tiling()
    assert not tiling.is_due(4096, "resident")
    tiling.ran_out(4096, "resident")

    tiled = [tiling.is_due(4096, "resident") for _ in range(PICTURES_IN_TILES + 1)]

    assert tiled == [True] * PICTURES_IN_TILES + [False]
    tiling.ran_out(4096, "resident")
    assert tiling.is_due(5000, "resident")
    assert not tiling.is_due(5000, "text-offload")
    assert not tiling.is_due(5000, "resident"), "what fits elsewhere may fit here"


def test_an_error_that_is_not_about_memory_is_not_tried_again(tiny, fox):
    engine = on_small_device(tiny)
    transformer = model(engine).text_to_image.transformer

    def crash(module, args):
        raise RuntimeError("CUDA error: device-side assert triggered")

    transformer.register_forward_pre_hook(crash)
    with pytest.raises(RuntimeError, match="device-side assert"):
        engine.generate(fox, ignore)

    assert engine.current_offload_level == "resident"


def test_a_controlnet_that_does_not_fit_beside_the_others_sends_the_oldest_away(
    tiny, canny, tmp_path, resident
):
    requests = []
    for name in ("a", "b"):
        (tmp_path / name).symlink_to(tiny / "controlnet")
        requests.append(replace(canny, kind=replace(canny.kind, controlnet=str(tmp_path / name))))
    engine = on_small_device(tiny)
    for request in requests:
        engine.generate(request, ignore)
    both = offloading(engine).resting_bytes
    assert len(model(engine).conditioned) == 2

    tight = on_small_device(tiny)
    model(tight).conditioned.room = both - 1
    for request in (*requests, *requests):
        drawn = tight.generate(request, ignore)
        assert list(model(tight).conditioned) == [request.kind.controlnet]
        assert same(drawn, resident.generate(canny, ignore))
    assert tight.current_offload_level == "resident"


def test_a_controlnet_that_runs_out_while_it_is_loaded_is_loaded_once(tiny, canny, resident):
    engine = on_small_device(tiny)
    offloading(engine).device.state["fails_next"] = True

    drawn = engine.generate(canny, ignore)

    assert engine.current_offload_level == "text-offload"
    assert same(drawn, resident.generate(canny, ignore))
    assert len(model(engine).conditioned) == 1
    assert sum(role == "denoiser" for role in offloading(engine)._parts.values()) == 2


def test_a_controlnet_that_does_not_fit_at_all_costs_an_offload_level(tiny, canny, resident):
    roomy, engine = on_small_device(tiny), on_small_device(tiny)
    roomy.generate(canny, ignore)
    model(engine).conditioned.room = offloading(roomy).resting_bytes - 1

    drawn = engine.generate(canny, ignore)

    assert engine.current_offload_level == "text-offload"
    assert same(drawn, resident.generate(canny, ignore))


def test_the_size_is_never_changed_behind_ones_back(tiny, fox):
    engine = on_small_device(tiny, budget=460_000)

    drawn = engine.generate(replace(fox, width=128, height=96), ignore)

    assert drawn.image.size == (128, 96)
    assert pixels(drawn).std() > 1

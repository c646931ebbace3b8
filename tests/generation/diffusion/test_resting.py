"""Weights of every kind at rest, shared, changed meanwhile, and kept on the device in part."""

import gc
from dataclasses import replace

import pytest
import torch

from generation.diffusion import quantization
from generation.diffusion.memory import OFFLOAD_LEVELS
from generation.diffusion.offloading import Offloading
from generation.diffusion.resting import Bundle
from generation.diffusion.tensors import plain_tensors, stored_bytes
from generation.kinds import ControlLora
from tests.generation.engines import (
    SmallDevice,
    ignore,
    in_float8,
    model,
    offloading,
    on_small_device,
    same,
)


@pytest.fixture
def requests(fox, canny, lora, control_lora):
    fox = replace(fox, num_inference_steps=1)
    canny = replace(canny, num_inference_steps=1)
    return {
        "text": fox,
        "LoRA": replace(fox, lora=str(lora)),
        "ControlNet": canny,
        "Control LoRA": replace(
            canny, kind=ControlLora(control_lora=str(control_lora), preprocessor="canny")
        ),
        "text again": fox,
    }


@pytest.fixture
def multiplied(monkeypatch):
    """Has "fp8" mean here what it means on a card: products of float8."""
    by_torchao = quantization._by_torchao

    def quantize(layer, kind, device):
        in_float8(layer) if kind == "fp8" else by_torchao(layer, kind, device)

    monkeypatch.setattr(quantization, "meaning", lambda setting, device: setting)
    monkeypatch.setattr(quantization, "_by_torchao", quantize)


@pytest.mark.parametrize(
    "setting", [pytest.param("fp8", marks=pytest.mark.soak), "multiplied fp8", "4bit"]
)
def test_quantized_weights_draw_everything_on_every_level_that_a_device_goes_down(
    tiny, requests, setting, request
):
    dtype = torch.float32
    if setting == "multiplied fp8":
        request.getfixturevalue("multiplied")
        dtype = torch.bfloat16
    setting = setting.removeprefix("multiplied ")
    bits = {"quantized": setting, "text_quantized": setting.replace("fp8", "int8")}
    engine = on_small_device(tiny, dtype=dtype, **bits)
    first = {kind: engine.generate(request, ignore) for kind, request in requests.items()}
    assert same(first["text"], first["text again"])
    for kind in ("LoRA", "ControlNet", "Control LoRA"):
        assert not same(first[kind], first["text"])

    for level in OFFLOAD_LEVELS[1:]:
        assert engine._current.step_down()
        assert engine.current_offload_level == level
        engine.forget_prompts()
        for kind in ("LoRA", "Control LoRA", "text"):
            assert same(engine.generate(requests[kind], ignore), first[kind]), (level, kind)


def test_what_shares_weights_shares_them_wherever_they_go(tiny, requests):
    """Else a Control LoRA would keep a second model in main memory, and one on the device."""
    engine = on_small_device(tiny)
    engine.generate(requests["Control LoRA"], ignore)
    (pipe,) = model(engine).conditioned.values()
    parts = [model(engine).text_to_image.transformer, pipe.transformer, model(engine)._unchanged]
    together = stored_bytes(parts)

    for _ in OFFLOAD_LEVELS[1:]:
        engine._current.step_down()
        # But for the bias of the layer that the Control LoRA widens.
        assert together <= stored_bytes(parts) <= together + 128
        norms = {id(part.transformer_blocks[0].norm1.linear.weight) for part in parts}
        assert len(norms) == 1


def test_what_makes_room_for_a_control_lora_does_not_part_it_from_the_model(tiny, requests):
    engine = on_small_device(tiny)
    model(engine).conditioned.room = 0

    engine.generate(requests["Control LoRA"], ignore)

    (pipe,) = model(engine).conditioned.values()
    ours = model(engine).text_to_image.transformer.transformer_blocks[0].norm1.linear
    assert pipe.transformer.transformer_blocks[0].norm1.linear.weight is ours.weight
    assert engine.current_offload_level == "model-offload"


def test_blocks_that_find_room_stay_on_the_device_until_memory_runs_out(tiny, fox, requests):
    plain = on_small_device(tiny)
    want = {kind: plain.generate(request, ignore) for kind, request in requests.items()}
    engine = on_small_device(tiny, free=10**10, offload_level="group-offload")
    held = offloading(engine)
    kept = list(held._kept)

    assert len(kept) == 2
    assert all(held.device.holds(weight) for block in kept for weight in block.parameters())
    for kind, request in requests.items():
        assert same(engine.generate(request, ignore), want[kind]), kind
    assert list(held._kept) == kept
    assert engine._current.step_down()
    assert engine.current_offload_level == "group-offload", "first all blocks come by turns"
    assert not held._kept
    for kind, request in requests.items():
        assert same(engine.generate(request, ignore), want[kind]), kind
    assert engine._current.step_down()
    assert engine.current_offload_level == "sequential-offload"


def row_of_blocks(number):
    part = torch.nn.Module()
    part.blocks = torch.nn.ModuleList([torch.nn.Linear(16, 16, bias=False) for _ in range(number)])
    return part


@pytest.mark.parametrize(
    ("room", "kept"),
    [(0, []), (2, []), (3, [5]), (4, [2, 5]), (5, [1, 3, 5]), (6, [0, 1, 2, 3, 4, 5])],
)
def test_as_many_blocks_stay_as_fit_beside_two_that_travel_spread_evenly(room, kept):
    block = 16 * 16 * 4
    part, device = row_of_blocks(6), SmallDevice(budget=6 * block, free=1000 + room * block)
    held = Offloading(device, "group-offload", reserve=1000)

    held.register(part, "denoiser")

    assert [number for number, each in enumerate(part.blocks) if each in held._kept] == kept
    with held.onloaded(part):
        x = torch.ones(1, 16)
        for each in part.blocks:
            assert torch.equal(each(x), x @ each.weight.T)
    assert device.state["used"] == len(kept) * block


def test_blocks_of_uneven_size_stay_as_far_as_their_bytes_fit():
    block, part = 16 * 16 * 4, row_of_blocks(14)
    for number in range(1, 14, 2):
        part.blocks[number] = torch.nn.Linear(16, 48, bias=False)
    held = Offloading(SmallDevice(free=20 * block), "group-offload", reserve=0)

    held.register(part, "denoiser")

    assert stored_bytes(held._kept) == 12 * block, "beside two slots of three; one more is too much"


def test_blocks_that_stayed_give_their_room_back_with_the_part_that_nobody_uses():
    block, device = 16 * 16 * 4, SmallDevice(free=6 * 16 * 16 * 4)
    held = Offloading(device, "group-offload", reserve=0)

    for _ in range(2):
        part = row_of_blocks(6)
        held.register(part, "denoiser")
        assert device.state["used"] == 6 * block
        held.unregister(part)
        del part
        gc.collect()
        assert device.state["used"] == 0


def test_blocks_that_stayed_stay_for_whoever_shares_them():
    device, part, guest = SmallDevice(free=6 * 16 * 16 * 4), row_of_blocks(6), row_of_blocks(6)
    for own, theirs in zip(guest.blocks, part.blocks, strict=True):
        own.weight = theirs.weight
    held = Offloading(device, "group-offload", reserve=0)
    held.register(part, "denoiser")
    held.register(guest, "denoiser")

    held.unregister(guest)

    assert list(held._kept) == list(part.blocks)
    assert all(device.holds(each.weight) for each in part.blocks)


def test_a_lora_laid_over_what_rests_is_found_and_taken_off_again(tiny, fox, lora):
    engine = on_small_device(tiny, offload_level="group-offload", max_loras=1)
    held, want = offloading(engine), engine.generate(fox, ignore)
    before = len(held._bundles)

    for _ in range(2):
        engine.generate(replace(fox, lora=str(lora)), ignore)
        block = model(engine).text_to_image.transformer.transformer_blocks[0]
        (added,) = block.attn.to_q.lora_A.values()
        assert id(added.weight) in held._bundles
        with torch.no_grad():
            added.weight.zero_()  # what is written at rest counts from then on
        assert same(engine.generate(replace(fox, lora=str(lora)), ignore), want) is False
        model(engine).loras._remove(next(iter(model(engine).loras.adapters.values())))
        model(engine).loras.adapters.clear()
        held.register(model(engine).text_to_image.transformer, "denoiser")
        gc.collect()
        assert len(held._bundles) == before
    assert same(engine.generate(fox, ignore), want)


def test_units_come_in_turn_and_the_next_is_sent_for_in_the_order_of_the_last_time():
    device, part = SmallDevice(), row_of_blocks(3)
    x, sent = torch.ones(1, 16), []
    expected = [block(x) for block in part.blocks]
    held = Offloading(device, "group-offload")
    held.register(part, "denoiser")
    units = held._ways[part].by_turns
    for number, unit in enumerate(units):
        copy = unit.copy
        unit.copy = lambda memory, number=number, copy=copy: (sent.append(number), copy(memory))

    with held.onloaded(part):
        for number in (2, 0, 1, 2, 0, 1):
            assert torch.equal(part.blocks[number](x), expected[number])

    # 0 was expected after nobody knew; from then on each is sent for once, before its turn.
    assert sent == [2, 0, 1, 2, 0, 1, 2]
    assert device.state["used"] == 0


def test_weights_keep_their_strides_and_what_is_empty_stays_empty():
    device = SmallDevice()
    weights = [
        torch.randn(4, 6).t(),
        torch.arange(5).expand(3, 5),
        torch.tensor(7.0),
        torch.empty(0, 3),
        torch.nn.Parameter(torch.randn(3), requires_grad=True),
    ]

    bundle = Bundle(weights, device)

    for resting, weight in zip(bundle.weights, weights, strict=True):
        assert torch.equal(resting, weight)
        assert type(resting) is type(weight)
        assert resting.dtype == weight.dtype
    assert bundle.weights[0].stride() == weights[0].stride()
    starts = [t.data_ptr() % 64 for w in bundle.weights if w.numel() for t in plain_tensors(w)]
    assert set(starts) == {bundle.memory.data_ptr() % 64}


def test_weights_used_while_none_are_awaited_say_so():
    part, held = row_of_blocks(1), Offloading(SmallDevice(), "group-offload")
    held.register(part, "denoiser")

    with pytest.raises(RuntimeError, match="used while none are awaited"):
        part.blocks[0](torch.ones(1, 16))

"""LoRAs in a slot of a compiled transformer draw what they draw without one, and compile nothing.

Blocks are not really compiled here: whether a call would need another graph is decided before.
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file
from torch._dynamo.utils import counters

from generation.diffusion import memory
from generation.diffusion.compiling import Compiling
from generation.diffusion.lora_slot import RANK_FOR_SEVERAL, USUAL_RANK, needed_rank
from generation.diffusion.memory import OFFLOAD_LEVELS
from generation.diffusion.model_files import ModelFiles
from generation.diffusion.tensors import stored_bytes
from generation.types import Lora
from tests.generation.diffusion.test_compiling import compiled_engine, fresh_torch  # noqa: F401
from tests.generation.engines import SmallDevice, ignore, model, new_engine, offloading, pixels

WORDS = {"attn.to_q": 2, "attn.to_v": 2}
MORE = {"attn.to_q": 4, "norm1.linear": 4, "ff.net.0.proj": 4, "attn.add_k_proj": 4}


@pytest.fixture(scope="module")
def loras(tiny, tmp_path_factory):
    """LoRAs of different ranks and alphas over different layers, by name."""
    engine = new_engine(tiny)
    engine.load()
    transformer = model(engine).text_to_image.transformer
    folder, dice = tmp_path_factory.mktemp("loras"), torch.Generator().manual_seed(0)

    def written(name, ranks, alpha, outer=()):
        tensors = {}
        layers = {f"transformer_blocks.0.{layer}": rank for layer, rank in ranks.items()}
        for layer, rank in {**layers, **dict(outer)}.items():
            module = transformer.get_submodule(layer)
            key = f"transformer.{layer}"
            down = torch.randn(rank, module.in_features, generator=dice)
            tensors[f"{key}.lora_A.weight"] = down
            tensors[f"{key}.lora_B.weight"] = torch.randn(module.out_features, rank, generator=dice)
            tensors[f"{key}.alpha"] = torch.tensor(float(alpha))
        save_file(tensors, folder / f"{name}.safetensors")
        return str(folder / f"{name}.safetensors")

    return {
        "small": written("small", WORDS, 2),
        "other": written("other", MORE, 1, {"x_embedder": 4}.items()),
        "large": written("large", {"attn.to_k": 12}, 12),
    }


@pytest.fixture
def nothing_compiled(monkeypatch):
    """Blocks that are drawn with as they are."""
    monkeypatch.setattr(Compiling, "_compiled", lambda self, plain, what: plain)


def slotted_engine(tiny, loras, names=("small", "other"), **changes):
    named = tuple(loras[name] for name in names)
    engine = new_engine(tiny, compiled="on", pixels=64 * 64, loras=named, **changes)
    engine.load()
    return engine


def shades(a, b):
    return abs(pixels(a).astype(int) - pixels(b).astype(int)).max()


def test_whatever_was_in_the_slot_each_lora_draws_what_it_draws_without_one(
    tiny, fox, loras, nothing_compiled
):
    plain, engine = new_engine(tiny), slotted_engine(tiny, loras, max_loras=2)
    plain.load()
    alone = plain.generate(fox, ignore)
    requests = [
        replace(fox, lora=loras["small"]),
        replace(fox, lora=loras["other"], lora_scale=0.3),
        fox,
        replace(fox, lora=loras["small"], lora_scale=2.0),
        replace(fox, lora=loras["other"]),
    ]

    for request in requests:
        expected = plain.generate(request, ignore)
        assert shades(engine.generate(request, ignore), expected) <= 1
        assert (shades(expected, alone) > 8) == (request.lora is not None)

    transformer = model(engine).text_to_image.transformer
    assert model(engine).loras.rank == 8
    assert {tuple(layer.lora_A) for layer in transformer.modules()
            if isinstance(layer, LoraLayer)} == {("slot",)}  # fmt: skip
    assert not any(weight.requires_grad for weight in transformer.parameters())


def test_a_lora_of_a_higher_rank_enlarges_the_slot_once(tiny, fox, loras, nothing_compiled, caplog):
    caplog.set_level("INFO")
    plain, engine = new_engine(tiny), slotted_engine(tiny, loras)
    plain.load()
    transformer = model(engine).text_to_image.transformer

    for name in ("large", "small", "large"):
        request = replace(fox, lora=loras[name])
        assert engine._current.compiling.is_warm([transformer]) or name == "small"
        assert shades(engine.generate(request, ignore), plain.generate(request, ignore)) <= 1

    assert model(engine).loras.rank == 16
    said = [record.message for record in caplog.records if "of rank" in record.message]
    assert said == ["LoRAs of rank 12 need more room: blocks are compiled anew"]


def test_several_loras_lie_side_by_side_in_the_slot(tiny, fox, loras, nothing_compiled, caplog):
    """In any order, whatever was there before, and with the room that there is from the start."""
    caplog.set_level("INFO")
    plain = new_engine(tiny)
    plain.load()
    engine = slotted_engine(tiny, loras, max_loras=1, combines_loras=True)
    small, other = (Lora(name=name, lora=loras[name]) for name in ("small", "other"))
    weak, large = replace(other, lora_scale=-0.4), Lora(name="large", lora=loras["large"])

    for asked in ((small, weak), (weak,), (weak, small), (), (small, other), (large, small, weak)):
        request = replace(fox, loras=asked)
        assert shades(engine.generate(request, ignore), plain.generate(request, ignore)) <= 1

    said = [record.message for record in caplog.records if "of rank" in record.message]
    assert said == ["LoRAs of rank 12 need more room: blocks are compiled anew"]
    together = plain.generate(replace(fox, loras=(small, weak)), ignore)
    assert shades(plain.generate(replace(fox, loras=(small,)), ignore), together) > 8


@pytest.mark.parametrize(("combines_loras", "rank"), [(False, 16), (True, 24)])
def test_where_loras_combine_there_is_room_for_all_of_them_from_the_start(
    tiny, loras, nothing_compiled, combines_loras, rank
):
    engine = slotted_engine(tiny, loras, ("small", "other", "large"), combines_loras=combines_loras)

    assert model(engine).loras.rank == rank


@pytest.mark.parametrize("level", OFFLOAD_LEVELS)
def test_on_every_level_the_slot_holds_what_it_should_and_goes_down_with_the_model(
    tiny, fox, loras, nothing_compiled, level
):
    plain, device = new_engine(tiny), SmallDevice()
    plain.load()
    engine = slotted_engine(tiny, loras, choose_device=lambda *asked: device, offload_level=level)
    small, other = (replace(fox, lora=loras[name]) for name in ("small", "other"))
    both = replace(small, loras=(Lora(name="other", lora=loras["other"], lora_scale=-0.5),))

    for request in (small, other, both, fox):
        assert shades(engine.generate(request, ignore), plain.generate(request, ignore)) <= 1
    engine.generate(other, ignore)
    if offloading(engine).step_down():
        assert shades(engine.generate(other, ignore), plain.generate(other, ignore)) <= 1


def test_the_plan_counts_the_slot_as_it_is(tiny, loras, nothing_compiled):
    plain, engine = new_engine(tiny, pixels=64 * 64), slotted_engine(tiny, loras)
    plain.load()
    sizes = memory.read_sizes(tiny / "flux", 4)

    layers = ModelFiles(tiny / "flux").layers
    with_slot = memory.with_lora_slot(sizes, layers, model(engine).loras.rank)

    bare, slotted = (
        stored_bytes([model(each).text_to_image.transformer]) for each in (plain, engine)
    )
    assert with_slot.transformer - sizes.transformer == slotted - bare
    assert with_slot.block > sizes.block
    assert engine.planned().needs["resident"] > plain.planned().needs["resident"]
    repository = str(tiny / "flux")
    assert engine.loaded[repository] - plain.loaded[repository] == slotted - bare


def test_the_rank_is_that_of_the_largest_lora_that_presets_name(loras, tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"no")
    found = {name: Path(file) for name, file in loras.items()} | {
        "not here": None,
        "broken": tmp_path / "broken.safetensors",
    }

    def rank(*names, **how):
        return needed_rank(names, lambda name: found[name], **how)

    assert rank() == 0
    assert rank("small", "other") == 4
    assert rank("broken", "large") == 12
    assert rank("large", "not here") == USUAL_RANK
    assert rank("small", "other", is_several=True) == 2 + 4
    assert rank("not here", "large", "not here", is_several=True) == RANK_FOR_SEVERAL
    assert rank(is_several=True) == 0


def test_without_compiling_there_is_no_slot(tiny, fox, loras):
    engine = new_engine(tiny, loras=(loras["small"],))
    engine.load()

    engine.generate(fox, ignore)

    transformer = model(engine).text_to_image.transformer
    assert not any(isinstance(module, LoraLayer) for module in transformer.modules())


@pytest.mark.parametrize("level", ["resident", "group-offload"])
def test_layers_in_fewer_bits_have_a_slot_too(tiny, fox, loras, nothing_compiled, level):
    device = SmallDevice()
    plain = new_engine(tiny, quantized="fp8")
    plain.load()
    engine = slotted_engine(
        tiny,
        loras,
        quantized="fp8",
        choose_device=lambda *asked: device,
        offload_level=level,
    )

    named = Lora(name="small", lora=loras["small"])
    for name, asked in (("small", ()), ("other", (named,)), ("other", ()), (None, ())):
        request = replace(fox, lora=name and loras[name], loras=asked)
        assert shades(engine.generate(request, ignore), plain.generate(request, ignore)) <= 1


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("quantized", ["none", "fp8"])
def test_swapping_loras_compiles_nothing(tiny, fox, canny, loras, fresh_torch, quantized):  # noqa: F811
    named = (loras["small"], loras["other"])
    engine = compiled_engine(tiny, "eager", loras=named, combines_loras=True, quantized=quantized)
    before = counters["stats"]["unique_graphs"]
    if quantized == "none":
        assert before == 7, (
            "the VAE's decoder; both kinds of blocks without a LoRA, with one, and without a slot"
        )
    engine._current.compiling.stance = "fail_on_recompile"

    for name, scale in (("small", 1.0), ("other", 0.3), (None, 1.0), ("small", 2.0)):
        lora = None if name is None else loras[name]
        engine.generate(replace(fox, lora=lora, lora_scale=scale), ignore)
    both = (Lora(name="other", lora=loras["other"], lora_scale=-0.5),)
    engine.generate(replace(fox, lora=loras["small"], loras=both), ignore)
    if quantized == "none":
        engine.generate(canny, ignore)  # whose blocks are compiled already

    assert counters["stats"]["unique_graphs"] == before
    assert engine._current.compiling.failures == {}

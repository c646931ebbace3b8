"""The memory plan, and the sizes of FLUX.1-dev that it is about."""

import json
import logging
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, FluxControlNetModel, FluxTransformer2DModel
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from generation.diffusion import memory
from generation.diffusion.advice import faster
from generation.diffusion.device import Device
from generation.diffusion.memory import OFFLOAD_LEVELS, Sizes
from generation.diffusion.quantization import Precision
from generation.families.flux1 import Flux1
from tests.generation.engines import SmallDevice, new_engine

GB = 10**9
MEGAPIXEL = 1024 * 1024

#: The configurations of black-forest-labs/FLUX.1-dev, and of Shakker-Labs' Union-Pro-2.0,
#: where they differ from the classes' defaults.
TRANSFORMER = {"guidance_embeds": True}
UNION = {"guidance_embeds": True, "num_layers": 6, "num_single_layers": 0}
VAE = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "latent_channels": 16,
    "layers_per_block": 2,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}
CLIP = CLIPTextConfig(
    hidden_size=768, intermediate_size=3072, num_attention_heads=12, num_hidden_layers=12,
    projection_dim=768, vocab_size=49408,
)  # fmt: skip
T5 = T5Config(
    d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64, vocab_size=32128,
    feed_forward_proj="gated-gelu", is_encoder_decoder=False, tie_word_embeddings=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def real():
    """The parts of FLUX.1-dev at full size, without memory behind their weights."""
    with torch.device("meta"):
        return {
            "transformer": FluxTransformer2DModel(**TRANSFORMER),
            "controlnet": FluxControlNetModel(**UNION),
            "vae": AutoencoderKL(**VAE),
            "text_encoder": CLIPTextModel(CLIP),
            "text_encoder_2": T5EncoderModel(T5),
        }


def parameters(module):
    return sum(weight.numel() for weight in module.parameters())


@pytest.fixture(scope="module")
def flux_dev(real, tmp_path_factory):
    """FLUX.1-dev's folder, of which the heads of the files alone are there."""
    folder = tmp_path_factory.mktemp("flux")
    for name, part in real.items():
        (folder / name).mkdir()
        half = len(list(part.parameters())) // 2
        for number in (1, 2):  # shards, as on the Hub
            head = {
                key: {"dtype": "BF16", "shape": list(weight.shape), "data_offsets": [0, 0]}
                for index, (key, weight) in enumerate(part.named_parameters())
                if (index < half) == (number == 1)
            }
            written = json.dumps(head | {"__metadata__": {"format": "pt"}}).encode()
            shard = folder / name / f"model-0000{number}-of-00002.safetensors"
            shard.write_bytes(len(written).to_bytes(8, "little") + written)
    config = {"num_attention_heads": 24, "attention_head_dim": 128}
    (folder / "transformer" / "config.json").write_text(json.dumps(config))
    (folder / "text_encoder_2" / "config.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def sizes(flux_dev):
    read = memory.read_sizes(flux_dev, value=2)
    return with_controlnet(read, flux_dev)


def with_controlnet(sizes, folder):
    found = {"lab/net": memory.controlnet_bytes(sizes, folder / "controlnet")}
    return memory.with_controlnets(sizes, found, [("lab/net",)])


def test_the_parts_have_the_parameters_that_the_cards_tell(real):
    counted = {name: round(parameters(part) / 1e6) for name, part in real.items()}

    assert counted == {
        "transformer": 11901, "controlnet": 2141, "vae": 84, "text_encoder": 123,
        "text_encoder_2": 4762,
    }  # fmt: skip


def test_the_plan_reads_the_very_sizes_from_the_heads_of_the_files(real, sizes):
    assert sizes.transformer == 2 * parameters(real["transformer"])
    assert sizes.controlnet == 2 * parameters(real["controlnet"])
    assert sizes.vae == 2 * parameters(real["vae"])
    text = parameters(real["text_encoder"]) + parameters(real["text_encoder_2"])
    assert sizes.text_encoders == 2 * text
    assert sizes.block == 2 * max(map(parameters, real["transformer"].transformer_blocks))
    assert sizes.width == real["transformer"].inner_dim


@pytest.mark.parametrize(
    ("card", "level"),
    [
        (80, "resident"), (48, "resident"), (40, "text-offload"), (32, "text-offload"),
        (31, "model-offload"), (24, "group-offload"), (16, "group-offload"), (12, "group-offload"),
        (8, "group-offload"), (4, "group-offload"), (3, "sequential-offload"),
    ],
)  # fmt: skip
def test_each_card_gets_the_fastest_offload_level_that_it_has_room_for(sizes, card, level):
    """In bfloat16, with a ControlNet, at 1024 x 1024."""
    plan = memory.make(sizes, card * GB, MEGAPIXEL, tokens=512)

    assert plan.level == level
    assert plan.needs[level] <= card * GB or level == OFFLOAD_LEVELS[-1]
    assert f"of the {card}.0 GB that are free" in plan.sentence()


@pytest.mark.parametrize("controlnet", [0, 4 * GB])
@pytest.mark.parametrize("pixels", [512 * 512, MEGAPIXEL, 4 * MEGAPIXEL])
def test_every_offload_level_takes_less_than_the_one_above_it(sizes, controlnet, pixels):
    changed = replace(sizes, controlnet=controlnet)

    needs = [memory.need(level, changed, pixels, 512) for level in OFFLOAD_LEVELS]

    assert needs == sorted(needs, reverse=True)
    assert len(set(needs)) == len(needs)


def test_larger_pictures_and_longer_prompts_need_more(sizes):
    for level in OFFLOAD_LEVELS:
        small = memory.need(level, sizes, MEGAPIXEL, 256)
        assert memory.need(level, sizes, MEGAPIXEL, 512) >= small
        assert memory.need(level, sizes, 4 * MEGAPIXEL, 256) > small


def test_a_device_that_does_not_tell_gets_everything_tried():
    plan = memory.make(Sizes(1, 1, 1), None, MEGAPIXEL, 512)

    assert plan.level == "resident"
    assert "free" not in plan.sentence()


def test_the_same_weights_in_another_format_are_not_counted_twice(tiny, tmp_path):
    (tmp_path / "part").symlink_to(tiny / "flux" / "vae")
    before = memory.shapes(tmp_path / "part")
    copy = tmp_path / "both"
    copy.mkdir()
    data = (tiny / "flux" / "vae" / "diffusion_pytorch_model.safetensors").read_bytes()
    for name in ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors"):
        (copy / name).write_bytes(data)

    assert memory.shapes(copy) == before
    assert sum(map(math.prod, before.values())) > 0


def test_the_plan_is_told_before_anything_is_loaded(tiny, caplog):
    caplog.set_level(logging.INFO)
    device = SmallDevice(free=40_000_000_000)
    engine = new_engine(
        tiny, choose_device=lambda *asked: device, controlnets=((str(tiny / "controlnet"),),)
    )

    engine.load()

    (plan,) = (line for line in caplog.messages if line.startswith("memory plan"))
    assert "text encoders 0 MB, VAE 0 MB, ControlNet 0 MB: resident" in plan
    assert engine.current_offload_level == "resident"


@pytest.mark.parametrize("name", ["/no/such/folder", "demo/controlnet-nope", "not a name", "torn"])
def test_a_controlnet_that_cannot_be_used_keeps_the_model_from_nothing(
    tiny, tmp_path, monkeypatch, caplog, name
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "diffusion_pytorch_model.safetensors").write_bytes(b"torn")
    engine = new_engine(tiny, controlnets=((name,), (str(tiny / "controlnet"),)))

    engine.load()

    assert engine.current_offload_level == "resident"
    assert f"no room is planned for the ControlNet {name}: " in caplog.text


def test_room_is_planned_for_the_controlnets_that_work_together(sizes):
    found = {"a": 4, "b": 2, "c": 5}

    planned = memory.with_controlnets(sizes, found, [("a",), ("a", "b"), ("c",)])

    assert (planned.controlnet, planned.controlnets) == (6, 11)
    assert memory.with_controlnets(sizes, {}, []).controlnet == 0


def test_where_little_is_free_the_engine_begins_further_down(tiny):
    """The random model is next to nothing; what a device keeps for itself is not."""
    device = SmallDevice(free=1_000_000_000)
    engine = new_engine(tiny, choose_device=lambda *asked: device, pixels=64 * 64)

    engine.load()

    assert engine.current_offload_level == "sequential-offload"


def test_many_parameters_get_bfloat16_on_a_cpu_that_computes_with_it(monkeypatch):
    from generation.diffusion.device import choose_device

    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert choose_device("cpu", "auto", 12 * 10**9).dtype is torch.bfloat16
    assert choose_device("cpu", "auto", 10**6).dtype is torch.float32
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert choose_device("cpu", "auto", 12 * 10**9).dtype is torch.float32


@pytest.mark.parametrize(
    ("level", "is_with_controlnet", "measured"),
    [
        ("resident", False, 36.35), ("resident", True, 40.63), ("text-offload", True, 30.9),
        ("model-offload", False, 24.5), ("group-offload", True, 2.8),
    ],
)  # fmt: skip
def test_the_plan_is_what_was_measured_and_what_a_device_keeps_for_itself(
    sizes, level, is_with_controlnet, measured
):
    """On an H200, of tensors alone, at 1024 x 1024 with 512 tokens."""
    changed = sizes if is_with_controlnet else replace(sizes, controlnet=0)

    planned = memory.need(level, changed, MEGAPIXEL, 512) - memory.OVERHEAD

    assert planned / 1e9 == pytest.approx(measured, abs=0.15)


@pytest.fixture
def ada(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 9))
    return Device(torch.device("cuda", 0), torch.bfloat16)


BF16 = Precision(torch.bfloat16, torch.bfloat16)


@pytest.mark.parametrize(
    ("free", "now", "sentence"),
    [
        (80, BF16, None),
        (
            25.8,
            BF16,
            'with quantization = "fp8" the model stays on the card (25.6 of 25.8 GB, computed), and'
            " pictures come faster",
        ),
        (
            24,
            BF16,
            'with quantization = "fp8" the transformer stays on the card (15.8 of 24.0 GB,'
            " computed), and pictures come faster",
        ),
        (
            33,
            BF16,
            'with text_encoder_quantization = "int8" the model stays on the card (32.8 of 33.0 GB,'
            " computed), and pictures come faster",
        ),
        (
            24,
            replace(BF16, transformer="fp8"),
            'with quantization = "fp8" and text_encoder_quantization = "int8" the model stays on'
            " the card (21.0 of 24.0 GB, computed), and pictures come faster",
        ),
        (
            12,
            BF16,
            'with quantization = "4bit" the transformer stays on the card (10.1 of 12.0 GB,'
            " computed), and pictures come faster; it takes pip install bitsandbytes",
        ),
        (6, BF16, None),
    ],
)
def test_the_bot_says_what_would_make_a_card_faster_with_figures(
    flux_dev, ada, monkeypatch, free, now, sentence
):
    monkeypatch.setattr(
        "generation.diffusion.advice.importlib.util.find_spec",
        lambda name: None if name == "bitsandbytes" else name,
    )

    def plan_with(precision):
        sizes = Flux1.read_sizes(flux_dev, precision)
        return memory.make(sizes, int(free * GB), MEGAPIXEL, tokens=512)

    assert faster(plan_with(now), now, ada, plan_with) == sentence
    assert faster(plan_with(now), now, replace(ada, torch_device=torch.device("cpu")), None) is None


DOCUMENT = Path(__file__).parents[3] / "docs" / "flux.md"


def quantized(flux_dev, kind):
    precision = Precision(torch.bfloat16, torch.bfloat16, transformer=kind)
    return with_controlnet(Flux1.read_sizes(flux_dev, precision), flux_dev)


def test_the_document_tells_the_figures_that_are_computed(flux_dev):
    text = DOCUMENT.read_text(encoding="utf-8")

    kinds = ("none", "fp8", "4bit")
    for kind in kinds:
        part = quantized(flux_dev, kind)
        needs = [memory.need(level, part, MEGAPIXEL, 512) / 1e9 for level in OFFLOAD_LEVELS]
        assert f"| {kind} | " + " | ".join(f"{need:.1f}" for need in needs) + " |" in text
    for card in (80, 48, 24, 16, 12, 6):
        levels = [
            memory.make(quantized(flux_dev, kind), card * GB, MEGAPIXEL, 512).level
            for kind in kinds
        ]
        assert f"| {card} | " + " | ".join(levels) + " |" in text

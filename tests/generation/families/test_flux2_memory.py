"""The sizes of FLUX.2-klein-4B, and the cards that it fits on."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel
from transformers import Qwen3Config, Qwen3ForCausalLM

from generation.diffusion import memory
from generation.diffusion.memory import OFFLOAD_LEVELS
from generation.diffusion.quantization import Precision
from generation.families.flux2 import Flux2

GB = 10**9
MEGAPIXEL = 1024 * 1024
DOCUMENT = Path(__file__).parents[3] / "docs" / "flux.md"

#: ``transformer/config.json``, ``text_encoder/config.json`` and ``vae/config.json`` of
#: black-forest-labs/FLUX.2-klein-4B, where they differ from the classes' defaults (as diffusers'
#: ``convert_flux2_to_diffusers.py`` has them for "klein-4b", and Qwen3-4B's own card).
TRANSFORMER = {
    "num_layers": 5,
    "num_single_layers": 20,
    "num_attention_heads": 24,
    "joint_attention_dim": 7680,
    "guidance_embeds": False,
}
TEXT_ENCODER = Qwen3Config(
    vocab_size=151936, hidden_size=2560, intermediate_size=9728, num_hidden_layers=36,
    num_attention_heads=32, num_key_value_heads=8, head_dim=128, tie_word_embeddings=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def real():
    """The parts at full size, without memory behind their weights."""
    with torch.device("meta"):
        return {
            "transformer": Flux2Transformer2DModel(**TRANSFORMER),
            "text_encoder": Qwen3ForCausalLM(TEXT_ENCODER),
            "vae": AutoencoderKLFlux2(),
        }


@pytest.fixture(scope="module")
def klein_4b(real, tmp_path_factory):
    """The model's folder, of which the heads of the files alone are there."""
    folder = tmp_path_factory.mktemp("klein-4b")
    for name, part in real.items():
        (folder / name).mkdir()
        # As it is saved: the head that chooses words is the table of words.
        tensors = {key: each for key, each in part.state_dict().items() if key != "lm_head.weight"}
        head = {
            key: {"dtype": "BF16", "shape": list(each.shape), "data_offsets": [0, 0]}
            for key, each in tensors.items()
        }
        written = json.dumps(head).encode()
        file = folder / name / "model.safetensors"
        file.write_bytes(len(written).to_bytes(8, "little") + written)
    config = {"num_attention_heads": 24, "attention_head_dim": 128}
    (folder / "transformer" / "config.json").write_text(json.dumps(config))
    return folder


def sizes_of(folder, kind="none", text="none"):
    return Flux2.read_sizes(folder, Precision(torch.bfloat16, torch.bfloat16, kind, text))


def parameters(part):
    return sum(weight.numel() for weight in part.parameters())


def test_the_parts_have_the_parameters_that_the_card_tells(real):
    counted = {name: round(parameters(part) / 1e6) for name, part in real.items()}

    assert counted == {"transformer": 3876, "text_encoder": 4022, "vae": 84}


def test_the_plan_reads_the_very_sizes_but_for_layers_that_nobody_reads(real, klein_4b):
    sizes = sizes_of(klein_4b)
    unread = [*real["text_encoder"].model.layers[27:], real["text_encoder"].model.norm]

    assert sizes.transformer == 2 * parameters(real["transformer"])
    text = parameters(real["text_encoder"]) - sum(map(parameters, unread))
    assert sizes.text_encoders == 2 * text
    blocks = (real["transformer"].transformer_blocks, real["transformer"].single_transformer_blocks)
    assert sizes.block == 2 * parameters(blocks[0][0])
    assert sizes.around == sizes.transformer - 2 * sum(map(parameters, blocks))
    words = 2 * parameters(real["text_encoder"].model.embed_tokens)
    assert sizes.text_blocks == words + 4 * parameters(real["text_encoder"].model.layers[0])
    assert words < sizes.text_layers < sizes.text_blocks


@pytest.mark.parametrize(
    ("card", "none", "int8"),
    [(24, "resident", "resident"), (16, "text-offload", "resident"),
     (12, "text-offload", "resident"), (8, "group-offload", "text-offload"),
     (6, "group-offload", "model-offload")],
)  # fmt: skip
def test_each_card_gets_the_fastest_offload_level_that_it_has_room_for(klein_4b, card, none, int8):
    for sizes, level in ((sizes_of(klein_4b), none), (sizes_of(klein_4b, "int8", "int8"), int8)):
        assert memory.make(sizes, card * GB, MEGAPIXEL, tokens=512).level == level


def test_every_offload_level_takes_less_than_the_one_above_it(klein_4b):
    needs = [memory.need(level, sizes_of(klein_4b), MEGAPIXEL, 512) for level in OFFLOAD_LEVELS]

    assert needs == sorted(needs, reverse=True)


def test_the_document_tells_the_figures_that_are_computed(klein_4b):
    text = DOCUMENT.read_text(encoding="utf-8")

    for words, kind, of_text in (
        ("klein, none", "none", "none"),
        ("klein, fp8 and int8", "fp8", "int8"),
        ("klein, 4bit", "4bit", "4bit"),
    ):
        sizes = sizes_of(klein_4b, kind, of_text)
        needs = [memory.need(level, sizes, MEGAPIXEL, 512) / 1e9 for level in OFFLOAD_LEVELS]
        assert f"| {words} | " + " | ".join(f"{need:.1f}" for need in needs) + " |" in text

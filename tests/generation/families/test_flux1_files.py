"""Transformers in files as people keep them, written here from the random model under names that
stand in this file, and drawn with beside the same model from its folder."""

import json
import shutil
from dataclasses import replace

import gguf
import numpy as np
import pytest
import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import load_file, save_file

from bot.assembly.doctor import transformer_findings
from bot.assembly.unfit_weights import unfit_model
from bot.config import Config
from generation.diffusion.engine import DiffusionEngine
from generation.diffusion.memory import all_bytes, read_sizes
from generation.diffusion.quantization import Precision
from generation.errors import ModelUnavailable
from generation.families.flux1 import Flux1
from generation.kinds import ControlLora
from tests.generation.engines import SmallDevice, alike, ignore, model, new_engine, pixels, same

#: Black Forest Labs' names, and what diffusers calls the parts of such a weight.
DOUBLE = {
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "img_attn.proj": ("attn.to_out.0",),
    "img_attn.norm.query_norm": ("attn.norm_q",),
    "img_attn.norm.key_norm": ("attn.norm_k",),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "txt_attn.proj": ("attn.to_add_out",),
    "txt_attn.norm.query_norm": ("attn.norm_added_q",),
    "txt_attn.norm.key_norm": ("attn.norm_added_k",),
    "img_mlp.0": ("ff.net.0.proj",),
    "img_mlp.2": ("ff.net.2",),
    "txt_mlp.0": ("ff_context.net.0.proj",),
    "txt_mlp.2": ("ff_context.net.2",),
    "img_mod.lin": ("norm1.linear",),
    "txt_mod.lin": ("norm1_context.linear",),
}
SINGLE = {
    "linear1": ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"),
    "linear2": ("proj_out",),
    "modulation.lin": ("norm.linear",),
    "norm.query_norm": ("attn.norm_q",),
    "norm.key_norm": ("attn.norm_k",),
}
OUTSIDE = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
    "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    "final_layer.linear": "proj_out",
}


@pytest.fixture(scope="module")
def weights(tiny):
    """The random transformer's weights under Black Forest Labs' names."""
    own = load_file(tiny / "flux" / "transformer" / "diffusion_pytorch_model.safetensors")
    names = {
        **{f"double_blocks.0.{bfl}": tuple(f"transformer_blocks.0.{name}" for name in names)
           for bfl, names in DOUBLE.items()},
        **{f"single_blocks.0.{bfl}": tuple(f"single_transformer_blocks.0.{name}" for name in names)
           for bfl, names in SINGLE.items()},
        **{bfl: (name,) for bfl, name in OUTSIDE.items()},
    }  # fmt: skip
    written = {}
    for bfl, parts in names.items():
        for kind in ("weight", "bias"):
            if f"{parts[0]}.{kind}" in own:
                end = "scale" if bfl.endswith("_norm") else kind
                written[f"{bfl}.{end}"] = torch.cat([own.pop(f"{part}.{kind}") for part in parts])
    for kind in ("weight", "bias"):
        scale, shift = own.pop(f"norm_out.linear.{kind}").chunk(2)
        written[f"final_layer.adaLN_modulation.1.{kind}"] = torch.cat([shift, scale])
    assert not own
    return written


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory):
    """The model without a transformer of its own: what is fetched beside a file."""
    folder = tmp_path_factory.mktemp("base") / "flux"
    shutil.copytree(tiny / "flux", folder)
    (folder / "transformer" / "diffusion_pytorch_model.safetensors").unlink()
    return folder


@pytest.fixture(scope="module")
def plain(tiny):
    engine = new_engine(tiny)
    engine.load()
    return engine


def with_transformer(folder, file, **options):
    engine = DiffusionEngine(
        str(folder), transformer=str(file), device="cpu", max_sequence_length=32, threads=1,
        **options,
    )  # fmt: skip
    engine.load()
    return engine


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_a_checkpoint_draws_as_the_folder_that_it_was_made_of(
    plain, folder, weights, fox, tmp_path, prefix
):
    """Text encoders and a VAE in it are left alone."""
    file = tmp_path / "fine-tune.safetensors"
    others = {"vae.decoder.conv_in.weight": torch.ones(2, 2, 1, 1),
              "text_encoders.clip_l.transformer.x.weight": torch.ones(2)}  # fmt: skip
    save_file({f"{prefix}{name}": each for name, each in weights.items()} | others, file)

    engine = with_transformer(folder, file)

    assert alike(engine.generate(fox, ignore), plain.generate(fox, ignore))


def rounded(weights, dtype):
    return {name: each.to(dtype) if each.ndim == 2 else each for name, each in weights.items()}


@pytest.mark.parametrize("scale", [None, "scale_weight", "weight_scale"])
def test_weights_in_fp8_are_those_numbers_times_their_scale(folder, weights, tmp_path, scale):
    fp8, factor = torch.float8_e4m3fn, 0.25
    small = {name: each / (factor if scale and each.ndim == 2 else 1)
             for name, each in weights.items()}  # fmt: skip
    small = rounded(small, fp8)
    beside = {"scaled_fp8": torch.ones(2).to(fp8)} if scale else {}
    for name in [name for name, each in small.items() if each.ndim == 2] if scale else []:
        layer = name.removesuffix(".weight")
        beside[f"{layer}.{scale}"] = torch.tensor(factor)
        beside[f"{layer}.{'scale_input' if scale == 'scale_weight' else 'input_scale'}"] = (
            torch.tensor(9.0)
        )
    file = tmp_path / "fp8.safetensors"
    save_file(small | beside, file)

    engine = with_transformer(folder, file)

    layer = model(engine).text_to_image.transformer.single_transformer_blocks[0].proj_out
    expected = small["single_blocks.0.linear2.weight"].float() * (factor if scale else 1)
    assert layer.weight.dtype == torch.float32
    assert torch.equal(layer.weight, expected)


def write_gguf(file, weights, kind, architecture="flux"):
    writer = gguf.GGUFWriter(file, architecture)
    for name, each in weights.items():
        numbers = each.numpy()
        if each.ndim == 2 and each.shape[1] % 32 == 0:
            packed = gguf.quantize(numbers, kind)
            writer.add_tensor(name, packed, raw_dtype=kind)
        else:
            writer.add_tensor(name, numbers)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def q8(weights, tmp_path_factory):
    file = tmp_path_factory.mktemp("gguf") / "flux-Q8_0.gguf"
    write_gguf(file, weights, gguf.GGMLQuantizationType.Q8_0)
    return file


def test_a_gguf_file_stays_packed_and_draws_nearly_the_same(plain, folder, q8, fox, lora):
    engine = with_transformer(folder, q8)

    result = engine.generate(fox, ignore)

    difference = np.abs(pixels(result).astype(int) - pixels(plain.generate(fox, ignore)))
    assert 0 < difference.mean() < 4
    transformer = model(engine).text_to_image.transformer
    layer = transformer.transformer_blocks[0].attn.to_k
    assert layer.weight.dtype == torch.uint8
    # What Control LoRAs widen, and all small layers, are plain numbers.
    assert transformer.x_embedder.weight.dtype == torch.float32
    styled = engine.generate(replace(fox, lora=str(lora)), ignore)
    expected = plain.generate(replace(fox, lora=str(lora)), ignore)
    assert np.abs(pixels(styled).astype(int) - pixels(expected)).mean() < 4
    assert not same(styled, result)


def test_a_control_lora_draws_over_a_packed_transformer(plain, folder, q8, canny, control_lora):
    kind = ControlLora(control_lora=str(control_lora), preprocessor="canny")

    result = with_transformer(folder, q8).generate(replace(canny, kind=kind), ignore)

    expected = plain.generate(replace(canny, kind=kind), ignore)
    assert 0 < np.abs(pixels(result).astype(int) - pixels(expected)).mean() < 4


def test_the_plan_counts_what_is_really_there(tiny, folder, weights, q8, tmp_path):
    file = tmp_path / "fp8.safetensors"
    save_file(rounded(weights, torch.float8_e4m3fn), file)
    precision = Precision(torch.float32, torch.float32)
    whole = Flux1.read_sizes(tiny / "flux", precision)

    of_file, of_gguf = (Flux1.read_sizes(folder, precision, each) for each in (file, q8))

    assert whole == read_sizes(tiny / "flux", 4)
    assert of_file == whole, "it is computed with in 32 bits"
    loaded = with_transformer(folder, q8).loaded[str(folder)]
    assert all_bytes(of_gguf) == pytest.approx(loaded, rel=0.03)
    assert of_gguf.block < whole.block / 3


def test_a_text_encoder_that_is_packed_already_counts_as_it_is(tiny, tmp_path):
    folder = tmp_path / "flux"
    shutil.copytree(tiny / "flux", folder)
    config = folder / "text_encoder_2" / "config.json"
    packed = {"quantization_config": {"quant_method": "bitsandbytes"}}
    config.write_text(json.dumps(json.loads(config.read_text()) | packed))

    halves = Precision(torch.bfloat16, torch.bfloat16)
    plain, counted = (Flux1.read_sizes(each, halves) for each in (tiny / "flux", folder))

    t5 = sum(each.nbytes for each in load_file(config.with_name("model.safetensors")).values())
    assert counted.text_encoders - plain.text_encoders == t5 // 2, "the file has 32 bits"
    with pytest.raises(ModelUnavailable, match=r"set model\.text_encoder_quantization to"):
        DiffusionEngine(str(folder), device="cpu", text_quantized="int8").load()


def test_quantizing_what_is_packed_is_refused_at_load_and_in_check(folder, q8):
    with pytest.raises(ModelUnavailable, match=r"packed .* already \(GGUF Q8_0\): set model"):
        with_transformer(folder, q8, quantized="int8")

    setting = {"repository": str(folder), "transformer": str(q8), "quantization": "int8"}
    assert "(GGUF Q8_0): set model.quantization" in unfit_model(Config(model=setting))
    assert unfit_model(Config(model={**setting, "quantization": "none"})) is None


def test_a_folder_or_a_repository_of_diffusers_may_give_the_transformer(
    plain, tiny, folder, fox, tmp_path
):
    for found in (tiny / "flux", tiny / "flux" / "transformer"):
        engine = with_transformer(folder, found)
        assert alike(engine.generate(fox, ignore), plain.generate(fox, ignore))


def changed(weights, name):
    if name == "without":
        return {
            key: each for key, each in weights.items() if not key.startswith("single_blocks.0.l")
        }
    if name == "nf4":
        return {**weights, "img_in.weight.quant_state.bitsandbytes__nf4": torch.ones(2)}
    if name == "more":
        return {**weights, "redux_up.weight": torch.ones(2, 2)}
    if name == "fill":
        return {**weights, "img_in.weight": torch.ones(32, 384)}
    if name == "t5":
        return {**weights, "txt_in.weight": torch.ones(32, 48)}
    assert name == "sdxl"
    return {"model.diffusion_model.input_blocks.0.0.weight": torch.ones(2, 2)}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("without", "is no whole transformer of FLUX.1: 10 of its"),
        ("nf4", "is in bitsandbytes' 4 bits, which is not read from single files"),
        ("more", "1 of its 53 tensors have no place in FLUX.1's transformer (redux_up.weight)"),
        ("fill", "is a whole model for filling: name it as fill of a preset"),
        ("t5", "its joint_attention_dim is 48, and they give 32"),
        ("sdxl", "it is made for Stable Diffusion 1.5, 2 or XL; name another file"),
    ],
)
def test_a_file_of_the_wrong_kind_is_refused_at_load_and_in_check(
    folder, weights, tmp_path, name, sentence
):
    file = tmp_path / "odd.safetensors"
    save_file(changed(weights, name), file)

    with pytest.raises(ModelUnavailable) as raised:
        with_transformer(folder, file)

    assert sentence in str(raised.value)
    assert "odd.safetensors" in str(raised.value)
    found = unfit_model(Config(model={"repository": str(folder), "transformer": str(file)}))
    assert name == "without" or found == str(raised.value)


def test_a_gguf_file_of_another_architecture_and_a_pickle_are_refused(folder, weights, tmp_path):
    write_gguf(tmp_path / "sd3.gguf", {}, None, "sd3")
    (tmp_path / "flux.ckpt").write_bytes(b"\x80")

    with pytest.raises(ModelUnavailable, match=r"sd3\.gguf is made for sd3, and not for FLUX"):
        with_transformer(folder, tmp_path / "sd3.gguf")
    with pytest.raises(ModelUnavailable, match=r"flux\.ckpt is neither a safetensors nor a GGUF"):
        with_transformer(folder, tmp_path / "flux.ckpt")
    with pytest.raises(ModelUnavailable, match=r"the file /no/such\.gguf does not exist"):
        with_transformer(folder, "/no/such.gguf")
    (tmp_path / "half.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelUnavailable, match=r"half\.gguf cannot be loaded"):
        with_transformer(folder, tmp_path / "half.gguf")
    half = {"repository": str(folder), "transformer": str(tmp_path / "half.gguf")}
    assert "half.gguf cannot be read: " in unfit_model(Config(model=half))
    (finding,) = transformer_findings(Config(model={"transformer": "/no/such.gguf"}))
    assert finding == ("model", False, "model.transformer: the file /no/such.gguf does not exist")


def test_a_repository_that_is_quantized_already_is_drawn_with(tiny, fox, tmp_path):
    from diffusers import TorchAoConfig
    from torchao.quantization import Int8WeightOnlyConfig

    packed = FluxTransformer2DModel.from_pretrained(
        tiny / "flux" / "transformer", local_files_only=True,
        quantization_config=TorchAoConfig(Int8WeightOnlyConfig()),
    )  # fmt: skip
    folder = tmp_path / "flux"
    shutil.copytree(tiny / "flux", folder, ignore=shutil.ignore_patterns("transformer"))
    packed.save_pretrained(folder / "transformer")
    assert "quantization_config" in json.loads((folder / "transformer/config.json").read_text())

    engine = DiffusionEngine(str(folder), device="cpu", max_sequence_length=32, threads=1)
    engine.load()

    assert engine.generate(fox, ignore).image.size == (64, 64)
    sizes = Flux1.read_sizes(folder, Precision(torch.float32, torch.float32))
    assert sizes.transformer < read_sizes(tiny / "flux", 4).transformer / 2
    with pytest.raises(ModelUnavailable, match=r"already \(torchao\)"):
        DiffusionEngine(str(folder), device="cpu", quantized="int8").load()


@pytest.mark.parametrize("level", ["text-offload", "model-offload", "group-offload"])
def test_packed_weights_and_loras_rest_on_every_level(plain, folder, q8, fox, lora, level):
    """The unpacked numbers, and so the pixels, do not depend on where the blocks wait."""
    styled, device = replace(fox, lora=str(lora)), SmallDevice()
    resident = with_transformer(folder, q8)

    engine = with_transformer(folder, q8, offload_level=level, choose_device=lambda *asked: device)

    assert engine.current_offload_level == level
    for request in (fox, styled, fox):
        assert alike(engine.generate(request, ignore), resident.generate(request, ignore))

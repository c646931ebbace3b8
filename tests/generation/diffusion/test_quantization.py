"""Weights in fewer bits: which kind, what stays as it is, what is counted, and the refusals."""

import numpy as np
import pytest
import torch

from generation.diffusion import memory, quantization
from generation.diffusion.device import Device
from generation.diffusion.tensors import plain_tensors, rebuilt, stored_bytes
from generation.errors import ModelUnavailable
from generation.families.flux1 import KEPT, Flux1
from tests.generation.engines import ignore, model, new_engine, pixels

CPU = Device(torch.device("cpu"), torch.float32)
CARD = Device(torch.device("cuda", 0), torch.bfloat16)
WEIGHT_ONLY = ("fp8-weights", "int8", "4bit")


@pytest.fixture
def card(monkeypatch):
    """Lets a test say which card is in the machine, and which packages."""

    def card(capability, packages=("torchao", "bitsandbytes")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(
            quantization.importlib.util, "find_spec", lambda name: name in packages or None
        )

    return card


def test_nothing_is_asked_of_whoever_wants_all_bits():
    mps = Device(torch.device("mps"), torch.bfloat16)

    assert quantization.precision("none", "none", mps) == quantization.Precision(
        torch.bfloat16, torch.bfloat16
    )


@pytest.mark.parametrize(
    ("setting", "kind"),
    [("auto", "int8"), ("fp8", "fp8-weights"), ("int8", "int8"), ("4bit", "4bit")],
)
def test_a_cpu_has_the_weights_in_fewer_bits_and_computes_in_its_own(setting, kind):
    assert quantization.choose(setting, CPU) == kind


def test_apples_gpu_is_told_to_leave_it():
    mps = Device(torch.device("mps"), torch.bfloat16)

    with pytest.raises(ModelUnavailable, match='needs an NVIDIA GPU or a CPU; on mps set it to "n'):
        quantization.choose("fp8", mps)
    with pytest.raises(ModelUnavailable, match=r"model\.text_encoder_quantization is 'int8'"):
        quantization.choose_for_text("int8", mps)


@pytest.mark.parametrize(
    ("capability", "auto", "fp8"),
    [((9, 0), "fp8", "fp8"), ((8, 9), "fp8", "fp8"), ((8, 6), "4bit", "int8")],
)
def test_a_card_that_does_not_multiply_fp8_keeps_8_bits_all_the_same(card, capability, auto, fp8):
    card(capability)

    assert quantization.choose("auto", CARD) == auto
    assert quantization.choose("fp8", CARD) == fp8
    assert quantization.choose("int8", CARD) == "int8"


def test_fp8_is_multiplied_in_bfloat16_alone(card):
    card((9, 0))

    assert quantization.choose("fp8", Device(CARD.torch_device, torch.float16)) == "int8"


def test_text_encoders_are_spared_float16():
    turing = quantization.precision("none", "none", Device(CARD.torch_device, torch.float16))

    assert (turing.dtype, turing.text_dtype) == (torch.float16, torch.float32)


@pytest.mark.parametrize(("setting", "package"), [("fp8", "torchao"), ("4bit", "bitsandbytes")])
def test_what_has_to_be_installed_is_named(card, setting, package):
    card((9, 0), packages=())

    with pytest.raises(ModelUnavailable, match=f"needs {package}: pip install {package}"):
        quantization.choose(setting, CARD)


def small():
    torch.manual_seed(0)
    layers = [torch.nn.Linear(256, 256), torch.nn.GELU(), torch.nn.Linear(256, 64)]
    return torch.nn.Sequential(*layers).requires_grad_(False)


@pytest.mark.parametrize("kind", WEIGHT_ONLY)
def test_the_bytes_within_wrapped_weights_are_counted(kind):
    part = small()
    biases = 4 * (256 + 64)

    quantization.quantize(part, kind, torch.device("cpu"))

    planned = biases + quantization.BYTES[kind] * 256 * (256 + 64)
    assert planned <= stored_bytes([part]) < 1.06 * planned
    assert stored_bytes([part, part]) == stored_bytes([part]), "shared weights count once"


@pytest.mark.parametrize("kind", WEIGHT_ONLY)
def test_a_weight_of_any_kind_is_put_together_over_copies_of_its_tensors(kind):
    part, x = small(), torch.randn(3, 256)
    quantization.quantize(part, kind, torch.device("cpu"))
    before, old = part(x), part[0].weight

    part[0].weight = rebuilt(old, torch.clone)

    assert torch.equal(part(x), before)
    theirs = {tensor.data_ptr() for tensor in plain_tensors(old)}
    assert theirs.isdisjoint(tensor.data_ptr() for tensor in plain_tensors(part[0].weight))
    for tensor in plain_tensors(old):
        tensor.zero_()
    assert torch.equal(part(x), before)


@pytest.mark.parametrize("setting", ["fp8", "int8", "4bit"])
def test_a_quantized_model_draws_nearly_the_same_and_takes_what_was_planned(tiny, fox, setting):
    plain, engine = (
        new_engine(tiny),
        new_engine(tiny, quantized=setting, text_quantized=setting.replace("fp8", "int8")),
    )
    plain.load()
    engine.load()

    difference = np.abs(
        pixels(engine.generate(fox, ignore)).astype(int) - pixels(plain.generate(fox, ignore))
    )

    assert 0 < difference.mean() < 1
    pipe = model(engine).text_to_image
    precision = model(engine).options.precision
    sizes = Flux1.read_sizes(tiny / "flux", precision)
    # Layers are 32 wide here, so that scales of rows and tables of layers weigh.
    assert sizes.transformer <= stored_bytes([pipe.transformer]) < 1.2 * sizes.transformer
    texts = stored_bytes([pipe.text_encoder, pipe.text_encoder_2])
    assert sizes.text_encoders <= texts < 1.2 * sizes.text_encoders


def test_every_blocks_layers_are_quantized_and_the_small_ones_around_them_are_not(tiny):
    engine = new_engine(tiny, quantized="int8")
    engine.load()

    transformer = model(engine).text_to_image.transformer
    plain = {
        name.split(".")[0]
        for name, layer in transformer.named_modules()
        if isinstance(layer, torch.nn.Linear) and len(list(plain_tensors(layer.weight))) == 1
    }

    assert plain == set(KEPT)
    assert memory.is_quantized("single_transformer_blocks.0.proj_out", KEPT)

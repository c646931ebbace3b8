"""Requirements of fewer bits, and the sentence where they are not met."""

import pytest
import torch

from generation.diffusion import quantization
from generation.diffusion.device import Device
from generation.errors import ModelUnavailable

CPU = Device(torch.device("cpu"), torch.float32)
CARD = Device(torch.device("cuda", 0), torch.bfloat16)


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
    assert quantization.choose("none", CPU) == "none"
    assert quantization.config("none", torch.bfloat16) is None


@pytest.mark.parametrize("setting", ["auto", "fp8", "4bit"])
def test_a_machine_without_a_card_is_told_to_leave_it(setting):
    with pytest.raises(ModelUnavailable, match='needs an NVIDIA GPU; on cpu set it to "none"'):
        quantization.choose(setting, CPU)


@pytest.mark.parametrize(
    ("capability", "chosen"), [((9, 0), "fp8"), ((8, 9), "fp8"), ((8, 6), "4bit")]
)
def test_auto_takes_fp8_where_the_card_multiplies_it_and_4_bits_elsewhere(card, capability, chosen):
    card(capability)

    assert quantization.choose("auto", CARD) == chosen


def test_fp8_on_a_card_without_it_is_refused_with_the_way_out(card):
    card((8, 6))

    with pytest.raises(ModelUnavailable, match='set it to "4bit"'):
        quantization.choose("fp8", CARD)


@pytest.mark.parametrize(("setting", "package"), [("fp8", "torchao"), ("4bit", "bitsandbytes")])
def test_what_has_to_be_installed_is_named(card, setting, package):
    card((9, 0), packages=())

    with pytest.raises(ModelUnavailable, match=f"needs {package}: pip install {package}"):
        quantization.choose(setting, CARD)

"""Cards are counted and handed out without torch."""

import pytest

from generation.cards import alone_with, cards, has_card


@pytest.fixture
def devices(tmp_path):
    for name in ("nvidia0", "nvidia1", "nvidia-uvm", "nvidiactl", "null"):
        (tmp_path / name).touch()
    return tmp_path


def test_cards_are_counted_by_their_devices_or_by_what_may_be_seen(devices, tmp_path):
    assert cards({}, devices) == ("cuda:0", "cuda:1")
    assert cards({"CUDA_VISIBLE_DEVICES": "3"}, devices) == ("cuda:0",)
    assert cards({"CUDA_VISIBLE_DEVICES": ""}, devices) == ()
    assert cards({}, tmp_path / "nothing") == ()


@pytest.mark.parametrize("name", ["nvidia0", "nvidiactl", "kfd", "dxg"])
def test_a_card_of_any_maker_is_noticed(tmp_path, name):
    (tmp_path / "nvidia-uvm").touch()
    assert not has_card(tmp_path)
    (tmp_path / name).touch()
    assert has_card(tmp_path)


@pytest.mark.parametrize(
    ("device", "visible", "alone"),
    [
        ("cuda:1", None, ("cuda:0", {"CUDA_VISIBLE_DEVICES": "1"})),
        ("cuda:1", "4, GPU-7f", ("cuda:0", {"CUDA_VISIBLE_DEVICES": "GPU-7f"})),
        ("cuda:5", "4,7", ("cuda:0", {"CUDA_VISIBLE_DEVICES": "5"})),
        ("cuda", "4,7", ("cuda", {})),
        ("auto", None, ("auto", {})),
        ("cpu", None, ("cpu", {})),
    ],
)
def test_an_engine_sees_its_own_card_alone(device, visible, alone):
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}

    assert alone_with(device, environment) == alone

"""The CUDA cards of this machine, found and assigned without importing torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

#: What tells a process which cards it may see, by index or UUID; ROCm's builds of torch heed it
#: too (CUDA C++ Programming Guide, "CUDA Environment Variables").
VISIBLE = "CUDA_VISIBLE_DEVICES"
_NVIDIA = re.compile(r"nvidia\d+")
_OTHERS = ("nvidiactl", "kfd", "dxg")


def has_card(devices: Path = Path("/dev")) -> bool:
    """Whether this machine seems to have a card that torch calls "cuda"."""
    return bool(_found(devices)) or any((devices / each).exists() for each in _OTHERS)


def cards(environment: Mapping[str, str], devices: Path = Path("/dev")) -> tuple[str, ...]:
    """The NVIDIA cards that this process may use, as torch calls them: ``cuda:0``, ``cuda:1``.

    Empty where there is none, or where that cannot be told without torch (ROCm, WSL).
    """
    visible = environment.get(VISIBLE)
    count = len(_found(devices)) if visible is None else len(_names(visible))
    return tuple(f"cuda:{number}" for number in range(count))


def alone_with(device: str, environment: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The name of *device* in a process that sees no other card, and the variables that make it
    so. A device without a number stays as it is, and sees them all."""
    kind, _, number = device.partition(":")
    if kind != "cuda" or not number:
        return device, {}
    names = _names(environment.get(VISIBLE, ""))
    # One that is not there is left to torch, which says so.
    name = names[int(number)] if int(number) < len(names) else number
    return "cuda:0", {VISIBLE: name}


def _names(visible: str) -> list[str]:
    return [name for each in visible.split(",") if (name := each.strip())]


def _found(devices: Path) -> list[Path]:
    return [each for each in devices.glob("nvidia*") if _NVIDIA.fullmatch(each.name)]

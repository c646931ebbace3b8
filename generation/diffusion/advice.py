"""What would make a card faster, with figures: fewer bits, so that more of a model stays there."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from generation.diffusion.device import Device
from generation.diffusion.memory import OFFLOAD_LEVELS, Plan, in_gigabytes
from generation.diffusion.quantization import (
    PACKAGES,
    Precision,
    Quantization,
    TextQuantization,
    meaning,
    text_dtype,
)

#: Settings of the transformer and of the text encoder, the ones that change pictures least first.
CHOICES: tuple[tuple[Quantization, TextQuantization], ...] = (
    ("none", "int8"),
    ("fp8", "none"),
    ("fp8", "int8"),
    ("4bit", "none"),
    ("4bit", "4bit"),
)

#: Levels on which no weight travels while a picture is denoised.
AT_REST = ("resident", "text-offload")


def faster(
    plan: Plan, now: Precision, device: Device, plan_with: Callable[[Precision], Plan]
) -> str | None:
    """How fewer bits than *now* have more of the model stay on *device* than by *plan*; None where
    all of it stays, or nothing would.

    Args:
        plan_with: Makes the plan in other number formats.
    """
    if plan.free is None or device.torch_device.type != "cuda" or plan.level == "resident":
        return None
    for setting, text in CHOICES:
        if now.transformer != "none" and setting == "none":
            continue
        wanted = Precision(
            now.dtype, text_dtype(now.dtype), meaning(setting, device), meaning(text, device)
        )
        planned = plan_with(wanted)
        gains = OFFLOAD_LEVELS.index(planned.level) < OFFLOAD_LEVELS.index(plan.level)
        if gains and planned.level in AT_REST:
            return _sentence(setting, text, wanted, planned)
    return None


def _sentence(
    setting: Quantization, text: TextQuantization, wanted: Precision, planned: Plan
) -> str:
    words = {"quantization": setting, "text_encoder_quantization": text}
    settings = " and ".join(f'{key} = "{value}"' for key, value in words.items() if value != "none")
    what = "the model" if planned.level == "resident" else "the transformer"
    assert planned.free is not None
    of = f"{planned.needs[planned.level] / 1e9:.1f} of {in_gigabytes(planned.free)}, computed"
    missing = [
        package
        for package in dict.fromkeys(
            PACKAGES[kind] for kind in (wanted.transformer, wanted.text) if kind != "none"
        )
        if importlib.util.find_spec(package) is None
    ]
    install = f"; it takes pip install {' '.join(missing)}" if missing else ""
    return f"with {settings} {what} stays on the card ({of}), and pictures come faster{install}"

"""Other models on the same device, which make room for one that is wanted."""

from __future__ import annotations

from typing import Protocol

from generation.diffusion.memory import OffloadLevel, Plan

#: Levels on which a model fills the device with as many of its blocks as there is room for.
FILLING: tuple[OffloadLevel, ...] = ("group-offload", "sequential-offload")


class Others(Protocol):
    """The other models of an engine. Touched by the engine's thread."""

    @property
    def resting_bytes(self) -> int:
        """Bytes of the device that they take while nothing is drawn with them."""
        ...

    def close_one(self) -> bool:
        """Give back the memory of the one that was used longest ago; False where none has any."""
        ...


class Nobody:
    """No other models."""

    resting_bytes = 0

    def close_one(self) -> bool:
        return False


def has_room(plan: Plan, free: int | None, resting: int = 0, reserve: int = 0) -> bool:
    """Whether a model with this *plan* finds its room beside others.

    Args:
        free: Bytes of the device that nobody uses; None where it does not tell.
        resting: Bytes of it that the model itself takes already.
        reserve: Bytes that a picture takes beside weights, however many of these are there.
    """
    if free is None:
        return True
    return plan.level not in FILLING and max(plan.needs[plan.level] - resting, reserve) <= free

"""The processes that decode attached pictures, as the configuration wants them."""

from __future__ import annotations

from bot.sections import ControlImageSettings
from generation.cleaning import PictureLimits
from generation.decoders import Decoders, DecodingLimits


def decoders(settings: ControlImageSettings) -> Decoders:
    """The decoders of a bot. No process is started before one is needed."""
    return Decoders(
        settings.decoders,
        DecodingLimits(settings.seconds_to_decode, int(settings.megabytes_to_decode * 1e6)),
        PictureLimits(max_bytes=int(settings.max_megabytes * 1e6)),
    )

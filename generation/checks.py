"""Ranges, and the checks that say in a sentence what is wrong with a value."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

from generation.errors import InvalidRequest

#: FLUX packs 8x-downsampled latents into 2x2 patches. diffusers silently rounds
#: any other size down, so we refuse it instead.
SIZE_MULTIPLE = 16
MIN_SIZE, MAX_SIZE = 64, 2048
MAX_PROMPT_LENGTH = 2000
MAX_STEPS = 50
#: The largest tolerance of a step cache that means anything: all runs of guesses are the longest.
MAX_TOLERANCE = 2.0
MAX_SEED = 2**32 - 1
#: LoRAs that people may ask for at once, and the largest weight of one, above or below 0.
MAX_LORAS = 4
MAX_LORA_SCALE = 2


def is_blank(text: str) -> bool:
    """Whether nothing in *text* can be seen (spaces, zero-width and control characters)."""
    return all(
        character.isspace() or unicodedata.category(character) in ("Cf", "Cc")
        for character in unicodedata.normalize("NFKC", text)
    )


def check_text(field: str, text: object) -> None:
    """Raise InvalidRequest unless *text* is a string of at most 2000 encodable characters."""
    name = field.replace("_", " ")
    if not isinstance(text, str):
        raise InvalidRequest(f"the {name} must be text, not {shortened(text)}", field=field)
    if len(text) > MAX_PROMPT_LENGTH:
        raise InvalidRequest(
            f"the {name} has {len(text)} characters; at most {MAX_PROMPT_LENGTH} are allowed:"
            " shorten it",
            field=field,
        )
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidRequest(
            f"the {name} contains characters that are no text (NUL or half of a pair): remove them",
            field=field,
        )


def check_number(
    field: str, value: object, lowest: float, highest: float, *, whole: bool = False
) -> None:
    """Raise InvalidRequest unless *value* is a finite number in [*lowest*, *highest*]."""
    kinds = int if whole else (int, float)
    if (
        isinstance(value, bool)
        or not isinstance(value, kinds)
        or not lowest <= value <= highest  # nor is NaN
    ):
        number = "a whole number" if whole else "a number"
        is_endless = isinstance(value, int) and abs(value) >= 10**40  # too long to be written out
        shown = "one of more than 40 digits" if is_endless else shortened(value)
        raise InvalidRequest(
            f"{field} must be {number} between {lowest} and {highest}, not {shown}", field=field
        )


def public_name(weights: str) -> str:
    """What people are told of *weights*: an id on the Hub as it is, and of a path of the operator's
    machine its last part."""
    if weights.startswith(("/", "~", ".")):
        return PurePosixPath(weights).name
    windows = PureWindowsPath(weights)
    return windows.name if windows.drive or "\\" in weights else weights


def shortened(value: object) -> str:
    """*value* as a sentence shows it: in quotes if it is text, and not much of it."""
    try:
        shown = repr(value)
    except ValueError:  # Python writes out no whole number of more than 4300 digits
        return "something of too many digits"
    return shown if len(shown) <= 42 else shown[:40] + "…"


def check_size(field: str, pixels: object) -> None:
    """Raise InvalidRequest unless *pixels* is a multiple of 16 from 64 to 2048."""
    check_number(field, pixels, MIN_SIZE, MAX_SIZE, whole=True)
    assert isinstance(pixels, int)
    if pixels % SIZE_MULTIPLE:
        below = pixels - pixels % SIZE_MULTIPLE
        raise InvalidRequest(
            f"{field} must be a multiple of {SIZE_MULTIPLE}, not {pixels}:"
            f" try {below} or {below + SIZE_MULTIPLE}",
            field=field,
        )

"""Fields that the bodies of several requests have, and pictures in base64.

Types are strict: true, "7" and NaN are not numbers. Unknown names are refused, so that a
misspelt one is never silently without effect.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from adapters.web_chat import errors
from adapters.web_chat.errors import MISSING_PROMPT
from bot.commands.vocabulary import MAX_IMAGES
from generation.checks import (
    MAX_PROMPT_LENGTH,
    MAX_SEED,
    MAX_SIZE,
    MAX_STEPS,
    MIN_SIZE,
    SIZE_MULTIPLE,
    is_blank,
)
from generation.kinds import CONTROL_IMAGES, Numbers

DATA_URL = re.compile(r"data:[\w.+/-]*(;[\w=.+-]+)*,", re.IGNORECASE)
WHITESPACE = b" \t\r\n"
#: Characters that are decoded in one go, a multiple of four. Decoding keeps all other threads
#: waiting, and a large picture as a whole would do so for 50 ms.
BASE64_PIECE = 2**18


def decode_image(text: str, max_bytes: int, field: str) -> bytes:
    """The bytes of a picture in base64 or in a data URL.

    Raises:
        TooLarge: The picture has more than *max_bytes*; nothing was decoded.
        InvalidImage: *text* is neither base64 nor a data URL.
    """
    prefix = DATA_URL.match(text[:200])
    start = prefix.end() if prefix else 0
    if prefix and not prefix.group().lower().endswith(";base64,"):
        raise errors.data_url_is_no_base64(field)
    if not prefix and re.match(r"\s*(https?|file|ftp):", text[:20], re.IGNORECASE):
        raise errors.picture_is_an_address(field)
    try:
        payload = text[start:].encode("ascii")
    except UnicodeEncodeError:
        raise errors.picture_is_no_base64(field) from None
    if any(bytes([space]) in payload for space in WHITESPACE):
        payload = payload.translate(None, WHITESPACE)
    if len(payload) * 3 // 4 > max_bytes + 3:
        raise errors.picture_too_large(len(payload) * 3 // 4, max_bytes, field)
    if len(payload) % 4 or b"=" in payload[:-2]:
        raise errors.picture_is_no_base64(field)
    try:
        data = b"".join(
            base64.b64decode(payload[place : place + BASE64_PIECE], validate=True)
            for place in range(0, len(payload), BASE64_PIECE)
        )
    except binascii.Error:
        raise errors.picture_is_no_base64(field) from None
    if not data:
        raise errors.picture_is_empty(field)
    return data


def encode_image(data: bytes) -> str:
    """*data* in base64, made in pieces as `decode_image` reads it."""
    pieces = range(0, len(data), BASE64_PIECE // 4 * 3)
    return "".join(
        base64.b64encode(data[place : place + BASE64_PIECE // 4 * 3]).decode("ascii")
        for place in pieces
    )


def numbers(shares: float | list[float] | None) -> Numbers | None:
    """*shares* of a body as a command has them."""
    return tuple(shares) if isinstance(shares, list) else shares


def _not_blank(prompt: str) -> str:
    if is_blank(prompt):
        raise PydanticCustomError("blank_prompt", MISSING_PROMPT.replace("{", "{{"))
    return prompt


class Body(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


def _whole(value: object) -> object:
    """7.0 is the whole number 7, in JSON as in JSON Schema."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Prompt = Annotated[
    str, Field(min_length=1, max_length=MAX_PROMPT_LENGTH), AfterValidator(_not_blank)
]
_Whole = BeforeValidator(_whole)
# The limits stand before the validator: behind it pydantic describes them in words that are not
# JSON Schema's.
Steps = Annotated[int, Field(ge=1, le=MAX_STEPS), _Whole]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED), _Whole]
PictureNumber = Annotated[int, Field(ge=1, le=MAX_IMAGES), _Whole]
Pixels = Annotated[
    int,
    Field(ge=MIN_SIZE, le=MAX_SIZE, multiple_of=SIZE_MULTIPLE),
    _Whole,
    Field(description="Pixels, a multiple of 16; the preset's own where it is left out"),
]
#: A side of a picture that somebody has.
Side = Annotated[int, Field(ge=1, le=65_535), _Whole]
_Share = Annotated[float, Field(ge=0, le=1)]
#: One share, or one for each of several ControlNets.
Shares = _Share | Annotated[list[_Share], Field(min_length=1, max_length=len(CONTROL_IMAGES))]
CropX = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="Which part of an attached picture that is wider than the result is kept: 0 the"
        " left, 0.5 the middle, 1 the right",
    ),
]
CropY = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="Which part of one that is taller: 0 the top, 0.5 the middle, 1 the bottom",
    ),
]
ImageText = Annotated[
    str,
    Field(
        min_length=4,
        description="PNG, JPEG or WebP, in base64 or as a data URL; addresses are not followed",
        examples=["data:image/png;base64,iVBORw0KGgo…"],
        json_schema_extra={"contentEncoding": "base64"},
    ),
]
PresetName = Annotated[str, Field(min_length=1, max_length=64, examples=["canny"])]
WebhookUrl = Annotated[
    str,
    Field(
        min_length=10,
        max_length=2000,
        description="Is told of the job's end by a signed POST; see /api/me/webhook-secret",
        examples=["https://example.com/fluxbot"],
    ),
]

"""Bodies with pictures, as ``multipart/form-data``: ``image``, or ``image[]`` several times."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile

from adapters.web_chat import errors
from adapters.web_chat.forms import read_form
from adapters.web_chat.openai import refusals
from adapters.web_chat.sharing import Web

IMAGES = ("image", "image[]")
MASK = "mask"

Read = TypeVar("Read", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Form:
    """A form that was read: its texts by name, its pictures, and the mask that came with them."""

    values: dict[str, str]
    pictures: tuple[bytes, ...]
    mask: bytes | None = None

    def body(self, kind: type[Read]) -> Read:
        """The texts as a body of *kind*.

        Raises:
            RequestValidationError: They are none.
        """
        try:
            return kind.model_validate(self.values)
        except ValidationError as error:
            problems = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
            raise RequestValidationError(problems) from None

    @property
    def fingerprint(self) -> str:
        """A text that differs where the pictures do."""
        return ",".join(hashlib.sha256(each).hexdigest() for each in self.attached)

    @property
    def attached(self) -> tuple[bytes, ...]:
        """The pictures, and behind them the mask."""
        return self.pictures if self.mask is None else (*self.pictures, self.mask)


async def read(web: Web, request: Request) -> Form:
    """The form of *request*.

    Raises:
        HTTPException: It is no form, or one with too many or too large parts.
        InvalidRequest: It has no picture.
        TooLarge: A picture has more bytes than allowed.
    """
    form = await read_form(request, web.max_body_bytes)
    values: dict[str, str] = {}
    pictures: list[bytes] = []
    mask: bytes | None = None
    try:
        for name, part in form.multi_items():
            if isinstance(part, UploadFile):
                data = await part.read()
                if len(data) > web.max_image_bytes:
                    raise errors.picture_too_large(len(data), web.max_image_bytes, name)
                if name in IMAGES and data:
                    pictures.append(data)
                if name == MASK and data:
                    mask = data
            else:
                values[name] = part
    finally:
        await form.close()
    if not pictures:
        raise refusals.no_picture()
    return Form(values, tuple(pictures), mask)

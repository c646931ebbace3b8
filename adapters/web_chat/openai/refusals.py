"""Errors in OpenAI's envelope: ``{"error": {"message", "type", "param", "code"}}``.

Statuses are those that its clients turn into errors of their own: 400 for all that is wrong with a
request, 401, 403, 404, 429, and 500 and above for us. They ask again by themselves after 408, 409,
429 and 5xx; where that is useless, ``x-should-retry`` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.web_chat.envelopes import Envelope
from bot.refusals import NotFound
from generation.checks import shortened
from generation.errors import GenerationError, InvalidRequest

#: Their words for some of our codes.
CODES = {
    "not_signed_in": "invalid_api_key",
    "quota_exceeded": "insufficient_quota",
    "too_often": "rate_limit_exceeded",
    "too_many_jobs": "rate_limit_exceeded",
    "screened": "moderation_blocked",
    "internal": "server_error",
}
#: Their names of our fields.
PARAMETERS = {
    "images": "n",
    "width": "size",
    "height": "size",
    "preset": "model",
    "control_image": "image",
}
#: Codes of errors that the same request would meet again at once.
USELESS = frozenset({"quota_exceeded", GenerationError.code})


def translated(status: int, error: Mapping[str, Any]) -> Envelope:
    """OpenAI's envelope for *error*, ours."""
    code, parameter = error["code"], error["field"]
    parameter = PARAMETERS.get(parameter, parameter)
    headers = {"x-should-retry": "false"} if code in USELESS else {}
    if status in (409, 422) or code == "screened":
        status = 400
    code = CODES.get(code, code)
    if code == "not_found" and parameter == "model":
        code = "model_not_found"
    body = {
        "message": error["message"],
        "type": _type_of(status, code),
        "param": parameter,
        "code": code,
    }
    return Envelope(status, {"error": body}, headers)


def _type_of(status: int, code: str) -> str:
    if code == "insufficient_quota":
        return code
    if status == 429:
        return "rate_limit_error"
    if status == 403:
        return "permission_error"
    return "server_error" if status >= 500 else "invalid_request_error"


def no_such_model(model: str) -> NotFound:
    return NotFound(
        f"there is no model {shortened(model)}: GET /v1/models lists those that there are",
        field="model",
    )


def no_such_size(size: str) -> InvalidRequest:
    return InvalidRequest(
        f"size must be auto or WIDTHxHEIGHT in pixels, such as 1024x1024, not {shortened(size)}",
        field="size",
    )


def not_transparent() -> InvalidRequest:
    return InvalidRequest(
        "pictures with a transparent background are not drawn here: leave background out",
        field="background",
    )


def no_picture() -> InvalidRequest:
    return InvalidRequest(
        "there is no picture: send one as a file in the part image, as multipart/form-data",
        field="image",
    )


def no_mask(model: str) -> InvalidRequest:
    return InvalidRequest(
        f"{model} takes no mask, and would draw over the whole picture: leave the mask out",
        field="mask",
    )


def no_inverted_mask() -> InvalidRequest:
    return InvalidRequest(
        "masks are white where to draw here, and cannot be inverted: send the mask inverted, and"
        " leave inpainting_mask_invert out",
        field="inpainting_mask_invert",
    )


def nothing_redraws() -> InvalidRequest:
    return InvalidRequest(
        "no preset here draws over a picture: name a model that takes one; GET /v1/models lists"
        " all of them",
        field="model",
    )


def no_longer_linked() -> NotFound:
    return NotFound("this link has ended: ask for the picture again")

"""Every refusal in one shape: ``{"error": {"code", "message", "field"}}``.

``code`` is a stable word for machines, ``message`` a sentence for people, ``field``
the part of the request that is at fault, null where there is none.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from adapters.web_chat.languages import language_for
from bot.commands import OPTIONS
from bot.commands.words import printable
from bot.refusals import (
    Conflict,
    KeyReused,
    NotAccepting,
    NotAllowed,
    NotFound,
    QueueFull,
    QuotaExceeded,
    Refused,
    StorageTrouble,
    TooManyJobs,
    TooOften,
)
from generation.errors import (
    DecodingUnavailable,
    FluxbotError,
    GenerationError,
    InvalidImage,
    InvalidRequest,
)

STATUS_OF: dict[type[FluxbotError], int] = {
    InvalidRequest: 400,
    NotAllowed: 403,
    NotFound: 404,
    Conflict: 409,
    KeyReused: 422,
    QuotaExceeded: 429,
    TooManyJobs: 429,
    TooOften: 429,
    QueueFull: 503,
    NotAccepting: 503,
    StorageTrouble: 503,
    DecodingUnavailable: 503,
    # The request was sound and was given back its credits: asking again is right.
    GenerationError: 503,
    Refused: 403,
    FluxbotError: 400,
}

#: Seconds to suggest where the refusal itself knows none.
DEFAULT_RETRY_AFTER = 30

CODES = {
    400: "bad_request",
    401: "not_signed_in",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    422: "invalid_request",
    500: "internal",
}
NO_FORM = "the body is no form: send multipart/form-data, with each picture as a file"
MISSING_PROMPT = "there is no prompt: say what to draw, for example “a red circle”"
#: Paths that take a prompt.
PROMPTED = frozenset({"/api/generate", "/api/jobs"})
#: Values allowed, by pydantic's word for the error.
MUST_BE = {
    "less_than_equal": "at most {le}",
    "greater_than_equal": "at least {ge}",
    "multiple_of": "a multiple of {multiple_of}",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "string_type": "text",
    "string_unicode": "text in Unicode",
    "string_too_short": "at least {min_length} characters long",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "dict_type": "an object",
}
#: Members of a request, by the names that the chat's options or other programs have for them.
OTHER_NAMES = {
    **{
        name: option.field
        for option in OPTIONS
        for name in (option.name, *option.aliases)
        if len(option.fields) == 1 and name != option.field
    },
    **dict.fromkeys(("size", "ar", "aspect", "aspect-ratio", "aspect_ratio"), "width and height"),
    "num_images": "images",
    "num_images_per_prompt": "images",
    "n": "images",
    "cfg_scale": "guidance_scale",
    "image": "controlnet.image",
    "control_image": "controlnet.image",
    **{f"image_{number}": f"controlnet.image_{number}" for number in (2, 3, 4)},
    "mask_image": "controlnet.mask_image",
}
#: What pydantic calls a number, where there may be several instead.
ONE_NUMBER = "constrained-float"
#: Longest part of a sender's text that an answer repeats.
MAX_ECHO = 80


class TooLarge(FluxbotError):
    """The request has more bytes than allowed."""

    code = "too_large"


class MissingPrompt(InvalidRequest):
    """The request has no prompt."""

    def __init__(self) -> None:
        super().__init__(MISSING_PROMPT, field="prompt")


def status_of(error: FluxbotError) -> int:
    """The HTTP status for *error*."""
    if isinstance(error, TooLarge):
        return 413
    return next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)


def error_response(
    status: int,
    code: str,
    message: str,
    field: str | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    **more: object,
) -> Response:
    """The envelope as a response; *more* are further members of ``error``."""
    # Plain ASCII, because a field's name is the sender's and may hold half a surrogate
    # pair, which is no UTF-8.
    body = json.dumps({"error": {"code": code, "message": message, "field": field, **more}})
    return Response(body.encode("ascii"), status, headers, media_type="application/json")


def response_to(error: FluxbotError, sentence: str | None = None) -> Response:
    """The response for *error*, with *sentence* in the place of its own where given."""
    status = status_of(error)
    headers = {}
    if status in (429, 503):
        retry_in = getattr(error, "retry_in", None)
        seconds = DEFAULT_RETRY_AFTER if retry_in is None else max(1, math.ceil(retry_in))
        headers["Retry-After"] = str(seconds)
    # The page marks the wrong word of a typed message.
    more = {
        name: value
        for name in ("word", "position")
        if (value := getattr(error, name, None)) is not None
    }
    return error_response(
        status, error.code, sentence or str(error), error.field, headers=headers, **more
    )


def error_of(error: FluxbotError) -> tuple[int, dict[str, Any]]:
    """The HTTP status of *error*, and the ``error`` of its envelope."""
    told = {"code": error.code, "message": str(error), "field": error.field}
    return status_of(error), told


def not_signed_in(scheme: str = "Bearer") -> Response:
    """The response to a request that needs a token, by a *scheme* of HTTP, and has none."""
    return error_response(
        401,
        CODES[401],
        "sign in first: send the header Authorization: Bearer YOUR-TOKEN, or use the page",
        headers={"WWW-Authenticate": f'{scheme} realm="fluxbot"'},
    )


def guessed_too_often(wait: float) -> Response:
    """The response to any token for *wait* more seconds, after wrong ones from that address."""
    seconds = max(1, math.ceil(wait))
    return error_response(
        429,
        "too_many_wrong_tokens",
        f"too many wrong tokens came from your address: try again in {seconds} s",
        "token",
        headers={"Retry-After": str(seconds)},
    )


def unknown_token() -> Response:
    """The response to a bearer token that the operator has not given to anybody."""
    message = (
        "this token is not known, or its link has served already: ask the operator for yours, or"
        " for a new link"
    )
    headers = {"WWW-Authenticate": 'Bearer realm="fluxbot"'}
    return error_response(401, CODES[401], message, "token", headers=headers)


def half_a_size() -> InvalidRequest:
    return InvalidRequest(
        "image_width and image_height go together: give both, or neither", field="image_width"
    )


def presets_differ(preset: str, other: str) -> InvalidRequest:
    """The error of a body that names a *preset* and an *other* one beside its picture."""
    return InvalidRequest(
        f"preset ({preset}) and controlnet.preset ({other}) differ: name one", field="preset"
    )


def webhook_is_refused(fault: str) -> InvalidRequest:
    """The error of a ``webhook_url`` that is not called; *fault* is the rest of a sentence."""
    return InvalidRequest(f"webhook_url {fault}", field="webhook_url")


def comes_twice(name: str) -> InvalidRequest:
    """The error of a form that has two parts of one *name*."""
    return InvalidRequest(f"{name[:MAX_ECHO]} comes twice: send it once", field=name[:MAX_ECHO])


def data_url_is_no_base64(field: str) -> InvalidImage:
    return InvalidImage("the data URL must be in base64: data:image/png;base64,…", field=field)


def picture_is_an_address(field: str) -> InvalidImage:
    return InvalidImage(
        "the picture must be sent itself, in base64: addresses are not followed", field=field
    )


def picture_is_no_base64(field: str) -> InvalidImage:
    return InvalidImage("the picture is not valid base64: send it again", field=field)


def picture_is_empty(field: str) -> InvalidImage:
    return InvalidImage("the picture is empty: send it again", field=field)


def picture_too_large(size: int, max_bytes: int, field: str) -> TooLarge:
    """The error of a picture of about *size* bytes."""
    return TooLarge(
        f"the picture has about {size / 1e6:.1f} MB; at most {max_bytes / 1e6:g} MB are allowed:"
        " send a smaller one",
        field=field,
    )


def install(app: FastAPI) -> None:
    """Have *app* answer every error with the envelope."""

    @app.exception_handler(FluxbotError)
    async def refused(request: Request, error: FluxbotError) -> Response:
        return response_to(error, language_for(request.headers)(str(error)))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return response_to_invalid(error.errors(), request.url.path in PROMPTED)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        status = error.status_code
        if status == 404:
            message = f"there is nothing at {request.url.path[:MAX_ECHO]}"
        elif error.detail == "There was an error parsing the body":  # FastAPI's, of no UTF-8
            message = "the body cannot be read: send JSON in UTF-8"
        elif status == 405:
            allowed = (error.headers or {}).get("Allow", "")
            message = f"{request.url.path[:MAX_ECHO]} takes {allowed}, not {request.method}"
        else:
            message = error.detail or HTTPStatus(status).phrase
        return error_response(status, CODES.get(status, "error"), message, headers=error.headers)

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> Response:
        # Starlette raises the error again once this is sent, and `Gate` logs it.
        return error_response(
            500, CODES[500], "something went wrong on our side; the bot's log has the details"
        )


def response_to_invalid(problems: Sequence[Any], is_prompted: bool) -> Response:
    """The response to a malformed body or parameter: 422, but 400 for a missing prompt.

    *is_prompted* tells that the route takes a prompt, which a missing body lacks too.
    """
    for problem in problems:
        nothing = problem["type"] == "missing" or problem["input"] is None
        is_blank = problem["type"] in ("blank_prompt", "string_too_short")
        if problem["loc"] == ("body", "prompt") and (nothing or is_blank):
            return response_to(MissingPrompt())
        if problem["loc"] == ("body",) and nothing and is_prompted:
            return response_to(MissingPrompt())
    problem = problems[0]
    if problem["loc"][-1] == ONE_NUMBER and isinstance(problem["input"], list):
        problem = problems[1]  # that of a list
    kind, location = problem["type"], problem["loc"]
    if kind == "json_invalid":
        return error_response(400, "invalid_json", f"the body is not JSON: {_detail(problem)}")
    if location == ("body",):
        if problem["input"] is None or problem["input"] == b"":
            return error_response(422, CODES[422], "the body is missing: send JSON")
        if isinstance(problem["input"], bytes):
            message = "the body is not declared as JSON: send Content-Type: application/json"
            return error_response(422, CODES[422], message)
    field = field_of(location[1:])
    return error_response(422, CODES[422], sentence_about(problem, field), field or None)


def field_of(location: Sequence[str | int]) -> str:
    """The name of the member at *location*."""
    branches = (ONE_NUMBER, f"list[{ONE_NUMBER}]")
    return ".".join(str(part) for part in location if part not in branches)[:MAX_ECHO]


def sentence_about(problem: Mapping[str, Any], field: str) -> str:
    """A sentence about *field*, with which pydantic has a *problem*: the values allowed, and the
    one given."""
    kind, value, name = problem["type"], problem["input"], field or "the body"
    limits = {
        name: int(limit) if isinstance(limit, float) and limit.is_integer() else limit
        for name, limit in problem.get("ctx", {}).items()
    }
    if kind == "extra_forbidden":
        way_out = _meant(name.rpartition(".")[2])
        return f"{name} is not understood: {way_out or 'leave it out, or see /openapi.json'}"
    if kind == "missing":
        return f"{name} is missing"
    if kind == "string_too_long":
        most = limits["max_length"]
        return f"{name} has {len(value)} characters; at most {most} are allowed: shorten it"
    if must := MUST_BE.get(kind):
        return f"{name} must be {must.format(**limits)}, not {_echo(value)}"
    reason = problem["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"{name} must be {reason}" if reason != problem["msg"] else f"{name}: {reason}"


def _echo(value: object) -> str:
    """A sender's value, short and recognisable."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return printable(value if isinstance(value, str) else json.dumps(value))


def _meant(name: str) -> str:
    """A hint at the member that was probably meant by *name*; empty where none is near."""
    if known := OTHER_NAMES.get(name.lower()):
        return f"did you mean {known}?"
    members = {field for option in OPTIONS for field in option.fields} | {"prompt", "controlnet"}
    near = difflib.get_close_matches(name[:60], members, 1)
    return f"did you mean {near[0]}?" if near else ""


def _detail(problem: Mapping[str, Any]) -> str:
    detail: str = problem.get("ctx", {}).get("error", problem["msg"])
    position = problem["loc"][-1]
    return f"{detail} at character {position}" if isinstance(position, int) else detail


def body_too_large(limit: int) -> str:
    """The sentence for a body of more than *limit* bytes."""
    if limit < 10_000:
        return f"the request is larger than the {limit / 1000:g} kB allowed"
    return (
        f"the request is larger than the {limit / 1e6:.1f} MB allowed, in which a picture takes a"
        " third more than its file: send smaller ones, or fewer"
    )

"""Bodies as forms: ``multipart/form-data`` beside JSON, with pictures as files.

A form is read into the same body that JSON would have given, so that there is one way in. Its
members have the names of the body's own; where the body has a ``controlnet``, the form has the
files ``image``, ``image_2`` and so on, and ``mask_image``, and its ``preset`` is the one for these.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, ClassVar

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response

from adapters.web_chat import errors
from adapters.web_chat.bodies import BodyRoute
from adapters.web_chat.schemas import NextPictures
from adapters.web_chat.sharing import Web

FORM = "multipart/form-data"
MAX_PARTS = 40
#: Members of ``controlnet`` that are members of the form itself.
INSIDE = ("image", *NextPictures.model_fields, "mask_image")
#: Bytes of a part that is no file: the longest prompt, in the longest characters.
MAX_TEXT = 64 * 1024

Schema = dict[str, Any]


class FormRoute(BodyRoute):
    """A route that takes a form where its body has a picture; the ``route_class`` of a router."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        handle_form = APIRoute.get_route_handler(self)
        schema = self.form_schema()

        async def handler(request: Request) -> Response:
            kind = request.headers.get("content-type", "").partition(";")[0]
            if schema is None or kind.strip().lower() != FORM:
                return await handle(request)
            values = await _values(request, schema)
            return await handle_form(_ReadForm.of(request, values))

        return handler

    def form_schema(self) -> Schema | None:
        """The JSON Schema of its form; None where it takes none."""
        field = self.body_field
        model = field.field_info.annotation if field is not None else None
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return None
        told = model.model_json_schema()
        members = {name: _plain(each) for name, each in told["properties"].items()}
        if "controlnet" in members:
            inside = told["$defs"]["ControlNetBody"]["properties"]
            members |= {name: _plain(inside[name]) for name in INSIDE}
        pictures = {name for name, each in members.items() if _is_picture(each)}
        if not pictures:
            return None
        for name in pictures:
            members[name] = {
                "type": "string",
                "format": "binary",
                "description": "A PNG, JPEG or WebP",
            }
        return {
            "type": "object",
            "title": f"{model.__name__}Form",
            "properties": {name: each for name, each in members.items() if "type" in each},
            "required": list(told.get("required", ())),
            "additionalProperties": False,
        }


class _ReadForm(Request):
    """A request whose form was read, as one with JSON."""

    CONTENT_TYPE: ClassVar = (b"content-type", b"application/json")

    _values: Mapping[str, Any]

    @classmethod
    def of(cls, request: Request, values: Mapping[str, Any]) -> _ReadForm:
        headers = [each for each in request.scope["headers"] if each[0] != b"content-type"]
        read = cls({**request.scope, "headers": [*headers, cls.CONTENT_TYPE]}, request.receive)
        read._values = values
        return read

    async def body(self) -> bytes:
        return FORM.encode()  # of which FastAPI asks only whether there is any

    async def json(self) -> Any:
        return self._values


async def _values(request: Request, schema: Schema) -> Mapping[str, Any]:
    """The form of *request* as the body that JSON would have given.

    Raises:
        HTTPException: It is no form, or one with too many or too large parts.
        InvalidRequest: A part comes twice.
    """
    web: Web = request.app.state.web
    members: Mapping[str, Schema] = schema["properties"]
    form = await read_form(request, web.max_body_bytes)
    try:
        values: dict[str, Any] = {}
        for name, part in form.multi_items():
            if name in values:
                raise errors.comes_twice(name)
            value = await _value(web, part, members.get(name, {}))
            if value is not None:
                values[name] = value
    finally:
        await form.close()
    if "image" in values and "prompt" in members and "text" not in members:
        return _with_controlnet(values, request.url.path)
    return values


def _with_controlnet(values: dict[str, Any], path: str) -> dict[str, Any]:
    """*values* with picture and preset inside of ``controlnet``, where the body has it so."""
    if path not in errors.PROMPTED:
        return values
    control = {name: values.pop(name) for name in (*INSIDE, "preset") if name in values}
    return {**values, "controlnet": control}


async def read_form(request: Request, max_bytes: int) -> FormData:
    """The parts of the form that *request* has in its body of at most *max_bytes*, in memory.

    Raises:
        HTTPException: It is no form, or one with too many or too large parts.
    """
    kind = request.headers.get("content-type", "").partition(";")[0]
    if kind.strip().lower() != FORM:
        raise HTTPException(400, errors.NO_FORM)
    parser = MultiPartParser(
        request.headers,
        request.stream(),
        max_files=MAX_PARTS,
        max_fields=MAX_PARTS,
        max_part_size=MAX_TEXT,
    )
    # In memory, as any other body: nothing of a stranger's is written before it was looked at.
    parser.spool_max_size = max_bytes + 1
    try:
        return await parser.parse()
    except MultiPartException as error:
        raise HTTPException(400, error.message) from None


async def _value(web: Web, part: UploadFile | str, schema: Schema) -> Any:
    """The value of one part; None for an empty one, which forms send for what is left out."""
    if schema.get("format") == "binary":
        return await web.base64(await part.read()) if isinstance(part, UploadFile) else part
    text = (await part.read()).decode("utf-8", "replace") if isinstance(part, UploadFile) else part
    if schema.get("type") in ("string", None):
        return text if text or "minLength" in schema else None
    if not text.strip():
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text  # which the body's own check words
    return value if isinstance(value, int | float | list) else text


def _plain(schema: Schema) -> Schema:
    """*schema*, of a member that may be left out, without its null; of one number or several, that
    of one."""
    others = [each for each in schema.get("anyOf", ()) if each.get("type") not in ("null", "array")]
    if len(others) != 1:
        return schema
    more = {key: each for key, each in schema.items() if key not in ("anyOf", "default")}
    return {**others[0], **more}


def _is_picture(schema: Schema) -> bool:
    return schema.get("contentEncoding") == "base64"

"""Parts shared by all routes: the service, the source, and the description of errors."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi import Path as PathParameter

from adapters.web_chat.events import EventStream, Streams
from adapters.web_chat.fields import decode_image, encode_image
from adapters.web_chat.guesses import Guesses
from adapters.web_chat.languages import language_for
from adapters.web_chat.links import Links
from adapters.web_chat.providers import providers
from adapters.web_chat.repeats import Repeats
from adapters.web_chat.security import Tokens
from adapters.web_chat.views import ErrorView
from adapters.web_chat.ways import Ways
from bot.config import Config, Secrets
from bot.jobs import Job
from bot.presets import most_pictures
from bot.service import Service
from bot.source import Source
from bot.threads import Thread

#: Base64 makes four bytes of three; the rest of the JSON is small.
BODY_OVERHEAD = 64 * 1024
#: Pictures larger than this are decoded on a thread, so that nobody else waits for them.
DECODED_HERE = 256 * 1024


class Web:
    """The state that routes share.

    Attributes:
        stopping: Set when the server ends, so that open streams end with it.
    """

    def __init__(self, service: Service, config: Config, secrets: Secrets) -> None:
        self.service = service
        self.config = config
        has_links = service.invitations.are_possible
        self.tokens = Tokens(secrets.web_tokens, has_links=has_links)
        self.providers, self.ways = providers(config, secrets, service), Ways()
        self.guesses = Guesses()
        self.streams = Streams(config.web.max_streams_per_person)
        self.stopping = asyncio.Event()
        self.links = Links()
        #: Models that people have chosen by the web UI's API.
        self.checkpoints: dict[str, str] = {}
        self.repeats = Repeats(service, self.stopping)
        self.max_image_bytes = int(config.control_images.max_megabytes * 1e6)
        self._decoding = Thread("base64")

    @property
    def max_body_bytes(self) -> int:
        """Bytes of a body with as many pictures as any of the presets on offer takes."""
        return self.body_bytes(most_pictures(self.service.presets.values()))

    def body_bytes(self, pictures: int) -> int:
        """Bytes of a body with so many *pictures* of the largest size, in base64."""
        return pictures * self.max_image_bytes * 4 // 3 + BODY_OVERHEAD

    async def image(self, text: str, field: str) -> bytes:
        """The bytes of an attached picture; see `decode_image`."""
        if len(text) <= DECODED_HERE:
            return decode_image(text, self.max_image_bytes, field)
        # One at a time, and not on the threads that read files for everybody.
        return await self._decoding.call(partial(decode_image, text, self.max_image_bytes, field))

    async def base64(self, data: bytes) -> str:
        """The file *data* as `image` takes it."""
        return await self._decoding.call(partial(encode_image, data))

    def stream(self, request: Request, source: Source, jobs: Sequence[Job]) -> EventStream:
        """The stream of *jobs* for the person who asks; it ends with their session."""
        session = request.state.session
        return EventStream(
            jobs,
            self.stopping,
            places=self.streams.of(source.user),
            is_allowed=lambda: session is None or self.service.sessions.user(session) is not None,
            say=source.language,
        )


def _web(request: Request) -> Web:
    web: Web = request.app.state.web
    return web


def _source(request: Request) -> Source:
    user: str = request.state.user
    return Source(user, name=user.partition(":")[2], language=language_for(request.headers))


TheWeb = Annotated[Web, Depends(_web)]
Asker = Annotated[Source, Depends(_source)]
JobId = Annotated[
    str, PathParameter(max_length=64, description="Id of a job", examples=["k7m2p9xd"])
]

ERRORS: dict[int, str] = {
    400: "The request cannot succeed as written, or the Host header names another host",
    401: "A bearer token is needed",
    403: "Not from a foreign site, and not for this person",
    404: "Not found, or somebody else's",
    405: "The path takes other methods",
    409: "The job is past the point where that is possible",
    413: "The body or the picture is too large",
    422: "The body or a parameter has the wrong type or is out of range",
    429: "Too many wrong tokens or open streams; or the quota or the number of waiting jobs is"
    " used up, or this was asked for too often; Retry-After says when to ask again",
    500: "A fault in the bot",
    503: "Not now: the queue is full, the bot is paused, the disk is full or the model failed;"
    " nothing was charged, or it was given back",
}
RETRY_AFTER = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}}
AUTHENTICATE = {"WWW-Authenticate": {"description": "Bearer", "schema": {"type": "string"}}}

EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events: queued, step, held, then one of done, failed,"
        " cancelled",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


#: Describes routes that answer with a picture.
AS_ACCEPTED = (
    "As it is stored, a PNG; as JPEG or WebP where `Accept` likes that better. All carry the same"
    " marks of how they were made."
)


def responses(*statuses: int, model: Any = ErrorView) -> dict[int | str, dict[str, Any]]:
    """The error responses of a route, for OpenAPI."""
    answers: dict[int | str, dict[str, Any]] = {}
    for status in sorted({400, 401, 403, 413, 422, 500, *statuses}):
        answers[status] = {"model": model, "description": ERRORS[status]}
        if status in (429, 503):
            answers[status]["headers"] = RETRY_AFTER
        if status == 401:
            answers[status]["headers"] = AUTHENTICATE
    return answers


def file(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """The response of a route that answers with a file, for OpenAPI."""
    schema = {"type": "string", "format": "binary"}
    content = {media_type: {"schema": schema} for media_type in media_types}
    return {200: {"description": "The file", "content": content}}

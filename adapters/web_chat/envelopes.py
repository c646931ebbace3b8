"""The envelopes of errors, by path: what other people's clients read in the place of ours.

Whoever refuses a request, the gate, a route or the framework, does so in the envelope of
`adapters.web_chat.errors`. On its way out it is written anew for those who speak another protocol.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapters.web_chat.security import is_below


@dataclass(frozen=True, slots=True)
class Envelope:
    """An error as a client reads it: status, body, and headers beside those that it had."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


#: The envelope for a status and for the ``error`` of ours.
Translation = Callable[[int, Mapping[str, Any]], Envelope]


class Envelopes:
    """ASGI middleware that gives errors the envelope of their path.

    Args:
        translations: One for each path at which another protocol begins.
    """

    def __init__(self, app: ASGIApp, translations: Mapping[str, Translation]) -> None:
        self._app = app
        self._translations = translations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for path, translation in self._translations.items():
                if is_below(scope["path"], path):
                    send = _Translated(send, translation)
                    break
        await self._app(scope, receive, send)


class _Translated:
    """``send`` that holds an error back until it is known whole."""

    def __init__(self, send: Send, translation: Translation) -> None:
        self._send = send
        self._translation = translation
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            self._start = message
            return
        if self._start is None:
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if not message.get("more_body", False):
            await self._send_error(self._start)

    async def _send_error(self, start: Message) -> None:
        body, status, headers = self._body, start["status"], list(start.get("headers", ()))
        try:
            envelope = self._translation(status, json.loads(body)["error"])
        except (ValueError, LookupError, TypeError):
            pass  # no envelope of ours, such as the answer to a HEAD
        else:
            status = envelope.status
            body = json.dumps(envelope.body).encode("ascii")
            headers = [each for each in headers if each[0].lower() != b"content-length"]
            headers.append((b"content-length", str(len(body)).encode()))
            headers += [(name.encode(), value.encode()) for name, value in envelope.headers.items()]
        await self._send({**start, "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

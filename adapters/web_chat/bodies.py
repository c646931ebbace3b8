"""Reading of large bodies: pictures in JSON, which must not hold up others."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine, MutableMapping
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Message, Receive

from adapters.web_chat.errors import body_too_large

#: Bytes from which on a body is large: Python's own parser takes long enough to be noticed.
LARGE = 64 * 1024
#: Large bodies of one person that are read at once; the others stay unread in their connections.
READ_AT_ONCE = 2


class Reading:
    """Turns at reading large bodies: a few at once for each person."""

    def __init__(self) -> None:
        self._reading: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def begin(self, user: str) -> None:
        """Wait for a turn of *user*."""
        if self._reading[user] < READ_AT_ONCE:
            self._reading[user] += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.end(user)
            raise

    def end(self, user: str) -> None:
        """Give a turn of *user* to the next of theirs who still waits."""
        waiting = self._waiting.get(user, deque())
        while waiting:
            if not (turn := waiting.popleft()).done():
                turn.set_result(None)
                return
        self._waiting.pop(user, None)
        self._reading[user] -= 1
        if not self._reading[user]:
            del self._reading[user]


class Body:
    """The ``receive`` of a request of *user*, which counts, and answers 413 to a body of more than
    *limit* bytes."""

    def __init__(self, receive: Receive, limit: int, reading: Reading, user: str) -> None:
        self._receive = receive
        self._limit = limit
        self._reading = reading
        self._user = user
        self._received = 0
        self._is_complete = self._has_turn = False

    async def receive(self) -> MutableMapping[str, Any]:
        if self._received > LARGE and not self._is_complete and not self._has_turn:
            await self._reading.begin(self._user)
            self._has_turn = True
        message = await self._next()
        if message["type"] == "http.request" and self._received > self._limit:
            await self.discard()
            # This type and no other passes through FastAPI's reading of the body.
            raise HTTPException(413, self.too_large, {"Connection": "close"})
        return message

    async def discard(self) -> None:
        """Read on and forget, up to a bound: most clients listen only after they have
        sent everything, and would see a broken connection instead of the answer."""
        while not self._is_complete and self._received <= 4 * self._limit:
            await self._next()

    def give_turn_back(self) -> None:
        """End the turn at reading, where the body had one and is complete or given up."""
        if self._has_turn:
            self._has_turn = False
            self._reading.end(self._user)

    @property
    def too_large(self) -> str:
        """A sentence for a body that is."""
        return body_too_large(self._limit)

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            self._is_complete = not message.get("more_body", False)
        else:
            self._is_complete = True
        if self._is_complete:
            self.give_turn_back()
        return message


class _Request(Request):
    async def json(self) -> Any:
        """The body, read as JSON.

        Of a picture of 10 MB Python's parser makes 26 ms in which the event loop stands still,
        this one 2 ms. What it does not take is left to Python's, whose errors FastAPI knows.
        """
        body = await self.body()
        if len(body) >= LARGE:
            try:
                return from_json(body)
            except ValueError:
                pass
        return await super().json()


class BodyRoute(APIRoute):
    """A route that reads large bodies quickly; the ``route_class`` of an `APIRouter`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            return await handle(_Request(request.scope, request.receive))

        return handler

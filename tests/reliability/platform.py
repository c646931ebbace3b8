"""A chat platform on loopback: events until they are answered, messages once for each nonce.

It speaks one JSON object for each HTTP request, and loses one answer in ten after it has
done what was asked, as real platforms do.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from typing import Any

#: Seconds after which an event that nobody has answered is handed out again.
REDELIVER_AFTER = 0.15
#: Longest time that a question for events waits for some.
PATIENCE = 0.5


@dataclass
class Event:
    """Something that a person has written."""

    id: str
    user: str
    text: str
    image: str | None = None  # hexadecimal
    deliveries: int = 0
    due: float = 0.0


@dataclass
class Platform:
    """A platform that remembers: messages of people, answers to them, and deliveries.

    Attributes:
        told: What each event was answered with: a job's id, or None where it made none.
        messages: Every message that was posted, with its event.
        heard: Requests of the bot.
        changed_at: When somebody was last told something, or got a message (monotonic).
    """

    dice: random.Random
    losses: float = 0.1
    events: dict[str, Event] = field(default_factory=dict)
    told: dict[str, str | None] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)
    duplicates_refused: int = 0
    answers_lost: int = 0
    heard: int = 0
    changed_at: float = 0.0

    async def start(self) -> int:
        """Listen; returns the port."""
        self._nonces: dict[str, int] = {}
        self._is_closing = False
        self._conversations: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        self._server.close()
        self._is_closing = True
        await asyncio.gather(*self._conversations)

    def write(self, event: Event) -> None:
        """Have a person write something."""
        self.events[event.id] = event

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._conversations.add(task)
        task.add_done_callback(self._conversations.discard)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode().lstrip("/")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            body = json.loads(await reader.readexactly(length))
            self.heard += 1
            answer = await getattr(self, f"_{path}")(body)
            if path != "events" and self.dice.random() < self.losses:
                self.answers_lost += 1
                return
            text = json.dumps(answer).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # whoever asked was killed
        finally:
            writer.close()

    async def _events(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and not self._is_closing:
            now = time.monotonic()
            due = [
                event
                for event in self.events.values()
                if event.id not in self.told and event.due <= now
            ]
            if due:
                for event in due:
                    event.due = now + REDELIVER_AFTER
                    event.deliveries += 1
                return [
                    {"id": each.id, "user": each.user, "text": each.text, "image": each.image}
                    for each in due
                ]
            await asyncio.sleep(0.005)
        return []

    async def _tell(self, body: dict[str, Any]) -> dict[str, Any]:
        self.told[body["event"]] = body["job"]
        self.changed_at = time.monotonic()
        return {}

    async def _send(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["nonce"] in self._nonces:
            self.duplicates_refused += 1
        else:
            self._nonces[body["nonce"]] = len(self.messages)
            self.messages.append(body)
            self.changed_at = time.monotonic()
        return {"message": self._nonces[body["nonce"]]}


async def ask(port: int, path: str, body: dict[str, Any]) -> Any:
    """Ask the platform something.

    Raises:
        ConnectionError: No answer came; it may have been done all the same.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        text = json.dumps(body).encode()
        writer.write(
            b"POST /%s HTTP/1.1\r\nHost: platform\r\nContent-Length: %d\r\n\r\n%s"
            % (path.encode(), len(text), text)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        return json.loads(await reader.readexactly(length))
    except asyncio.IncompleteReadError as error:
        raise ConnectionError("the answer was lost") from error
    finally:
        writer.close()

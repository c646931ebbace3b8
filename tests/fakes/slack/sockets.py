"""Socket Mode: tickets, hello, envelopes and their acknowledgements, refresh, redelivery.

Or HTTP, for a bot that has an address: then each envelope is a signed request.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from urllib.parse import urlencode

import aiohttp
from aiohttp import WSMsgType, web

from tests.fakes.slack.agents import Refused

SECONDS_TO_ACK = 3.0
#: After these seconds without an acknowledgement an event is sent again.
REDELIVERIES = (SECONDS_TO_ACK, 60.0, 300.0)
MOST_CONNECTIONS = 10


@dataclass(eq=False)
class Envelope:
    """A message of Slack's to the bot.

    Attributes:
        acked: What the bot answered to it: a payload, or None.
        attempt: 0, then 1 to 3 for redeliveries.
        is_superseded: Whether it was delivered again.
    """

    id: str
    kind: str
    payload: dict
    sent_at: float
    attempt: int = 0
    is_superseded: bool = False
    acked: asyncio.Future = field(default_factory=asyncio.Future)

    @property
    def is_event(self):
        return self.kind == "events_api"

    def is_of(self, event_id):
        """Whether it brings the event of that id."""
        return event_id is not None and self.payload.get("event_id") == event_id

    def frame(self):
        frame = {
            "envelope_id": self.id,
            "payload": self.payload,
            "type": self.kind,
            "accepts_response_payload": not self.is_event,
        }
        if self.is_event:
            frame |= {"retry_attempt": self.attempt, "retry_reason": "timeout" * bool(self.attempt)}
        return frame


class Sockets:
    """The bot's connections, and what it has not acknowledged yet.

    Attributes:
        late: Envelopes that were acknowledged after 3 seconds.
        envelopes: Everything that was sent, in order.
    """

    def __init__(self, slack):
        self.slack = slack
        self.tickets = set()
        self.open = []
        self.unacked = {}
        self.envelopes = []
        self.late = []
        self.refused_tickets = 0
        self._turn = 0
        self._changed = asyncio.Event()
        self._http = set()

    def ticket(self):
        if len(self.open) >= MOST_CONNECTIONS:
            raise Refused("too_many_websockets")
        ticket = self.slack.id("ticket")
        self.tickets.add(ticket)
        return {"url": f"{self.slack.url.replace('http', 'ws')}/link/?ticket={ticket}"}

    async def connect(self, request):
        ticket = request.query.get("ticket")
        if ticket not in self.tickets:
            self.refused_tickets += 1
            return web.Response(status=403, text="a ticket serves once")
        self.tickets.discard(ticket)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.open.append(socket)
        try:
            await socket.send_json(
                {
                    "type": "hello",
                    "num_connections": len(self.open),
                    "debug_info": {
                        "host": "applink-111",
                        "build_number": 10,
                        "approximate_connection_time": 18060,
                    },
                    "connection_info": {"app_id": "A111"},
                }
            )
            self._touch()
            for envelope in list(self.unacked.values()):  # lost with another connection
                if envelope.is_event and not envelope.is_superseded:
                    await self._send(envelope, socket)
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._ack(json.loads(message.data))
        finally:
            self.open.remove(socket)
            self._touch()
        return socket

    def _ack(self, frame):
        envelope = self.unacked.pop(frame.get("envelope_id"), None)
        if envelope is None:
            self.slack.violations.append(f"acknowledged what was not sent: {frame}")
            return
        unknown = set(frame) - {"envelope_id", "payload"}
        if unknown:
            self.slack.violations.append(f"an acknowledgement with {unknown}")
        self._settle(envelope, frame.get("payload"))

    def _settle(self, envelope, payload):
        if self.slack.time.waited - envelope.sent_at > SECONDS_TO_ACK:
            self.late.append(envelope)
        if envelope.is_event and payload:
            self.slack.violations.append("an event was acknowledged with a payload")
        if not envelope.acked.done():
            envelope.acked.set_result(payload or None)
        self._touch()

    async def deliver(self, kind, payload, attempt=0):
        """Tell the bot; returns the envelope, whose ``acked`` can be awaited."""
        now = self.slack.time.waited
        envelope = Envelope(self.slack.id("env"), kind, payload, now, attempt)
        self.envelopes.append(envelope)
        if self.slack.request_url:
            task = asyncio.create_task(self._post(envelope))
            self._http.add(task)
            task.add_done_callback(self._http.discard)
            return envelope
        self.unacked[envelope.id] = envelope
        if self.open:
            self._turn += 1
            await self._send(envelope, self.open[self._turn % len(self.open)])
        return envelope

    async def _send(self, envelope, socket):
        try:
            await socket.send_json(envelope.frame())
        except ConnectionError:
            await socket.close()

    async def _post(self, envelope):
        """One signed request; its answer is the acknowledgement."""
        if envelope.is_event:
            body, kind = json.dumps(envelope.payload), "application/json"
        else:
            is_command = envelope.kind == "slash_commands"
            fields = envelope.payload if is_command else {"payload": json.dumps(envelope.payload)}
            body, kind = urlencode(fields), "application/x-www-form-urlencoded"
        stamp = str(int(time.time()))  # the bot holds it against the real time
        base = f"v0:{stamp}:{body}".encode()
        signature = hmac.new(self.slack.signing_secret.encode(), base, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": kind,
            "X-Slack-Request-Timestamp": stamp,
            "X-Slack-Signature": f"v0={signature}",
        }
        if envelope.attempt:
            headers["X-Slack-Retry-Num"] = str(envelope.attempt)
        async with (
            aiohttp.ClientSession() as http,
            http.post(self.slack.request_url, data=body, headers=headers) as answer,
        ):
            text = await answer.text()
        if answer.status != 200:
            self.unacked[envelope.id] = envelope
        elif text and answer.content_type == "application/json":
            self._settle(envelope, json.loads(text))
        else:
            self._settle(envelope, {"text": text} if text else None)

    async def redeliver_overdue(self):
        """Send again what has waited long enough; commands and buttons are never sent again."""
        now = self.slack.time.waited
        for envelope in list(self.unacked.values()):
            is_over = envelope.is_superseded or envelope.attempt >= len(REDELIVERIES)
            if not envelope.is_event or is_over:
                continue
            if now - envelope.sent_at >= REDELIVERIES[envelope.attempt]:
                envelope.is_superseded = True
                await self.deliver(envelope.kind, envelope.payload, envelope.attempt + 1)

    async def disconnect(self, reason="refresh_requested"):
        """Tell one connection to go, as Slack does every few hours."""
        socket = self.open[0]
        await socket.send_json(
            {"type": "disconnect", "reason": reason, "debug_info": {"host": "applink-111"}}
        )
        return socket

    def cut(self):
        """Every connection is lost, without a word."""
        for socket in self.open:
            if socket._req is not None and socket._req.transport is not None:
                socket._req.transport.abort()

    def _touch(self):
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, predicate):
        """Wait until *predicate* of these sockets is true."""
        async with asyncio.timeout(10):
            while True:
                changed, answer = self._changed, predicate(self)
                if answer:
                    return answer
                await changed.wait()

    async def close(self):
        for socket in list(self.open):
            await socket.close()
        for task in list(self._http):
            task.cancel()
        await asyncio.gather(*self._http, return_exceptions=True)

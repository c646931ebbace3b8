"""Connections: how many there may be, and how long each may take over what it says and hears.

uvicorn knows one deadline, that of an idle connection. `Connection` is its protocol with the
others, and `Connections` looks at all of them once a second:

| a connection | may take |
| --- | --- |
| sends the head of a request | ``seconds_for_headers`` |
| sends a body | ``seconds_for_body``, and a second more for each 64 kB that came |
| takes an answer or events | ``seconds_for_body`` for each 16 kB |
| goes on sending after its answer, or does not close | `GRACE` |

A request that is being worked on may take as long as it takes.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import json
import logging
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from bot.sections import Web

#: Seconds for a connection that is to end.
GRACE = 5.0
#: Bytes of a body that buy a second more, and bytes that a slow reader must take.
BODY_RATE, READ_STEP = 64 * 1024, 16 * 1024
#: Errors of accept() that mean: not now (accept(2)).
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

log = logging.getLogger(__name__)


def network_of(address: str) -> str:
    """The part of *address* that one person has: all of IPv4's, 64 bits of IPv6's."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, 64), strict=False))


class Listener(socket.socket):
    """A listening socket that reports a want of descriptors once, and then seems empty.

    asyncio goes on accepting after that error, as often as its backlog is long, and writes a
    traceback each time; see python/cpython#127529. It pauses for a second all the same.
    """

    _is_exhausted = False

    def accept(self) -> tuple[socket.socket, Any]:
        if self._is_exhausted:
            self._is_exhausted = False
            raise BlockingIOError(errno.EAGAIN, "not until there are descriptors again")
        try:
            return super().accept()
        except OSError as error:
            self._is_exhausted = error.errno in EXHAUSTED
            raise


class Connections:
    """All open connections, and the limits of *web* for them.

    Args:
        trusted: Addresses of proxies, which come for many people; ``*`` for all.
        now: A clock in seconds that never goes back.
    """

    def __init__(
        self, web: Web, trusted: str = "127.0.0.1,::1", now: Callable[[], float] = time.monotonic
    ) -> None:
        self.web = web
        self.now = now
        self._trusted = {name.strip() for name in trusted.split(",")}
        self._open: dict[Connection, str] = {}
        self._of_network: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, new: Connection, address: str) -> bool:
        """Whether *new* may stay. Where there are too many, the one that has been idle or about
        to send a head for longest makes room for it."""
        network = network_of(address)
        self._open[new] = network
        self._of_network[network] += 1
        limit = self.web.max_connections_per_address
        if not self._trusts(address) and self._of_network[network] > limit:
            log.warning("%s has more than %d connections: one was closed", network, limit)
            return False
        if len(self._open) <= self.web.max_connections:
            return True
        log.warning("there are more than %d connections: one was closed", self.web.max_connections)
        waiting = [each for each in self._open if each is not new and each.is_waiting]
        if not waiting:
            return False
        oldest = min(waiting, key=lambda each: each.since)
        self.forget(oldest)
        oldest.transport.abort()
        return True

    def forget(self, connection: Connection) -> None:
        network = self._open.pop(connection, None)
        if network is not None:
            self._of_network[network] -= 1
            if not self._of_network[network]:
                del self._of_network[network]

    def look(self) -> None:
        """End connections that have taken too long."""
        now = self.now()
        for connection in list(self._open):
            connection.look(now)

    def _trusts(self, address: str) -> bool:
        if "*" in self._trusted or address in self._trusted:
            return True
        try:
            ip = ipaddress.ip_address(address)
            return any(ip in ipaddress.ip_network(each) for each in self._trusted if "/" in each)
        except ValueError:
            return False


class _Counting(h11.Connection):
    """h11's connection, and the number of bytes that it was given to send."""

    sent = 0

    def send_with_data_passthrough(self, event: h11.Event) -> list[bytes] | None:
        parts = super().send_with_data_passthrough(event)
        self.sent += sum(map(len, parts or ()))
        return parts


class Connection(H11Protocol):
    """One connection of uvicorn's, with deadlines.

    Attributes:
        since: When it began what it is doing now.
    """

    conn: _Counting

    def __init__(self, *args: Any, connections: Connections, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = _Counting(h11.SERVER)
        self.since = connections.now()
        self._all = connections
        self._doing: tuple[str, Any] = ("headers", None)
        self._received = self._received_before = 0
        #: When a slow reader last took something, and how much it had by then.
        self._taken: tuple[float, int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        super().connection_made(transport)
        if not self._all.admit(self, self.client[0] if self.client else ""):
            self._refuse(503, "too_many_connections", "there are too many connections: try later")

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.forget(self)
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        super().data_received(data)

    @property
    def is_waiting(self) -> bool:
        """Whether no request of it is being read or worked on."""
        return self._what()[0] in ("idle", "headers", "closing")

    def look(self, now: float) -> None:
        """End the connection if it has taken too long until *now*."""
        web = self._all.web
        doing = self._what()
        if doing != self._doing or self.flow.read_paused:
            self._doing, self.since, self._received_before = doing, now, self._received
        spent, came = now - self.since, self._received - self._received_before
        match doing[0]:
            case "headers" if spent > web.seconds_for_headers:
                log.warning("%s took more than %g s to send a request", self._who, spent)
                self._refuse(408, "too_slow", "the request did not arrive in time: send it again")
            case "body" if spent > web.seconds_for_body + came / BODY_RATE:
                log.warning("%s took more than %g s to send a body", self._who, spent)
                self._refuse(408, "too_slow", "the body did not arrive in time: send it again")
            case "unwanted" | "closing" if spent > GRACE:
                self.transport.abort()
        self._look_at_reader(now, web.seconds_for_body)

    def _look_at_reader(self, now: float, seconds: float) -> None:
        waiting = self.transport.get_write_buffer_size()
        taken = self.conn.sent - waiting
        if not waiting:
            self._taken = None
        elif self._taken is None or taken >= self._taken[1] + READ_STEP:
            self._taken = now, taken
        elif now - self._taken[0] > seconds:
            log.warning("%s did not take its answer within %g s", self._who, seconds)
            self.transport.abort()

    def _what(self) -> tuple[str, Any]:
        """What the connection is doing, and for which request."""
        is_sending = self.conn.their_state is h11.SEND_BODY
        if self.transport.is_closing():
            return "closing", self.cycle
        if self.cycle is not None and not self.cycle.response_complete:
            return ("body" if is_sending else "answer"), self.cycle
        if self.cycle is not None and is_sending:
            return "unwanted", self.cycle
        # uvicorn's own deadline of an idle connection runs until something comes.
        return ("headers" if self.timeout_keep_alive_task is None else "idle"), self.cycle

    @property
    def _who(self) -> str:
        return self.client[0] if self.client else "somebody"

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Say so, where no answer has begun, and hang up."""
        body = json.dumps({"error": {"code": code, "message": message, "field": None}}).encode()
        headers = [
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("connection", "close"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
        ]
        if status == 503:
            headers.append(("retry-after", "30"))
        try:
            said = [
                self.conn.send(h11.Response(status_code=status, headers=headers, reason=b"")),
                self.conn.send(h11.Data(data=body)),
                self.conn.send(h11.EndOfMessage()),
            ]
            self.transport.write(b"".join(part or b"" for part in said))
        except h11.LocalProtocolError:
            pass
        self.transport.close()

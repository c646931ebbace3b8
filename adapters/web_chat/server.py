"""uvicorn in the bot's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import uvicorn

from adapters.web_chat.api import create_app
from adapters.web_chat.connections import Connection, Connections, Listener
from adapters.web_chat.exposure import check_closed
from adapters.web_chat.webhooks import Sender
from bot.config import Config, ConfigError, Secrets
from bot.service import Service

#: Seconds that open requests are given to end by themselves.
GRACE = 2
#: Connections that may wait to be accepted.
BACKLOG = 512
#: uvicorn looks around ten times a second; we look at connections once.
TICKS = 10

log = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the bot has its own, and one of each is enough."""

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._connections = connections
        self.is_up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()

    async def on_tick(self, counter: int) -> bool:
        if counter % TICKS == 0:
            self._connections.look()
        return await super().on_tick(counter)


class WebChat:
    """The web chat and HTTP API on one address."""

    def __init__(
        self,
        service: Service,
        config: Config,
        secrets: Secrets,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """*now* is the clock of the deadlines.

        Raises:
            ConfigError: Others can reach it, and no tokens are set.
        """
        check_closed(config.web, bool(secrets.web_tokens))
        self._webhooks = service.webhooks
        self._sender = Sender(service, config.web.webhooks, time.time)
        self._sending: asyncio.Task[None] | None = None
        self._web = config.web
        self._app = create_app(service, config, secrets)
        self.connections = Connections(config.web, trusted_proxies(os.environ), now)
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._port = config.web.port

    @property
    def address(self) -> str:
        """Address of the page for a browser on this machine."""
        host = self._web.host
        if host in ("0.0.0.0", "::", ""):
            host = "127.0.0.1"
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    async def start(self) -> None:
        """Listen. Returns when the page answers.

        Raises:
            ConfigError: The address or port is not available.
        """
        listener = _listen(self._web.host, self._web.port)
        self._port = listener.getsockname()[1]
        self._server = _Server(
            uvicorn.Config(
                self._app,
                loop="none",
                http=partial(Connection, connections=self.connections),  # type: ignore[arg-type]
                backlog=BACKLOG,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=GRACE,
            ),
            self.connections,
        )
        self._serving = asyncio.create_task(self._server.serve([listener]), name="web chat")
        self._sending = asyncio.create_task(self._sender.run(), name="webhooks")
        up = asyncio.create_task(self._server.is_up.wait())
        await asyncio.wait({up, self._serving}, return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if self._serving.done():
            self._serving.result()

    async def ended(self) -> None:
        """Wait until the server has ended; raises its error, if any."""
        assert self._serving is not None
        await asyncio.shield(self._serving)

    async def close(self) -> None:
        """End open streams, let running requests finish, stop. May be called twice."""
        self._app.state.web.stopping.set()
        self._webhooks.close()
        if self._sending is not None:
            self._sending.cancel()
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await asyncio.gather(self._serving, return_exceptions=True)


async def serve(
    service: Service,
    config: Config,
    secrets: Secrets,
    announce: Callable[[str], None] | None = None,
) -> None:
    """Serve until cancelled. *announce* is told the address once the page answers.

    Raises:
        ConfigError: See `WebChat`.
    """
    chat = WebChat(service, config, secrets)
    await chat.start()
    if announce is not None:
        announce(chat.address)
    try:
        await chat.ended()
    finally:
        await chat.close()


def trusted_proxies(environ: Mapping[str, str]) -> str:
    """Addresses from which uvicorn believes forwarding headers."""
    return environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError:
        raise ConfigError(
            f"web.host is {host!r}, which is not an address of this machine: set an address such as"
            " 127.0.0.1"
        ) from None
    listener = Listener(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            sentence = (
                f"port {port} on {host} is in use by another program (or by this bot already):"
                " stop that one, or set another port with web.port in config.toml or"
                f" FLUXBOT_WEB__PORT={port + 1 if port < 65535 else 8080}"
            )
        elif error.errno == errno.EACCES:
            sentence = f"port {port} needs special rights: set web.port to one above 1023"
        else:
            sentence = f"web.host = {host!r}, web.port = {port}: {error.strerror or error}"
        raise ConfigError(sentence) from None
    return listener

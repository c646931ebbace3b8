"""``/metrics`` on an address of its own, apart from the page that people open.

It listens on this machine by default, and then answers to names of this machine alone, so that no
web page that renames itself reads it. Beyond, or where a token is set, it asks for the token.
"""

from __future__ import annotations

import hmac
import logging
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import uvicorn
from prometheus_client.exposition import choose_encoder
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from bot.config import ConfigError, Secrets
from bot.gauges import Gauges
from bot.loopback import is_loopback
from bot.sections import MetricsSettings

PATH = "/metrics"
TOKEN_VARIABLE = "FLUXBOT_METRICS_TOKEN"
#: Requests that are answered at once.
AT_ONCE = 8

log = logging.getLogger(__name__)


def check_guarded(settings: MetricsSettings, token: str | None) -> None:
    """Raise ConfigError where others can read the figures without a token."""
    if token is None and not is_loopback(settings.host):
        raise ConfigError(
            f"metrics.host is {settings.host}, which other machines can reach, and there is no"
            f" token: set {TOKEN_VARIABLE} in .env, and the same in Prometheus, or set"
            ' metrics.host = "127.0.0.1"'
        )


class MetricsPage:
    """ASGI application with the one page. Where *token* is None, names of this machine alone are
    answered to."""

    def __init__(self, gauges: Gauges, token: str | None) -> None:
        self._gauges = gauges
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        response = self._refusal(scope, headers) or await self._page(headers)
        response.headers["cache-control"] = "no-store"
        response.headers["x-content-type-options"] = "nosniff"
        await response(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> Response | None:
        if self._token is None and not is_loopback(_name(headers.get("host", ""))):
            return PlainTextResponse(f"only names of this machine, or {TOKEN_VARIABLE}\n", 403)
        if self._token is not None:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            is_known = hmac.compare_digest(
                given.strip().encode("utf-8", "replace"), self._token.encode()
            )
            if scheme.lower() != "bearer" or not is_known:
                challenge = {"www-authenticate": "Bearer"}
                return PlainTextResponse(f"bring {TOKEN_VARIABLE} as a bearer\n", 401, challenge)
        if scope["path"] != PATH:
            return PlainTextResponse(f"there is {PATH} alone\n", 404)
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("GET alone\n", 405, {"allow": "GET, HEAD"})
        return None

    async def _page(self, headers: Mapping[str, str]) -> Response:
        encode, content_type = choose_encoder(headers.get("accept", ""))
        return Response(encode(await self._gauges.look()), headers={"content-type": content_type})


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the bot has its own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(gauges: Gauges, settings: MetricsSettings, secrets: Secrets) -> None:
    """Serve until cancelled.

    Raises:
        ConfigError: Others could read it, or the address is not available.
    """
    token = secrets.metrics_token
    check_guarded(settings, token)
    config = uvicorn.Config(
        MetricsPage(gauges, token),
        loop="none",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=AT_ONCE,
        timeout_graceful_shutdown=1,
    )
    listener = _listen(settings)
    host, port = listener.getsockname()[:2]
    log.info(
        "figures for Prometheus: http://%s:%d%s", f"[{host}]" if ":" in host else host, port, PATH
    )
    with listener:
        await _Server(config).serve([listener])


def _listen(settings: MetricsSettings) -> socket.socket:
    host, port = settings.host, settings.port
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address, family=family)
    except OSError as error:
        raise ConfigError(
            f"metrics.host = {host!r}, metrics.port = {port}: {error.strerror or error}; until"
            " another is set there are no figures for Prometheus"
        ) from None


def _name(host: str) -> str:
    """The name or address in a Host header, without port and brackets."""
    host = host.strip()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]

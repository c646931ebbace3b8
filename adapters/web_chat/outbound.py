"""Requests to addresses that strangers have named, which must not reach into our own network.

A name is resolved once, all of its addresses are looked at, and the connection goes to one of
these: no later answer of a name server can lead elsewhere. Redirects are not followed, no proxy of
the environment is asked, and no body of an answer is read.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import httpcore2

from adapters.web_chat.addresses import Forbidden, is_public
from bot.threads import Thread

#: Seconds for all of one request, and for each of its steps.
SECONDS, SECONDS_FOR_A_STEP = 20.0, 10.0
#: Addresses of one name that are tried.
MOST_ADDRESSES = 3


class Outbound:
    """Sends to any public address; with *reaches_all* to any."""

    def __init__(self, *, reaches_all: bool = False) -> None:
        self._backend = _Guarded(reaches_all)
        self._tls = ssl.create_default_context()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """The status of the answer to a POST.

        Raises:
            Forbidden: The address is not public; nothing was sent.
            OSError, TimeoutError, httpcore2.NetworkError, …: No answer came.
        """
        step = dict.fromkeys(("connect", "read", "write", "pool"), SECONDS_FOR_A_STEP)
        async with (
            asyncio.timeout(SECONDS),
            httpcore2.AsyncConnectionPool(
                ssl_context=self._tls, network_backend=self._backend
            ) as pool,
            pool.stream(
                "POST",
                url,
                headers=[(name, value) for name, value in headers.items()],
                content=body,
                extensions={"timeout": step},
            ) as response,
        ):
            status: int = response.status
            return status


class _Guarded(httpcore2.AnyIOBackend):
    def __init__(self, reaches_all: bool) -> None:
        super().__init__()
        self._reaches_all = reaches_all

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (the library asks for it)
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await _looked_up(host, port)
        if not self._reaches_all and not all(map(is_public, addresses)):
            raise Forbidden(host)
        for last, address in enumerate(addresses[:MOST_ADDRESSES], start=1):
            try:
                return await super().connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except httpcore2.NetworkError:
                if last == min(len(addresses), MOST_ADDRESSES):
                    raise
        raise OSError("the name has no address")


async def _looked_up(host: str, port: int) -> list[str]:
    """The addresses of *host*, which its name server may take half a minute to tell: on a thread of
    its own, since those of the event loop read files for everybody."""
    thread = Thread("lookup")
    try:
        look = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await thread.call(look)
    finally:
        thread.end()
    return list(dict.fromkeys(str(each[4][0]) for each in found))

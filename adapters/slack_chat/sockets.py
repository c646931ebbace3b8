"""Socket Mode: events are acknowledged once their job is on disk; hopeless tokens end it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import aiohttp
from slack_bolt.adapter.socket_mode.async_internals import (
    run_async_bolt_app,
    send_async_response,
)
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.web.async_client import AsyncWebClient

from adapters.slack_chat.errors import GONE

logger = logging.getLogger(__name__)

#: Seconds between pings, and at least between two attempts to connect.
PING_INTERVAL = 5.0
#: Sockets come and go; the library's words about it are no news.
QUIET = logging.getLogger("slack_sdk.socket_mode")


class Sockets:
    """The connections to Slack, renewed when Slack wants it.

    Several, because a connection hears nothing while it is renewed. Ids of events tell apart
    the same event on two of them.
    """

    def __init__(
        self,
        app: AsyncApp,
        app_token: str,
        web_client: AsyncWebClient,
        connections: int,
        on_hopeless: Callable[[str], None],
        ping_interval: float = PING_INTERVAL,
    ) -> None:
        self._app = app
        QUIET.setLevel(logging.CRITICAL)
        self._clients = [
            _Client(
                app_token=app_token,
                logger=QUIET,
                web_client=web_client,
                ping_interval=ping_interval,
                on_hopeless=on_hopeless,
            )
            for _ in range(connections)
        ]
        for client in self._clients:
            client.socket_mode_request_listeners.append(self._handle)

    async def connect(self) -> None:
        """Wait until all are connected, however long that takes."""
        for client in self._clients:
            await client.connect()  # type: ignore[no-untyped-call]

    async def _handle(self, client: Any, request: SocketModeRequest) -> None:
        response = await run_async_bolt_app(self._app, request)
        await send_async_response(client, request, response, time.time())

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(*(client.end() for client in self._clients))


class _Client(SocketModeClient):
    """The library's client, without its endless attempts to connect."""

    def __init__(self, *, on_hopeless: Callable[[str], None], **settings: Any) -> None:
        super().__init__(**settings)
        self._on_hopeless = on_hopeless
        given = self.aiohttp_client_session
        own = aiohttp.ClientSession(connector=given.connector, ws_response_class=_Socket)
        given.detach()  # whose connector has another owner now
        session: Any = _FreshTickets(self, own)
        self.aiohttp_client_session = session

    async def issue_new_wss_url(self) -> str:
        try:
            return await super().issue_new_wss_url()
        except SlackApiError as error:
            reason = GONE.get(str(error.response.get("error")))
            if reason is not None:
                self.closed = True  # ends the loop that would ask again
                self._on_hopeless(reason)
            else:
                logger.warning("Slack opens no socket: %s", error.response.get("error"))
            raise
        except (aiohttp.ClientError, OSError) as error:
            logger.warning("Slack cannot be reached: %s", error)
            raise

    async def end(self) -> None:
        """Close, and wait for the tasks that the library only cancels."""
        await self.close()  # type: ignore[no-untyped-call]
        tasks = (self.message_processor, self.current_session_monitor, self.message_receiver)
        left = [task for task in tasks if task is not None]
        await asyncio.gather(*left, return_exceptions=True)
        if self.current_session is not None:
            await self.current_session.close()  # one that was connected meanwhile


class _Socket(aiohttp.ClientWebSocketResponse):
    """A socket that pings nobody once it is closed.

    aiohttp 3.14 stops its timer then, and sets it anew for what still arrives, such as the other
    side's closing frame. A ping that is begun as the loop ends is a task that asyncio misses.
    """

    def _reset_heartbeat(self) -> None:
        if not self.closed:
            super()._reset_heartbeat()


class _FreshTickets:
    """The client's HTTP session, which forgets an address as soon as it is used: it serves
    once, and the library would try the same one until the end of days."""

    def __init__(self, client: SocketModeClient, session: aiohttp.ClientSession) -> None:
        self._client = client
        self._session = session

    async def ws_connect(self, url: str, **more: Any) -> Any:
        self._client.wss_uri = None
        return await self._session.ws_connect(url, **more)

    @property
    def closed(self) -> bool:
        return self._session.closed

    async def close(self) -> None:
        await self._session.close()

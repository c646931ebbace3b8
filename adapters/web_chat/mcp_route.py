"""The route of the Model Context Protocol, which loads its SDK for the first client that comes."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from adapters.web_chat.security import MCP
from adapters.web_chat.sharing import Web

if TYPE_CHECKING:
    from adapters.web_chat.mcp_server import McpServer

METHODS = ("POST", "DELETE")

log = logging.getLogger(__name__)


def install(app: FastAPI, web: Web) -> None:
    """Serve MCP to clients of *app*, where its SDK is installed."""
    if importlib.util.find_spec("mcp") is None:
        log.info("MCP is off, since its SDK is not installed: pip install -e .[mcp]")
        return
    app.add_route(MCP, _Route(web), methods=["GET", *METHODS], include_in_schema=False)  # type: ignore[arg-type]


class _Route:
    """An ASGI application that starts the server of MCP once and ends it with the bot."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._server: asyncio.Task[McpServer] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in METHODS:
            # A stream that stands open for messages of the server's own, of which there are none.
            headers = {"Allow": ", ".join(METHODS)}
            await Response(status_code=405, headers=headers)(scope, receive, send)
            return
        if self._server is None:
            self._server = asyncio.create_task(self._start())
        server = await asyncio.shield(self._server)
        await server.handle(scope, receive, send)

    async def _start(self) -> McpServer:
        # On a thread: it takes half a second, in which others are served.
        module = await asyncio.to_thread(importlib.import_module, "adapters.web_chat.mcp_server")
        server: McpServer = module.McpServer(self._web)
        await server.start()
        return server

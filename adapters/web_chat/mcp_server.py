"""The Model Context Protocol over streamable HTTP (https://modelcontextprotocol.io/specification).

Agents get the tools of `adapters.web_chat.agents`. Every request has passed the same gate as any
other: host, origin, token, and limits of bodies and connections; a session belongs to the person
who began it. A call that its client cancels cancels the job.
"""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    ImageContent,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    ToolAnnotations,
)
from mcp_types import Tool as ToolDescription
from pydantic import ValidationError
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from adapters.web_chat.agents import TOOLS, Found, Tool
from adapters.web_chat.errors import field_of, sentence_about
from adapters.web_chat.sharing import Web
from bot.conversation import refusal
from bot.provenance import VERSION
from bot.source import Source
from generation.errors import FluxbotError
from generation.kinds import CONTROL_IMAGES

#: Bytes of all pictures of an answer. Clients read answers of about a megabyte, in base64.
MAX_PICTURES = 700_000
MAX_SESSIONS = 500

Context = ServerRequestContext[Any, Any]


class McpServer:
    """The tools behind the protocol. Await `start` once; it ends with the bot."""

    def __init__(self, web: Web) -> None:
        self._web = web
        server: Server[Any] = Server(
            "fluxbot",
            version=VERSION,
            title="fluxbot",
            instructions="Draws pictures of words with FLUX. A picture costs credits.",
            on_list_tools=self._list,
            on_call_tool=self._call,
        )
        self._sessions = StreamableHTTPSessionManager(
            server,
            # The gate before it counts the pictures that presets take by now.
            max_request_body_size=web.body_bytes(len(CONTROL_IMAGES)),
            max_sessions=MAX_SESSIONS,
        )
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Accept sessions from now on, until the bot stops."""
        is_up = asyncio.Event()

        async def run() -> None:
            async with self._sessions.run():
                is_up.set()
                await self._web.stopping.wait()

        self._running = asyncio.create_task(run(), name="mcp")
        await is_up.wait()

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        user = scope["state"]["user"]
        # So that nobody goes on with the session of somebody else.
        scope = {
            **scope,
            "user": AuthenticatedUser(AccessToken(token="", client_id=user, scopes=[])),
        }
        await self._sessions.handle_request(scope, receive, send)

    async def _list(
        self, context: Context, params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        return ListToolsResult(tools=[_described(tool) for tool in TOOLS])

    async def _call(self, context: Context, params: CallToolRequestParams) -> CallToolResult:
        tool = next((each for each in TOOLS if each.name == params.name), None)
        if tool is None:
            return _error(f"there is no tool {params.name[:80]}: see tools/list")
        try:
            arguments = tool.arguments.model_validate(params.arguments or {})
        except ValidationError as error:
            problem = error.errors()[0]
            return _error(sentence_about(problem, field_of(problem["loc"])))
        request = context.request
        assert isinstance(request, Request), "every call comes in a request of HTTP"
        source = Source(request.state.user)
        try:
            found = await tool.call(self._web, source, arguments, context.session.report_progress)
            return await self._result(request, source, found)
        except FluxbotError as error:
            return _error(refusal(error, source.language).text)

    async def _result(self, request: Request, source: Source, found: Found) -> CallToolResult:
        content: list[ContentBlock] = []
        links: list[str] = []
        job = found.job
        if job is not None:
            fit = self._web.service.formats.fitted
            for number in range(1, job.images + 1):
                path = await self._web.service.lookups.picture(source, job.id, number)
                data, media_type = await fit(source.user, path, MAX_PICTURES // job.images)
                text = base64.b64encode(data).decode("ascii")
                content.append(ImageContent(data=text, mime_type=media_type))
                links.append(f"{request.base_url}api/jobs/{job.id}/image?number={number}")
        content.append(TextContent(text="\n".join((found.text, *links))))
        return CallToolResult(content=content, structured_content={**found.data, "links": links})


def _described(tool: Tool) -> ToolDescription:
    schema = tool.arguments.model_json_schema()
    return ToolDescription(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=schema,
        annotations=ToolAnnotations(
            read_only_hint=tool.is_read_only, destructive_hint=False, open_world_hint=False
        ),
    )


def _error(sentence: str) -> CallToolResult:
    """A result that tells an agent what to change."""
    return CallToolResult(content=[TextContent(text=sentence)], is_error=True)

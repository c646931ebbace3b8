"""The web chat and the HTTP API: one page and a handful of routes over `Service`.

| module | what it is |
| --- | --- |
| ``server`` | uvicorn in the bot's own event loop; the only door: `serve` |
| ``api`` | the routes, each three moves: parse, ask the service, put the answer into JSON |
| ``schemas`` | what goes in and what comes out |
| ``errors`` | every refusal as ``{"error": {"code", "message", "field"}}`` |
| ``security`` | who may come in at all: Host, Origin, tokens, size; headers that browsers obey |
| ``events`` | jobs as server-sent events |
| ``pages`` | the page itself, from ``static/`` |
"""

from adapters.web_chat.api import create_app
from adapters.web_chat.server import WebChat, serve

__all__ = ["WebChat", "create_app", "serve"]

"""The web chat and the HTTP API: one page and a handful of routes over `Service`.

| module | content |
| --- | --- |
| ``server`` | uvicorn in the bot's own event loop; the only door: `serve` |
| ``api`` | the routes, each three moves: parse, converse, put the reply into JSON |
| ``pictures`` | the routes that hand out files |
| ``moderation`` | held pictures for moderators, and the audit log as a file |
| ``sharing`` | what all routes share: the service, who asks, how errors are described |
| ``schemas`` | bodies of requests and responses |
| ``errors`` | every refusal as ``{"error": {"code", "message", "field"}}`` |
| ``envelopes`` | the envelopes of errors that other people's clients read, by path |
| ``openai`` | OpenAI's images API at ``/v1`` |
| ``a1111`` | that of AUTOMATIC1111's web UI at ``/sdapi/v1``, where the operator wants it |
| ``answers``, ``repeats`` | answers that wait for their picture, and requests that come again |
| ``links`` | links to pictures for programs without a token |
| ``security`` | the gate before all routes: Host, Origin, tokens, size; browsers' headers |
| ``bodies`` | large bodies, read quickly and a few at once |
| ``connections`` | how many there may be, and their deadlines |
| ``exposure`` | whether strangers can reach the bot, which then asks for tokens |
| ``guesses`` | wrong tokens, and the waits after them |
| ``signing_in`` | a token for a cookie, and the cookie back |
| ``events`` | jobs as server-sent events |
| ``pages`` | the page itself, from ``static/`` |
"""

from adapters.web_chat.api import create_app
from adapters.web_chat.server import WebChat, serve

__all__ = ["WebChat", "create_app", "serve"]

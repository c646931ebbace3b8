"""Whether people other than the operator can reach the bot, which then asks for tokens.

Without tokens everybody is `web:local`, an admin. A proxy on this machine comes from loopback
like the operator does, so that it is told by its traces: the headers that it adds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from bot.config import ConfigError
from bot.loopback import is_loopback
from bot.sections import Web

#: Headers that proxies, tunnels and content delivery networks add and that no browser sends of
#: its own accord (RFC 7239, RFC 9110 section 7.6.3, RFC 8586, and the manuals of their makers).
FORWARDING_HEADER = re.compile(
    r"forwarded|via|cdn-loop|surrogate-capability|x-forwarded(-.*)?|x-original-.*|x-real-.*"
    r"|x-(scheme|url-scheme|rewrite-url|proxyuser-ip|remote-.*|authenticated-.*)"
    r"|x-(client|cluster-client|coming-from|envoy|arr|amzn|amz|azure|goog|appengine|akamai)-.*"
    r"|x-(vercel|netlify|nf|varnish|auth-request|auth|cloud|sucuri|iap|ms|proxy|host)(-.*)?"
    r"|(true-client|client|fastly|cf|fly|tailscale|ngrok|akamai|x-ngrok|remote)-.*"
)

WAY_OUT = "give everybody a token: FLUXBOT_WEB_TOKENS=name:token,… in .env (or web.public_url)"


def check_closed(web: Web, has_tokens: bool) -> None:
    """Raise ConfigError where others can reach the web chat and have no tokens."""
    if has_tokens or web.public_url:
        return
    if not is_loopback(web.host):
        raise ConfigError(
            f"web.host is {web.host}, which other machines can reach, but nobody has a token:"
            f' {WAY_OUT}, or set web.host = "127.0.0.1"'
        )
    if web.allowed_hosts:
        raise ConfigError(
            f"web.allowed_hosts is {', '.join(web.allowed_hosts)}, so that others can reach the bot"
            " through a proxy, but nobody has a token, and everybody would be an admin:"
            f" {WAY_OUT}, or set web.allowed_hosts = []"
        )


def trace_of_a_proxy(http_version: str, headers: Iterable[str]) -> str | None:
    """The sign that a request came through a proxy: a header among *headers* (lower case), or a
    version of HTTP that no browser has spoken for decades and proxies do; None without one."""
    for name in headers:
        if FORWARDING_HEADER.fullmatch(name):
            return name
    return "HTTP/1.0" if http_version == "1.0" else None

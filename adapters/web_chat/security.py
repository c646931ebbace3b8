"""The gate: checks before any route is reached.

The bot listens on this machine by default, where any web page that the person has
open can send requests to it. Three checks keep such pages out:

- **Host**. A page that rebinds its own name to 127.0.0.1 is same-origin with us in
  the browser's eyes, but the name is in the Host header: only known names pass.
- **Origin** and **Sec-Fetch-Site**. Browsers write them, pages cannot: a foreign
  site's request is turned away, and no CORS header ever invites one.
- **Tokens**. As soon as tokens are set, which any address but loopback demands,
  everybody brings one: as a bearer token, or as the cookie that `POST /api/session`
  gives for it. Without any, whatever came through a proxy is turned away; see `exposure`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import logging
import re
import secrets
from collections.abc import Callable, Iterable, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapters.web_chat.bodies import Body, Reading
from adapters.web_chat.errors import (
    CODES,
    MAX_ECHO,
    error_response,
    guessed_too_often,
    not_signed_in,
)
from adapters.web_chat.exposure import WAY_OUT, trace_of_a_proxy
from adapters.web_chat.guesses import Guesses
from bot.loopback import is_loopback
from bot.sharing import PAGES

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
#: The user of every request when no tokens are set.
LOCAL_USER = "web:local"
COOKIE = "fluxbot_session"
#: The path to sign in at, and the bytes that a body there may have.
#: A host and perhaps a port, in the characters that DNS and addresses have (RFC 9110, 7.2).
HOST = re.compile(r"(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[\w.-]+))(?::\d{1,5})?")
SIGN_IN, SIGN_IN_BYTES = "/api/session", 4000
#: Begin of the paths that lead to platforms with which people sign in, and back.
SIGN_IN_WITH = "/api/sign-in/"
#: The path of the Model Context Protocol.
MCP = "/mcp"
#: Where the APIs of others begin, as their clients know them, and the pictures of OpenAI's that
#: whoever has their link may see.
OPENAI, A1111 = "/v1", "/sdapi/v1"
LINKED = f"{OPENAI}/pictures"

SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:;"
        " connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "x-frame-options": "DENY",
}

log = logging.getLogger(__name__)


def _port(scope: Scope) -> str:
    """The port of the request as an address has it; empty for the default or where unknown."""
    _, port = scope.get("server") or (None, None)
    return "" if port in (None, 80) else f":{port}"


def host_name(header: str) -> str:
    """The name in a Host header: lower case, without port and brackets; empty where it is none."""
    match = HOST.fullmatch(header.strip().lower())
    return (match["address"] or match["name"]) if match else ""


def is_guarded(path: str) -> bool:
    """Whether *path* needs a token where there are tokens; the page itself does not."""
    if path.startswith("/api/"):
        return path != SIGN_IN and not path.startswith(SIGN_IN_WITH)
    if is_below(path, LINKED):
        return False
    return path == MCP or is_below(path, OPENAI) or is_below(path, A1111)


def is_below(path: str, folder: str) -> bool:
    """Whether *path* is *folder* or something in it."""
    return path == folder or path.startswith(f"{folder}/")


def _scheme(path: str) -> str:
    """The scheme by which a program is asked for a token at *path*."""
    return "Basic" if is_below(path, A1111) else "Bearer"


def _password(credentials: str) -> str:
    """The password in *credentials* of Basic authorization (RFC 7617), or all of them where there
    is no colon; empty where they are none."""
    try:
        text = base64.b64decode(credentials, validate=True).decode()
    except ValueError:
        return ""
    user, colon, password = text.partition(":")
    return password if colon else user


def address_of(scope: Scope) -> str:
    """The address of a request's sender, as a trusted proxy has it; empty where unknown."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def cookie_of(headers: Mapping[str, str]) -> str | None:
    """The secret in the session's cookie; None without one."""
    for pair in headers.get("cookie", "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            return value or None
    return None


class Tokens:
    """Bearer tokens, and the secrets of the sessions that they begin.

    A session is known by a hash of its secret with the token as the key; see `bot.sessions`.
    """

    def __init__(self, names: Mapping[str, str], *, has_links: bool = False) -> None:
        """*names* gives the person's name for each token; *has_links* says whether links sign in
        people who have none."""
        self._has_links = has_links
        self._users = {token: f"web:{name}" for token, name in names.items()}

    def __bool__(self) -> bool:
        """Whether everybody has to sign in."""
        return bool(self._users) or self._has_links

    def user(self, token: str) -> str | None:
        """The user of *token*; None where it is unknown."""
        return self._find(token, self._users)

    def new_session(self, token: str = "") -> tuple[str, str]:
        """A new secret for a browser, and the hash that is kept of it; without *token* for a person
        who has none."""
        secret = secrets.token_urlsafe(32)
        return secret, self._hash(token, secret)

    def session(self, secret: str, user_of: Callable[[str], str | None]) -> tuple[str, str] | None:
        """Hash and user of the open session with *secret*; None where there is none.

        *user_of* gives the user of an open session by its hash.
        """
        for token, user in self._users.items():
            hash = self._hash(token, secret)
            if user_of(hash) == user:
                return hash, user
        hash = self._hash("", secret)
        signed_in = user_of(hash)
        return None if signed_in is None else (hash, signed_in)

    @staticmethod
    def _hash(token: str, secret: str) -> str:
        return hmac.digest(token.encode(), secret.encode("utf-8", "replace"), "sha256").hex()

    @staticmethod
    def _find(secret: str, users: Mapping[str, str]) -> str | None:
        # All are compared, in constant time, so that no clock tells how near a guess was.
        given = hashlib.sha256(secret.encode("utf-8", "replace")).digest()
        found = None
        for known, user in users.items():
            if hmac.compare_digest(hashlib.sha256(known.encode()).digest(), given):
                found = user
        return found


class Gate:
    """ASGI middleware around the whole application.

    Sets ``request.state.user``. Answers 400 to an unknown Host, 403 to a foreign site,
    401 without a token where one is needed, 429 after wrong ones, 413 to a body that is too
    large (counted as it arrives, so a missing Content-Length does not help), and 500 without
    details to exceptions of the application.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        allowed_hosts: Iterable[str],
        tokens: Tokens,
        user_of_session: Callable[[str], str | None],
        guesses: Guesses,
        max_body_bytes: Callable[[], int],
    ) -> None:
        self._app = app
        self._names = LOOPBACK_NAMES | {host.lower()}
        if tokens:  # a name for others, which nobody may use without one
            self._names |= {host_name(name) for name in allowed_hosts} - {""}
        self._admits_addresses = not is_loopback(host)
        self._tokens = tokens
        self._user_of_session = user_of_session
        self._guesses = guesses
        self._max_body_bytes = max_body_bytes
        self._reading = Reading()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
        response = self._refusal(scope, headers)
        if response is not None:
            await response(scope, receive, answer)
            return
        limit = SIGN_IN_BYTES if scope["path"] == SIGN_IN else self._max_body_bytes()
        body = Body(receive, limit, self._reading, scope["state"]["user"])
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > limit:
            await body.discard()
            await error_response(413, CODES[413], body.too_large, headers={"Connection": "close"})(
                scope, receive, answer
            )
            return
        try:
            await self._app(scope, body.receive, answer)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if not answer.has_begun:
                await error_response(500, CODES[500], "something went wrong on our side")(
                    scope, receive, answer
                )
        finally:
            body.give_turn_back()

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> ASGIApp | None:
        if not self._tokens and (trace := trace_of_a_proxy(scope["http_version"], headers)):
            return error_response(
                403,
                "proxy_without_tokens",
                f"this request came through a proxy ({trace[:MAX_ECHO]}), and the bot has no tokens"
                f" to tell people apart: the operator must {WAY_OUT}",
            )
        host = headers.get("host", "")
        if not self._knows(host):
            return error_response(
                400,
                "unknown_host",
                f"the bot does not know this name: open http://localhost{_port(scope)}, or have"
                " the operator add the name to web.allowed_hosts in config.toml",
            )
        if self._is_foreign(scope, headers, host):
            return error_response(403, "foreign_site", "requests from other sites are not answered")
        state = scope.setdefault("state", {})
        state.update(user=LOCAL_USER, session=None)
        if not self._tokens or not is_guarded(scope["path"]):
            return None
        authorization = headers.get("authorization")
        if authorization is not None:
            return self._with_token(scope, authorization)
        secret = cookie_of(headers)
        found = self._tokens.session(secret, self._user_of_session) if secret else None
        if found is None:
            return not_signed_in(_scheme(scope["path"]))
        state["session"], state["user"] = found
        return None

    def _with_token(self, scope: Scope, authorization: str) -> ASGIApp | None:
        scheme, _, token = authorization.partition(" ")
        token, wanted = token.strip(), _scheme(scope["path"])
        if scheme.lower() == "basic" and wanted == "Basic":
            token = _password(token)
        elif scheme.lower() != "bearer":
            token = ""
        if not token:
            return not_signed_in(wanted)
        address = address_of(scope)
        if wait := self._guesses.wait(address):
            return guessed_too_often(wait)
        user = self._tokens.user(token)
        if user is None:
            self._guesses.wrong(address)
            return not_signed_in(wanted)
        scope["state"]["user"] = user
        return None

    def _knows(self, host: str) -> bool:
        name = host_name(host)
        if name in self._names:
            return True
        if not self._admits_addresses:
            return False
        # A rebinding page has a name. An address in the Host header was typed as
        # an address, and beyond loopback the token is asked for in any case.
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    @staticmethod
    def _is_foreign(scope: Scope, headers: Mapping[str, str], host: str) -> bool:
        origin = headers.get("origin")
        if origin is not None:
            scheme, _, place = origin.lower().partition("://")
            if scheme not in ("http", "https") or place != host.strip().lower():
                return True
        if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
            return False
        # Following a link from elsewhere to the page itself is what links are for.
        return not (
            scope["method"] in ("GET", "HEAD")
            and headers.get("sec-fetch-mode") == "navigate"
            and (scope["path"] in ("/", "/admin", "/docs") or _is_led_to(scope["path"]))
        )


def _is_led_to(path: str) -> bool:
    """Whether links elsewhere lead people to *path*: to a picture, or back from a platform where
    they have signed in."""
    is_way_back = path.startswith(SIGN_IN_WITH) and path.endswith("/callback")
    return is_way_back or path.startswith(PAGES)


class _Answer:
    """``send`` that adds the headers that every answer carries."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            headers: list[tuple[bytes, bytes]] = list(message.get("headers", ()))
            present = {name.lower() for name, _ in headers}
            defaults = {**SECURITY_HEADERS, "cache-control": "no-store"}
            headers += [
                (name.encode(), value.encode())
                for name, value in defaults.items()
                if name.encode() not in present
            ]
            message = {**message, "headers": headers}
        await self._send(message)

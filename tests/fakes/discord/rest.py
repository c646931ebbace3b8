"""REST: from a request to a call, and from its result to an answer that discord.py reads."""

import hashlib
import json
import re
import time
import traceback
from dataclasses import dataclass

from aiohttp import web

from . import calls, rules
from .calls import CALLS, Call
from .rules import Refusal
from .state import File

PREFIX = "/api/v10"
UPLOAD = re.compile(r"files\[(\d+)\]$")


@dataclass(frozen=True)
class Request:
    """One request, as the fake's log keeps it. `seconds` are monotonic: when it came.

    A status of 0 means that there was no answer.
    """

    method: str
    path: str
    body: dict | list | None
    files: tuple[str, ...]
    status: int
    code: int | None
    seconds: float


class Rest:
    """Discord's REST interface, version 10.

    Args:
        discord: The whole fake; see server.py.
    """

    def __init__(self, discord):
        self._discord = discord
        self._routes = [
            (method, template, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template) + "$"))
            for method, template in CALLS
        ]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        discord, arrived = self._discord, time.monotonic()
        method, path = request.method, request.path.removeprefix(PREFIX)
        template, values = self._route(request, method, path)
        body, files, status, answer, fault = None, {}, 0, None, None
        headers = _headers(method, template or path)
        lost = False
        try:
            if not request.path.startswith(PREFIX) or template is None:
                discord.violation(f"The fake knows no call {method} {request.path}.")
                raise Refusal(404, 0, "404: Not Found")
            body, files = await _read(request)  # it has arrived, whether or not anybody waits
            fault = discord.fault(method, path, body)
            if fault is not None:
                self._trouble(values)
            if fault is not None and fault.gate is not None:
                await fault.gate.wait()
            if fault is not None and not fault.is_carried_out:
                status = fault.status or 0
                return self._fail(request, fault, headers)
            lost = fault is not None and fault.lose_answer
            headers |= self._pace(method, path, template)
            self._check_request(method, template, body)
            if calls.needs_token(template):
                self._authorize(request)
            call = Call(discord, values, dict(request.query), body, files, arrived)
            status, answer = CALLS[method, template](call)
        except Refusal as refusal:
            status, answer = refusal.status, refusal.body
            discord.count_refusal(refusal.status)
            headers |= getattr(refusal, "headers", {})
            if refusal.is_violation:
                discord.violation(f"{method} {path} is refused: {refusal}")
        except Exception:
            discord.violation(f"The fake failed at {method} {path}: {traceback.format_exc()}")
            status, answer = 503, {"message": "The fake failed", "code": 0}
        finally:
            names = tuple(file.filename for file in files.values())
            code = answer.get("code") if status >= 400 and isinstance(answer, dict) else None
            discord.requests.append(Request(method, path, body, names, status, code, arrived))
            discord.changes.tell()
        self._check_answer(method, template, status, answer)
        if fault is not None and fault.keep is not None:
            await fault.keep.wait()
            headers |= fault.headers
        if lost:
            return cut(request)
        if fault is not None and fault.misreport and status < 400:
            return self._fail(request, fault, headers)
        return _response(status, answer, headers)

    def _route(self, request, method: str, path: str) -> tuple[str | None, dict]:
        for known, template, pattern in self._routes:
            if known == method and (match := pattern.match(path)) is not None:
                return template, match.groupdict()
        return None, {}

    def _trouble(self, values: dict) -> None:
        """Remember the interaction that a fault meets: its bot cannot know whether it answered."""
        interaction = self._discord.interactions.get(values.get("interaction_token"))
        if interaction is not None:
            interaction.is_troubled = True

    def _authorize(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Bot {self._discord.token}":
            raise Refusal(401, 0, "401: Unauthorized")

    def _check_request(self, method: str, template: str, body) -> None:
        truth = self._discord.truth
        if truth is None:
            return
        if not truth.knows(method, template):
            self._discord.violation(f"Discord documents no call {method} {template}.")
            return
        for fault in truth.faults_of_request(method, template, body):
            self._discord.violation(f"The body of {method} {template} breaks the schema: {fault}")

    def _check_answer(self, method: str, template: str | None, status: int, answer) -> None:
        truth = self._discord.truth
        if truth is None or template is None or not truth.knows(method, template) or status == 429:
            return
        for fault in truth.faults_of_answer(method, template, status, answer):
            self._discord.violation(
                f"The fake's answer {status} to {method} {template} breaks the schema: {fault}"
            )

    def _pace(self, method: str, path: str, template: str) -> dict[str, str]:
        """Headers of the rate limit that holds for this path.

        Raises:
            Refusal: 429, of this path or of all together.
        """
        discord = self._discord
        if calls.needs_token(template) and not discord.pace.count():
            raise _too_fast(1.0, is_global=True)
        for limit in discord.limits:
            if limit.meets(method, path):
                left, wait = limit.take(path)
                headers = _headers(method, template, limit.most, max(left, 0), wait)
                if left < 0:
                    refusal = _too_fast(wait, is_global=False)
                    refusal.headers |= headers
                    raise refusal
                return headers
        return {}

    def _fail(self, request: web.Request, fault, headers) -> web.StreamResponse:
        if fault.status is None:
            return cut(request)
        self._discord.count_refusal(fault.status)
        headers = {**headers, **fault.headers}
        headers = {name: value for name, value in headers.items() if value}
        if isinstance(fault.body, str) or fault.body is None:
            text = fault.body or ""
            return web.Response(status=fault.status, text=text, headers=headers)
        return _response(fault.status, fault.body, headers)


def cut(request: web.Request) -> web.Response:
    """End the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _too_fast(wait: float, *, is_global: bool) -> Refusal:
    refusal = Refusal(429, 0, "You are being rate limited.")
    refusal.body = {
        "message": "You are being rate limited.",
        "retry_after": round(wait, 3),
        "global": is_global,
    }
    scope = "global" if is_global else "user"
    refusal.headers = {"Retry-After": str(int(wait) + 1), "X-RateLimit-Scope": scope}
    return refusal


def _headers(
    method: str, template: str, most: int = 50, left: int = 49, wait: float = 1.0
) -> dict[str, str]:
    bucket = hashlib.md5(f"{method} {template}".encode()).hexdigest()
    return {
        "Via": "1.1 google",
        "X-RateLimit-Bucket": bucket,
        "X-RateLimit-Limit": str(most),
        "X-RateLimit-Remaining": str(left),
        "X-RateLimit-Reset": f"{time.time() + wait:.3f}",
        "X-RateLimit-Reset-After": f"{wait:.3f}",
    }


def _response(status: int, answer, headers: dict[str, str]) -> web.Response:
    """discord.py reads as JSON only what says `application/json` and nothing more."""
    if answer is None:
        return web.Response(status=status, headers=headers)
    return web.Response(
        status=status,
        body=json.dumps(answer).encode(),
        headers={**headers, "Content-Type": "application/json"},
    )


async def _read(request: web.Request) -> tuple[dict | list | None, dict[int, File]]:
    """The JSON of a request and the files that came with it."""
    too_large = Refusal(413, 40005, "Request entity too large", is_violation=True)
    if (request.content_length or 0) > rules.LARGEST_REQUEST:
        await request.read()
        raise too_large
    if not request.content_type.startswith("multipart/"):
        return _json(await request.read()), {}
    body, files = None, {}
    async for part in await request.multipart():
        data = bytes(await part.read(decode=False))
        if part.name == "payload_json":
            body = _json(data)
        elif (match := UPLOAD.match(part.name or "")) is not None:
            files[int(match[1])] = File(data, part.filename or "")
        else:
            raise Refusal(400, 50035, f"There is no field {part.name!r}", is_violation=True)
    if sum(len(file.data) for file in files.values()) > rules.LARGEST_REQUEST:
        raise too_large
    return body, files


def _json(data: bytes):
    if not data:
        return None
    try:
        return json.loads(data)
    except ValueError:
        raise Refusal(
            400, 50109, "The request body contains invalid JSON.", is_violation=True
        ) from None

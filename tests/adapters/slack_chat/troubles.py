"""Faults that one call of the bot's to Slack meets, whatever the call."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import suppress
from urllib.parse import parse_qsl

from aiohttp import web

#: Seconds after which the bot takes a call to hang, here.
TIMEOUT = 0.3
#: Seconds that a slow answer takes.
SLOW = TIMEOUT / 3


def _cut(request):
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _says(error):
    return web.json_response({"ok": False, "error": error})


async def refused(meeting, request, handler):
    """The line is cut before anything is done."""
    return _cut(request)


async def lost(meeting, request, handler):
    """It is carried out, and the line is cut."""
    await meeting.carry_out(request, handler)
    return _cut(request)


async def lost_behind_a_proxy(meeting, request, handler):
    """It is carried out, and a proxy says that it was not."""
    await meeting.carry_out(request, handler)
    return web.Response(status=502, text="upstream trouble")


async def lost_within_slack(meeting, request, handler):
    """It is carried out, but for what Slack does after it."""
    await meeting.carry_out(request, handler)
    return _says("internal_error") if meeting.is_method else web.Response(status=500)


async def limited(meeting, request, handler):
    body = {"ok": False, "error": "ratelimited"}
    return web.json_response(body, status=429, headers={"Retry-After": "1"})


async def broken(meeting, request, handler):
    return web.Response(status=503, text="upstream trouble")


async def hangs(meeting, request, handler):
    """Nothing is done, and no answer comes."""
    await meeting.is_over.wait()
    return _cut(request)


async def hangs_when_done(meeting, request, handler):
    """It is carried out, and no answer comes."""
    await meeting.carry_out(request, handler)
    await meeting.is_over.wait()
    return _cut(request)


async def slow(meeting, request, handler):
    """The answer takes its time."""
    response = await meeting.carry_out(request, handler)
    await asyncio.sleep(SLOW)
    return response


async def overtaken(meeting, request, handler):
    """A later call of the same method is carried out before it."""
    meeting.held += 1
    with suppress(TimeoutError):
        async with asyncio.timeout(3 * TIMEOUT):
            await meeting.carried_out.wait()
    await asyncio.sleep(0.03)
    try:
        return await meeting.carry_out(request, handler)
    finally:
        meeting.held -= 1


def saying(error):
    """A fault in Slack's own word for it; files and hooks have statuses alone."""

    async def says(meeting, request, handler):
        return _says(error) if meeting.is_method else web.Response(status=500)

    return says


#: Faults that pass, and must change nothing but the time.
PASSING = {
    "refused": refused,
    "lost": lost,
    "lost behind a proxy": lost_behind_a_proxy,
    "lost within Slack": lost_within_slack,
    "limited": limited,
    "broken": broken,
    "fatal_error": saying("fatal_error"),
    "internal_error": saying("internal_error"),
    "service_unavailable": saying("service_unavailable"),
    "hangs": hangs,
    "hangs when done": hangs_when_done,
    "slow": slow,
    "overtaken": overtaken,
}
#: Faults after which the call was carried out, or may be later, without the bot's knowing.
UNHEARD = frozenset({lost, lost_behind_a_proxy, lost_within_slack, hangs_when_done, overtaken})
#: Calls by which one person alone is told something.
WHISPERS = frozenset({"response_url", "chat.postEphemeral"})
#: Faults that every further call of the method meets too: Slack fails for good, has closed the
#: place, or takes no message of the kind.
LASTING = {
    "refused": refused,
    "broken": broken,
    "internal_error": saying("internal_error"),
    "limited": limited,
    "restricted_action": saying("restricted_action"),
    "msg_too_long": saying("msg_too_long"),
}


class Trouble:
    """Counts the bot's calls by their labels; those that are meant meet *fault*.

    A label is a method of the Web API, ``upload``, ``file`` or ``response_url``, with the stage of
    the job where the method serves several: ``chat.update: progress``.

    Attributes:
        labels: The label of every call, in order.
        met: Times that the fault was met.
        held: Calls that were overtaken and are still to be carried out.
        is_lasting: Whether every later call of the label meets the fault too.
        keeps_files: Whether no file can be deleted.
        may_double: Whether the bot cannot but tell people something twice.
        is_over: Set at the end, when what hangs may go.
    """

    def __init__(self, slack, label=None, number=0, fault=None, is_lasting=False):
        self.labels = []
        self.met = self.held = 0
        self.is_method = label not in ("upload", "file", "response_url") if label else True
        self.carried_out, self.is_over = asyncio.Event(), asyncio.Event()
        # Whispers cannot be looked for; nor can what Slack does after it was looked for.
        self.may_double = (fault in UNHEARD and label in WHISPERS) or (
            fault is overtaken and label == "chat.postMessage: end"
        )
        self._slack = slack
        self._meant = (label, number)
        self._fault, self.is_lasting = fault, is_lasting
        self.keeps_files = is_lasting and method_of(label) == "files.delete"
        self._counts = Counter()

    async def __call__(self, request, handler):
        if request.path.startswith("/link/"):
            return await handler(request)
        label = await self._label(request)
        self.labels.append(label)
        meant, number = self._meant
        count = self._counts[label]
        self._counts[label] += 1
        if label == meant and (count == number or (self.is_lasting and count > number)):
            self.met += 1
            return await self._fault(self, request, handler)
        response = await handler(request)
        if meant is not None and self.met and method_of(label) == method_of(meant):
            self.carried_out.set()
        return response

    async def carry_out(self, request, handler):
        return await handler(request)

    async def _label(self, request):
        body = await request.read()  # a call that hangs up takes its body with it
        place = request.match_info
        if request.path.startswith("/files-pri/"):
            return "file"
        if request.path.startswith("/hooks/"):
            return "response_url"
        method = place.get("method", "upload")
        arguments = {}
        if request.content_type == "application/json":
            arguments = json.loads(body)
        elif method != "upload":
            arguments = dict(parse_qsl(request.query_string + "&" + body.decode()))
        name = arguments.get("filename") or self._name(arguments, place)
        if "-unfinished" in name:
            return f"{method}: preview"
        if method in ("chat.update", "chat.postMessage"):
            is_on_its_way = "flux:cancel" in json.dumps(arguments.get("blocks"))
            return f"{method}: {'progress' if is_on_its_way else 'end'}"
        return method

    def _name(self, arguments, place):
        files = arguments.get("files") or [{}]
        id = place.get("id") or arguments.get("file") or files[0].get("id")
        file = self._slack.files.get(id)
        return file.name if file is not None else ""


def method_of(label):
    return label.partition(":")[0]

"""Files at Slack: attached pictures, read with the bot's token from Slack's hosts alone, and
uploads of the bot's pictures."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import aiohttp

from adapters.slack_chat.errors import OutcomeUnknown, SlackError
from adapters.slack_chat.workspaces import Workspace
from bot import sentences
from bot.sections import Slack
from bot.sentences import Sentence, unreadable
from bot.source import Picture
from generation.kinds import CONTROL_IMAGES

logger = logging.getLogger(__name__)

#: Attempts to upload a picture, to complete its upload, to fetch one, and to ask Slack whether it
#: can be shown.
UPLOADS = 4
#: Files that go with a prompt: as many as any preset takes.
MOST = len(CONTROL_IMAGES)
COMPLETIONS = 2
FETCHES = 3
LOOKS = 10
#: Bytes that are looked at to tell a page from a picture.
BEGINNING = 512
#: Times that a file may be somewhere else, and the statuses that say so.
HOPS = 3
REDIRECTS = frozenset({301, 302, 303, 307, 308})


def pictures(
    workspace: Workspace, attached: Sequence[Mapping[str, Any]], settings: Slack, max_bytes: int
) -> list[Picture]:
    """The *attached* files of a message, to be read when they are needed: pictures, and perhaps a
    mask. Reading raises InvalidImage for a file that cannot be read, and where there are more than
    `MOST`."""

    async def bytes_of(file: Mapping[str, Any]) -> bytes:
        if len(attached) > MOST:
            raise sentences.too_many(len(attached), MOST)
        return await read(workspace, file, settings, max_bytes)

    return [partial(bytes_of, file) for file in attached[:MOST]]


async def read(
    workspace: Workspace, file: Mapping[str, Any], settings: Slack, max_bytes: int
) -> bytes:
    """The bytes of *file*, which somebody has sent to Slack.

    Raises:
        InvalidImage: The file lies elsewhere, is too large, gone, or may not be read.
    """
    if file.get("file_access") == "check_file_info" or "url_private" not in file:
        # Of files in channels that are shared with others, events carry the id alone.
        file = await _info(workspace, str(file.get("id", "")))
    if file.get("is_external") or file.get("mode") in ("external", "tombstone"):
        raise unreadable(Sentence.STORED_ELSEWHERE)
    if (size := int(file.get("size") or 0)) > max_bytes:
        raise sentences.too_large(size, max_bytes)
    url = str(file.get("url_private_download") or file.get("url_private") or "")
    if not _is_ours(url, settings):
        raise unreadable(Sentence.STORED_ELSEWHERE)
    for attempt in range(FETCHES):
        try:
            data, kind = await _fetch(workspace, url, settings, max_bytes)
            break
        except (OutcomeUnknown, TimeoutError, aiohttp.ClientError, OSError) as error:
            if attempt + 1 == FETCHES:
                raise unreadable(Sentence.NOT_FETCHED) from error
            await workspace.pace.sleep(2.0**attempt)
    # Without the permission to read a file Slack answers a page with status 200.
    # Of canvases and the like pages are the content.
    is_picture = str(file.get("mimetype") or "image/").startswith(("image/", "application/octet"))
    if is_picture and (kind == "text/html" or _is_page(data)):
        raise unreadable(Sentence.MAY_NOT_READ)
    if len(data) > max_bytes:
        raise sentences.too_large(len(data), max_bytes)
    return data


async def _fetch(
    workspace: Workspace, url: str, settings: Slack, max_bytes: int
) -> tuple[bytes, str]:
    """At most *max_bytes* + 1 bytes from *url*, and their content type.

    In organisations (Enterprise Grid) Slack leads from one of its hosts to another, which wants
    the token too; a client that follows by itself would leave it out.

    Raises:
        InvalidImage: Slack does not hand the file out.
        OutcomeUnknown: It may a little later.
    """
    headers = {"Authorization": f"Bearer {workspace.token}"}
    for _ in range(HOPS + 1):
        async with workspace.session.get(url, headers=headers, allow_redirects=False) as answer:
            if answer.status in REDIRECTS:
                url = urljoin(url, answer.headers.get("Location", ""))
                if "redir" in parse_qs(urlsplit(url).query):  # to sign in first
                    raise unreadable(Sentence.MAY_NOT_READ)
                if not _is_ours(url, settings):
                    logger.warning(
                        "Slack leads to %s for a file, which is not among slack.file_hosts",
                        urlsplit(url).netloc,
                    )
                    raise unreadable(Sentence.LED_AWAY)
                continue
            if answer.status == 404:
                raise unreadable(Sentence.FILE_IS_GONE)
            if answer.status == 429 or answer.status >= 500:
                raise OutcomeUnknown(f"file: HTTP {answer.status}")
            if answer.status != 200:
                raise sentences.not_handed_out("Slack", answer.status)
            data = b""
            while len(data) <= max_bytes and (
                more := await answer.content.read(max_bytes + 1 - len(data))
            ):
                data += more
            return data, answer.content_type
    raise unreadable(Sentence.NOT_FETCHED)


def _is_ours(url: str, settings: Slack) -> bool:
    """Whether the token may go to *url*: by TLS, unless the API itself has none, as on a loopback,
    and to a host that is named."""
    parts = urlsplit(url)
    is_safe = parts.scheme in ("https", urlsplit(settings.api_base).scheme)
    return is_safe and parts.netloc in settings.file_hosts


async def _info(workspace: Workspace, id: str) -> dict[str, Any]:
    try:
        file: dict[str, Any] = (await workspace.call("files.info", file=id))["file"]
    except SlackError as error:
        if error.error == "missing_scope":
            raise unreadable(Sentence.MAY_NOT_READ) from error
        raise unreadable(Sentence.FILE_IS_GONE) from error
    except OutcomeUnknown as error:
        raise unreadable(Sentence.NOT_FETCHED) from error
    return file


def _is_page(data: bytes) -> bool:
    beginning = data[:BEGINNING].lstrip().lower()
    return beginning.startswith((b"<!doctype html", b"<html"))


async def forgotten(*_: object) -> None:
    """Does nothing with the id."""


async def upload(
    workspace: Workspace,
    data: bytes,
    name: str,
    title: str,
    keep: Callable[[str], Awaitable[None]] = forgotten,
    earlier: str | None = None,
    channel: str | None = None,
    attempts: int = UPLOADS,
) -> str:
    """The id of the picture *data* at Slack, uploaded there, where nobody sees it yet; or of any
    file, which is shown in the conversation *channel*.

    *keep* is told the id before the upload is completed. Given again as *earlier*, after a crash
    or a lost answer, it keeps a second file from being left behind.

    Raises:
        SlackError, OutcomeUnknown: The upload failed, after so many *attempts*.
    """
    if earlier is not None and await _is_complete(workspace, earlier):
        return earlier
    for attempt in range(attempts):
        try:
            place = await workspace.call(
                "files.getUploadURLExternal", filename=name, length=len(data)
            )
            await _send(workspace, place["upload_url"], data)
            await keep(place["file_id"])
            await _complete(workspace, place["file_id"], title, channel)
        except OutcomeUnknown:
            if attempt + 1 == attempts:
                raise
            await workspace.pace.sleep(2.0**attempt)
        else:
            return str(place["file_id"])
    raise AssertionError("every attempt returns or raises")


async def _send(workspace: Workspace, url: str, data: bytes) -> None:
    try:
        async with workspace.session.post(
            url, data=data, headers={"Content-Type": "application/octet-stream"}
        ) as answer:
            if answer.status != 200:
                raise OutcomeUnknown(f"upload: HTTP {answer.status}")
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise OutcomeUnknown(f"upload: {type(error).__name__}") from error


async def _complete(workspace: Workspace, id: str, title: str, channel: str | None) -> None:
    shown: dict[str, Any] = {} if channel is None else {"channel_id": channel}
    for attempt in range(COMPLETIONS):
        try:
            await workspace.call(
                "files.completeUploadExternal", files=[{"id": id, "title": title}], **shown
            )
            return
        except (SlackError, OutcomeUnknown) as error:
            is_unknown = isinstance(error, OutcomeUnknown)
            # The call works once; the file itself tells whether it did.
            if (is_unknown or attempt) and await _is_complete(workspace, id):
                return
            # Another file would be left behind, should this one be completed late.
            if not is_unknown or attempt + 1 == COMPLETIONS:
                raise
        await workspace.pace.sleep(2.0**attempt)


async def _is_complete(workspace: Workspace, id: str) -> bool:
    try:
        await workspace.call("files.info", file=id)
    except SlackError as error:
        if error.error in ("file_not_found", "missing_scope"):
            return False
        raise
    return True


async def until_shown(workspace: Workspace, id: str) -> None:
    """Wait until Slack has looked at the picture; before that it refuses blocks with it. Without
    the permission to ask, such blocks are tried later."""
    for _ in range(LOOKS):
        try:
            if (await workspace.call("files.info", file=id))["file"].get("mimetype"):
                return
        except SlackError as error:
            if error.error != "missing_scope":
                raise
            return
        await workspace.pace.sleep(1.0)


async def upload_to_show(workspace: Workspace, data: bytes, name: str, title: str) -> str:
    """The id of the picture *data* at Slack, which a message can show from now on.

    Raises:
        SlackError, OutcomeUnknown: It cannot, and nothing is left there.
    """
    ids: list[str] = []

    async def keep(id: str) -> None:
        ids.append(id)

    try:
        id = await upload(workspace, data, name, title, keep)
        await until_shown(workspace, id)
    except (SlackError, OutcomeUnknown):
        await delete(workspace, ids)
        raise
    return id


async def delete(workspace: Workspace, ids: list[str]) -> None:
    """Delete files of the bot, if they are still there."""
    for id in ids:
        try:
            await workspace.call("files.delete", file=id)
        except (SlackError, OutcomeUnknown):
            continue

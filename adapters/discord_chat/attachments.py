"""Attached pictures, read from Discord's own hosts alone, up to the size allowed.

No address that a person typed is ever fetched, and no redirect is followed. The file is
still a stranger's; `Service.submit` cleans it.
"""

from __future__ import annotations

import asyncio

import aiohttp
import discord

from adapters.discord_chat.pictures import Listed, is_kept_by_discord
from bot import sentences
from bot.sentences import Sentence

#: Types that are never pictures; all others, wrong ones too, are judged by their bytes.
NO_PICTURES = ("audio/", "video/", "text/", "application/json", "application/pdf")
#: Seconds for one attempt, and pauses between two.
SECONDS, PAUSES = 20, (1.0, 2.0)


class _NotYet(Exception):
    """Discord does not hand the file out just now."""


class Attachments:
    """Attached files of at most *max_bytes*, read over the connections of *client*."""

    def __init__(self, client: discord.Client, max_bytes: int) -> None:
        self._client = client
        self._max_bytes = max_bytes

    async def read(self, attachment: Listed) -> bytes:
        """The file's bytes.

        Raises:
            InvalidImage: The file is too large or no picture at all, which is judged before any
                fetching, or Discord no longer has it.
        """
        kind = (attachment.content_type or "").partition(";")[0]
        if kind.startswith(NO_PICTURES):
            raise sentences.wrong_kind(kind)
        if attachment.size > self._max_bytes:
            raise sentences.too_large(attachment.size, self._max_bytes)
        if not is_kept_by_discord(attachment.url):
            raise sentences.unreadable(Sentence.STORED_ELSEWHERE)
        for pause in PAUSES:
            try:
                return await self._fetch(attachment.url)
            except (_NotYet, aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(pause)
        try:
            return await self._fetch(attachment.url)
        except (_NotYet, aiohttp.ClientError, TimeoutError) as error:
            raise sentences.unreadable(Sentence.NOT_FETCHED) from error

    async def _fetch(self, url: str) -> bytes:
        async with (
            aiohttp.ClientSession(
                connector=self._client.http.connector,
                connector_owner=False,
                timeout=aiohttp.ClientTimeout(total=SECONDS),
            ) as session,
            session.get(
                url,
                allow_redirects=False,
                proxy=self._client.http.proxy,
                proxy_auth=self._client.http.proxy_auth,
            ) as response,
        ):
            if response.status == 429 or response.status >= 500:
                raise _NotYet
            if response.status != 200:
                raise sentences.unreadable(Sentence.NOT_FETCHED)
            data = await response.content.read(self._max_bytes + 1)
            while len(data) <= self._max_bytes and (
                more := await response.content.read(self._max_bytes + 1 - len(data))
            ):
                data += more
        if len(data) > self._max_bytes:
            raise sentences.too_large(len(data), self._max_bytes)
        return data

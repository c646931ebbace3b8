"""The pictures of a message: attached, in a message that it forwards, or in the embeds of both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import discord

#: Discord's own hosts: of files, and of its proxies for the pictures of other sites.
HOSTS = frozenset(
    {
        "cdn.discordapp.com",
        "media.discordapp.net",
        "images-ext-1.discordapp.net",
        "images-ext-2.discordapp.net",
    }
)


class Listed(Protocol):
    """A file as Discord lists it. *content_type* and *size* may be unknown: None and 0."""

    @property
    def url(self) -> str: ...

    @property
    def content_type(self) -> str | None: ...

    @property
    def size(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Embedded:
    """The picture of an embed, of which Discord tells little."""

    url: str
    content_type: str | None = None
    size: int = 0


def is_kept_by_discord(url: str) -> bool:
    """Whether *url* leads to a host of Discord's own."""
    parts = urlsplit(url)
    return parts.scheme == "https" and parts.hostname in HOSTS


def pictures_of(message: discord.Message) -> list[Listed]:
    """The pictures that *message* shows; all its attachments where Discord names no types."""
    parts: list[discord.Message | discord.MessageSnapshot] = [message, *message.message_snapshots]
    found: dict[str, Listed] = {}
    for part in parts:
        for file in part.attachments:
            if file.content_type is None or file.content_type.startswith("image/"):
                found.setdefault(urlsplit(file.url).path, file)
    for part in parts:
        for url in _embedded(part.embeds):
            found.setdefault(urlsplit(url).path, Embedded(url))
    return list(found.values())


def _embedded(embeds: list[discord.Embed]) -> Iterator[str]:
    """Addresses at Discord of the pictures of *embeds*, one for each."""
    for embed in embeds:
        for shown in (embed.image, embed.thumbnail):
            # The address itself may have been typed by anybody.
            urls = [url for url in (shown.url, shown.proxy_url) if url and is_kept_by_discord(url)]
            if urls:
                yield urls[0]
                break

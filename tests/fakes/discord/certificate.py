"""A certificate for Discord's hosts that only the tests trust."""

import functools
import ssl
from dataclasses import dataclass

import trustme

HOSTS = (
    "discord.com",
    "gateway.discord.gg",
    "cdn.discordapp.com",
    "media.discordapp.net",
    "images-ext-1.discordapp.net",
)


@dataclass(frozen=True)
class Certificate:
    """Both ends of TLS: what the fake shows, and what the bot's connector trusts."""

    server: ssl.SSLContext
    client: ssl.SSLContext


@functools.cache
def certificate() -> Certificate:
    """The certificate of this process: made once, kept nowhere."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*HOSTS).configure_cert(server)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    return Certificate(server, client)

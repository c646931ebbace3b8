"""Platforms whose people sign in on the page by OAuth: Discord (RFC 6749 with PKCE, RFC 7636) and
Slack (OpenID Connect)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bot.config import Config, Secrets
from bot.sections import Discord
from bot.service import Service

#: What answers a request with a method, an address, a bearer token and form fields: status, JSON.
Fetch = Callable[[str, str, str, Mapping[str, str]], Awaitable[tuple[int, dict[str, Any]]]]

DISCORD_PAGE, DISCORD_API = "https://discord.com/oauth2/authorize", "https://discord.com/api/v10/"
SLACK_PAGE = "https://slack.com/openid/connect/authorize"


class NotLetIn(Exception):
    """The platform knows the person, but the bot does not draw for them."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A platform that vouches for people.

    Attributes:
        page: Address where people are asked.
        token_url: Address at which a code is changed into a token.
        scope: What is asked for.
        has_pkce: Whether it proves that who brings the code has begun, by PKCE.
        user_of: The ``platform:id`` of the person behind a token. Raises NotLetIn for people whom
            the bot does not draw for, and ValueError for an answer that cannot be read.
    """

    name: str
    client_id: str
    client_secret: str
    page: str
    token_url: str
    scope: str
    has_pkce: bool
    user_of: Callable[[Fetch, str], Awaitable[str]]


def providers(
    config: Config, secrets: Secrets, service: Service, *, discord_api: str = DISCORD_API
) -> dict[str, Provider]:
    """The platforms whose application's id and secret are set, by name; none where the page has no
    public address, to which people could be sent back."""
    found: dict[str, Provider] = {}
    if not config.web.public_url:
        return found
    # Roles can be asked for in servers that are named.
    can_tell = bool(config.discord.servers) or not config.discord.roles
    if secrets.discord_client_id and secrets.discord_client_secret and can_tell:
        found["discord"] = Provider(
            "discord",
            secrets.discord_client_id,
            secrets.discord_client_secret,
            DISCORD_PAGE,
            f"{discord_api}oauth2/token",
            "identify guilds.members.read" if config.discord.servers else "identify",
            True,
            lambda fetch, token: _discord_user(fetch, token, discord_api, config.discord),
        )
    if secrets.slack_client_id and secrets.slack_client_secret:
        api = config.slack.api_base
        found["slack"] = Provider(
            "slack",
            secrets.slack_client_id,
            secrets.slack_client_secret,
            SLACK_PAGE,
            f"{api}openid.connect.token",
            "openid profile",
            False,
            lambda fetch, token: _slack_user(fetch, token, api, service),
        )
    return found


async def _discord_user(fetch: Fetch, token: str, api: str, settings: Discord) -> str:
    status, person = await fetch("GET", f"{api}users/@me", token, {})
    id = str(person.get("id", ""))
    if status != 200 or not re.fullmatch(r"\d{5,25}", id):
        raise ValueError(f"no id from Discord ({status})")
    if settings.servers and not await _is_member(fetch, token, api, settings):
        raise NotLetIn("discord")
    return f"discord:{id}"


async def _is_member(fetch: Fetch, token: str, api: str, settings: Discord) -> bool:
    """Whether the person is in one of the servers that the bot draws in, with one of its roles."""
    for server in settings.servers:
        status, member = await fetch("GET", f"{api}users/@me/guilds/{server}/member", token, {})
        roles = set(map(str, member.get("roles", ())))
        if status == 200 and (not settings.roles or roles & set(settings.roles)):
            return True
    return False


async def _slack_user(fetch: Fetch, token: str, api: str, service: Service) -> str:
    status, person = await fetch("POST", f"{api}openid.connect.userInfo", token, {})
    id, team = (str(person.get(f"https://slack.com/{each}", "")) for each in ("user_id", "team_id"))
    are_ids = all(re.fullmatch(r"[A-Z0-9]{2,30}", each) for each in (id, team))
    if status != 200 or not person.get("ok") or not are_ids:
        raise ValueError(f"no ids from Slack ({status})")
    if f"slack-server:{team}" not in service.servers_here:
        raise NotLetIn("slack")
    return f"slack:{team}-{id}"

"""The person behind an interaction, its place, and the permissions there."""

from __future__ import annotations

from typing import Any

import discord

from bot.languages import Language, language_of
from bot.origins import Origin
from bot.source import Source

PLATFORM = "discord"

#: Permissions that the bot needs to show pictures in a channel.
NEEDED = discord.Permissions(
    view_channel=True,
    send_messages=True,
    send_messages_in_threads=True,
    embed_links=True,
    attach_files=True,
)

Interaction = discord.Interaction[Any]


def user_of(person: discord.abc.Snowflake) -> str:
    """``discord:id``."""
    return f"{PLATFORM}:{person.id}"


def server_of(guild_id: int) -> str:
    """``discord-server:id``."""
    return f"{PLATFORM}-server:{guild_id}"


def role_of(role_id: int) -> str:
    """``discord-role:id``."""
    return f"{PLATFORM}-role:{role_id}"


def roles_of(person: discord.abc.User) -> tuple[str, ...]:
    """``discord-role:id`` for each role of *person* in the server of the interaction."""
    roles = person.roles if isinstance(person, discord.Member) else []
    return tuple(role_of(role.id) for role in roles)


def say_of(interaction: Interaction) -> Language:
    """The language of the person."""
    return language_of(interaction.locale.value)


def source_of(interaction: Interaction, shown: str | None = None) -> Source:
    """The source of *interaction*; *shown* is the id of the job under which the person asks."""
    return Source(
        user_of(interaction.user),
        origin_of(interaction),
        name=str(interaction.user),
        language=say_of(interaction),
        shown=shown,
    )


def origin_of(interaction: Interaction) -> Origin:
    """Origin of *interaction*. A thread belongs to its channel, a channel to its category."""
    if interaction.guild_id is None:
        return Origin()
    channel = interaction.channel
    parent = channel
    if isinstance(channel, discord.Thread):
        parent = channel.parent  # None where the bot is no member, and so does not know it
    places = (
        interaction.channel_id,
        getattr(channel, "parent_id", None),
        getattr(parent, "category_id", None),
    )
    return Origin(
        server_of(interaction.guild_id),
        tuple(str(place) for place in places if place is not None),
        roles_of(interaction.user),
        is_age_restricted=is_age_restricted(channel),
    )


def is_age_restricted(channel: object) -> bool:
    """Whether Discord shows *channel* to adults alone; a thread is as its channel is."""
    return bool(getattr(channel, "nsfw", False) or getattr(_parent(channel), "nsfw", False))


def _parent(channel: object) -> object:
    return channel.parent if isinstance(channel, discord.Thread) else None


def is_among_us(interaction: Interaction) -> bool:
    """Whether the bot is a member of the place of *interaction*, and may write there by itself.

    Somebody who has installed the app for their account alone takes its commands to other
    places too.
    """
    if interaction.guild_id is None:
        return interaction.context.dm_channel
    return interaction.is_guild_integration()


def lacking(interaction: Interaction) -> list[str]:
    """Permissions that the bot lacks to show a picture here, in Discord's words."""
    if not is_among_us(interaction) or interaction.guild_id is None:
        return []
    in_thread = isinstance(interaction.channel, discord.Thread)
    irrelevant = "send_messages" if in_thread else "send_messages_in_threads"
    given = interaction.app_permissions
    return [
        name.replace("_", " ").title()
        for name, is_needed in NEEDED
        if is_needed and name != irrelevant and not getattr(given, name)
    ]

"""Which places on Discord the bot is open in, by ``[discord]`` of the configuration.

Asked before every command, menu, completion, button and form: what a command may not do in a
place, no button under an old message may do there either.
"""

from __future__ import annotations

from discord import RawReactionActionEvent, app_commands

from adapters.discord_chat.people import Interaction
from bot import sentences
from bot.refusals import NotAllowed
from bot.sections import Discord


def closed(interaction: Interaction, settings: Discord) -> NotAllowed | None:
    """The refusal for the place of *interaction*, or for the person's roles there; None where the
    bot is open to them."""
    guild = interaction.guild_id
    if settings.servers and guild is not None and str(guild) not in settings.servers:
        return sentences.other_server()
    if guild is None and interaction.context.dm_channel:
        return None if has_direct_messages(settings) else sentences.no_direct_messages()
    if not interaction.is_guild_integration() and not has_user_install(settings):
        return sentences.not_installed_here()
    if settings.roles and guild is not None:
        roles = {str(role.id) for role in getattr(interaction.user, "roles", ())}
        if not roles & set(settings.roles):
            return sentences.no_role()
    return None


def is_closed_to_reactions(payload: RawReactionActionEvent, settings: Discord) -> bool:
    """Whether the bot heeds no reaction where *payload* comes from. Discord tells the roles of
    somebody who makes a reaction, and not of somebody who takes it back."""
    if payload.guild_id is None:
        return not has_direct_messages(settings)
    if settings.servers and str(payload.guild_id) not in settings.servers:
        return True
    if not settings.roles or payload.member is None:
        return False
    return not {str(role.id) for role in payload.member.roles} & set(settings.roles)


def has_direct_messages(settings: Discord) -> bool:
    """Whether people may draw in direct messages. Unless that is said, they may where nobody is
    kept out elsewhere: in a direct message Discord tells nothing of a person's servers and
    roles."""
    if settings.direct_messages is not None:
        return settings.direct_messages
    return not settings.servers and not settings.roles


def has_user_install(settings: Discord) -> bool:
    """Whether people may install the app for their account alone, and use it anywhere. Unless that
    is said, they may where nobody is kept out elsewhere."""
    if settings.user_install is not None:
        return settings.user_install
    return not settings.servers and not settings.roles


def contexts(settings: Discord) -> app_commands.AppCommandContext:
    """The places where Discord offers the commands. One's own data can be asked for in direct
    messages even where nobody draws there."""
    return app_commands.AppCommandContext(
        guild=True, dm_channel=True, private_channel=has_user_install(settings)
    )


def installs(settings: Discord) -> app_commands.AppInstallationType:
    """Whether servers alone can install the app, or people too."""
    return app_commands.AppInstallationType(guild=True, user=has_user_install(settings))

"""``/flux-admin …``: shown to people who manage the server, and checked again by the bot.

Commands for the whole bot are for its admins: the people whom ``config.toml`` names, the owners
of the Discord application, and the managers of ``discord.home_servers``. Managers of other
servers decide about their own channels, and see their own figures.
"""
# No `from __future__ import annotations`: discord.py reads the annotations, and those here
# are made of values.

from typing import Any, Literal

import discord
from discord import app_commands
from discord.app_commands import Range, locale_str

from adapters.discord_chat.answers import Answers
from adapters.discord_chat.completion import Completion
from adapters.discord_chat.moderation import add_moderation
from adapters.discord_chat.people import (
    Interaction,
    role_of,
    roles_of,
    server_of,
    source_of,
    user_of,
)
from bot import sentences
from bot.commands import (
    AdminAudit,
    AdminBan,
    AdminBans,
    AdminChannels,
    AdminCommand,
    AdminDrain,
    AdminInvite,
    AdminPause,
    AdminPresets,
    AdminQueue,
    AdminQuota,
    AdminResume,
    AdminReview,
    AdminRoles,
    AdminSample,
    AdminStats,
    AdminStrikes,
    AdminUnban,
    AdminWords,
)
from bot.commands.vocabulary import MAX_CREDITS
from bot.config import Config
from bot.conversation import converse
from bot.jobs import ID_LENGTH
from bot.service import Service

Somebody = discord.Member | discord.User | discord.Role
Person = discord.Member | discord.User


class _Channel(app_commands.Transformer):
    """A channel in which people can draw, or a category of such channels."""

    @property
    def type(self) -> discord.AppCommandOptionType:
        return discord.AppCommandOptionType.channel

    @property
    def channel_types(self) -> list[discord.ChannelType]:
        types = discord.ChannelType
        return [types.text, types.news, types.voice, types.stage_voice, types.forum, types.category]

    async def transform(self, interaction: Interaction, value: Any, /) -> Any:
        return value


Channel = app_commands.Transform[app_commands.AppCommandChannel, _Channel]
JobId = Range[str, ID_LENGTH, ID_LENGTH]


def admin_commands(service: Service, answers: Answers, config: Config) -> app_commands.Group:
    """The group ``/flux-admin``."""
    top = app_commands.Group(
        name="flux-admin",
        description=locale_str("For admins of the bot or of this server"),
        default_permissions=discord.Permissions(manage_guild=True),
        guild_only=True,
        allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
    )

    complete = Completion(service, config, answers.now)

    async def carry_out(interaction: Interaction, command: AdminCommand) -> None:
        await answers.show(interaction, lambda: converse(service, source_of(interaction), command))

    def subgroup(name: str, description: locale_str) -> app_commands.Group:
        return app_commands.Group(name=locale_str(name), description=description, parent=top)

    # Presets

    presets = subgroup("presets", locale_str("Manages the presets"))

    @presets.command(
        name=locale_str("list"), description=locale_str("Lists the presets and what is loaded")
    )
    async def presets_list(interaction: Interaction) -> None:
        await carry_out(interaction, AdminPresets())

    @presets.command(name=locale_str("enable"), description=locale_str("Enables a preset again"))
    @app_commands.describe(name=locale_str("Which preset"))
    @app_commands.rename(name=locale_str("name"))
    @app_commands.autocomplete(name=complete.all_presets)
    async def presets_enable(interaction: Interaction, name: Range[str, 1, 32]) -> None:
        await carry_out(interaction, AdminPresets("enable", name))

    @presets.command(name=locale_str("disable"), description=locale_str("Disables a preset"))
    @app_commands.describe(name=locale_str("Which preset"))
    @app_commands.rename(name=locale_str("name"))
    @app_commands.autocomplete(name=complete.all_presets)
    async def presets_disable(interaction: Interaction, name: Range[str, 1, 32]) -> None:
        await carry_out(interaction, AdminPresets("disable", name))

    @presets.command(
        name=locale_str("reload"), description=locale_str("Reloads the presets from config.toml")
    )
    async def presets_reload(interaction: Interaction) -> None:
        await carry_out(interaction, AdminPresets("reload"))

    @presets.command(
        name=locale_str("sample"), description=locale_str("Draws the sample that people see")
    )
    @app_commands.describe(name=locale_str("Which preset"), prompt=locale_str("What to draw"))
    @app_commands.rename(name=locale_str("name"), prompt=locale_str("prompt"))
    @app_commands.autocomplete(name=complete.all_presets)
    async def presets_sample(
        interaction: Interaction,
        name: Range[str, 1, 32],
        prompt: Range[str, 1, 200] | None = None,
    ) -> None:
        await carry_out(interaction, AdminSample(name, prompt or ""))

    # Quotas

    quota = subgroup("quota", locale_str("Manages credits and quotas"))

    @quota.command(
        name=locale_str("show"), description=locale_str("Shows the quota of a person or a role")
    )
    @app_commands.describe(who=locale_str("A person or a role"))
    @app_commands.rename(who=locale_str("who"))
    async def quota_show(interaction: Interaction, who: Somebody) -> None:
        await carry_out(interaction, _quota("show", who))

    @quota.command(name=locale_str("grant"), description=locale_str("Gives somebody extra credits"))
    @app_commands.describe(
        who=locale_str("A person"), credits=locale_str("Extra credits; they never expire")
    )
    @app_commands.rename(who=locale_str("who"), credits=locale_str("credits"))
    async def quota_grant(
        interaction: Interaction, who: Person, credits: Range[int, 1, MAX_CREDITS]
    ) -> None:
        await carry_out(interaction, _quota("grant", who, credits))

    @quota.command(
        name=locale_str("set"),
        description=locale_str("Sets the quota of a person or a role"),
    )
    @app_commands.describe(
        who=locale_str("A person or a role"),
        credits=locale_str("Credits per window; leave it out for the usual quota"),
    )
    @app_commands.rename(who=locale_str("who"), credits=locale_str("credits"))
    async def quota_set(
        interaction: Interaction, who: Somebody, credits: Range[int, 0, MAX_CREDITS] | None = None
    ) -> None:
        await carry_out(interaction, _quota("set", who, credits))

    @quota.command(
        name=locale_str("server"),
        description=locale_str("Sets the quota that everybody on this server shares"),
    )
    @app_commands.describe(credits=locale_str("Credits per window; leave it out for no limit"))
    @app_commands.rename(credits=locale_str("credits"))
    async def quota_server(
        interaction: Interaction, credits: Range[int, 0, MAX_CREDITS] | None = None
    ) -> None:
        await carry_out(interaction, AdminQuota("set", _here(interaction), credits))

    @quota.command(
        name=locale_str("reset"), description=locale_str("Resets what somebody has spent")
    )
    @app_commands.describe(who=locale_str("A person"))
    @app_commands.rename(who=locale_str("who"))
    async def quota_reset(interaction: Interaction, who: Person) -> None:
        await carry_out(interaction, _quota("reset", who))

    # The queue

    queue = subgroup("queue", locale_str("Manages the queue"))

    @queue.command(
        name=locale_str("show"), description=locale_str("Shows everybody's jobs in order")
    )
    async def queue_show(interaction: Interaction) -> None:
        await carry_out(interaction, AdminQueue())

    @queue.command(
        name=locale_str("first"), description=locale_str("Moves a job to the front of the queue")
    )
    @app_commands.describe(id=locale_str("Which job"))
    @app_commands.autocomplete(id=complete.queued)
    async def queue_first(interaction: Interaction, id: JobId) -> None:
        await carry_out(interaction, AdminQueue("first", id))

    @queue.command(
        name=locale_str("last"), description=locale_str("Moves a job to the end of the queue")
    )
    @app_commands.describe(id=locale_str("Which job"))
    @app_commands.autocomplete(id=complete.queued)
    async def queue_last(interaction: Interaction, id: JobId) -> None:
        await carry_out(interaction, AdminQueue("last", id))

    @queue.command(name=locale_str("cancel"), description=locale_str("Cancels somebody's job"))
    @app_commands.describe(id=locale_str("Which job"))
    @app_commands.autocomplete(id=complete.queued)
    async def queue_cancel(interaction: Interaction, id: JobId) -> None:
        await carry_out(interaction, AdminQueue("cancel", id))

    @queue.command(
        name=locale_str("refund"), description=locale_str("Refunds the credits of a job")
    )
    @app_commands.describe(id=locale_str("Which job"))
    @app_commands.autocomplete(id=complete.given_up)
    async def queue_refund(interaction: Interaction, id: JobId) -> None:
        await carry_out(interaction, AdminQueue("refund", id))

    @queue.command(
        name=locale_str("failed"), description=locale_str("Lists the jobs that kept failing")
    )
    async def queue_failed(interaction: Interaction) -> None:
        await carry_out(interaction, AdminQueue("failed"))

    @queue.command(
        name=locale_str("replay"),
        description=locale_str("Draws a failed job again, free of charge"),
    )
    @app_commands.describe(id=locale_str("Which job"))
    @app_commands.autocomplete(id=complete.given_up)
    async def queue_replay(interaction: Interaction, id: JobId) -> None:
        await carry_out(interaction, AdminQueue("replay", id))

    # Where the bot may be used

    channels = subgroup("channels", locale_str("Manages the channels that I can be used in"))

    @channels.command(name=locale_str("list"), description=locale_str("Lists the channels"))
    async def channels_list(interaction: Interaction) -> None:
        await carry_out(interaction, AdminChannels())

    @channels.command(
        name=locale_str("allow"), description=locale_str("Adds a channel and its threads")
    )
    @app_commands.describe(channel=locale_str("A channel or a category"))
    @app_commands.rename(channel=locale_str("channel"))
    async def channels_allow(interaction: Interaction, channel: Channel) -> None:
        await carry_out(interaction, AdminChannels("allow", str(channel.id)))

    @channels.command(name=locale_str("remove"), description=locale_str("Removes a channel"))
    @app_commands.describe(channel=locale_str("A channel or a category"))
    @app_commands.rename(channel=locale_str("channel"))
    async def channels_remove(interaction: Interaction, channel: Channel) -> None:
        await carry_out(interaction, AdminChannels("remove", str(channel.id)))

    roles = subgroup("roles", locale_str("Manages the roles that may draw on this server"))

    @roles.command(name=locale_str("list"), description=locale_str("Lists the roles"))
    async def roles_list(interaction: Interaction) -> None:
        await carry_out(interaction, AdminRoles())

    @roles.command(
        name=locale_str("allow"), description=locale_str("Lets only members of such roles draw")
    )
    @app_commands.describe(role=locale_str("A role"))
    @app_commands.rename(role=locale_str("role"))
    async def roles_allow(interaction: Interaction, role: discord.Role) -> None:
        await carry_out(interaction, AdminRoles("allow", role_of(role.id)))

    @roles.command(name=locale_str("remove"), description=locale_str("Removes a role"))
    @app_commands.describe(role=locale_str("A role"))
    @app_commands.rename(role=locale_str("role"))
    async def roles_remove(interaction: Interaction, role: discord.Role) -> None:
        await carry_out(interaction, AdminRoles("remove", role_of(role.id)))

    add_moderation(top, carry_out, complete)

    # Words and pictures

    review = subgroup("review", locale_str("Decides about pictures that the filter holds"))

    @review.command(name=locale_str("list"), description=locale_str("Lists the held pictures"))
    async def review_list(interaction: Interaction) -> None:
        await carry_out(interaction, AdminReview())

    @review.command(
        name=locale_str("release"), description=locale_str("Sends a held picture to its person")
    )
    @app_commands.describe(id=locale_str("Which job"))
    @app_commands.autocomplete(id=complete.held)
    async def review_release(interaction: Interaction, id: JobId) -> None:
        await carry_out(interaction, AdminReview("release", id))

    @review.command(name=locale_str("reject"), description=locale_str("Deletes a held picture"))
    @app_commands.describe(
        id=locale_str("Which job"), reason=locale_str("The reason, shown to them")
    )
    @app_commands.rename(reason=locale_str("reason"))
    @app_commands.autocomplete(id=complete.held)
    async def review_reject(
        interaction: Interaction, id: JobId, reason: Range[str, 1, 200] | None = None
    ) -> None:
        await carry_out(interaction, AdminReview("reject", id, reason or ""))

    @review.command(
        name=locale_str("reveal"), description=locale_str("Takes the spoiler from a picture")
    )
    @app_commands.describe(id=locale_str("Which job"))
    @app_commands.autocomplete(id=complete.judged)
    async def review_reveal(interaction: Interaction, id: JobId) -> None:
        await carry_out(interaction, AdminReview("reveal", id))

    strikes = subgroup("strikes", locale_str("Manages strikes for refused requests"))

    @strikes.command(name=locale_str("show"), description=locale_str("Shows somebody's strikes"))
    @app_commands.describe(who=locale_str("A person"))
    @app_commands.rename(who=locale_str("who"))
    async def strikes_show(interaction: Interaction, who: Person) -> None:
        await carry_out(interaction, AdminStrikes(_name(who)))

    @strikes.command(name=locale_str("lift"), description=locale_str("Lifts somebody's strikes"))
    @app_commands.describe(who=locale_str("A person"))
    @app_commands.rename(who=locale_str("who"))
    async def strikes_lift(interaction: Interaction, who: Person) -> None:
        await carry_out(interaction, AdminStrikes(_name(who), is_lifted=True))

    words = subgroup("words", locale_str("Manages the words that are refused on this server"))

    @words.command(name=locale_str("list"), description=locale_str("Lists the refused words"))
    async def words_list(interaction: Interaction) -> None:
        await carry_out(interaction, AdminWords())

    @words.command(name=locale_str("refuse"), description=locale_str("Refuses a word or a phrase"))
    @app_commands.describe(word=locale_str("A word or a phrase"))
    @app_commands.rename(word=locale_str("word"))
    async def words_refuse(interaction: Interaction, word: Range[str, 2, 60]) -> None:
        await carry_out(interaction, AdminWords("refuse", word))

    @words.command(name=locale_str("allow"), description=locale_str("Allows a word again"))
    @app_commands.describe(word=locale_str("A word or a phrase"))
    @app_commands.rename(word=locale_str("word"))
    async def words_allow(interaction: Interaction, word: Range[str, 2, 60]) -> None:
        await carry_out(interaction, AdminWords("allow", word))

    # The rest

    @top.command(
        name=locale_str("pause"), description=locale_str("Pauses drawing; waiting jobs are kept")
    )
    async def pause(interaction: Interaction) -> None:
        await carry_out(interaction, AdminPause())

    @top.command(
        name=locale_str("drain"),
        description=locale_str("Draws the waiting jobs, but accepts no new ones"),
    )
    async def drain(interaction: Interaction) -> None:
        await carry_out(interaction, AdminDrain())

    @top.command(name=locale_str("resume"), description=locale_str("Draws and accepts jobs again"))
    async def resume(interaction: Interaction) -> None:
        await carry_out(interaction, AdminResume())

    @top.command(name=locale_str("ban"), description=locale_str("Bans somebody from drawing"))
    @app_commands.describe(
        who=locale_str("A person"), reason=locale_str("The reason, shown to them")
    )
    @app_commands.rename(who=locale_str("who"), reason=locale_str("reason"))
    async def ban(
        interaction: Interaction, who: Person, reason: Range[str, 1, 200] | None = None
    ) -> None:
        await carry_out(interaction, AdminBan(_name(who), reason or ""))

    @top.command(name=locale_str("unban"), description=locale_str("Lets somebody draw again"))
    @app_commands.describe(who=locale_str("A person"))
    @app_commands.rename(who=locale_str("who"))
    async def unban(interaction: Interaction, who: Person) -> None:
        await carry_out(interaction, AdminUnban(_name(who)))

    @top.command(
        name=locale_str("bans"), description=locale_str("Lists who is banned on this server")
    )
    async def bans(interaction: Interaction) -> None:
        await carry_out(interaction, AdminBans())

    @top.command(
        name=locale_str("stats"), description=locale_str("Shows statistics of the last 24 hours")
    )
    async def stats(interaction: Interaction) -> None:
        await carry_out(interaction, AdminStats())

    @top.command(
        name=locale_str("invite"), description=locale_str("Lets somebody sign in on the page")
    )
    @app_commands.describe(name=locale_str("A name for them, such as ada"))
    @app_commands.rename(name=locale_str("name"))
    async def invite(interaction: Interaction, name: Range[str, 1, 64]) -> None:
        await carry_out(interaction, AdminInvite(name))

    @top.command(name=locale_str("audit"), description=locale_str("Shows what admins have done"))
    @app_commands.describe(
        words=locale_str("Words that an act has in it"), file=locale_str("All of them, in a file")
    )
    @app_commands.rename(words=locale_str("words"), file=locale_str("file"))
    async def audit(
        interaction: Interaction, words: Range[str, 1, 100] | None = None, file: bool = False
    ) -> None:
        await carry_out(interaction, AdminAudit(words or "", is_export=file))

    return top


def _quota(
    act: Literal["show", "grant", "set", "reset"], who: Somebody, credits: int | None = None
) -> AdminQuota:
    roles = () if isinstance(who, discord.Role) else roles_of(who)
    return AdminQuota(act, _name(who), credits, roles)


def _name(who: Somebody) -> str:
    return role_of(who.id) if isinstance(who, discord.Role) else user_of(who)


def _here(interaction: Interaction) -> str:
    if interaction.guild_id is None:
        raise sentences.not_in_a_server()
    return server_of(interaction.guild_id)

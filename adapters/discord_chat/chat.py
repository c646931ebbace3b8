"""`DiscordChat`: logs in, keeps the gateway's sockets, answers, ends."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
import discord
from discord import app_commands

from adapters.discord_chat.actions import Actions
from adapters.discord_chat.administration import admin_commands
from adapters.discord_chat.answers import Answers
from adapters.discord_chat.attachments import Attachments
from adapters.discord_chat.buttons import (
    ChoiceButton,
    JobButton,
    JobMenu,
    JobSelect,
    PageButton,
    PresetsButton,
)
from adapters.discord_chat.commands import flux_commands
from adapters.discord_chat.doors import closed
from adapters.discord_chat.faults import SECONDS_FOR_A_CALL, in_time
from adapters.discord_chat.fields import FieldButton
from adapters.discord_chat.first_answers import FirstAnswers
from adapters.discord_chat.forms import REMEMBERED, forgotten
from adapters.discord_chat.limits import let_all_calls_end, let_answers_go_on
from adapters.discord_chat.linking import LinkButton
from adapters.discord_chat.menus import menus
from adapters.discord_chat.moderation import ModerationButton, show_as_now, teller
from adapters.discord_chat.own_data import DELETE_EVERYTHING, DeleteEverything, erase_message
from adapters.discord_chat.people import NEEDED, PLATFORM, Interaction, server_of, user_of
from adapters.discord_chat.reactions import DiscordReactions
from adapters.discord_chat.registration import register
from adapters.discord_chat.showcase import BestOf
from adapters.discord_chat.window import DiscordWindow, EditPace
from bot.config import Config, ConfigError
from bot.following import Following
from bot.languages import Language, language_of
from bot.refusals import NotAllowed
from bot.series import Shown
from bot.service import Service

logger = logging.getLogger(__name__)

#: Discord's error for an invalid token.
CLOSED_FOR_THE_TOKEN = 4004
REVOKED = (
    "Discord does not accept DISCORD_TOKEN: copy the bot's token anew from"
    " https://discord.com/developers/applications, under Bot"
)
NO_MEMBERS = (
    'retention.when_person_leaves = "delete" needs the Server Members Intent: switch it on at'
    " https://discord.com/developers/applications, under Bot"
)


class DiscordChat:
    """The bot on Discord. Await `run`; it ends when it is cancelled, or for good.

    Args:
        connector: Connector of the HTTP client; None makes one.
        now: Unix seconds.
        seconds_between_edits: Seconds between two edits of one message, at least.
    """

    def __init__(
        self,
        service: Service,
        config: Config,
        token: str,
        *,
        connector: aiohttp.BaseConnector | None = None,
        now: Callable[[], float] = time.time,
        seconds_between_edits: float = 2.0,
    ) -> None:
        self._token = token
        self._revoked = asyncio.Event()
        first = FirstAnswers()
        self.client = FluxClient(config, connector, first.trace)
        self.pace = EditPace(seconds_between_edits)

        def open_window(job: Shown, say: Language) -> DiscordWindow:
            return DiscordWindow(service, self.client, self.pace, now, job, say)

        async def end_all(_: Shown) -> None:
            self._revoked.set()

        self.following = Following(service, PLATFORM, open_window, on_gone=end_all)
        answers = Answers(service, self.following, first, now)
        self.log = service.moderation.log(
            PLATFORM, config.moderation.discord_channel, teller(self.client)
        )
        best_of = BestOf(self.client, service)
        self.best = service.showcase.on(PLATFORM, best_of.show, best_of.take_down)
        service.shown.refresh[PLATFORM] = partial(show_as_now, self.client, service)
        service.own_data.erase_message[PLATFORM] = partial(erase_message, self.client)
        max_bytes = int(config.control_images.max_megabytes * 1e6)
        self.client.reactions = DiscordReactions(service, self.client, config.discord, now)
        self.client.actions = Actions(service, answers, Attachments(self.client, max_bytes))

    async def run(self) -> None:
        """Stay on Discord until cancelled.

        Raises:
            ConfigError: Discord does not accept the token.
        """
        let_answers_go_on()
        connecting = asyncio.create_task(self._connect(), name="discord")
        revoked = asyncio.create_task(self._revoked.wait())
        following = asyncio.create_task(self._follow())
        try:
            await asyncio.wait({connecting, revoked}, return_when=asyncio.FIRST_COMPLETED)
            if self._revoked.is_set():
                # Ten thousand requests with an invalid token ban the whole address.
                raise ConfigError(REVOKED)
            connecting.result()
        finally:
            for task in (connecting, revoked, following):
                task.cancel()
            await self.following.close(is_silent=self._revoked.is_set())
            await self.client.close()
            await asyncio.gather(connecting, revoked, following, return_exceptions=True)

    async def _connect(self) -> None:
        try:
            await self.client.start(self._token)
        except discord.LoginFailure as error:
            raise ConfigError(REVOKED) from error
        except discord.PrivilegedIntentsRequired as error:
            raise ConfigError(NO_MEMBERS) from error
        except discord.ConnectionClosed as error:
            if error.code == CLOSED_FOR_THE_TOKEN:
                raise ConfigError(REVOKED) from error
            raise

    async def _follow(self) -> None:
        await self.client.is_logged_in.wait()
        await asyncio.gather(
            self.following.run(),
            self.log.run(),
            self.best.run(),
            register(self.client.tree, self.client.actions.mentions),
        )


class FluxClient(discord.AutoShardedClient):
    """discord.py's client with the bot's commands.

    Attributes:
        actions: The acts behind commands and buttons.
        reactions: Those behind reactions.
        is_logged_in: Set once requests can be made.
    """

    actions: Actions
    reactions: DiscordReactions

    def __init__(
        self,
        config: Config,
        connector: aiohttp.BaseConnector | None,
        trace: aiohttp.TraceConfig,
    ) -> None:
        super().__init__(
            # Without reading anybody's messages, since people use commands.
            intents=discord.Intents(
                guilds=True,
                guild_reactions=True,
                dm_reactions=True,
                members=config.retention.when_person_leaves == "delete",
            ),
            allowed_mentions=discord.AllowedMentions.none(),
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            max_messages=None,
            connector=connector,
            proxy=config.discord.proxy,
            http_trace=trace,
            max_ratelimit_timeout=SECONDS_FOR_A_CALL,
        )
        let_all_calls_end(self.http)
        self._config = config
        self._owners: frozenset[int] = frozenset()
        self.is_logged_in = asyncio.Event()
        self.tree = _Tree(self)

    async def setup_hook(self) -> None:
        """Called by discord.py between logging in and connecting."""
        self._owners = _owners(self.application)
        self.add_dynamic_items(JobButton, JobMenu, PageButton, PresetsButton, JobSelect)
        self.add_dynamic_items(DeleteEverything, LinkButton, ModerationButton, ChoiceButton)
        self.add_dynamic_items(FieldButton)
        service = self.actions.service
        self.tree.add_command(flux_commands(self.actions, self._config))
        self.tree.add_command(admin_commands(service, self.actions.answers, self._config))
        for menu in menus(self.actions, self._config):
            self.tree.add_menu(menu)
        await self.tree.set_translator(Translator())
        self.is_logged_in.set()

    def recognise(self, interaction: Interaction) -> None:
        """Tell the service whether Discord says that the person is an admin, here and now."""
        guild_id = interaction.guild_id
        is_manager = guild_id is not None and interaction.permissions.manage_guild
        self.actions.service.admin.recognise(
            user_of(interaction.user),
            is_admin=interaction.user.id in self._owners
            or (is_manager and str(guild_id) in self._config.discord.home_servers),
            manages=server_of(guild_id) if guild_id is not None and is_manager else None,
        )

    def closed(self, interaction: Interaction) -> NotAllowed | None:
        """The refusal for the place of *interaction*; None where the bot is open. Admins of the bot
        may use it everywhere, and one's own data is one's own."""
        if self.actions.service.admin.is_admin(user_of(interaction.user)):
            return None
        command = interaction.command
        if command is not None and command.qualified_name.startswith("flux mydata"):
            return None
        data = interaction.data
        if data is not None and data.get("custom_id") == DELETE_EVERYTHING:
            return None
        return closed(interaction, self._config.discord)

    async def on_interaction(self, interaction: Interaction) -> None:
        """Called by discord.py once a form that it knows is being carried out."""
        is_form = interaction.type is discord.InteractionType.modal_submit
        if is_form and REMEMBERED not in interaction.extras:
            await self.actions.report_error(interaction, forgotten(interaction))

    async def on_raw_reaction_add(self, payload: discord.RawReactionActionEvent) -> None:
        await self.reactions.hear(payload)

    async def on_raw_reaction_remove(self, payload: discord.RawReactionActionEvent) -> None:
        await self.reactions.hear(payload)

    async def on_raw_member_remove(self, payload: discord.RawMemberRemoveEvent) -> None:
        own_data = self.actions.service.own_data
        await own_data.person_left(user_of(payload.user), server_of(payload.guild_id))

    async def on_member_join(self, member: discord.Member) -> None:
        await self.actions.service.own_data.back(server_of(member.guild.id), user_of(member))

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """Called by discord.py for a server that the bot was removed from, not in an outage."""
        await self.actions.service.own_data.bot_removed(server_of(guild.id))

    async def on_guild_join(self, guild: discord.Guild) -> None:
        await self.actions.service.own_data.back(server_of(guild.id))

    async def on_guild_available(self, guild: discord.Guild) -> None:
        await self.actions.service.own_data.back(server_of(guild.id))

    async def on_ready(self) -> None:
        logger.info("Discord: here as %s, in %d servers", self.user, len(self.guilds))


class _Tree(app_commands.CommandTree[FluxClient]):
    def add_menu(self, menu: app_commands.ContextMenu) -> None:
        """Add an entry behind a right click. Discord takes 15 of them by now; `add_command` still
        ends at 5."""
        self._context_menus[menu.name, None, menu.type.value] = menu

    async def interaction_check(self, interaction: Interaction, /) -> bool:
        self.client.recognise(interaction)
        error = self.client.closed(interaction)
        if error is None:
            return True
        if interaction.type is not discord.InteractionType.autocomplete:
            await self.client.actions.report_error(interaction, error)
        return False

    async def on_error(
        self, interaction: Interaction, error: app_commands.AppCommandError, /
    ) -> None:
        cause = getattr(error, "original", error)
        await self.client.actions.report_error(interaction, cause)


class Translator(app_commands.Translator):
    """Names and descriptions of commands and options, from ``bot/translations``."""

    async def translate(
        self,
        string: app_commands.locale_str,
        locale: discord.Locale,
        context: app_commands.TranslationContextTypes,
    ) -> str | None:
        places = app_commands.TranslationContextLocation
        is_menu = isinstance(context.data, app_commands.ContextMenu)
        is_name = context.location in (
            places.command_name,
            places.group_name,
            places.parameter_name,
        )
        language = language_of(locale.value)
        known = language.names if is_name and not is_menu else language.sentences
        return known.get(string.message)


def _owners(application: Any) -> frozenset[int]:
    """Ids of the owners of the Discord application."""
    if application is None:
        return frozenset()
    if application.team is not None:
        return frozenset(
            member.id
            for member in application.team.members
            if member.membership_state is discord.TeamMembershipState.accepted
            and member.role is not discord.TeamMemberRole.read_only
        )
    return frozenset({application.owner.id})


@dataclass(frozen=True, slots=True)
class Identity:
    """The owner of a token: the bot's name and its application's id."""

    name: str
    application_id: int


async def identify(
    token: str, *, proxy: str | None = None, connector: aiohttp.BaseConnector | None = None
) -> Identity:
    """The bot that *token* belongs to, by Discord. The bot does not appear there.

    Raises:
        ConfigError: Discord does not accept the token, or cannot be reached.
    """
    client = discord.Client(intents=discord.Intents.none(), proxy=proxy, connector=connector)
    try:
        await in_time(client.login(token))
        assert client.user is not None
        assert client.application_id is not None
        return Identity(str(client.user), client.application_id)
    except discord.LoginFailure as error:
        raise ConfigError(REVOKED) from error
    except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
        raise ConfigError(f"Discord cannot be reached: {error}") from error
    finally:
        await client.close()


def invitation(application_id: int, *, for_oneself: bool = False) -> str:
    """The link that adds the bot to a server, with the permissions that it needs and no more; or,
    *for_oneself*, to one's own account, for use everywhere."""
    if for_oneself:
        link = discord.utils.oauth_url(application_id, scopes=("applications.commands",))
        return f"{link}&integration_type=1"
    return discord.utils.oauth_url(
        application_id,
        permissions=NEEDED,
        scopes=("bot", "applications.commands"),
    )

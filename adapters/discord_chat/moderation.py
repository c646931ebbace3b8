"""Moderation on Discord: the log channel, its buttons, the menus behind a message, and commands."""
# No `from __future__ import annotations`: discord.py reads the annotations.

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self

import discord
from discord import app_commands
from discord.app_commands import Range, locale_str

from adapters.discord_chat.acts import carry_out
from adapters.discord_chat.completion import Completion
from adapters.discord_chat.faults import FAULTS, patiently
from adapters.discord_chat.messages import Kept, Post, code, inert, shortened
from adapters.discord_chat.people import PLATFORM, Interaction, user_of
from adapters.discord_chat.window import end
from bot.commands import (
    AdminCommand,
    AdminErase,
    AdminLog,
    AdminReports,
    AdminShowcase,
    AdminWho,
)
from bot.decisions import OF_KIND, WORDS, Decision
from bot.incidents import Incident, Kind
from bot.jobs import ID_ALPHABET, ID_LENGTH, Job
from bot.languages import language_of
from bot.moderation_log import LABELS, CannotBeTold
from bot.service import Service

logger = logging.getLogger(__name__)

COLOUR = discord.Colour.orange()
#: Longest note in a message.
MAX_NOTE = 1000

JobId = Range[str, ID_LENGTH, ID_LENGTH]


class ModerationButton(
    discord.ui.DynamicItem[discord.ui.Button[Any]],
    template=rf"flux-mod:(?P<what>{'|'.join(Decision)}):(?P<job>[{ID_ALPHABET}]{{{ID_LENGTH}}})",
):
    """A moderator's decision about a job. The bot asks at each press who may decide."""

    def __init__(self, what: Decision, job_id: str) -> None:
        self.what, self.job_id = what, job_id
        words = WORDS[what]
        danger, plain = discord.ButtonStyle.danger, discord.ButtonStyle.secondary
        super().__init__(
            discord.ui.Button(
                label=words.label,
                style=danger if words.is_danger else plain,
                custom_id=f"flux-mod:{what}:{job_id}",
            )
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: Any, match: re.Match[str], /
    ) -> Self:
        return cls(Decision(match["what"]), match["job"])

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await carry_out(
            interaction, lambda actions: actions.decide(interaction, self.what, self.job_id)
        )


def incident_post(incident: Incident) -> Post:
    """The message about *incident*. What was refused stands behind a spoiler; nobody is pinged."""
    lines = []
    if incident.user is not None:
        lines.append(f"**{LABELS[incident.kind]}** · {_name(incident.user)}")
    else:
        lines.append(f"**{LABELS[incident.kind]}**")
    note = shortened(incident.note, MAX_NOTE)
    if (link := message_link(incident.reply_to, incident.server)) is not None:
        lines.append(link)
    if incident.kind is Kind.ACT:
        lines.append(inert(note))
    elif note:
        lines.append(f"||{code(note)}||")
    embed = discord.Embed(description="\n".join(lines), colour=COLOUR)
    if incident.job_id is not None:
        embed.set_footer(text=incident.job_id)
    items = (
        [ModerationButton(what, incident.job_id) for what in OF_KIND[incident.kind]]
        if (incident.job_id is not None)
        else []
    )
    return Post([embed], (), items)


def message_link(to: Mapping[str, Any] | None, server: str | None) -> str | None:
    """A link to the message at *to*, a ``reply_to``, in which a picture is shown to others; None
    where there is none."""
    platform, _, guild = (server or "").partition(":")
    if not to or platform != f"{PLATFORM}-server" or to.get("is_private"):
        return None
    if not to.get("channel") or not to.get("message"):
        return None
    return f"https://discord.com/channels/{guild}/{to['channel']}/{to['message']}"


def _name(user: str) -> str:
    platform, _, id = user.partition(":")
    return f"<@{id}> ({code(user)})" if platform == "discord" else code(user)


def teller(client: discord.Client) -> Callable[[str, Incident], Awaitable[None]]:
    """A function that tells a channel of an incident."""

    async def tell(channel: str, incident: Incident) -> None:
        if not channel.isdecimal():
            raise CannotBeTold(f"{channel!r} is not the id of a channel")
        try:
            await client.get_partial_messageable(int(channel)).send(
                **incident_post(incident).for_send(),
                # Discord compares it with those of all channels.
                nonce=f"flux-{incident.number}-{int(channel) % 10**6}",
            )
        except (discord.Forbidden, discord.NotFound) as error:
            raise CannotBeTold(str(error)) from error

    return tell


def decided(message: discord.Message, what: Decision, by: discord.abc.User) -> Post:
    """The message about an incident, once *by* has decided; without buttons."""
    embed = message.embeds[0].copy() if message.embeds else discord.Embed()
    embed.description = f"{embed.description or ''}\n\n{WORDS[what].done} · {_name(user_of(by))}"
    return Post([embed])


async def show_as_now(client: discord.Client, service: Service, job: Job) -> None:
    """Bring the message of *job* up to date, where the bot may edit it: its picture is hidden now,
    or hidden no longer, with its words for people who do not see it."""
    to = job.reply_to or {}
    if not to.get("is_member") or to.get("is_private") or not to.get("message"):
        return
    post = await end(service, job, language_of(to.get("locale")), int(to["max_bytes"]))
    place = client.get_partial_messageable(int(to["channel"]))
    try:
        message = await patiently(lambda: place.get_partial_message(int(to["message"])).fetch())
        await patiently(lambda: message.edit(**_with_its_files(message, post)))
    except FAULTS as error:
        logger.info("the message of %s stays as it is: %s", job.id, error)


def _with_its_files(message: discord.Message, post: Post) -> dict[str, Any]:
    """Arguments of an edit that makes *message* look like *post*, and keeps its files. Discord
    lists none that an embed shows, so those are sent anew."""
    arguments = post.for_edit()
    if [each.filename for each in message.attachments] == [name for name, _ in post.files]:
        arguments["attachments"] = [
            Kept(each, post.is_spoiler, post.alternatives.get(each.filename, ""))
            for each in message.attachments
        ]
    return arguments


CarryOut = Callable[[Interaction, AdminCommand], Awaitable[None]]


def add_moderation(top: app_commands.Group, carry_out: CarryOut, complete: Completion) -> None:
    """Add the commands of moderators to *top*."""
    log = app_commands.Group(
        name=locale_str("log"),
        description=locale_str("Manages the channel where moderators are told"),
        parent=top,
    )

    @log.command(name=locale_str("show"), description=locale_str("Shows the channel that is told"))
    async def log_show(interaction: Interaction) -> None:
        await carry_out(interaction, AdminLog())

    @log.command(name=locale_str("here"), description=locale_str("Tells moderators here"))
    async def log_here(interaction: Interaction) -> None:
        await carry_out(interaction, AdminLog("here"))

    @log.command(name=locale_str("off"), description=locale_str("Tells nobody any more"))
    async def log_off(interaction: Interaction) -> None:
        await carry_out(interaction, AdminLog("off"))

    showcase = app_commands.Group(
        name=locale_str("showcase"),
        description=locale_str("Manages the channel where the best pictures are shown"),
        parent=top,
    )

    @showcase.command(
        name=locale_str("show"), description=locale_str("Shows where the best pictures are shown")
    )
    async def showcase_show(interaction: Interaction) -> None:
        await carry_out(interaction, AdminShowcase())

    @showcase.command(
        name=locale_str("here"), description=locale_str("Shows the best pictures here")
    )
    async def showcase_here(interaction: Interaction) -> None:
        await carry_out(interaction, AdminShowcase("here"))

    @showcase.command(
        name=locale_str("off"), description=locale_str("Shows the best pictures nowhere any more")
    )
    async def showcase_off(interaction: Interaction) -> None:
        await carry_out(interaction, AdminShowcase("off"))

    reports = app_commands.Group(
        name=locale_str("reports"),
        description=locale_str("Manages pictures that people reported"),
        parent=top,
    )

    @reports.command(name=locale_str("list"), description=locale_str("Lists the reported pictures"))
    async def reports_list(interaction: Interaction) -> None:
        await carry_out(interaction, AdminReports())

    @reports.command(
        name=locale_str("dismiss"), description=locale_str("Closes the reports about a picture")
    )
    @app_commands.describe(id=locale_str("Which job"))
    @app_commands.autocomplete(id=complete.reported)
    async def reports_dismiss(interaction: Interaction, id: JobId) -> None:
        await carry_out(interaction, AdminReports("dismiss", id))

    @reports.command(name=locale_str("remove"), description=locale_str("Deletes a picture"))
    @app_commands.describe(id=locale_str("Which job"))
    @app_commands.autocomplete(id=complete.reported)
    async def reports_remove(interaction: Interaction, id: JobId) -> None:
        await carry_out(interaction, AdminReports("remove", id))

    @top.command(name=locale_str("ask"), description=locale_str("Tells who asked for a picture"))
    @app_commands.describe(id=locale_str("Which job"))
    @app_commands.autocomplete(id=complete.judged)
    async def ask(interaction: Interaction, id: JobId) -> None:
        await carry_out(interaction, AdminWho(id))

    @top.command(
        name=locale_str("erase"),
        description=locale_str("Deletes everything of a person on this server"),
    )
    @app_commands.describe(who=locale_str("A person"), sure=locale_str("Yes, delete it for good"))
    @app_commands.rename(who=locale_str("who"), sure=locale_str("sure"))
    async def erase(interaction: Interaction, who: discord.User, sure: bool = False) -> None:
        await carry_out(interaction, AdminErase(user_of(who), is_sure=sure))

"""``/flux mydata``: one's own data, sent to the person alone, or deleted once they say yes."""
# No `from __future__ import annotations`: discord.py reads the annotations.

import asyncio
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

import discord
from discord import app_commands
from discord.app_commands import locale_str

from adapters.discord_chat.acts import carry_out
from adapters.discord_chat.answers import Answers
from adapters.discord_chat.faults import FAULTS, patiently
from adapters.discord_chat.messages import Post, text_post
from adapters.discord_chat.people import Interaction, say_of, source_of, user_of
from bot import replies
from bot.commands import MyDataCommand
from bot.conversation import Reply, converse
from bot.exports import Export
from bot.languages import ENGLISH, Language
from bot.service import Service

#: Files of an export that are sent, one a message; Discord takes no more of an app that is no
#: member of the server.
MOST_FILES = 5

#: The ``custom_id`` of the button that confirms it.
DELETE_EVERYTHING = "flux-mydata:delete"


class DeleteEverything(discord.ui.DynamicItem[discord.ui.Button[Any]], template=DELETE_EVERYTHING):
    """The button with which people confirm that everything of theirs is to be deleted."""

    def __init__(self, say: Language) -> None:
        super().__init__(
            discord.ui.Button(
                label=say("Delete everything"),
                style=discord.ButtonStyle.danger,
                custom_id=DELETE_EVERYTHING,
            )
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: Any, match: re.Match[str], /
    ) -> Self:
        return cls(ENGLISH)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await carry_out(interaction, lambda actions: actions.delete_my_data(interaction))


def add_own_data(group: app_commands.Group, service: Service, answers: Answers) -> None:
    """Add the commands to *group*."""
    own = app_commands.Group(
        name=locale_str("mydata"),
        description=locale_str("Hands over or deletes all that I keep about you"),
        parent=group,
    )

    @own.command(
        name=locale_str("export"),
        description=locale_str("Sends you all that I keep about you, for your eyes only"),
    )
    async def export(interaction: Interaction) -> None:
        await _export(service, answers, interaction)

    @own.command(
        name=locale_str("delete"),
        description=locale_str("Deletes all that I keep about you, once you say yes"),
    )
    async def delete(interaction: Interaction) -> None:
        async def ask() -> Post:
            reply = await converse(service, source_of(interaction), MyDataCommand("delete"))
            question = reply.text.partition("\n")[0]
            return Post(text_post(question).embeds, items=[DeleteEverything(say_of(interaction))])

        await answers.show(interaction, ask)


async def delete_my_data(service: Service, interaction: Interaction) -> Reply:
    """The reply to a person who has confirmed it."""
    command = MyDataCommand("delete", is_confirmed=True)
    return await converse(service, source_of(interaction), command)


async def _export(service: Service, answers: Answers, interaction: Interaction) -> None:
    say = say_of(interaction)
    made: list[Export] = []

    async def first() -> Post:
        reply = await converse(service, source_of(interaction), MyDataCommand("export"))
        user, limit = user_of(interaction.user), interaction.filesize_limit
        made.append(await service.own_data.export(user, limit))
        sent = await asyncio.to_thread(made[0].at_most, MOST_FILES)
        text = reply.text
        if sent.left_out:
            text += "\n" + replies.too_large_to_send(sent.left_out, say)
        return Post(text_post(text).embeds, [await _file(sent.files[0])])

    try:
        await answers.show(interaction, first)
        # Before the first answer is there, Discord would put a further one in its place.
        for path in [path for each in made for path in each.files[1:MOST_FILES]]:
            post = Post(files=[await _file(path)])
            await patiently(partial(_send, interaction, post))
    finally:
        for each in made:
            await each.close()


async def _send(interaction: Interaction, post: Post) -> None:
    await interaction.followup.send(**post.for_send(), ephemeral=True)


async def _file(path: Path) -> tuple[str, bytes]:
    return path.name, await asyncio.to_thread(path.read_bytes)


async def erase_message(client: discord.Client, reply_to: Mapping[str, Any]) -> bool:
    """Delete the bot's message that answered at *reply_to*; False where it cannot be reached."""
    channel, message = reply_to.get("channel"), reply_to.get("message")
    if channel is None or message is None or not reply_to.get("is_member"):
        return False
    try:
        # Others wait for their turn.
        await patiently(lambda: client.http.delete_message(channel, message), tries=3)
    except discord.NotFound:
        return True
    except FAULTS:
        return False
    return True

"""``/flux link`` and ``/flux unlink``: accounts of one person, joined once both sides say yes."""
# No `from __future__ import annotations`: discord.py reads the annotations.

import re
from typing import Any, Literal, Self, cast

import discord
from discord import app_commands
from discord.app_commands import Range, locale_str

from adapters.discord_chat.acts import carry_out
from adapters.discord_chat.answers import Answers
from adapters.discord_chat.messages import Post, reply_post
from adapters.discord_chat.people import Interaction, say_of, source_of
from bot.commands import LinkCommand, UnlinkCommand
from bot.conversation import Reply, converse, later
from bot.languages import ENGLISH, Language
from bot.linking import ALPHABET, LENGTH
from bot.service import Service

#: The longest code, with a hyphen and some blanks; the longest ``platform:id``.
MAX_CODE, MAX_ACCOUNT = 20, 100

Answer = Literal["yes", "no"]


class LinkButton(
    discord.ui.DynamicItem[discord.ui.Button[Any]],
    template=rf"flux-link:(?P<answer>yes|no):(?P<code>[{ALPHABET}]{{{LENGTH}}})",
):
    """A button with which people say yes or no to being joined."""

    def __init__(self, say: Language, answer: Answer, code: str) -> None:
        self.answer, self.code = answer, code
        is_yes = answer == "yes"
        super().__init__(
            discord.ui.Button(
                label=say("Yes, join them") if is_yes else say("No"),
                style=discord.ButtonStyle.danger if is_yes else discord.ButtonStyle.secondary,
                custom_id=f"flux-link:{answer}:{code}",
            )
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: Any, match: re.Match[str], /
    ) -> Self:
        return cls(ENGLISH, cast(Answer, match["answer"]), match["code"])

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        command = LinkCommand(self.answer, self.code)
        await carry_out(interaction, lambda actions: actions.link(interaction, command))


def add_linking(group: app_commands.Group, service: Service, answers: Answers) -> None:
    """Add the commands to *group*."""

    @group.command(
        name=locale_str("link"),
        description=locale_str("Joins your accounts here, on Slack and on the page"),
    )
    @app_commands.describe(
        code=locale_str("The code that I gave you elsewhere; none for a new one")
    )
    @app_commands.rename(code=locale_str("code"))
    async def link(interaction: Interaction, code: Range[str, 1, MAX_CODE] | None = None) -> None:
        command = LinkCommand() if code is None else LinkCommand("type", "".join(code.split()))
        await _talk(service, answers, interaction, command)

    @group.command(
        name=locale_str("unlink"),
        description=locale_str("Lets an account that you have joined be by itself again"),
    )
    @app_commands.describe(account=locale_str("Which one; this one if left out"))
    @app_commands.rename(account=locale_str("account"))
    async def unlink(
        interaction: Interaction, account: Range[str, 1, MAX_ACCOUNT] | None = None
    ) -> None:
        command = UnlinkCommand(account or "")
        await answers.show(interaction, lambda: converse(service, source_of(interaction), command))


async def answer_link(
    service: Service, answers: Answers, interaction: Interaction, command: LinkCommand
) -> None:
    """Carry out the yes or no of a button, in the message that asks."""
    await answers.acknowledge(interaction)
    reply = await converse(service, source_of(interaction), command)
    await answers.finish(interaction, _post(reply, say_of(interaction)))
    await _tell_later(service, answers, interaction, reply)


async def _talk(
    service: Service, answers: Answers, interaction: Interaction, command: LinkCommand
) -> None:
    found: list[Reply] = []

    async def look_up() -> Post:
        found.append(await converse(service, source_of(interaction), command))
        return _post(found[0], say_of(interaction))

    await answers.show(interaction, look_up)
    for reply in found:
        await _tell_later(service, answers, interaction, reply)


async def _tell_later(
    service: Service, answers: Answers, interaction: Interaction, reply: Reply
) -> None:
    """Tell the person what the other side does, which the interaction's token outlives."""
    async for more in later(service, source_of(interaction), reply):
        await answers.tell(interaction, _post(more, say_of(interaction)))


def _post(reply: Reply, say: Language) -> Post:
    post = reply_post(reply, say)
    if not reply.asks_to_join or reply.joining is None:
        return post
    code = reply.joining.code
    return Post(post.embeds, items=[LinkButton(say, "yes", code), LinkButton(say, "no", code)])

"""The protocol of acts behind buttons, menus and forms, carried out by `actions`.

Buttons and forms depend on this alone, so that a message can be put together without the client
that sends it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, cast

import discord

from adapters.discord_chat.people import Interaction
from bot.commands import Command, LinkCommand
from bot.decisions import Decision
from bot.refusals import NotAllowed
from bot.source import Picture

ButtonKind = Literal[
    "again",
    "vary",
    "subtle",
    "strong",
    "same",
    "edit",
    "change",
    "part",
    "expand",
    "upscale",
    "final",
    "vote",
    "control",
    "cancel",
    "stop",
    "delete",
    "favourite",
    "single",
    "variation",
    "report",
]


@dataclass(frozen=True, slots=True)
class FieldPress:
    """A press of one of the nine fields of a picture.

    Attributes:
        number: Number (from 1) of the picture of its job.
        chosen: Digits of the fields that were chosen before.
        pressed: The field that is chosen now, or left out; 0 ends that.
        is_private: Whether what is drawn is for the person alone.
    """

    job_id: str
    number: int
    chosen: str = ""
    pressed: int = 0
    is_private: bool = False


class Acts(Protocol):
    """The acts of the person behind an interaction. All may raise."""

    async def press(
        self, interaction: Interaction, kind: ButtonKind, job_id: str, number: int
    ) -> None:
        """Carry out the button *kind* under picture *number* of a job."""

    async def press_field(self, interaction: Interaction, press: FieldPress) -> None:
        """Show which fields of a picture are chosen, or ask what to draw in them."""

    async def say(self, interaction: Interaction, text: str) -> None:
        """Carry out *text* as if the person had typed it, for all to see where it draws."""

    async def turn_page(self, interaction: Interaction, page: int, words: str) -> None:
        """Show another page of the history in the same message."""

    async def turn_presets(self, interaction: Interaction, page: int) -> None:
        """Show another page of the presets in the same message."""

    async def show(self, interaction: Interaction, job_id: str) -> None:
        """Show one of the person's own pictures, to them alone."""

    async def draw(
        self,
        interaction: Interaction,
        command: Command,
        pictures: Sequence[Picture] = (),
        *,
        shown: str | None = None,
        is_private: bool | None = None,
    ) -> None:
        """Draw the picture of *command*, and show it in one message.

        Args:
            shown: Id of the job under which the person asks.
            is_private: Whether only they may see it; None takes their own default.
        """

    def attached(self, file: discord.Attachment) -> Picture:
        """The picture in an attached *file*, which is fetched once the person may draw."""

    async def decide(self, interaction: Interaction, decision: Decision, job_id: str) -> None:
        """Carry out a moderator's decision about a job, or show them its picture alone."""

    async def delete_my_data(self, interaction: Interaction) -> None:
        """Delete everything of the person, who has confirmed it, and tell them."""

    async def link(self, interaction: Interaction, command: LinkCommand) -> None:
        """Carry out a person's yes or no to being joined, and tell them."""

    async def report_error(self, interaction: Interaction, error: Exception) -> None:
        """Tell the person alone about *error*."""


class Acting(Protocol):
    """The client, as far as buttons and forms know it."""

    @property
    def actions(self) -> Acts: ...

    def recognise(self, interaction: Interaction) -> None:
        """Tell the bot whether Discord says that the person is an admin, here and now."""

    def closed(self, interaction: Interaction) -> NotAllowed | None:
        """The refusal for the place of *interaction*; None where the bot is open."""


async def carry_out(interaction: Interaction, act: Callable[[Acts], Awaitable[None]]) -> None:
    """Carry out *act* for the person behind *interaction*, and tell them if it fails."""
    client = cast(Acting, interaction.client)
    client.recognise(interaction)
    try:
        if (error := client.closed(interaction)) is not None:
            raise error
        await act(client.actions)
    except Exception as error:
        await client.actions.report_error(interaction, error)

"""The entries behind a right click on a message, the bot's or anybody's.

A message of the bot's names its job in its buttons. A picture of anybody else is attached to the
message, and goes the way of all attached pictures.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import discord
from discord import app_commands
from discord.app_commands import locale_str

from adapters.discord_chat.actions import Actions
from adapters.discord_chat.buttons import is_grid, job_of, number_of
from adapters.discord_chat.doors import contexts, installs
from adapters.discord_chat.forms import PictureForm
from adapters.discord_chat.people import Interaction, say_of
from adapters.discord_chat.pictures import Listed, pictures_of
from bot import sentences
from bot.commands import AgainCommand
from bot.config import Config
from bot.source import Picture, PictureOf
from generation.errors import FluxbotError

Menu = Callable[[Interaction, discord.Message], Awaitable[None]]


def menus(actions: Actions, config: Config) -> list[app_commands.ContextMenu]:
    """The entries; Discord allows 15 of them."""
    behind = _Menus(actions)
    return [
        app_commands.ContextMenu(
            name=locale_str(name),
            callback=_with_annotations(callback),
            allowed_contexts=contexts(config.discord),
            allowed_installs=installs(config.discord),
        )
        for name, callback in (
            ("Vary this", behind.vary),
            ("Edit picture", behind.change),
            ("Use as control image", behind.use),
            ("Inspect", behind.inspect),
            ("Show how this was made", behind.about_job(actions.how_made)),
            ("Report this picture", behind.about_job(actions.report)),
            ("Who asked for this?", behind.about_job(actions.who_asked)),
        )
    ]


class _Menus:
    """The callbacks."""

    def __init__(self, actions: Actions) -> None:
        self._actions = actions

    async def vary(self, interaction: Interaction, message: discord.Message) -> None:
        """Draw a variation of a picture of the bot's at once, of a grid as many new ones; of
        another picture, ask what to draw over it."""
        job_id = _job(interaction, message)
        if job_id is not None and is_grid(message):
            again = AgainCommand(job_id, vary=True)
            await self._actions.draw(interaction, again, shown=job_id)
            return
        if job_id is not None:
            await self._actions.press(interaction, "vary", job_id, number_of(message))
            return
        preset = self._actions.service.offered.redrawing()
        await self._open(interaction, message, "Vary this", None if preset is None else preset.name)

    async def change(self, interaction: Interaction, message: discord.Message) -> None:
        """Ask what to change in a picture, of several in the first."""
        job_id, pictures = _job(interaction, message), pictures_of(message)
        try:
            if job_id is not None:
                picture: Picture = PictureOf(job_id, number_of(message))
            elif pictures:
                picture = self._actions.attached(pictures[0])
            else:
                raise sentences.no_picture_there()
            await self._actions.change(
                interaction, picture, shown=job_id, is_private=message.flags.ephemeral
            )
        except FluxbotError as error:
            await self._actions.answers.refuse(interaction, error)

    async def use(self, interaction: Interaction, message: discord.Message) -> None:
        """Ask what to draw from a picture."""
        job_id = _job(interaction, message)
        if job_id is None:
            await self._open(interaction, message, "Use as control image", None)
            return
        try:
            await self._actions.use_as_control_image(
                interaction, job_id, number_of(message), is_private=message.flags.ephemeral
            )
        except FluxbotError as error:
            await self._actions.answers.refuse(interaction, error)

    async def inspect(self, interaction: Interaction, message: discord.Message) -> None:
        """Tell what a picture says about itself."""
        job_id, pictures = _job(interaction, message), pictures_of(message)
        if job_id is not None and not message.attachments:
            picture = PictureOf(job_id, number_of(message))
            await self._actions.inspect(interaction, picture, shown=job_id)
        elif pictures:
            await self._actions.inspect(interaction, self._actions.attached(pictures[0]))
        else:
            await self._actions.answers.refuse(interaction, sentences.no_picture_there())

    def about_job(self, act: Callable[[Interaction, str], Awaitable[None]]) -> Menu:
        """A callback for pictures of the bot's alone."""

        async def menu(interaction: Interaction, message: discord.Message) -> None:
            job_id = _job(interaction, message)
            if job_id is None:
                await self._actions.answers.refuse(interaction, sentences.not_ours())
                return
            await act(interaction, job_id)

        return menu

    async def _open(
        self, interaction: Interaction, message: discord.Message, title: str, preset: str | None
    ) -> None:
        """Open the form that draws from the pictures of *message*, with *preset* chosen."""
        pictures: list[Listed] = pictures_of(message)
        say = say_of(interaction)
        try:
            if not pictures:
                raise sentences.no_picture_there()
            form = PictureForm(
                self._actions.service.presets.values(),
                say,
                [self._actions.attached(each) for each in pictures],
                title=say(title),
                preset=preset,
                is_private=await self._actions.answers.is_private(interaction),
            )
        except FluxbotError as error:
            await self._actions.answers.refuse(interaction, error)
            return
        await self._actions.answers.open_form(interaction, form)


def _job(interaction: Interaction, message: discord.Message) -> str | None:
    """Id of the job that *message* of the bot's shows; None for other messages."""
    return job_of(message) if message.author.id == interaction.application_id else None


def _with_annotations(menu: Menu) -> Any:
    """*menu* as discord.py wants it: a function that names its types."""

    async def callback(interaction: Interaction, message: discord.Message) -> None:
        await menu(interaction, message)

    callback.__annotations__ = {"interaction": Interaction, "message": discord.Message}
    return callback

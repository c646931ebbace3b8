"""The forms that open: change a prompt, and draw from a picture.

A form answers at once, since Discord wants it within three seconds; what it needs is
looked up when it comes back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import discord

from adapters.discord_chat.buttons import carry_out
from adapters.discord_chat.messages import MAX_CHOICE, shortened
from adapters.discord_chat.people import Interaction, user_of
from bot.commands import EXAMPLE, ImagineCommand, read_options, render_options
from bot.jobs import Job
from bot.languages import Language
from bot.requests import command_of
from generation.checks import MAX_PROMPT_LENGTH
from generation.errors import FluxbotError
from generation.types import Preset

if TYPE_CHECKING:
    from adapters.discord_chat.actions import Actions

MAX_CHOICES = 25
#: Longest line of options that a form takes.
MAX_OPTIONS = 400
#: How long an open form is remembered; nobody says when it is closed.
SECONDS_TO_FILL_IN = 3600.0
#: Marks an interaction whose form is still remembered.
REMEMBERED = "remembered"


class _Form(discord.ui.Modal):
    """A prompt, what to avoid, a preset, and the other options as one types them."""

    def __init__(
        self,
        actions: Actions,
        say: Language,
        title: str,
        old: ImagineCommand,
        presets: list[Preset],
    ) -> None:
        super().__init__(title=title, timeout=SECONDS_TO_FILL_IN)
        self.actions = actions
        self.prompt: discord.ui.TextInput[Any] = discord.ui.TextInput(
            custom_id="prompt",
            style=discord.TextStyle.paragraph,
            default=old.prompt or None,
            max_length=MAX_PROMPT_LENGTH,
            placeholder=EXAMPLE.partition(" --")[0],
        )
        self.negative: discord.ui.TextInput[Any] = discord.ui.TextInput(
            custom_id="negative",
            default=old.negative_prompt,
            max_length=MAX_PROMPT_LENGTH,
            required=False,
        )
        self.preset: discord.ui.Select[Any] = discord.ui.Select(
            custom_id="preset",
            options=[
                discord.SelectOption(
                    label=preset.name,
                    description=shortened(preset.description, MAX_CHOICE) or None,
                    default=preset.name == old.preset,
                )
                for preset in presets[:MAX_CHOICES]
            ],
        )
        self.options: discord.ui.TextInput[Any] = discord.ui.TextInput(
            custom_id="options",
            default=render_options(replace(old, preset=None, negative_prompt=None)) or None,
            placeholder="--steps 20 --size 1024x768 --seed 7",
            max_length=MAX_OPTIONS,
            required=False,
        )
        for text, component in (
            (say("Prompt"), self.prompt),
            (say("What to avoid"), self.negative),
            (say("Preset"), self.preset),
            (say("Options"), self.options),
        ):
            self.add_item(discord.ui.Label(text=text, component=component))

    def command(self) -> ImagineCommand:
        """What was filled in.

        Raises:
            CommandError: The options are none.
        """
        return replace(
            read_options(self.options.value),
            prompt=self.prompt.value.strip(),
            negative_prompt=self.negative.value.strip() or None,
            preset=self.preset.values[0] if self.preset.values else None,
        )

    async def on_submit(self, interaction: Interaction) -> None:
        interaction.extras[REMEMBERED] = True
        await carry_out(interaction, lambda actions: self.fulfil(interaction, self.command()))

    async def fulfil(self, interaction: Interaction, command: ImagineCommand) -> None:
        """Draw what was filled in."""
        raise NotImplementedError


def forgotten(interaction: Interaction) -> FluxbotError:
    """What to say of a form that was sent off after it was forgotten, by a restart or for its
    age; with the prompt, which would be lost with it."""
    sentence = "this form is too old, or the bot was restarted meanwhile: please open it again"
    if prompt := _prompt_in(interaction.data):
        sentence += f". You had written: {prompt}"
    return FluxbotError(sentence)


def _prompt_in(parts: Any) -> str:
    """The value of the field "prompt" somewhere in what Discord sends of a form."""
    if isinstance(parts, list):
        return next(filter(None, map(_prompt_in, parts)), "")
    if not isinstance(parts, dict):
        return ""
    if parts.get("custom_id") == "prompt":
        return str(parts.get("value") or "")
    return _prompt_in([parts.get("component"), parts.get("components")])


class EditForm(_Form):
    """The old values of a picture, to be drawn again with what is changed in them."""

    def __init__(self, actions: Actions, job: Job, say: Language) -> None:
        old = command_of(job.request, job.images)
        presets = [
            preset
            for preset in actions.service.presets.values()
            if not preset.needs_image or job.request.control_image is not None
        ]
        super().__init__(actions, say, say("Edit prompt"), old, presets)
        self._job = job
        self._old = old

    async def fulfil(self, interaction: Interaction, command: ImagineCommand) -> None:
        user, job_id = user_of(interaction.user), self._job.id
        changes = command
        if command.preset == self._old.preset:
            # Naming it anew would take back what was chosen beside it.
            changes = replace(changes, preset=None)
        elif command.strength == self._old.strength:
            changes = replace(changes, strength=None)  # it belonged to the other preset
        if self._old.negative_prompt and command.negative_prompt is None:
            changes = replace(changes, negative_prompt="")
        await self.actions.answers.draw(
            interaction,
            lambda where: self.actions.service.again(
                user, job_id, changes, vary=changes.seed is None, is_shown=True, **where
            ),
        )


class PictureForm(_Form):
    """What to draw from a picture that lies before one's eyes.

    Args:
        is_private: Whether what comes of it shall stay private; None takes their own default.
        images: How many pictures there are to choose from.
        number: The one that is chosen unless the person says otherwise.
        read: The bytes of one of them.
    """

    def __init__(
        self,
        actions: Actions,
        say: Language,
        *,
        read: Callable[[int], Awaitable[bytes]],
        is_private: bool | None = None,
        prompt: str = "",
        images: int = 1,
        number: int = 1,
    ) -> None:
        takers = [preset for preset in actions.service.presets.values() if preset.needs_image]
        if not takers:
            raise FluxbotError("no preset here draws from a picture; an admin can add one")
        old = ImagineCommand(prompt, preset=takers[0].name)
        super().__init__(actions, say, say("Use as control image"), old, takers)
        self._read = read
        self._is_private = is_private
        self._number = number
        self.which: discord.ui.Select[Any] | None = None
        if images > 1:
            self.which = discord.ui.Select(
                custom_id="which",
                options=[
                    discord.SelectOption(
                        label=say("Picture {number}", number=each),
                        value=str(each),
                        default=each == number,
                    )
                    for each in range(1, min(images, MAX_CHOICES) + 1)
                ],
            )
            self.add_item(discord.ui.Label(text=say("Which picture"), component=self.which))

    async def fulfil(self, interaction: Interaction, command: ImagineCommand) -> None:
        user = user_of(interaction.user)
        number = int(self.which.values[0]) if self.which and self.which.values else self._number

        async def ask(where: Any) -> Job:
            image = await self._read(number)
            return await self.actions.service.submit(user, command, image, **where)

        await self.actions.answers.draw(interaction, ask, is_private=self._is_private)

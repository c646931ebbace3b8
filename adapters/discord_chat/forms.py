"""The forms that open: describe a picture, change a prompt, and draw from a picture.

A form answers at once, since Discord wants it within three seconds; the job is looked up when
the form comes back. Discord has room for five fields in one: all forms have the same four, and
`_Form.add` takes one more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import discord

from adapters.discord_chat.acts import Acts, carry_out
from adapters.discord_chat.messages import MAX_CHOICE, shortened
from adapters.discord_chat.people import Interaction, say_of
from adapters.discord_chat.wording import words
from bot import sentences
from bot.commands import (
    EXAMPLE,
    AgainCommand,
    EditCommand,
    ImagineCommand,
    PromptCommand,
    escaped,
    read_options,
    render_options,
    series_of,
)
from bot.jobs import Job
from bot.languages import Language
from bot.presets import most_pictures
from bot.requests import command_of
from bot.sentences import Hint
from bot.source import Picture
from generation.checks import MAX_PROMPT_LENGTH
from generation.errors import FluxbotError
from generation.kinds import Numbers
from generation.types import Preset

MAX_CHOICES, MAX_HINT, MAX_RADIO_BUTTONS = 25, 100, 10
#: Options that stand as an example where a picture is drawn from.
EXAMPLE_OF_CONTROL = "--strength 0.7 --control-start 0 --control-end 0.8"
EXAMPLE_OF_CHANGE = "make it night"
#: Longest line of options that a form takes.
MAX_OPTIONS = 400
#: Seconds for which an open form is remembered, since Discord never reports its closing.
SECONDS_TO_FILL_IN = 3600.0
#: Marks an interaction whose form is still remembered.
REMEMBERED = "remembered"


class _Form(discord.ui.Modal):
    """Fields for a prompt, a negative prompt, a preset, and the other options as typed.

    Args:
        example: Options that stand in the empty field, as an example.
    """

    def __init__(
        self,
        say: Language,
        title: str,
        old: ImagineCommand,
        presets: list[Preset],
        example: str = "--steps 20 --size 1024x768 --seed 7",
    ) -> None:
        super().__init__(title=title, timeout=SECONDS_TO_FILL_IN)
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
        self.preset, left_out = _preset_menu(presets, old.preset, say)
        self.options: discord.ui.TextInput[Any] = discord.ui.TextInput(
            custom_id="options",
            default=render_options(replace(old, preset=None, negative_prompt=None)) or None,
            placeholder=example,
            max_length=MAX_OPTIONS,
            required=False,
        )
        self.add(say("Prompt"), self.prompt)
        self.add(say("What to avoid"), self.negative)
        self.add(
            say("Preset"), self.preset, sentences.more_presets(left_out, say) if left_out else ""
        )
        self.add(say("Options"), self.options)

    def add(self, text: str, component: discord.ui.Item[Any], hint: str = "") -> None:
        """Add *component* below *text*, with *hint* between them."""
        hint = shortened(hint, MAX_HINT)
        self.add_item(discord.ui.Label(text=text, component=component, description=hint or None))

    def command(self) -> ImagineCommand:
        """The command of the filled-in fields. A preset among the options counts before the one
        that is chosen, since the menu does not have room for all.

        Raises:
            CommandError: The options cannot be read.
        """
        options = read_options(self.options.value)
        chosen = self.preset.values[0] if self.preset.values else None
        return replace(
            options,
            prompt=words(self.prompt.value),
            negative_prompt=words(self.negative.value) or None,
            preset=options.preset or chosen,
        )

    async def on_submit(self, interaction: Interaction) -> None:
        interaction.extras[REMEMBERED] = True
        await carry_out(interaction, lambda acts: self.fulfil(acts, interaction, self.command()))

    async def fulfil(self, acts: Acts, interaction: Interaction, command: ImagineCommand) -> None:
        """Draw the picture of the filled-in fields."""
        raise NotImplementedError


def forgotten(interaction: Interaction) -> FluxbotError:
    """The sentence for a form that comes after it was forgotten, by a restart or for its age; it
    has the prompt in it, which would be lost otherwise."""
    return sentences.form_is_old(_prompt_in(interaction.data), say_of(interaction))


def _prompt_in(parts: Any) -> str:
    """The value of the field "prompt" anywhere in Discord's data of a form."""
    if isinstance(parts, list):
        return next(filter(None, map(_prompt_in, parts)), "")
    if not isinstance(parts, dict):
        return ""
    if parts.get("custom_id") == "prompt":
        return str(parts.get("value") or "")
    return _prompt_in([parts.get("component"), parts.get("components")])


def _preset_menu(
    presets: list[Preset], chosen: str | None, say: Language
) -> tuple[discord.ui.Select[Any], list[str]]:
    """A menu of *presets*, with *chosen* among them, and the names that it has no room for."""
    offered = presets[:MAX_CHOICES]
    if chosen not in [preset.name for preset in offered]:
        own = [preset for preset in presets if preset.name == chosen]
        offered = [*own, *offered][:MAX_CHOICES]
    menu: discord.ui.Select[Any] = discord.ui.Select(
        custom_id="preset",
        options=[
            discord.SelectOption(
                label=preset.name,
                description=shortened(say(preset.description), MAX_CHOICE) or None,
                default=preset.name == chosen,
            )
            for preset in offered
        ],
    )
    return menu, [preset.name for preset in presets if preset not in offered]


class _UploadForm(_Form):
    """A form with a field for a picture to draw from."""

    def __init__(
        self, say: Language, title: str, old: ImagineCommand, presets: list[Preset]
    ) -> None:
        super().__init__(say, title, old, presets)
        self.picture: discord.ui.FileUpload[Any] = discord.ui.FileUpload(
            custom_id="picture", required=False, max_values=most_pictures(presets)
        )
        self.add(say("Control image"), self.picture, say(Hint.FOR_PRESETS))

    def pictures(self, acts: Acts) -> list[Picture]:
        """The attached pictures, and behind them a mask, if any."""
        return [acts.attached(file) for file in self.picture.values]


class DrawForm(_UploadForm):
    """An empty form for a picture.

    Args:
        preset: Name of the preset that is chosen at first.
    """

    def __init__(self, presets: Iterable[Preset], say: Language, preset: str) -> None:
        super().__init__(say, say("New picture"), ImagineCommand(preset=preset), list(presets))

    async def fulfil(self, acts: Acts, interaction: Interaction, command: ImagineCommand) -> None:
        await acts.draw(interaction, PromptCommand(command), self.pictures(acts))


class EditForm(_UploadForm):
    """A form with the values of a picture, which draws it again with changes. A picture that is
    attached takes the place of the one that it was drawn from."""

    def __init__(self, presets: Iterable[Preset], job: Job, say: Language) -> None:
        self._job = job
        self._old = _all_of(job)
        # As people type it: braces in it are text, and those that they add have alternatives.
        typed = replace(self._old, prompt=escaped(self._old.prompt))
        super().__init__(say, say("Edit prompt"), typed, list(presets))

    async def fulfil(self, acts: Acts, interaction: Interaction, command: ImagineCommand) -> None:
        job_id, changes = self._job.id, command
        if pictures := self.pictures(acts):
            await acts.draw(interaction, series_of(command), pictures, shown=job_id)
            return
        if command.preset == self._old.preset:
            # Naming the same preset again would undo choices made beside it.
            changes = replace(changes, preset=None)
        elif command.strength == self._old.strength:
            changes = replace(changes, strength=None)  # it belonged to the other preset
        if command.preset != self._old.preset and _span(command) == _span(self._old):
            changes = replace(changes, control_guidance_start=None, control_guidance_end=None)
        if self._old.negative_prompt and command.negative_prompt is None:
            changes = replace(changes, negative_prompt="")
        if self._old.loras and command.loras is None:
            changes = replace(changes, loras=())
        again = AgainCommand(job_id, changes, vary=changes.seed is None)
        await acts.draw(interaction, series_of(again), shown=job_id)


def _all_of(job: Job) -> ImagineCommand:
    """The command that makes *job* again, with all that can be set of a ControlNet."""
    command, span = command_of(job.request, job.images), job.request.kind.span_setting
    if span is None:
        return command
    return replace(command, control_guidance_start=span[0], control_guidance_end=span[1])


def _span(command: ImagineCommand) -> tuple[Numbers | None, Numbers | None]:
    return command.control_guidance_start, command.control_guidance_end


class ChangeForm(discord.ui.Modal):
    """A form that asks what to change in a picture.

    Args:
        more: Pictures that may come with it, at most.
        shown: Id of the job that it is of, if of any.
        is_private: Whether the new picture is for the person alone.
    """

    def __init__(
        self,
        picture: Picture,
        say: Language,
        *,
        more: int = 0,
        shown: str | None,
        is_private: bool,
    ) -> None:
        super().__init__(title=say("Edit picture"), timeout=SECONDS_TO_FILL_IN)
        self._picture, self._shown, self._is_private = picture, shown, is_private
        self.change: discord.ui.TextInput[Any] = discord.ui.TextInput(
            custom_id="prompt",
            style=discord.TextStyle.paragraph,
            max_length=MAX_PROMPT_LENGTH,
            placeholder=EXAMPLE_OF_CHANGE,
        )
        self.add_item(discord.ui.Label(text=say("What to change"), component=self.change))
        self.others: discord.ui.FileUpload[Any] | None = None
        if more:
            self.others = discord.ui.FileUpload(custom_id="others", required=False, max_values=more)
            label = discord.ui.Label(
                text=say("Further pictures"), component=self.others, description=say(Hint.FURTHER)
            )
            self.add_item(label)

    async def on_submit(self, interaction: Interaction) -> None:
        interaction.extras[REMEMBERED] = True
        edit = EditCommand(ImagineCommand(words(self.change.value)))
        others = self.others.values if self.others is not None else ()

        async def change(acts: Acts) -> None:
            pictures = [self._picture, *map(acts.attached, others)]
            await acts.draw(
                interaction, edit, pictures, shown=self._shown, is_private=self._is_private
            )

        await carry_out(interaction, change)


class PartForm(discord.ui.Modal):
    """A form that asks what to draw in a part of a picture.

    Args:
        mask: The part, as people type it.
        shown: Id of the job that it is of.
        is_private: Whether the new picture is for the person alone.
    """

    def __init__(
        self, picture: Picture, mask: str, say: Language, *, shown: str, is_private: bool
    ) -> None:
        super().__init__(title=say("Change a part"), timeout=SECONDS_TO_FILL_IN)
        self._picture, self._mask = picture, mask
        self._shown, self._is_private = shown, is_private
        self.words: discord.ui.TextInput[Any] = discord.ui.TextInput(
            custom_id="prompt",
            style=discord.TextStyle.paragraph,
            max_length=MAX_PROMPT_LENGTH,
            placeholder=EXAMPLE.partition(" --")[0],
        )
        self.add_item(discord.ui.Label(text=say("What to draw there"), component=self.words))

    async def on_submit(self, interaction: Interaction) -> None:
        interaction.extras[REMEMBERED] = True
        command = ImagineCommand(words(self.words.value), mask=self._mask)
        await carry_out(
            interaction,
            lambda acts: acts.draw(
                interaction,
                command,
                [self._picture],
                shown=self._shown,
                is_private=self._is_private,
            ),
        )


class PictureForm(_Form):
    """A form that draws from a picture.

    Args:
        pictures: Pictures to choose from.
        title: Words above the form.
        preset: Name of the preset that is chosen at first.
        number: The picture that is chosen at first.
        shown: Id of the job whose pictures they are, if of any.
        is_private: Whether the new picture stays private unless the person says otherwise, for
            which there is room beside a single picture.
    """

    def __init__(
        self,
        presets: Iterable[Preset],
        say: Language,
        pictures: Sequence[Picture],
        *,
        title: str = "",
        preset: str | None = None,
        prompt: str = "",
        number: int = 1,
        shown: str | None = None,
        is_private: bool = False,
    ) -> None:
        takers = [preset for preset in presets if preset.needs_image]
        if not takers:
            raise sentences.no_taker()
        names = [each.name for each in takers]
        old = ImagineCommand(prompt, preset=preset if preset in names else names[0])
        title = title or say("Use as control image")
        super().__init__(say, title, old, takers, EXAMPLE_OF_CONTROL)
        self._pictures = pictures
        self._number = number
        self._shown = shown
        self._is_private = is_private
        self.which: discord.ui.RadioGroup[Any] | discord.ui.Select[Any] | None = None
        self.private: discord.ui.Checkbox[Any] | None = None
        if len(pictures) > 1:
            self.which = _numbers(len(pictures), number, say)
            self.add(say("Which picture"), self.which)
        else:
            self.private = discord.ui.Checkbox(custom_id="private", default=is_private)
            self.add(say(Hint.PRIVATE), self.private)

    async def fulfil(self, acts: Acts, interaction: Interaction, command: ImagineCommand) -> None:
        number = self._number
        if isinstance(self.which, discord.ui.Select):
            number = int(next(iter(self.which.values), number))
        elif self.which is not None:
            number = int(self.which.value or number)
        is_private = self._is_private if self.private is None else self.private.value
        picture = self._pictures[number - 1]
        await acts.draw(interaction, command, (picture,), shown=self._shown, is_private=is_private)


def _numbers(
    count: int, chosen: int, say: Language
) -> discord.ui.RadioGroup[Any] | discord.ui.Select[Any]:
    """A choice among pictures 1 to *count*; a menu where there are too many to show them all."""
    options = [
        (say("Picture {number}", number=each), str(each), each == chosen)
        for each in range(1, min(count, MAX_CHOICES) + 1)
    ]
    if count > MAX_RADIO_BUTTONS:
        return discord.ui.Select(
            custom_id="which",
            options=[
                discord.SelectOption(label=label, value=value, default=is_chosen)
                for label, value, is_chosen in options
            ],
        )
    return discord.ui.RadioGroup(
        custom_id="which",
        options=[
            discord.RadioGroupOption(label=label, value=value, default=is_chosen)
            for label, value, is_chosen in options
        ],
    )

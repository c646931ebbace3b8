"""``/flux …``.

The commands are made anew for each bot, since the ranges that Discord holds people to come
from the configuration.
"""
# No `from __future__ import annotations`: discord.py reads the annotations, and those here
# are made of values.

from typing import cast

import discord
from discord import app_commands
from discord.app_commands import Range, locale_str

from adapters.discord_chat.actions import Actions
from adapters.discord_chat.buttons import choice_buttons
from adapters.discord_chat.completion import Completion
from adapters.discord_chat.doors import contexts, installs
from adapters.discord_chat.linking import add_linking
from adapters.discord_chat.messages import MAX_DESCRIPTION, Post, shortened, text_post
from adapters.discord_chat.own_data import add_own_data
from adapters.discord_chat.people import Interaction, say_of, source_of
from adapters.discord_chat.wording import words
from bot import replies
from bot.commands import (
    AgainCommand,
    CancelCommand,
    Command,
    DeleteCommand,
    EditCommand,
    ExpandCommand,
    HelpCommand,
    HistoryFilter,
    ImagineCommand,
    InspectCommand,
    LorasCommand,
    ModelsCommand,
    PromptCommand,
    QueueCommand,
    QuotaCommand,
    ReportCommand,
    SettingsCommand,
    read_option,
    render_filter,
)
from bot.commands.vocabulary import Notify
from bot.config import Config
from bot.conversation import Reply, converse
from bot.expansion import AXES
from bot.jobs import ID_LENGTH
from bot.preferences import MAX_TEXT
from bot.source import Source
from generation.checks import MAX_PROMPT_LENGTH, MAX_SEED

#: Longest reason of a report.
MAX_REASON = 200


def flux_commands(actions: Actions, config: Config) -> app_commands.Group:
    """The group ``/flux``."""
    service, answers = actions.service, actions.answers
    limits = config.limits
    group = app_commands.Group(
        name="flux",
        description=locale_str("Draws pictures"),
        allowed_contexts=contexts(config.discord),
        allowed_installs=installs(config.discord),
    )

    Prompt = Range[str, 1, MAX_PROMPT_LENGTH]
    Steps = Range[int, 1, limits.num_inference_steps]
    Guidance = Range[float, 0, 30]
    Images = Range[int, 1, limits.images]
    JobId = Range[str, ID_LENGTH, ID_LENGTH]

    complete = Completion(service, config, answers.now)

    async def tell(interaction: Interaction, command: Command) -> None:
        await answers.show(interaction, lambda: converse(service, source_of(interaction), command))

    async def tell_at_once(interaction: Interaction, command: Command) -> None:
        reply = await converse(service, source_of(interaction), command)
        await answers.tell(interaction, text_post(reply.text))

    @group.command(name=locale_str("imagine"), description=locale_str("Draws what you describe"))
    @app_commands.describe(
        prompt=locale_str("What to draw"),
        preset=locale_str("The preset to draw with; some need an attached picture"),
        steps=locale_str("Denoising steps: more take longer and cost more, but add detail"),
        size=locale_str("A shape, or both sides in pixels, such as 1024x768"),
        guidance=locale_str("How closely the picture follows the prompt"),
        seed=locale_str("Random seed: the same number gives the same picture"),
        images=locale_str("How many pictures"),
        control_image=locale_str("A picture to draw from: PNG, JPEG or WebP"),
        control_image_2=locale_str("Another picture, for a preset that takes several"),
        control_image_3=locale_str("Another picture, for a preset that takes several"),
        control_image_4=locale_str("Another picture, for a preset that takes several"),
        mask_image=locale_str(
            "Where to draw in it: a picture that is white there, or the same one painted over there"
        ),
        mask=locale_str("The part of the picture to draw anew"),
        outpaint=locale_str("How far to continue the picture over its edges, such as 25%"),
        map=locale_str("Your picture is a control map itself, and is followed as it is"),
        strength=locale_str(
            "How closely to follow your picture, or how far to change it; see the preset"
        ),
        lora=locale_str("LoRAs with their weights, such as ink:0.8; several with commas"),
        negative=locale_str("What to avoid; steps take twice as long"),
        private=locale_str("Show the picture only to you"),
        draft=locale_str("A quick look with few steps and pixels, to be finished later"),
        repeat=locale_str("How many times to draw it, each with a new seed"),
        contact_sheet=locale_str("Presets with commas between them: one picture through each"),
    )
    @app_commands.autocomplete(
        preset=complete.presets,
        size=complete.sizes,
        mask=complete.regions,
        lora=complete.loras,
        contact_sheet=complete.several_presets,
    )
    @app_commands.rename(**_localised(
        "prompt", "preset", "steps", "size", "guidance", "seed", "images", "control_image",
        "control_image_2", "control_image_3", "control_image_4", "mask_image", "mask", "outpaint",
        "map", "strength", "lora", "negative", "private", "draft", "repeat", "contact_sheet",
    ))  # fmt: skip
    async def imagine(
        interaction: Interaction,
        prompt: Prompt,
        preset: str | None = None,
        steps: Steps | None = None,
        size: str | None = None,
        guidance: Guidance | None = None,
        seed: Range[int, 0, MAX_SEED] | None = None,
        images: Images | None = None,
        control_image: discord.Attachment | None = None,
        control_image_2: discord.Attachment | None = None,
        control_image_3: discord.Attachment | None = None,
        control_image_4: discord.Attachment | None = None,
        mask_image: discord.Attachment | None = None,
        mask: Range[str, 1, 40] | None = None,
        outpaint: Range[str, 1, 80] | None = None,
        map: bool | None = None,
        strength: Range[float, 0, 1] | None = None,
        lora: Range[str, 1, 400] | None = None,
        negative: Range[str, 1, MAX_PROMPT_LENGTH] | None = None,
        private: bool | None = None,
        draft: bool | None = None,
        repeat: Range[int, 1, limits.series] | None = None,
        contact_sheet: str | None = None,
    ) -> None:
        async def ask(source: Source) -> Reply:
            command = ImagineCommand(
                prompt=words(prompt),
                preset=preset and preset.lower(),
                num_inference_steps=steps,
                guidance_scale=guidance,
                seed=seed,
                images=images,
                strength=strength,
                negative_prompt=None if negative is None else words(negative),
                draft=draft,
                is_map=map or None,
                **(read_option("size", size) if size else {}),
                **(read_option("mask", mask) if mask else {}),
                **(read_option("outpaint", outpaint) if outpaint else {}),
                **(read_option("lora", lora) if lora else {}),
            )
            others = (control_image_2, control_image_3, control_image_4, mask_image)
            pictures = [actions.attached(each) for each in (control_image, *others) if each]
            said = PromptCommand(
                command,
                repeat or 1,
                read_option("presets", contact_sheet)["presets"] if contact_sheet else (),
            )
            return await converse(service, source, said, pictures)

        await answers.draw(interaction, ask, is_private=private)

    @group.command(
        name=locale_str("form"), description=locale_str("Opens a form to describe a picture in")
    )
    async def form(interaction: Interaction) -> None:
        await actions.describe(interaction)

    @group.command(name=locale_str("again"), description=locale_str("Draws a picture again"))
    @app_commands.describe(id=locale_str("Which of your pictures; the latest if left out"))
    @app_commands.autocomplete(id=complete.own)
    async def again(interaction: Interaction, id: JobId | None = None) -> None:
        await actions.draw(interaction, AgainCommand(id))

    @group.command(
        name=locale_str("edit"), description=locale_str("Changes a picture as your words say")
    )
    @app_commands.describe(
        change=locale_str("What to change, such as make it night"),
        picture=locale_str("The picture: PNG, JPEG or WebP"),
        picture_2=locale_str("Another picture, for a preset that takes several"),
        picture_3=locale_str("Another picture, for a preset that takes several"),
        picture_4=locale_str("Another picture, for a preset that takes several"),
        id=locale_str("Or one of your pictures; the latest if left out"),
        number=locale_str("Which of its pictures, where there are several"),
    )
    @app_commands.rename(
        change=locale_str("words"),
        **_localised("picture", "picture_2", "picture_3", "picture_4", "number"),
    )
    @app_commands.autocomplete(id=complete.own)
    async def edit(
        interaction: Interaction,
        change: Prompt,
        picture: discord.Attachment | None = None,
        picture_2: discord.Attachment | None = None,
        picture_3: discord.Attachment | None = None,
        picture_4: discord.Attachment | None = None,
        id: JobId | None = None,
        number: Images | None = None,
    ) -> None:
        command = EditCommand(ImagineCommand(words(change)), id, number)
        attached = (picture, picture_2, picture_3, picture_4)
        pictures = [actions.attached(each) for each in attached if each]
        await actions.draw(interaction, command, pictures)

    if service.expansion.is_on:

        @group.command(
            name=locale_str("expand"),
            description=locale_str("Proposes richer words, which you see before they are drawn"),
        )
        @app_commands.describe(
            prompt=locale_str("Your words"),
            id=locale_str("Or one of your pictures"),
            axis=locale_str("What to say more about; all if left out"),
        )
        @app_commands.rename(**_localised("prompt", "axis"))
        @app_commands.choices(
            axis=[
                app_commands.Choice(name=locale_str(each.capitalize()), value=each) for each in AXES
            ]
        )
        @app_commands.autocomplete(id=complete.own)
        async def expand(
            interaction: Interaction,
            prompt: Prompt | None = None,
            id: JobId | None = None,
            axis: app_commands.Choice[str] | None = None,
        ) -> None:
            async def ask() -> Reply:
                axes = (axis.value,) if axis else ()
                if id is None and prompt is None:
                    return await converse(service, source_of(interaction), "expand")
                asked = ImagineCommand(words(prompt or ""))
                command = ExpandCommand(id or "", asked=asked, axes=axes)
                return await converse(service, source_of(interaction), command)

            await answers.show(interaction, ask)

    @group.command(
        name=locale_str("show"), description=locale_str("Shows one of your pictures again")
    )
    @app_commands.describe(id=locale_str("Which of your pictures"))
    @app_commands.autocomplete(id=complete.own)
    async def show(interaction: Interaction, id: JobId) -> None:
        await actions.show(interaction, id)

    @group.command(
        name=locale_str("inspect"),
        description=locale_str("Reads what a picture says about itself"),
    )
    @app_commands.describe(
        picture=locale_str("The picture: PNG, JPEG or WebP"),
        id=locale_str("Or one of your pictures"),
    )
    @app_commands.rename(**_localised("picture"))
    @app_commands.autocomplete(id=complete.own)
    async def inspect(
        interaction: Interaction,
        picture: discord.Attachment | None = None,
        id: JobId | None = None,
    ) -> None:
        if picture is not None:
            await actions.inspect(interaction, actions.attached(picture))
        else:
            await tell(interaction, InspectCommand(id))

    @group.command(name=locale_str("history"), description=locale_str("Lists your pictures"))
    @app_commands.describe(
        words=locale_str("Words from the prompt"),
        favourites=locale_str("Your favourites alone"),
        preset=locale_str("Pictures of this preset alone"),
        since=locale_str("The first day, such as 2026-11-01"),
        until=locale_str("The last day, such as 2026-11-20"),
    )
    @app_commands.rename(**_localised("words", "favourites", "preset", "since", "until"))
    @app_commands.autocomplete(preset=complete.presets, since=complete.days, until=complete.days)
    async def history(
        interaction: Interaction,
        words: Range[str, 1, 80] | None = None,
        favourites: bool = False,
        preset: Range[str, 1, 40] | None = None,
        since: Range[str, 1, 10] | None = None,
        until: Range[str, 1, 10] | None = None,
    ) -> None:
        typed = render_filter(
            HistoryFilter(words or "", favourites, preset or "", since or "", until or "")
        )
        await answers.show(interaction, lambda: actions.history(interaction, typed, 1))

    @group.command(
        name=locale_str("cancel"),
        description=locale_str("Cancels a job and gives its credits back"),
    )
    @app_commands.describe(id=locale_str("Which job; your newest if left out"))
    @app_commands.autocomplete(id=complete.unfinished)
    async def cancel(interaction: Interaction, id: JobId | None = None) -> None:
        await tell(interaction, CancelCommand(id))

    @group.command(
        name=locale_str("delete"), description=locale_str("Deletes one of your pictures")
    )
    @app_commands.describe(id=locale_str("Which of your pictures"))
    @app_commands.autocomplete(id=complete.ended)
    async def delete(interaction: Interaction, id: JobId) -> None:
        await tell(interaction, DeleteCommand(id))

    @group.command(
        name=locale_str("report"),
        description=locale_str("Tells moderators of a picture that should not be here"),
    )
    @app_commands.describe(
        id=locale_str("The id under the picture"), reason=locale_str("What is wrong with it")
    )
    @app_commands.rename(**_localised("reason"))
    @app_commands.autocomplete(id=complete.own)
    async def report(
        interaction: Interaction, id: JobId, reason: Range[str, 1, MAX_REASON] | None = None
    ) -> None:
        await tell(interaction, ReportCommand(id, reason or ""))

    @group.command(
        name=locale_str("quota"), description=locale_str("Shows how many credits you have left")
    )
    async def quota(interaction: Interaction) -> None:
        await tell(interaction, QuotaCommand())

    @group.command(
        name=locale_str("queue"), description=locale_str("Shows the queue and how long it takes")
    )
    async def queue(interaction: Interaction) -> None:
        await tell_at_once(interaction, QueueCommand())

    @group.command(name=locale_str("presets"), description=locale_str("Lists the presets"))
    async def presets(interaction: Interaction) -> None:
        await answers.tell(interaction, await actions.presets(interaction, 1))

    @group.command(
        name=locale_str("loras"), description=locale_str("Lists the LoRAs that can be added")
    )
    async def loras(interaction: Interaction) -> None:
        await tell_at_once(interaction, LorasCommand())

    @group.command(
        name=locale_str("models"),
        description=locale_str("Lists the models that pictures are drawn with"),
    )
    async def models(interaction: Interaction) -> None:
        await tell_at_once(interaction, ModelsCommand())

    @group.command(
        name=locale_str("settings"),
        description=locale_str("Shows, changes or forgets your defaults"),
    )
    @app_commands.describe(
        preset=locale_str("A preset that works without an attached picture"),
        steps=locale_str("Denoising steps: more take longer and cost more, but add detail"),
        size=locale_str("A shape, or both sides in pixels, such as 1024x768"),
        guidance=locale_str("How closely the picture follows the prompt"),
        images=locale_str("How many pictures"),
        private=locale_str("Show the picture only to you"),
        notify=locale_str("When to call you to a picture that is done"),
        showcase=locale_str("Let others vote for your pictures; the best may be shown"),
        remix=locale_str("Let others build on your pictures"),
        reset=locale_str("Forget all your defaults"),
    )
    @app_commands.autocomplete(preset=complete.presets, size=complete.sizes)
    @app_commands.choices(
        notify=[
            app_commands.Choice(name=locale_str(words), value=word)
            for word, words in replies.NOTIFICATIONS.items()
        ]
    )
    @app_commands.rename(
        **_localised(
            *("preset", "steps", "size", "guidance", "images", "private", "notify"),
            *("showcase", "remix", "reset"),
        )
    )
    async def settings(
        interaction: Interaction,
        preset: str | None = None,
        steps: Steps | None = None,
        size: str | None = None,
        guidance: Guidance | None = None,
        images: Images | None = None,
        private: bool | None = None,
        notify: app_commands.Choice[str] | None = None,
        showcase: bool | None = None,
        remix: bool | None = None,
        reset: bool = False,
    ) -> None:
        async def look_up() -> Reply:
            changes = ImagineCommand(
                preset=preset and preset.lower(),
                num_inference_steps=steps,
                guidance_scale=guidance,
                images=images,
                **(read_option("size", size) if size else {}),
            )
            command = SettingsCommand(
                changes if changes.options else None,
                reset,
                private,
                notify=cast(Notify, notify.value) if notify else None,
                showcase=showcase,
                remix=remix,
            )
            return await converse(service, source_of(interaction), command)

        await answers.show(interaction, look_up)

    @group.command(
        name=locale_str("prefer"),
        description=locale_str("Keeps words behind all your prompts, and shortcuts of your own"),
    )
    @app_commands.describe(
        name=locale_str("suffix, or the name of a shortcut; all are listed if left out"),
        text=locale_str("The words to keep; they are removed if left out"),
    )
    @app_commands.rename(**_localised("name", "text"))
    async def prefer(
        interaction: Interaction,
        name: Range[str, 1, 24] | None = None,
        text: Range[str, 1, MAX_TEXT] | None = None,
    ) -> None:
        said = " ".join(part for part in ("prefer", name, text and words(text)) if part)
        await answers.show(interaction, lambda: converse(service, source_of(interaction), said))

    add_own_data(group, service, answers)
    add_linking(group, service, answers)

    @group.command(name=locale_str("help"), description=locale_str("Explains what I can do"))
    async def help(interaction: Interaction) -> None:
        say = say_of(interaction)
        actions.mentions.see(interaction)
        lines = [
            f"{actions.mentions.of(each.qualified_name)} · {say(each.description)}"
            for each in group.walk_commands()
            if isinstance(each, app_commands.Command)
        ]
        text = "\n".join([*lines, "", f"**{say('Try one of these')}**"])
        about = text_post(say(service.about.text)).embeds[0].description
        choices = (await converse(service, source_of(interaction), HelpCommand())).choices
        embed = discord.Embed(description=shortened(f"{about}\n\n{text}", MAX_DESCRIPTION))
        await answers.tell(interaction, Post([embed], items=choice_buttons(choices)))

    return group


def _localised(*names: str) -> dict[str, str | locale_str]:
    return {name: locale_str(name) for name in names}

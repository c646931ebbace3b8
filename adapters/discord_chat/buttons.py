"""Buttons and menus whose ids carry everything, so that they outlive every restart.

An id reads ``flux:kind:job:number``. The bot remembers no messages: a button under a picture of
last month still works.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal, Self, cast

import discord

from adapters.discord_chat.acts import ButtonKind, carry_out
from bot.jobs import ID_ALPHABET, ID_LENGTH
from bot.languages import ENGLISH, Language
from bot.sentences import Hint
from bot.views import Choice

LABELS: dict[ButtonKind, tuple[str, str]] = {
    "again": ("Again", "🔁"),
    "vary": ("Vary", "🎲"),
    "subtle": ("Vary subtle", "🎲"),
    "strong": ("Vary strong", "🎲"),
    "same": ("Same again", "🟰"),
    "edit": ("Edit prompt", "✏️"),
    "change": ("Edit picture", "🪄"),
    "part": ("Change a part", "🖌️"),
    "expand": ("Expand", "✨"),
    "upscale": ("Upscale", "🔍"),
    "final": ("Final picture", "🏁"),
    "control": ("Use as control image", "🖼️"),
    "favourite": ("Favourite", "⭐"),
    "vote": ("Vote", "👍"),
    "report": ("Report", "🚩"),
    "cancel": ("Cancel", "✖️"),
    "stop": ("Cancel all", "✖️"),
    "delete": ("Delete", "🗑️"),
}

#: What stands above the buttons: a job without a picture, several pictures as one, or one picture.
Look = Literal["nothing", "grid", "picture"]

#: The rows of buttons under a job that has ended, at most 5 of 5. Those of `EACH` stand for a
#: button of each picture of a grid, up to `MOST_OF_A_GRID`; ``upscale``, ``change``, ``part``,
#: ``expand`` and ``vote`` are left out where nothing can; a draft has ``final`` in the place of
#: ``upscale``.
ROWS: dict[Look, tuple[tuple[ButtonKind, ...], ...]] = {
    "nothing": (("again", "edit", "delete"),),
    "grid": (
        ("single",),
        ("variation",),
        ("again", "edit", "control", "report", "delete"),
        ("favourite",),
    ),
    "picture": (
        ("again", "subtle", "strong", "upscale", "final", "edit"),
        ("control", "expand", "favourite", "report", "delete"),
        ("change", "part", "vote"),
    ),
}
#: Choices in the menu below the buttons of a job that has pictures.
MENU: dict[ButtonKind, str] = {"same": Hint.SAME}
EACH: tuple[ButtonKind, ...] = ("single", "variation")
MOST_OF_A_GRID = 4
#: The button that tells by its number which picture a message shows.
ONE: ButtonKind = "control"

_JOB = f"[{ID_ALPHABET}]{{{ID_LENGTH}}}"
#: Longest words of a search that fit into an id of 100 characters, beside the rest.
MAX_WORDS = 80
#: Longest words that a button says, of the 100 characters of an id; longest label; most buttons.
MAX_SAID, MAX_LABEL, MAX_BUTTONS = 90, 80, 25


class JobButton(
    discord.ui.DynamicItem[discord.ui.Button[Any]],
    template=rf"flux:(?P<kind>[a-z]+):(?P<job>{_JOB}):(?P<number>\d{{1,2}})",
):
    """A button for a job, or for one of its pictures."""

    def __init__(
        self,
        say: Language,
        kind: ButtonKind,
        job_id: str,
        number: int = 1,
        row: int | None = None,
        *,
        label: str = "",
    ) -> None:
        self.kind, self.job_id, self.number = kind, job_id, number
        emoji: str | None = None
        if label:
            label = label if len(label) <= MAX_LABEL else f"{label[: MAX_LABEL - 1]}…"
        elif kind in ("single", "variation"):
            label = f"{'U' if kind == 'single' else 'V'}{number}"
        else:
            english, emoji = LABELS[kind]
            label = say(english)
        danger = kind in ("cancel", "stop", "delete")
        super().__init__(
            discord.ui.Button(
                label=label,
                emoji=emoji,
                style=discord.ButtonStyle.danger if danger else discord.ButtonStyle.secondary,
                custom_id=f"flux:{kind}:{job_id}:{number}",
            ),
            row=row,
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: Any, match: re.Match[str], /
    ) -> Self:
        return cls(ENGLISH, cast(ButtonKind, match["kind"]), match["job"], int(match["number"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await carry_out(
            interaction,
            lambda actions: actions.press(interaction, self.kind, self.job_id, self.number),
        )


class PageButton(
    discord.ui.DynamicItem[discord.ui.Button[Any]],
    template=r"flux-page:(?P<page>\d{1,6}):(?P<words>.*)",
):
    """A button for another page of the history."""

    def __init__(self, label: str, page: int, words: str) -> None:
        self.page, self.words = page, words
        super().__init__(
            discord.ui.Button(label=label, custom_id=f"flux-page:{page}:{words[:MAX_WORDS]}")
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: Any, match: re.Match[str], /
    ) -> Self:
        return cls("…", int(match["page"]), match["words"])

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await carry_out(
            interaction, lambda actions: actions.turn_page(interaction, self.page, self.words)
        )


class PresetsButton(
    discord.ui.DynamicItem[discord.ui.Button[Any]], template=r"flux-presets:(?P<page>\d{1,4})"
):
    """A button for another page of the presets."""

    def __init__(self, label: str, page: int) -> None:
        self.page = page
        super().__init__(discord.ui.Button(label=label, custom_id=f"flux-presets:{page}"))

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: Any, match: re.Match[str], /
    ) -> Self:
        return cls("…", int(match["page"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await carry_out(interaction, lambda actions: actions.turn_presets(interaction, self.page))


class ChoiceButton(
    discord.ui.DynamicItem[discord.ui.Button[Any]], template=r"flux-say:(?P<says>(?s:.*))"
):
    """A button that says words for the person who presses it."""

    def __init__(self, label: str, says: str, *, is_main: bool = False) -> None:
        self.says = says
        style = discord.ButtonStyle.primary if is_main else discord.ButtonStyle.secondary
        label = label if len(label) <= MAX_LABEL else f"{label[: MAX_LABEL - 1]}…"
        super().__init__(discord.ui.Button(label=label, style=style, custom_id=f"flux-say:{says}"))

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: Any, match: re.Match[str], /
    ) -> Self:
        return cls("…", match["says"])

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await carry_out(interaction, lambda actions: actions.say(interaction, self.says))


def choice_buttons(choices: Iterable[Choice]) -> list[ChoiceButton]:
    """Buttons for *choices*, as far as their words fit into an id, and one message."""
    fitting = [each for each in choices if len(each.says) <= MAX_SAID]
    return [
        ChoiceButton(each.label, each.says, is_main=each.is_main) for each in fitting[:MAX_BUTTONS]
    ]


class JobSelect(discord.ui.DynamicItem[discord.ui.Select[Any]], template="flux-show"):
    """A menu of the pictures on a page of the history."""

    def __init__(self, say: Language, options: list[discord.SelectOption]) -> None:
        super().__init__(
            discord.ui.Select(
                placeholder=say("Pick a picture to show"), options=options, custom_id="flux-show"
            )
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: Any, match: re.Match[str], /
    ) -> Self:
        select = cls(ENGLISH, [discord.SelectOption(label="…")])
        select.item = item
        return select

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await carry_out(interaction, lambda actions: actions.show(interaction, self.item.values[0]))


class JobMenu(
    discord.ui.DynamicItem[discord.ui.Select[Any]],
    template=rf"flux-more:(?P<job>{_JOB}):(?P<number>\d{{1,2}})",
):
    """A menu of what is done less often with a job, or (*number* is not 0) with one picture."""

    def __init__(self, say: Language, job_id: str, number: int = 0, row: int | None = None) -> None:
        self.job_id, self.number = job_id, number
        options = [
            discord.SelectOption(
                label=say(LABELS[kind][0]),
                value=kind,
                description=say(hint),
            )
            for kind, hint in MENU.items()
        ]
        super().__init__(
            discord.ui.Select(
                placeholder=say("More"), options=options, custom_id=f"flux-more:{job_id}:{number}"
            ),
            row=row,
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: Any, match: re.Match[str], /
    ) -> Self:
        menu = cls(ENGLISH, match["job"], int(match["number"]))
        menu.item = item
        return menu

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        kind = cast(ButtonKind, self.item.values[0])
        await carry_out(
            interaction,
            lambda actions: actions.press(interaction, kind, self.job_id, self.number),
        )


def job_of(message: discord.Message) -> str | None:
    """Id of the job under one of the bot's messages, from its buttons; None without one."""
    return next((match["job"] for match in _about_jobs(message)), None)


def number_of(message: discord.Message) -> int:
    """Number of the picture that one of the bot's messages shows; the first of several."""
    numbers = [int(match["number"]) for match in _about_jobs(message) if match["kind"] == ONE]
    return max([1, *numbers])


def is_grid(message: discord.Message) -> bool:
    """Whether one of the bot's messages shows several pictures."""
    return any(match["kind"] in EACH for match in _about_jobs(message))


def is_of_job(message: discord.Message) -> bool:
    """Whether one of the bot's messages is that of its job, and does not show one picture of
    several by itself: its button to delete or to cancel says so."""
    ends = [each for each in _about_jobs(message) if each["kind"] in ("delete", "cancel", "stop")]
    return all(each["kind"] != "delete" or int(each["number"]) == 0 for each in ends)


def _about_jobs(message: discord.Message) -> Iterator[re.Match[str]]:
    for row in message.components:
        for component in getattr(row, "children", [row]):
            custom_id = getattr(component, "custom_id", None) or ""
            if match := JobButton.__discord_ui_compiled_template__.fullmatch(custom_id):
                yield match

"""The nine fields of a picture as buttons: which of them are drawn anew.

The buttons carry what was chosen, so that they work after every restart.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Self

import discord

from adapters.discord_chat.acts import FieldPress, carry_out
from adapters.discord_chat.messages import DRAWING, Post
from bot.fields import NUMBERS
from bot.jobs import ID_ALPHABET, ID_LENGTH
from bot.languages import ENGLISH, Language
from bot.sentences import Hint
from generation.types import FIELDS_ACROSS

#: The row below the fields.
LAST_ROW = 3


class FieldButton(
    discord.ui.DynamicItem[discord.ui.Button[Any]],
    template=rf"flux-field:(?P<job>[{ID_ALPHABET}]{{{ID_LENGTH}}}):(?P<number>\d{{1,2}})"
    r":(?P<private>[01]):(?P<chosen>[1-9]{0,9}):(?P<pressed>\d)",
):
    """A field of a picture, to be chosen or left out, or (0) the end of choosing."""

    def __init__(self, press: FieldPress, say: Language) -> None:
        self.press = press
        is_end = not press.pressed
        is_chosen = str(press.pressed) in press.chosen
        style = discord.ButtonStyle.primary if is_end or is_chosen else None
        super().__init__(
            discord.ui.Button(
                label=say("Draw anew") if is_end else str(press.pressed),
                style=style or discord.ButtonStyle.secondary,
                disabled=is_end and not press.chosen,
                custom_id=f"flux-field:{press.job_id}:{press.number}:{press.is_private:d}"
                f":{press.chosen}:{press.pressed}",
            ),
            row=LAST_ROW if is_end else (press.pressed - 1) // FIELDS_ACROSS,
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: Any, match: re.Match[str], /
    ) -> Self:
        press = FieldPress(
            match["job"],
            int(match["number"]),
            match["chosen"],
            int(match["pressed"]),
            is_private=match["private"] == "1",
        )
        return cls(press, ENGLISH)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await carry_out(interaction, lambda actions: actions.press_field(interaction, self.press))


def fields_post(press: FieldPress, picture: bytes, say: Language, *, is_spoiler: bool) -> Post:
    """The fields of a picture, those chosen that *press* says; *picture* shows them."""
    items = [FieldButton(replace(press, pressed=number), say) for number in (*NUMBERS, 0)]
    embed = discord.Embed(description=say(Hint.FIELDS), colour=DRAWING)
    name = f"fields-{press.chosen or 0}.jpg"
    files = [(name, picture)]
    return Post([embed], files, items, alternatives={name: say(Hint.FIELDS)}, is_spoiler=is_spoiler)

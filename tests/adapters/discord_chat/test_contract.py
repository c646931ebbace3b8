"""The conversation that every platform holds, in Discord's payloads."""

import re
from dataclasses import dataclass
from typing import Any

import pytest

from bot.commands import parse
from tests.adapters.contract import ConversationContract
from tests.adapters.discord_chat.conftest import drawn, ended
from tests.fakes.discord import File


@dataclass
class Asked:
    person: Any
    interaction: Any

    async def _shows(self, pattern):
        message = await self.interaction.until(lambda message: re.search(pattern, message.text))
        return re.search(pattern, message.text)

    async def ahead(self):
        return int((await self._shows(r"Queued, (\d+) ahead of you"))[1])

    async def step(self):
        found = await self._shows(r"step (\d+) of (\d+)")
        return int(found[1]), int(found[2])

    async def message(self):
        return await self.interaction.until(drawn)

    async def picture(self):
        return (await self.message()).attachments[0].data

    async def cancel(self):
        message = await self.interaction.until(lambda message: "Cancel" in message.buttons)
        await (await self.person.press(message, "Cancel")).answered()

    async def failure(self):
        return (
            await self.interaction.until(
                lambda message: ended(message) and "Cancel" not in message.buttons
            )
        ).text


class Asker:
    """A member of a server, who uses the command with its typed options."""

    def __init__(self, person, channel):
        self.person, self.channel, self.key = person, channel, f"discord:{person.id}"

    async def ask(self, text, image=None, mask=None):
        command = parse(text)
        options = {"prompt": command.prompt, "preset": command.preset, "seed": command.seed}
        options |= {"steps": command.num_inference_steps}
        if command.width:
            options["size"] = f"{command.width}x{command.height}"
        if image is not None:
            options["control_image"] = File(image, "fox.png")
        if mask is not None:
            options["mask_image"] = File(mask, "mask.png")
        options |= {"mask": command.mask, "map": command.is_map}
        options = {name: value for name, value in options.items() if value is not None}
        asked = await self.person.command(self.channel, "flux imagine", **options)
        return Asked(self.person, asked)

    async def again(self):
        return Asked(self.person, await self.person.command(self.channel, "flux again"))

    async def vary(self, asked):
        return Asked(self.person, await self.person.press(await asked.message(), "Vary strong"))

    async def refused(self, text, image=None, mask=None):
        return (await (await self.ask(text, image, mask)).interaction.followed_up()).text


class TestDiscord(ConversationContract):
    @pytest.fixture
    def bot(self, presence):
        return presence.bot

    @pytest.fixture
    def asker(self, ada, fake):
        return Asker(ada, fake.channel)

    @pytest.fixture
    def other(self, bob, fake):
        return Asker(bob, fake.channel)

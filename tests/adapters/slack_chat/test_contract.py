"""The conversation that every platform holds, in Slack's payloads."""

import re
from dataclasses import dataclass
from typing import Any

import pytest

from tests.adapters.contract import ConversationContract
from tests.fakes.slack.world import buttons, images, shown_text


@dataclass
class Asked:
    person: Any
    channel: Any
    message: dict

    async def _shows(self, pattern):
        return await self.channel.until(lambda _: re.search(pattern, shown_text(self.message)))

    async def ahead(self):
        return int((await self._shows(r"Queued, (\d+) ahead of you"))[1])

    async def step(self):
        found = await self._shows(r"step (\d+) of (\d+)")
        return int(found[1]), int(found[2])

    async def picture(self):
        # Beside a button to cancel it is a preview.
        ids = await self.channel.until(
            lambda _: "Cancel" not in buttons(self.message) and images(self.message)
        )
        return self.person.slack.files[ids[0]].data

    async def cancel(self):
        await self.person.press(self.message, "Cancel", self.channel)

    async def failure(self):
        await self.channel.until(lambda _: "Cancel" not in buttons(self.message))
        return shown_text(self.message)


class Asker:
    """A member of a channel, who mentions the bot."""

    def __init__(self, person, channel):
        self.person, self.channel, self.key = person, channel, person.key

    async def ask(self, text, image=None, mask=None):
        before = set(self.channel.messages)
        await self._mention(text, image, mask)
        message = await self.channel.until(
            lambda messages: next(
                (each for each in messages if each["ts"] not in before and "bot_id" in each), None
            )
        )
        return Asked(self.person, self.channel, message)

    async def again(self):
        return await self.ask("again")

    async def vary(self, asked):
        return await self.ask("vary")

    async def refused(self, text, image=None, mask=None):
        before = len(self.channel.whispers)
        await self._mention(text, image, mask)
        whispers = await self.channel.until(lambda _: self.channel.whispers[before:])
        return shown_text(whispers[0][1])

    async def _mention(self, text, image, mask):
        files = [self.person.file(each) for each in (image, mask) if each is not None]
        await self.person.mention(self.channel, text, files)


class TestSlack(ConversationContract):
    @pytest.fixture
    def bot(self, chat):
        return chat.bot

    @pytest.fixture
    def asker(self, ada, general):
        return Asker(ada, general)

    @pytest.fixture
    def other(self, slack, general):
        return Asker(slack.person("bob"), general)

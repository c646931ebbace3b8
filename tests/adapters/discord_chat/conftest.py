import asyncio
import contextlib

import discord
import pytest

from adapters.discord_chat import DiscordChat
from bot.jobs import Delivery
from bot.source import Source
from tests.fakes.discord import FakeDiscord

#: Fast enough for a test, slow enough that progress is dropped.
SECONDS_BETWEEN_EDITS = 0.02
MANAGER = discord.Permissions(manage_guild=True)


class Presence:
    """The bot on a Discord of its own: the real discord.py against the fake.

    Attributes:
        skew: Seconds that the bot's clock is ahead of Discord's.
    """

    def __init__(self, bot, fake):
        self.bot = bot
        self.fake = fake
        self.skew = 0.0

    def make_chat(self):
        self.chat = DiscordChat(
            self.bot.service,
            self.bot.config,
            self.fake.token,
            connector=self.fake.connector(),
            now=lambda: self.fake.clock() + self.skew,
            seconds_between_edits=SECONDS_BETWEEN_EDITS,
        )

    async def start(self):
        self.make_chat()
        self.running = asyncio.create_task(self.chat.run())
        await self.fake.connected()
        await self.fake.registered()

    async def stop(self):
        self.running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.running

    async def restart(self, **settings):
        """The whole bot goes and comes back, with what is on disk."""
        await self.stop()
        await self.bot.restart(**settings)
        await self.start()


@pytest.fixture
async def fake():
    """Discord, which has nothing to complain about when a test ends."""
    async with FakeDiscord() as fake:
        yield fake
        assert not fake.violations, "\n".join(each[:3000] for each in fake.violations)


@pytest.fixture
async def make_presence(make_bot, fake):
    """Starts a bot with settings of one's own on Discord."""
    presences = []

    async def make(**settings):
        presence = Presence(await make_bot(**settings), fake)
        await presence.start()
        presences.append(presence)
        return presence

    yield make
    for presence in presences:
        await presence.stop()


@pytest.fixture
async def presence(make_presence):
    return await make_presence()


@pytest.fixture
def service(presence):
    return presence.bot.service


@pytest.fixture
async def ada(presence, fake):
    return fake.person("ada")


@pytest.fixture
async def bob(presence, fake):
    return fake.person("bob")


@pytest.fixture
async def home(make_presence, fake):
    """A bot whose home the first server is."""
    return await make_presence(discord={"home_servers": (str(fake.guild.id),)})


@pytest.fixture
async def manager(home, fake):
    return fake.person("manager", permissions=MANAGER)


EDIT = "/webhooks/.*/messages/.*"


def no(code):
    """Discord's answer of a refusal."""
    return {"code": code, "message": "No"}


SMALL = {"size": "64x64", "steps": 3}


def shows(words):
    """Whether a message says *words*, for `Interaction.until`."""
    return lambda message: words in message.text


def drawn(message):
    """Whether a message shows a finished picture."""
    return bool(message.attachments) and "Delete" in message.buttons


def ended(message):
    """Whether a message says what it was going to say."""
    return not message.is_loading


class _Impatient:
    """asyncio for discord.py, without its pauses after a fault."""

    def __getattr__(self, name):
        return getattr(asyncio, name)

    async def sleep(self, seconds):
        await asyncio.sleep(min(seconds, 0.01))


@pytest.fixture
def impatient(monkeypatch):
    """Tries again at once what a fault kept back, ours and discord.py's."""
    monkeypatch.setattr("bot.following.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("bot.following.LONGEST_PAUSE", 0.01)
    monkeypatch.setattr("adapters.discord_chat.faults.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("adapters.discord_chat.faults.LONGEST_PAUSE", 0.01)
    monkeypatch.setattr("discord.webhook.async_.asyncio", _Impatient())
    monkeypatch.setattr("discord.http.asyncio", _Impatient())


async def the_job(service, person):
    (job, *_) = (await service.lookups.history(f"discord:{person.id}")).jobs
    return job


@pytest.fixture
async def asked(fake, ada):
    """A picture of ada's that is just being begun, its message on Discord."""
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", seed=7, **SMALL)
    await asked.until(shows("step 0"))
    return asked


async def settled(service, person):
    """The newest job of *person*, once nobody is owed its answer."""
    async with asyncio.timeout(20):
        while True:
            (job, *_) = (await service.lookups.history(f"discord:{person.id}")).jobs
            if job.status.is_final and job.delivery is not Delivery.OWED:
                return job
            await asyncio.sleep(0)


def mentioning(person):
    return lambda messages: [each for each in messages if person in each.mentions and drawn(each)]


async def marked(service, person, id, is_on=True):
    """Wait until a job is a favourite of *person*, or is none any more."""
    user = f"discord:{person.id}"
    async with asyncio.timeout(20):
        job = await service.lookups.job(Source(user, shown=id), id)
        while bool(await service.favourites.among(user, [job])) is not is_on:
            await asyncio.sleep(0)

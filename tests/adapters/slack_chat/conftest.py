import asyncio

import pytest

from adapters.slack_chat.chat import SlackChat
from adapters.slack_chat.pace import Pace
from bot.config import Secrets
from bot.source import Source
from tests.conftest import stepping
from tests.fakes.slack import FakeSlack

SMALL = "--size 64x64 --steps 3"


@pytest.fixture
async def slack(clock, monkeypatch):
    """A Slack that finds fault with whatever Slack would find fault with."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)  # slack_sdk would look for loopback there
    fake = await FakeSlack(clock).start()
    yield fake
    await fake.close()
    assert fake.violations == []


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Tries again at once what a fault kept back."""
    monkeypatch.setattr("bot.following.FIRST_PAUSE", 0.01)


@pytest.fixture
async def make_chat(make_bot, slack):
    """Starts a bot and has it listen in *slack*; returns the `SlackChat`, with its ``bot``."""
    chats = []

    async def make(bot=None, *, tokens=None, patience=10.0, start=True, slack_settings=(), **more):
        bot = bot or await make_bot(**more)
        settings = bot.config.slack.model_copy(
            update={"api_base": slack.api_base, "file_hosts": (slack.host,), "connections": 1}
            | dict(slack_settings)
        )
        secrets = Secrets(
            slack_bot_tokens=tuple(team.token for team in slack.teams.values())
            if tokens is None
            else tokens,
            slack_client_id=slack.client_id,
            slack_client_secret=slack.client_secret,
            slack_app_token=slack.app_token,
            slack_signing_secret=slack.signing_secret,
        )
        chat = SlackChat(
            bot.service,
            settings,
            secrets,
            make_pace=lambda: Pace(slack.time, slack.time.sleep),
            patience=patience,
            ping_interval=0.1,
        )
        chat.bot = bot
        chats.append(chat)
        if start:
            await chat.start()
        return chat

    yield make
    for chat in chats:
        await chat.close()


@pytest.fixture
async def chat(make_chat):
    return await make_chat()


@pytest.fixture
def ada(slack):
    return slack.person("ada")


@pytest.fixture
def general(slack):
    return slack.channel("general")


async def jobs(chat):
    rows = await chat.bot.rows("SELECT id FROM jobs ORDER BY number")
    return [await chat.bot.service.lookups.job(Source("web:local"), row["id"]) for row in rows]


def ours(channel):
    return [message for message in channel.messages.values() if "bot_id" in message]


async def delivered(chat):
    """Wait until nobody is owed an answer any more."""
    async with asyncio.timeout(10):
        while await chat.bot.service.answers.undelivered("slack"):
            await asyncio.sleep(0.002)


async def restarted(make_chat, chat, gate):
    """A new process: what was not on disk is forgotten."""
    await chat.close()
    await stepping(gate, chat.bot.restart())
    return await make_chat(chat.bot)


async def marked(chat, person, job, is_on=True):
    """Wait until a job is a favourite of *person*, or is none any more."""
    favourites = chat.bot.service.favourites
    async with asyncio.timeout(20):
        while bool(await favourites.among(person.key, [job])) is not is_on:
            await asyncio.sleep(0)


@pytest.fixture
async def own_fox(chat, ada, general, gate):
    """The message of a picture of Ada's."""
    gate.open()
    await ada.mention(general, f"a fox {SMALL} --seed 7")
    return await general.said("seed 7", button="Again")

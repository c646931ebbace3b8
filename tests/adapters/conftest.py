import asyncio
import base64
import contextlib
import gc
import io
import json
import threading
import time

import httpx
import pytest
from PIL import Image, ImageDraw

from adapters.slack_chat.chat import SlackChat
from adapters.slack_chat.pace import Pace
from adapters.web_chat import WebChat, create_app
from bot.config import Secrets, load_config
from tests.conftest import Bot, Gate
from tests.fakes.slack import FakeSlack
from tests.test_architecture import ROOT


def picture(width=96, height=96, format="PNG"):
    """A drawn square, as an image file."""
    image = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(image).rectangle(
        (width // 4, height // 4, width * 3 // 4, height * 3 // 4), fill="red"
    )
    file = io.BytesIO()
    image.save(file, format)
    return file.getvalue()


def data_url(data, media_type="image/png"):
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def opened(text):
    """The picture in a data URL."""
    return Image.open(io.BytesIO(base64.b64decode(text.partition(",")[2])))


@pytest.fixture(scope="session", autouse=True)
def what_is_imported_stays():
    """Else each test's look for lost exceptions walks through all modules again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def make_client():
    """A client of the application, without a network between."""

    def make(bot, secrets=None, **headers):
        app = create_app(bot.service, bot.config, secrets or Secrets())
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://localhost:8080",
            headers=headers,
        )

    return make


@pytest.fixture
async def web(bot, make_client):
    async with make_client(bot) as client:
        yield client


@pytest.fixture
async def make_server(make_bot):
    """Starts a bot and its web chat on a free port; returns the `WebChat`."""
    servers = []

    async def make(secrets=None, **settings):
        settings["web"] = {"port": 0, **settings.get("web", {})}
        bot = await make_bot(**settings)
        server = WebChat(bot.service, bot.config, secrets or Secrets())
        server.bot = bot
        await server.start()
        servers.append(server)
        return server

    yield make
    for server in servers:
        await server.close()


@pytest.fixture
async def server(make_server):
    return await make_server()


@pytest.fixture
async def http(server):
    async with httpx.AsyncClient(base_url=server.address, timeout=30) as client:
        yield client


async def events(response):
    """(name, data) of each server-sent event, as it arrives."""
    name, data = "message", ""
    async for line in response.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            data += line.removeprefix("data: ")
        elif not line and data:
            yield name, json.loads(data)
            name, data = "message", ""


class House:
    """A bot with its web chat on a loop and thread of its own, for tests that block."""

    def __init__(self, folder, **settings):
        self.engine = Gate()
        self.engine.open()
        settings["web"] = {"port": 0}
        self.bot = Bot(folder, self.engine, time.time, **settings)
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()))

    def __enter__(self):
        self._thread.start()
        assert self._is_up.wait(30)
        return self

    def __exit__(self, *reasons):
        self._loop.call_soon_threadsafe(self._leave.set)
        self._thread.join(30)

    def call(self, coroutine):
        """Run *coroutine* where the bot lives; returns its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _live(self):
        self._loop, self._leave = asyncio.get_running_loop(), asyncio.Event()
        await self.bot.start()
        chat = WebChat(self.bot.service, self.bot.config, Secrets())
        await chat.start()
        self.address = chat.address
        self._is_up.set()
        with contextlib.suppress(asyncio.CancelledError):
            await self._leave.wait()
        await chat.close()
        await self.bot.stop()


@pytest.fixture
async def slack(clock, monkeypatch):
    """A Slack that finds fault with whatever Slack would find fault with."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)  # slack_sdk would look for loopback there
    fake = await FakeSlack(clock).start()
    yield fake
    await fake.close()
    assert fake.violations == []


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
            slack_bot_tokens=tokens or tuple(team.token for team in slack.teams.values()),
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


@pytest.fixture
async def demo(tmp_path, clock):
    """A bot on the demo model, with the presets that ship."""
    import torch

    from generation.flux import FluxEngine

    torch.set_num_threads(1)
    presets = dict(load_config(ROOT / "config.toml").presets)
    engine = FluxEngine("demo", download_dir=tmp_path, device="cpu", max_sequence_length=64)
    bot = Bot(tmp_path, engine, clock, presets=presets)
    await bot.start()
    yield bot
    await bot.stop()

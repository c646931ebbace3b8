import asyncio
import contextlib
import json
import threading
import time

import httpx
import pytest

from adapters.web_chat import WebChat, create_app
from bot.config import Secrets
from tests.conftest import Bot, Gate


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
        server = WebChat(bot.service, bot.config, secrets or Secrets(), bot.clock)
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
        settings["web"] = {"port": 0, "webhooks": "off"}  # nothing is sent to made-up addresses
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

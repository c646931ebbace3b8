"""The conversation that every platform holds, over the web chat's HTTP API."""

from dataclasses import dataclass

import httpx
import pytest

from bot.config import Secrets
from tests.adapters.contract import ConversationContract
from tests.adapters.web_chat.conftest import events
from tests.samples import data_url

TOKENS = {"ada-token-0123456789": "ada", "bob-token-0123456789": "bob"}


@dataclass
class Asked:
    http: httpx.AsyncClient
    id: str

    async def _event(self, *names):
        async with self.http.stream("GET", f"/api/jobs/{self.id}/events") as response:
            async for name, data in events(response):
                if name in names:
                    return data
        raise AssertionError(f"there was no {names}")

    async def ahead(self):
        return (await self._event("queued"))["position"]

    async def step(self):
        data = await self._event("step")
        return data["step"], data["steps"]

    async def picture(self):
        await self._event("done")
        return (await self.http.get(f"/api/jobs/{self.id}/image")).content

    async def cancel(self):
        await self.http.delete(f"/api/jobs/{self.id}")

    async def failure(self):
        job = await self._event("failed", "cancelled")
        return job["error"] or job["status"]


class Asker:
    """Somebody with a token, who types into the page."""

    def __init__(self, http, name):
        self.http, self.key = http, f"web:{name}"

    async def _say(self, text, image, mask):
        body = {"text": text}
        if image is not None:
            body["image"] = data_url(image)
        if mask is not None:
            body["mask_image"] = data_url(mask)
        return await self.http.post("/api/messages", json=body)

    async def ask(self, text, image=None, mask=None):
        return Asked(self.http, (await self._say(text, image, mask)).json()["job"]["id"])

    async def again(self):
        return await self.ask("again")

    async def vary(self, asked):
        return await self.ask("vary")

    async def refused(self, text, image=None, mask=None):
        return (await self._say(text, image, mask)).json()["error"]["message"]


class TestWeb(ConversationContract):
    @pytest.fixture
    async def server(self, make_server):
        return await make_server(Secrets(web_tokens=TOKENS))

    @pytest.fixture
    def bot(self, server):
        return server.bot

    @pytest.fixture
    async def people(self, server):
        clients = [
            httpx.AsyncClient(
                base_url=server.address, headers={"Authorization": f"Bearer {token}"}, timeout=30
            )
            for token in TOKENS
        ]
        yield [Asker(http, name) for http, name in zip(clients, TOKENS.values(), strict=True)]
        for http in clients:
            await http.aclose()

    @pytest.fixture
    def asker(self, people):
        return people[0]

    @pytest.fixture
    def other(self, people):
        return people[1]

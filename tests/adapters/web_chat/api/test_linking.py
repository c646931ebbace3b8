"""Joining accounts over HTTP, with a person of Discord on the other side."""

import asyncio

from bot.conversation import converse
from bot.source import Source
from tests.adapters.web_chat.api.conftest import said
from tests.conftest import ADMIN, EVE

EVES = Source(EVE, name="Eve")


async def say(web, text):
    response = await web.post("/api/messages", json={"text": text})
    assert response.status_code == 200, response.text
    return response.json()


async def test_the_page_waits_for_the_other_side_and_asks(web, bot):
    link = (await say(web, "link"))["link"]
    assert not link["asks"]
    assert (await web.get(f"/api/links/{link['code']}?seconds=0")).status_code == 204
    waiting = asyncio.create_task(web.get(f"/api/links/{link['code']}"))

    await converse(bot.service, EVES, f"link {link['code']}")
    typed = await converse(bot.service, EVES, "link yes")
    told = (await waiting).json()
    assert told["asks"]
    assert "Discord “Eve” (eve)" in told["text"]
    assert typed.error is None

    done = await say(web, f"link yes {told['code']}")
    assert "Joined" in done["text"]
    assert done["link"] is None
    assert bot.service.selves.of(ADMIN) == {ADMIN, EVE}


async def test_who_has_typed_a_code_learns_of_the_other_sides_answer(web, bot):
    joining = (await converse(bot.service, EVES, "link")).joining
    typed = await say(web, f"link {joining.shown_code}")
    assert typed["link"]["asks"]
    assert "Discord “Eve” (eve)" in typed["text"]
    yes = await say(web, "link yes")
    await converse(bot.service, EVES, "link no")

    told = await web.get(f"/api/links/{yes['link']['code']}")

    assert told.json() == {"text": "Nothing was joined.", "code": joining.code, "asks": False}


async def test_a_code_of_others_tells_nothing(web, bot):
    joining = (await converse(bot.service, EVES, "link")).joining

    said(await web.get(f"/api/links/{joining.code}"), 404, "not_found")

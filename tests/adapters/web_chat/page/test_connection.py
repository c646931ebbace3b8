"""Slow answers, reloads, other tabs and restarts: the page shows what is so, once."""

import asyncio

from playwright.async_api import expect

from tests.adapters.web_chat.page.conftest import DRIVEN, pictures, ready, say
from tests.conftest import ADMIN, at_step

pytestmark = DRIVEN


async def test_what_is_being_said_is_shown_once_however_slow_the_answer(site, page):
    """A look at the engine in between tells of the job before the answer does."""
    looked, answered = asyncio.Event(), asyncio.Event()

    async def hold(route):
        response = await route.fetch()
        await looked.wait()
        await route.fulfill(response=response)
        answered.set()

    await page.route("**/api/messages", hold)
    await say(page, "a fox --steps 4")
    async with asyncio.timeout(10):
        while not (await site.bot.service.lookups.history(ADMIN)).jobs:
            await asyncio.sleep(0)
    async with page.expect_response("**/api/status"):
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    looked.set()
    await answered.wait()

    await expect(page.locator(".job")).to_have_count(1)
    await expect(page.locator(".said")).to_have_count(1)
    await page.unroute("**/api/messages")


async def test_a_late_look_at_the_engine_does_not_set_a_picture_back(site, page):
    looked, drawn = asyncio.Event(), asyncio.Event()

    async def hold(route):
        response = await route.fetch()
        looked.set()
        await drawn.wait()
        answer = {**await response.json(), "engine": {"status": "paused", "message": "late"}}
        await route.fulfill(response=response, json=answer)

    await page.route("**/api/status", hold)
    await say(page, "a fox --steps 4")
    await looked.wait()
    site.engine.allow(2)
    await expect(page.locator(".job .line")).to_have_text("Drawing step 2 of 4")

    drawn.set()

    await expect(page.locator("#engine")).to_contain_text("Late")
    assert await page.locator(".job .line").inner_text() == "Drawing step 2 of 4"
    await page.unroute_all(behavior="wait")


async def test_the_conversation_survives_a_reload_also_in_the_middle_of_a_picture(site, page):
    site.engine.allow(1)
    await say(page, "first --steps 1")
    await expect(pictures(page)).to_have_count(1)
    await say(page, "second --steps 9")
    site.engine.allow(3)
    await expect(page.locator(".job .line").nth(1)).to_have_text("Drawing step 3 of 9")

    await page.reload()
    await ready(page)

    await expect(page.locator(".said .bubble p:first-of-type")).to_have_count(2)
    await expect(page.locator(".said .bubble").first).to_contain_text("first")
    await expect(page.locator(".job .line").nth(1)).to_have_text("Drawing step 3 of 9")
    site.engine.open()
    await expect(pictures(page)).to_have_count(2)


async def test_another_tab_shows_the_same_picture_growing(site):
    context = await site.context()
    one, two = await site.page(context=context), await site.page(context=context)
    for page in (one, two):
        await ready(page)

    await say(one, "a fox --steps 2")

    for page in (two, one):
        await expect(page.locator(".job")).to_have_count(1)
    site.engine.open()
    for page in (one, two):
        await expect(pictures(page)).to_have_count(1)


async def test_a_restart_of_the_bot_is_survived_without_duplicates(site, page):
    await say(page, "a fox --steps 4")
    await expect(page.locator(".job")).to_have_count(1)
    await at_step((await site.bot.service.lookups.history(ADMIN)).jobs[0], 0)
    port = int(site.chat.address.rpartition(":")[2])

    site.engine.allow(1)
    await site.chat.close()
    await expect(page.locator("#engine")).to_contain_text("cannot be reached")
    stopping = site.bot.stop()
    site.engine.open()
    await stopping
    await site.start(port=port)

    await expect(pictures(page)).to_have_count(1, timeout=15000)
    await expect(page.locator(".job")).to_have_count(1)


async def test_what_was_being_typed_survives_a_reload(page):
    await page.locator("#message").fill("a fox in s")

    await page.reload()
    await ready(page)

    await expect(page.locator("#message")).to_have_value("a fox in s")

"""The page while nothing is drawn."""

from playwright.async_api import expect

from tests.adapters.web_chat.page.conftest import DRIVEN, pictures, ready, say
from tests.conftest import ADMIN

pytestmark = DRIVEN


async def test_a_card_says_that_it_waits_for_a_pause_to_end(site, page):
    await site.bot.service.admin.pause(ADMIN)
    await say(page, "a fox --steps 1")
    await page.reload()
    await ready(page)

    await expect(page.locator("#engine")).to_contain_text("paused", ignore_case=True)
    await expect(page.locator(".job .line")).to_have_text("Queued: drawing is paused")

    await site.bot.service.admin.resume(ADMIN)
    site.engine.open()
    await expect(pictures(page)).to_have_count(1)


async def test_a_pause_is_shown_while_it_lasts(site, page):
    pill = page.locator("#engine")
    lines = page.locator(".job .line")
    site.engine.open()
    await say(page, "a moon --steps 1")
    await expect(pictures(page)).to_have_count(1)
    await page.get_by_role("button", name="Options").click()
    await expect(page.locator("#quote")).to_contain_text("starts")

    await say(page, "admin pause")
    await expect(pill).to_contain_text("An admin has paused drawing")
    await expect(page.locator("#quote")).not_to_contain_text("starts")
    await say(page, "a red star --steps 1")
    await expect(lines.nth(1)).to_have_text("Queued: drawing is paused")
    await say(page, "admin resume")

    await expect(pill).to_be_hidden()
    await expect(page.locator("#quote")).to_contain_text("starts")
    await expect(pictures(page)).to_have_count(2)


async def test_a_pause_by_somebody_else_is_noticed_with_the_next_prompt(site, page):
    site.engine.open()
    await site.bot.service.admin.pause(ADMIN)

    await say(page, "a red star --steps 1")
    await expect(page.locator(".job .line")).to_have_text("Queued: drawing is paused")
    await site.bot.service.admin.resume(ADMIN)

    await expect(pictures(page)).to_have_count(1)
    await expect(page.locator("#engine")).to_be_hidden()


async def test_whoever_drains_the_bot_sees_it(site, page):
    await say(page, "admin drain")

    await expect(page.locator("#engine")).to_contain_text("no new ones are accepted")

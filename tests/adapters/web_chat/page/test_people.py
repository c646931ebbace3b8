"""People who are asked for a token, run out of credits, or have the page read out."""

from playwright.async_api import expect

from bot.config import Secrets
from tests.adapters.web_chat.page.conftest import DRIVEN, Site, pictures, ready, say

pytestmark = DRIVEN


async def test_whoever_has_no_token_is_asked_for_it(tmp_path, browser):
    site = Site(tmp_path, browser)
    await site.start(Secrets(web_tokens={"ada-token-0123456789": "ada"}))
    try:
        page = await site.page()
        token = page.get_by_label("Token")
        await expect(token).to_be_visible()

        await token.fill("a wrong one")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.locator("#sign-in-wrong")).to_contain_text("not known")
        await token.fill("ada-token-0123456789")
        await page.get_by_role("button", name="Sign in").click()

        await ready(page)
        await expect(page.locator("#sign-in")).to_be_hidden()
        await say(page, "a fox --steps 1")
        site.engine.open()
        await expect(pictures(page)).to_have_count(1)
        assert len((await site.bot.service.lookups.history("web:ada")).jobs) == 1
        await page.context.close()
    finally:
        await site.stop()


NAMELESS = """
() => [...document.querySelectorAll("button, a, input, textarea, img, dialog, [role=listbox],"
    + " [role=meter], [role=progressbar]")]
  .filter((each) => !each.closest("[aria-hidden=true]") && !each.hidden)
  .filter((each) => !each.getAttribute("aria-label") && !each.getAttribute("aria-labelledby")
    && !each.textContent.trim() && !each.labels?.length && !each.hasAttribute("alt"))
  .map((each) => each.outerHTML)
"""


async def test_everything_that_can_be_used_has_a_name_to_be_read_out(site, page):
    site.engine.open()
    await say(page, "a fox --steps 1 --images 2")
    await expect(pictures(page)).to_have_count(2)
    await page.get_by_role("button", name="Options").click()
    await page.get_by_role("button", name="History").click()

    assert await page.evaluate(NAMELESS) == []


async def test_a_used_up_quota_is_told_and_the_words_are_kept(tmp_path, browser):
    site = Site(tmp_path, browser)
    await site.start(quota={"credits": 2})
    try:
        page = await site.page()
        await ready(page)

        await say(page, "a fox --steps 12")

        await expect(page.locator("#notice")).to_contain_text("credits")
        await expect(page.locator("#message")).to_have_value("a fox --steps 12")
        await expect(page.locator(".said")).to_have_count(0)
        await page.context.close()
    finally:
        await site.stop()


async def test_a_link_signs_in_once_it_is_said_so(tmp_path, browser):
    site = Site(tmp_path, browser)
    await site.start(web={"public_url": "http://127.0.0.1"})
    try:
        page = await site.page()
        secret = (await site.bot.service.invitations.link("web:carl")).partition("=")[2]
        await page.goto(f"{site.chat.address}/#sign-in={secret}")

        dialog = page.get_by_role("dialog", name="Sign in")
        await expect(dialog).to_contain_text("This link signs you in, once")
        assert secret not in page.url
        async with page.expect_navigation():
            await dialog.get_by_role("button", name="Sign in").click()

        await ready(page)
        status = await page.request.get(f"{site.chat.address}/api/status")
        assert (await status.json())["user"] == "web:carl"
    finally:
        for context in browser.contexts:
            await context.close()
        await site.stop()

"""The history, and the words of strangers in it."""

from playwright.async_api import expect

from tests.adapters.web_chat.page.conftest import DRIVEN, pictures, ready, say
from tests.conftest import ADMIN

pytestmark = DRIVEN


async def test_the_history_is_searched(site, page):
    site.engine.open()
    for prompt in ("a red fox", "a blue bird"):
        await say(page, f"{prompt} --steps 1")
    await expect(pictures(page)).to_have_count(2)

    await page.get_by_role("button", name="History").click()
    rows = page.locator("#history-list .row")
    await expect(rows).to_have_count(2)
    await expect(rows.first.locator("img")).to_be_visible()
    await page.get_by_label("Search your prompts").fill("fox")

    await expect(rows).to_have_count(1)
    await expect(rows.first).to_contain_text("a red fox")
    await page.get_by_label("Search your prompts").fill("dragon")
    await expect(page.locator("#history-empty")).to_contain_text("dragon")


async def test_the_history_says_the_ids_that_show_and_again_ask_for(site, page):
    site.engine.open()
    await say(page, "a fox --steps 1")
    await expect(pictures(page)).to_have_count(1)
    (job,) = (await site.bot.service.lookups.history(ADMIN)).jobs

    await say(page, "history")
    await page.get_by_role("button", name="History").click()

    for row in (page.locator(".reply .thumb"), page.locator("#history-list .row")):
        await expect(row.get_by_text(job.id, exact=True)).to_be_visible()
    await say(page, f"show {job.id}")
    await expect(pictures(page)).to_have_count(2)


HOSTILE = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>&amp;'


async def test_a_hostile_prompt_is_shown_and_does_nothing(site, page):
    site.engine.open()

    await say(page, f"{HOSTILE} --steps 1 --negative '{HOSTILE}'")
    await expect(pictures(page)).to_have_count(1)
    await page.get_by_role("button", name="History").click()
    await page.locator("#history-list .row").click()
    await expect(page.locator("#viewer h2")).to_have_text(HOSTILE)
    await page.reload()
    await ready(page)

    await expect(page.locator(".said .bubble p").first).to_have_text(HOSTILE)
    assert await page.evaluate("window.pwned") is None
    assert await page.locator("img[src='x'], .bubble script").count() == 0

"""The history, and the words of strangers in it."""

from playwright.async_api import expect

from bot.commands import ImagineCommand
from bot.source import Source
from tests.adapters.web_chat.page.conftest import DRIVEN, box, pictures, ready, say
from tests.conftest import ADMIN, finished

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


async def short_pages(page, jobs):
    """Have the page read *jobs* at once where it asks for more."""

    async def ask_for_fewer(route):
        await route.continue_(url=route.request.url.replace("limit=24", f"limit={jobs}"))

    await page.route("**/api/history?*", ask_for_fewer)


async def drawn_before(site, count):
    for number in range(count):
        command = ImagineCommand(f"an old picture {number}", num_inference_steps=1)
        await finished(await site.bot.service.submit(Source(ADMIN), command))


async def test_the_history_keeps_its_place_and_is_read_once_for_each_change(site, page):
    site.engine.open()
    await drawn_before(site, 11)
    await short_pages(page, 9)
    await page.set_viewport_size({"width": 1000, "height": 400})
    await page.get_by_role("button", name="History").click()
    rows = page.locator("#history-list .row")
    await page.get_by_role("button", name="Show older").click()
    await expect(rows).to_have_count(11)
    site.engine.close_again()
    await page.locator("#history").evaluate("panel => { panel.scrollTop = 300 }")
    looked_at = rows.filter(has_text="an old picture 5")
    before = await box(looked_at)
    asked = []
    page.on("request", lambda request: asked.append(request.url))

    for name in ("fox", "owl", "elk"):
        await say(page, f"a new {name} --steps 3")
        await expect(rows.filter(has_text=f"a new {name}")).to_have_count(1)
    assert len([url for url in asked if "/api/history" in url]) <= 3
    asked.clear()
    site.engine.open()
    await expect(pictures(page)).to_have_count(3)
    await expect(rows.filter(has_text="a new").locator("img")).to_have_count(3)

    await expect(rows).to_have_count(14)
    await page.evaluate("new Promise((go) => setTimeout(go, 320))")  # after all that is put off
    assert not [url for url in asked if "/api/history" in url]
    assert await box(looked_at) == before


async def test_favourites_are_starred_and_the_history_is_filtered_by_them_and_more(site, page):
    site.engine.open()
    for prompt in ("a red fox", "a blue bird"):
        await say(page, f"{prompt} --steps 1")
    await expect(pictures(page)).to_have_count(2)
    star = page.locator("main").get_by_role("button", name="Favourite").first
    await star.click()
    await expect(star).to_have_attribute("aria-pressed", "true")

    await page.get_by_role("button", name="History").click()
    rows = page.locator("#history-list .row")
    await expect(rows).to_have_count(2)
    await page.locator("#history-stars").click()
    await expect(rows).to_have_count(1)
    await expect(rows.first).to_contain_text("a red fox")
    await page.locator("#history-preset").select_option("canny")
    await expect(page.locator("#history-empty")).to_have_text("None of your pictures fits that.")
    await page.locator("#history-preset").select_option("")

    # A star that is taken back in the viewer is taken out of the list.
    await rows.first.click()
    inside = page.locator("#viewer").get_by_role("button", name="Favourite")
    await expect(inside).to_have_attribute("aria-pressed", "true")
    await inside.click()
    await expect(page.locator("#history-empty")).to_have_text("None of your pictures fits that.")
    await page.keyboard.press("Escape")
    await page.locator("#history-stars").click()
    await expect(rows).to_have_count(2)
    await page.get_by_text("By day").click()
    await page.locator("#history-until").fill("2023-11-13")
    await expect(rows).to_have_count(0)

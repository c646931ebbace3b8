"""One's own data on the page."""

from playwright.async_api import expect

from tests.adapters.web_chat.page.conftest import DRIVEN, pictures, ready, say
from tests.conftest import ADMIN

pytestmark = DRIVEN


async def test_the_browser_saves_all_that_is_kept(page):
    async with page.expect_download() as download:
        await say(page, "mydata export")

    assert (await (await download.value).path()).stat().st_size > 100


async def test_a_dialog_asks_before_everything_is_deleted(site, page):
    site.engine.open()
    await say(page, "a red circle --steps 3 --size 64x64")
    await expect(pictures(page)).to_have_count(1)
    await say(page, "mydata delete")
    dialog = page.get_by_role("dialog", name="Delete my data")
    await expect(dialog).to_contain_text("for good")
    await dialog.get_by_role("button", name="Keep it").click()
    await expect(dialog).to_have_count(0)
    assert (await site.bot.service.lookups.history(ADMIN)).jobs

    await say(page, "mydata delete")
    async with page.expect_navigation():
        await dialog.get_by_role("button", name="Delete everything").click()

    await ready(page)
    await expect(pictures(page)).to_have_count(0)
    assert not (await site.bot.service.lookups.history(ADMIN)).jobs

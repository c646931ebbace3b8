"""Several pictures as one group on the page."""

import pytest
from playwright.async_api import expect

from tests.adapters.web_chat.page.conftest import DRIVEN, PHONE, WIDE, ready, say
from tests.conftest import ADMIN

pytestmark = DRIVEN

SMALL = "--size 64x64 --steps 3"


@pytest.mark.parametrize("size", [WIDE, PHONE])
async def test_a_price_then_a_group_that_fills_and_outlives_a_reload(site, size):
    page = await site.page(size)
    await ready(page)
    site.engine.close_again()
    await say(page, f"{{red,blue}} house {SMALL}")
    proposal = page.locator(".reply").last
    await expect(proposal).to_contain_text("Together they cost 2 credits")
    await expect(page.locator(".job")).to_have_count(0)

    await proposal.get_by_role("button", name="Draw 2 pictures").click()

    group = page.get_by_role("region", name="Pictures that were asked for together")
    await expect(group.locator(".job")).to_have_count(2)
    await expect(group.locator(".label")).to_have_text(["red house", "blue house"])
    await expect(group).to_contain_text("0 of 2 are drawn")
    site.engine.open()
    await expect(group).to_contain_text("2 of 2 are drawn")
    await expect(group.get_by_role("button", name="Cancel all")).to_be_hidden()

    await page.reload()

    await expect(group).to_have_count(1)
    await expect(group.locator(".label")).to_have_text(["red house", "blue house"])
    await group.locator(".frame").first.click()
    await expect(page.get_by_role("dialog")).to_be_visible()


async def test_cancel_all_cancels_every_one(site, page):
    site.engine.close_again()
    await say(page, f"a red circle {SMALL} --repeat 3")
    await page.get_by_role("button", name="Draw 3 pictures").click()
    group = page.get_by_role("region", name="Pictures that were asked for together")
    await expect(group.locator(".job")).to_have_count(3)

    await group.get_by_role("button", name="Cancel all").click()

    cancelled = group.locator(".job[data-status=cancelled]")
    await expect(cancelled).to_have_count(2)  # the third is at a step, which ends it
    assert (await site.bot.service.quota(ADMIN)).used <= 1
    site.engine.open()
    await expect(group.get_by_role("button", name="Cancel all")).to_be_hidden()

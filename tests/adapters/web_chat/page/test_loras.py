"""LoRAs in the form: cards with samples and sliders, in step with the words."""

import pytest_asyncio
from playwright.async_api import expect

from generation.types import Preset
from tests.adapters.web_chat.page.conftest import DRIVEN, WIDE, drawn, pictures, ready, say
from tests.bot.test_loras import LORAS
from tests.conftest import PRESETS
from tests.samples import picture

pytestmark = DRIVEN


@pytest_asyncio.fixture(loop_scope="session")
async def page(site):
    """A page of a bot with two LoRAs, the second of which has a sample."""
    sample = site.folder / "slow.png"
    sample.write_bytes(picture())
    await site.stop()
    loras = {**LORAS, "slow": {**LORAS["slow"], "sample": str(sample)}}
    await site.start(loras=loras)
    site.engine.open()
    page = await site.page(WIDE)
    await ready(page)
    await page.get_by_role("button", name="Options").click()
    return page


async def test_loras_are_chosen_by_card_and_weighed_by_slider(site, page):
    cards, chips = page.locator(".lora-card"), page.locator("#chips li")
    await expect(cards).to_have_count(2)
    await expect(cards.nth(1)).to_contain_text("adds SLOWTOK, long exposure")
    await expect(cards.nth(1).locator("img.sample")).to_have_js_property("naturalWidth", 96)
    await expect(cards.nth(0).locator("[type=range]")).to_be_hidden()

    await page.get_by_role("checkbox", name="ink").check()
    await page.get_by_role("checkbox", name="slow").check()
    await page.get_by_label("Weight of slow").fill("-1")
    await expect(chips).to_have_text(["ink:0.8, slow:-1"])
    assert await page.get_by_label("Weight of slow").get_attribute("min") == "-1.5"
    await expect(page.locator("#quote")).to_contain_text("credits")
    await say(page, "a fox --steps 3")
    await expect(pictures(page)).to_have_count(1)

    (request,) = await drawn(site, 1)
    assert [(each.name, each.lora_scale) for each in request.loras] == [("ink", 0.8), ("slow", -1)]
    await expect(page.locator(".job")).to_contain_text("Trigger words were added to the prompt")
    await page.get_by_role("checkbox", name="ink").uncheck()
    await expect(chips).to_have_text(["slow:-1"])
    await page.get_by_role("button", name="Remove slow:-1").click()
    await expect(chips).to_have_count(0)
    await say(page, "loras")
    await page.get_by_role("button", name="ink Dark outlines weight 0.8, from -2 to 2").click()
    await expect(chips).to_have_text(["ink:0.8"])


async def test_loras_are_offered_with_presets_of_the_model_that_they_were_made_for(site, page):
    await site.stop()
    loras = {**LORAS, "ink": {**LORAS["ink"], "model": "demo"}}
    fast = Preset(name="fast", description="Draws fast", model="lab/klein")
    await site.start(loras=loras, presets={**PRESETS, "fast": fast})
    site.engine.open()
    page = await site.page(WIDE)
    await ready(page)
    await page.get_by_role("button", name="Options").click()
    await page.get_by_role("checkbox", name="ink").check()
    await page.get_by_role("checkbox", name="slow").check()

    await page.get_by_role("radio", name="fast").check()

    await expect(page.get_by_role("checkbox", name="ink")).to_be_hidden()
    await expect(page.get_by_role("checkbox", name="slow")).to_be_visible()
    await say(page, "a fox --steps 3")
    await expect(pictures(page)).to_have_count(1)
    (request,) = await drawn(site, 1)
    assert [each.name for each in request.loras] == ["slow"]
    await say(page, "loras")
    row = page.locator(".preset-row", has_text="Dark outlines")
    await expect(row).to_contain_text("presets: plain, canny, redraw")
    await row.click()
    await expect(page.locator("#chips li")).to_have_text(["ink:0.8, slow:0.5"])


async def test_typed_loras_move_the_form_and_the_form_changes_the_words(page):
    message = page.locator("#message")
    await message.fill("a fox --lora ink:0.5 in snow --lora slow")
    await expect(page.get_by_role("checkbox", name="ink")).to_be_checked()
    await expect(page.get_by_label("Weight of ink")).to_have_value("0.5")
    await expect(page.get_by_label("Weight of slow")).to_have_value("0.5")
    await expect(page.locator("#chips li")).to_have_count(0)

    await page.get_by_label("Weight of ink").fill("1.5")
    await expect(message).to_have_value("a fox --lora ink:1.5,slow in snow")
    await page.get_by_role("checkbox", name="ink").uncheck()
    await page.get_by_role("checkbox", name="slow").uncheck()
    await expect(message).to_have_value("a fox in snow")

    await message.fill("a fox --lora s")
    await expect(page.locator("#completion")).to_contain_text("slow:0.5")


async def test_what_was_drawn_with_them_is_edited_with_them(site, page):
    await say(page, "a fox --lora ink:0.3 --steps 3 --seed 7")
    await expect(pictures(page)).to_have_count(1)

    await page.locator(".job").get_by_role("button", name="Edit prompt").click()

    await expect(page.locator("#chips li")).to_have_text(["3 steps", "ink:0.3", "seed 7"])
    await expect(page.get_by_label("Weight of ink")).to_have_value("0.3")

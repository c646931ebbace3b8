"""Whatever the bot answers that is no picture."""

import re

import pytest
from playwright.async_api import expect

from generation.types import Preset
from tests.adapters.web_chat.page.conftest import DRIVEN, PHONE, WIDE, box, ready, say
from tests.conftest import ADMIN, PRESETS

pytestmark = DRIVEN


VERBS = {
    "quota": "credits left",
    "presets": "needs a picture",
    "models": "the default",
    "queue": "waiting",
    "help": "--steps",
    "help steps": "Denoising",
    "history": "nothing",
    "settings": "defaults",
}


async def test_every_verb_is_answered_with_a_card(site, page):
    for verb, words in VERBS.items():
        await say(page, verb)
        card = page.locator(".answer .reply").last
        await expect(card).to_contain_text(words, ignore_case=True)
    await expect(page.locator(".answer")).to_have_count(len(VERBS))


async def test_a_model_is_chosen_by_its_first_preset_and_its_licence_can_be_read(site):
    await site.stop()
    known = {
        "description": "Fine detail",
        "license_name": "Its licence",
        "license": "https://l.org",
    }
    ink = Preset(name="ink", description="Dark outlines")
    await site.start(models={"demo": known}, presets={"ink": ink, **PRESETS})
    page = await site.page(WIDE)
    await ready(page)
    await say(page, "models")

    row = page.get_by_role("button", name="demo Fine detail")
    await expect(row).to_contain_text("the default · 12 steps · 256 × 256 · Its licence")
    await expect(row).to_contain_text("presets: ink, plain, canny, redraw")
    licence = page.get_by_role("link", name="Its licence")
    assert await licence.get_attribute("href") == "https://l.org"
    await row.click()
    await expect(page.locator("#chips li")).to_have_text(["ink"])


@pytest.mark.parametrize("size", [WIDE, PHONE])
async def test_a_long_answer_is_read_from_its_beginning(site, size):
    page = await site.page(size)
    await ready(page)
    await say(page, "help steps")
    await expect(page.locator(".reply")).to_have_count(1)

    await say(page, "help")

    await expect(page.locator(".reply")).to_have_count(2)
    await expect(page.locator(".said").last).to_be_in_viewport(ratio=1)
    top, bottom = await box(page.locator(".reply").last)
    composer, _ = await box(page.locator("#composer"))
    assert top < composer < bottom
    await page.set_input_files("#file", "README.md")
    await expect(page.locator("#notice")).to_be_visible()
    await expect(page.locator(".said").last).to_be_in_viewport(ratio=1)


async def test_what_the_bot_replies_is_shown_letter_by_letter(site, page):
    replies = page.locator(".reply")
    await say(page, "admin quota web:ada")
    await expect(replies.last).to_contain_text("web:ada: ")
    await say(page, "help admin")
    await expect(replies).to_have_count(2)
    await expect(replies.last.locator("dt").last).not_to_contain_text(re.compile(r"\.$"))
    await say(page, "a fox --steps 9")
    await expect(page.locator(".job")).to_have_count(1)
    await say(page, "a moon --steps 1")
    await expect(page.locator(".job")).to_have_count(2)
    moon, _ = (await site.bot.service.lookups.history(ADMIN)).jobs
    await say(page, f"cancel {moon.id}")
    await expect(replies.last).to_contain_text(f"{moon.id} is cancelled")


async def test_thanks_are_answered_with_a_picture_to_press(site, page):
    await say(page, "thanks!")
    await expect(page.locator(".reply").last).to_contain_text("You are welcome!")
    await expect(page.locator(".job")).to_have_count(0)

    await page.locator(".reply").last.get_by_role("button", name="a red circle").click()

    await expect(page.locator(".job")).to_have_count(1)
    await expect(page.locator(".said").last).to_contain_text("a red circle")

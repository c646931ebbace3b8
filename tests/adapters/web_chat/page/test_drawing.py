"""From a prompt to pictures, and on from there."""

import asyncio

import pytest
from playwright.async_api import expect

from generation.kinds import Edit, Upscale
from generation.types import Preset, Step
from tests.adapters.web_chat.page.conftest import (
    DRIVEN,
    Site,
    attach,
    attached,
    pictures,
    ready,
    say,
)
from tests.conftest import ADMIN, PRESETS

pytestmark = DRIVEN


async def test_a_typed_prompt_becomes_a_picture(site, page):
    site.engine.open()

    await say(page, "a red circle on a blue background")

    await expect(page.locator(".said .bubble p").first).to_have_text(
        "a red circle on a blue background"
    )
    await expect(pictures(page)).to_have_count(1)
    shown = pictures(page).first
    await expect(shown).to_have_attribute("alt", "Made by AI: a red circle on a blue background")
    assert await shown.evaluate("image => image.naturalWidth") == 256
    await expect(page.locator("#announcer")).to_have_text(
        "The picture is ready: a red circle on a blue background"
    )
    varying = ("Vary subtle", "Vary strong")
    for label in ("Again", *varying, "Edit prompt", "Use as control image", "Copy seed"):
        await expect(page.locator(".job").get_by_role("button", name=label)).to_be_visible()
    await expect(page.locator(".job").get_by_role("link", name="Download")).to_be_visible()


async def test_what_keeps_a_picture_waiting_is_said_instead_of_a_step(site, page):
    await say(page, "a red circle")
    line = page.locator(".job .line").first
    await expect(line).to_have_text("Starting to draw")
    while not site.engine.is_busy:
        await asyncio.sleep(0)

    site.engine.report(Step(0, note="loading lab/klein"))

    await expect(line).to_have_text("Loading lab/klein")
    site.engine.allow(1)
    await expect(line).to_contain_text("Drawing step 1")
    site.engine.open()


async def test_a_picture_is_made_larger_where_the_bot_can(tmp_path, browser, site, page):
    site.engine.open()
    await say(page, "a fox --size 64x64 --seed 7")
    await expect(pictures(page)).to_have_count(1)
    await expect(page.get_by_role("button", name="Upscale")).to_have_count(0)

    other = Site(tmp_path / "other", browser)
    large = Preset(name="large", kind=Upscale(tile_size=64))
    await other.start(presets={**PRESETS, "large": large})
    other.engine.open()
    page = await other.page()
    await ready(page)
    await say(page, "a fox --size 64x64 --seed 7")
    await page.get_by_role("button", name="Upscale").first.click()

    larger = page.locator(".frame.done img.final[width='128']")
    await expect(larger).to_be_visible()
    assert await larger.evaluate("image => image.decode().then(() => image.naturalWidth)") == 128
    await page.close()
    await other.stop()


async def test_a_picture_is_changed_as_words_say_where_the_bot_can(site, page):
    site.engine.open()
    await say(page, "a fox --size 64x64 --seed 7")
    await expect(pictures(page)).to_have_count(1)
    await expect(page.get_by_role("button", name="Edit picture")).to_have_count(0)

    await site.stop()
    edit = Preset(name="edit", kind=Edit(kontext="a/b"))
    await site.start(presets={**PRESETS, "edit": edit})
    site.engine.open()
    page = await site.page()
    await ready(page)
    await page.get_by_role("button", name="Edit picture").click()
    form = page.get_by_role("dialog", name="Edit picture")
    await form.get_by_label("What to change").fill("make it night")
    await page.keyboard.press("Enter")

    await expect(form).to_have_count(0)
    await expect(page.locator(".said", has_text="Edit: make it night")).to_be_visible()
    night = page.locator(".job", has=page.get_by_alt_text("Made by AI: make it night"))
    await expect(night).to_be_visible()

    await night.get_by_role("button", name="Open the picture").click()
    await page.locator("#viewer").get_by_role("button", name="Edit picture").click()
    await form.get_by_label("What to change").fill("make it {day,dusk}")
    await form.get_by_role("button", name="Edit picture").click()
    await expect(page.get_by_role("button", name="Draw 2 pictures")).to_be_visible()
    await page.keyboard.press("Escape")

    await attach(page)
    await say(page, "edit make it red")
    await expect(page.get_by_alt_text("Made by AI: make it red")).to_be_visible()
    await expect(page.locator("#attachment")).to_be_hidden()
    said = page.locator(".said", has_text="edit make it red")
    await expect(said.get_by_alt_text("Attached control image")).to_be_visible()
    await expect(said.locator(".with")).to_have_count(0)


async def test_the_way_to_the_picture_is_shown_in_one_card(site, page):
    await say(page, "first --steps 4")
    await say(page, "second --steps 4")
    cards = page.locator(".job")
    await expect(cards).to_have_count(2)
    await expect(cards.nth(1).locator(".line")).to_contain_text("1 job ahead of you")
    await expect(page).to_have_title("(2) fluxbot")

    site.engine.allow(2)

    bar = cards.nth(0).get_by_role("progressbar")
    await expect(cards.nth(0).locator(".line")).to_have_text("Drawing step 2 of 4")
    await expect(bar).to_have_attribute("aria-valuenow", "50")
    preview = cards.nth(0).locator(".frame.growing img.preview")
    assert (await preview.get_attribute("src")).startswith("data:image/jpeg;base64,")
    site.engine.open()
    await expect(pictures(page)).to_have_count(2)
    await expect(cards).to_have_count(2)
    await expect(cards.nth(0).get_by_role("progressbar")).to_be_hidden()
    await expect(page).to_have_title("fluxbot")


async def test_an_example_is_one_click(site, page):
    site.engine.open()
    await expect(page.get_by_role("heading", name="What shall we draw?")).to_be_visible()

    await page.get_by_role("button", name="a red circle").click()

    await expect(pictures(page)).to_have_count(1)
    await expect(page.locator("#welcome")).to_be_hidden()


async def test_a_running_job_is_cancelled(site, page):
    await say(page, "a fox --steps 50")
    site.engine.allow(2)
    await expect(page.locator(".job .line")).to_have_text("Drawing step 2 of 50")

    await page.get_by_role("button", name="Cancel").click()
    async with asyncio.timeout(10):
        while "Cancelled" not in await page.locator(".job .line").inner_text():
            site.engine.allow(1)

    await expect(page.get_by_role("button", name="Again")).to_be_visible()
    assert 2 <= await site.spent() < 50  # the steps that were drawn


async def test_several_pictures_are_looked_at_one_by_one(site, page):
    site.engine.open()
    await say(page, "a fox --images 3 --steps 1 --seed 5")
    await expect(pictures(page)).to_have_count(3)

    await page.get_by_role("button", name="Open picture 2 of 3").click()
    viewer = page.locator("#viewer")
    await expect(viewer.locator("dd").first).to_have_text("6")
    await page.keyboard.press("ArrowRight")
    await expect(viewer.locator("dd").first).to_have_text("7")
    href = await viewer.get_by_role("link", name="Download", exact=True).get_attribute("href")
    assert "number=3" in href
    await page.keyboard.press("Escape")
    await expect(viewer).to_be_hidden()

    await page.get_by_role("button", name="Open picture 2 of 3").click()
    await viewer.get_by_role("button", name="Again").click()
    await expect(pictures(page)).to_have_count(4)
    job, _ = (await site.bot.service.lookups.history(ADMIN)).jobs
    assert (job.request.seed, job.images) == (6, 1)


async def test_the_buttons_draw_again_vary_and_edit(site, page):
    site.engine.open()
    await say(page, "a fox --steps 2 --seed 5")
    await expect(pictures(page)).to_have_count(1)
    first = page.locator(".job").first

    await first.get_by_role("button", name="Again").click()
    await expect(pictures(page)).to_have_count(2)
    await first.get_by_role("button", name="Vary strong").click()
    await expect(pictures(page)).to_have_count(3)
    await first.get_by_role("button", name="Edit prompt").click()

    await expect(page.locator("#message")).to_have_value("a fox")
    await expect(page.locator("#chips")).to_contain_text("2 steps")
    await expect(page.locator("#chips")).to_contain_text("seed 5")
    varied, *others = (await site.bot.service.lookups.history(ADMIN)).jobs
    assert [job.request.seed for job in others] == [5, 5], "since it was given"
    assert (varied.request.preset, varied.relation) == ("redraw", "strong")
    await first.get_by_role("button", name="Use as control image").click()
    await attached(page)


async def test_each_of_several_pictures_can_be_opened_before_all_are_drawn(site, page):
    await say(page, "a fox --steps 3 --images 4")
    site.engine.allow(4)
    await expect(pictures(page)).to_have_count(1)

    await page.get_by_role("button", name="Open picture 1 of 4").click()

    viewer = page.locator("#viewer")
    await expect(viewer.get_by_text("Picture 1 of 4")).to_be_visible()
    await expect(viewer.get_by_role("link", name="Download")).to_be_visible()
    await expect(viewer.get_by_role("button", name="Next picture")).to_have_count(0)
    site.engine.allow(4)
    await viewer.get_by_role("button", name="Next picture").click()
    await expect(viewer.get_by_text("Picture 2 of 4")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator(".job").get_by_role("button", name="Cancel")).to_be_visible()
    site.engine.open()
    await expect(pictures(page)).to_have_count(4)


async def test_a_picture_is_deleted_after_a_question(site, page):
    site.engine.open()
    await say(page, "a fox --steps 2")
    await expect(pictures(page)).to_have_count(1)
    await page.get_by_role("button", name="Open the picture").click()

    await page.locator("#viewer").get_by_role("button", name="Delete").click()
    question = page.get_by_role("dialog", name="Delete")
    await expect(question).to_contain_text("Delete this picture for good?")
    await question.get_by_role("button", name="Delete").click()

    await expect(page.locator(".job .line")).to_have_text(
        "The picture was deleted. “Same again” draws it once more."
    )
    (job,) = (await site.bot.service.lookups.history(ADMIN)).jobs
    assert job.is_pruned


async def test_a_double_click_draws_once(site, page):
    site.engine.open()
    await say(page, "a fox --steps 2 --seed 5")
    await expect(pictures(page)).to_have_count(1)

    await page.get_by_role("button", name="Vary strong").first.dblclick()

    await expect(pictures(page)).to_have_count(2)
    assert len((await site.bot.service.lookups.history(ADMIN)).jobs) == 2


@pytest.mark.parametrize("act", ["a message", "a button"])
async def test_what_was_cut_off_is_asked_for_again_and_drawn_once(site, page, act):
    site.engine.open()
    await say(page, "a fox --steps 2 --seed 5")
    await expect(pictures(page)).to_have_count(1)
    cut = []

    async def cut_off(route):
        if not cut:
            cut.append(await route.fetch())  # the bot has it, and its answer is lost
            await route.abort()
        else:
            await route.continue_()

    await page.route("**/api/messages" if act == "a message" else "**/again", cut_off)
    if act == "a message":
        await say(page, "a cat --steps 2")
    else:
        await page.get_by_role("button", name="Again", exact=True).first.click()

    await expect(pictures(page)).to_have_count(2)
    assert cut
    assert len((await site.bot.service.lookups.history(ADMIN)).jobs) == 2

"""The page for admins in a browser."""

from dataclasses import replace

import pytest_asyncio
from playwright.async_api import expect

from bot.jobs import JobStatus
from bot.source import Source
from tests.adapters.web_chat.page.conftest import DRIVEN, PHONE, ready
from tests.bot.conftest import CIRCLE
from tests.conftest import ADA, ADMIN, BOB, at_step, until

pytestmark = DRIVEN


@pytest_asyncio.fixture(loop_scope="session")
async def admin(site):
    """The page of an admin while a job is drawn and two wait."""
    service = site.bot.service
    jobs = [await service.submit(Source(ADA), replace(CIRCLE, prompt="a red fox"))]
    await at_step(jobs[0], 0)
    jobs += [await service.submit(Source(user), CIRCLE) for user in (BOB, ADA)]
    page = await site.page()
    await ready(page)
    await page.get_by_role("link", name="Admin").click()
    await ready(page)
    await expect(page.get_by_role("heading", name="Queue")).to_be_visible()
    page.jobs = jobs
    return page


async def acts(site):
    return [act.act for act in await site.bot.service.admin.audit(ADMIN)]


async def test_the_queue_is_led_from_the_page(site, admin):
    _, second, third = admin.jobs
    await expect(admin.get_by_role("row", name="a red fox")).to_contain_text("step 0 of 3")

    await admin.get_by_role("button", name=f"Draw {third.id} next").click()
    await expect(admin.get_by_role("status").filter(has_text="is now the next")).to_be_visible()
    await admin.get_by_role("button", name=f"Cancel {second.id}").click()
    await until(lambda: second.status is JobStatus.CANCELLED)
    await admin.get_by_role("button", name="Pause").click()
    await expect(admin.locator("#engine")).to_contain_text("paused")

    await admin.get_by_role("button", name="Go on drawing").click()
    await expect(admin.locator("#engine")).to_contain_text("Ready")
    assert await acts(site) == ["resume", "pause", "cancel", "move to the front"]
    await expect(admin.locator("#acts li").first).to_contain_text("resume")


async def test_an_admin_has_a_sample_of_a_preset_drawn(site, admin):
    await expect(admin.get_by_role("img", name="What plain draws")).to_have_count(0)

    await admin.get_by_role("button", name="Draw a sample of plain").click()
    await expect(admin.locator("#answer")).to_contain_text("The sample of plain is being drawn")
    site.engine.open()

    sample = admin.get_by_role("img", name="What plain draws")
    await expect(sample).to_be_visible(timeout=15_000)
    await expect(admin.get_by_role("button", name="Draw a new sample of plain")).to_be_visible()
    assert await sample.evaluate("image => image.decode().then(() => image.naturalWidth)") == 256


async def test_a_person_is_helped_and_banned_from_the_page(site, admin):
    await admin.get_by_role("button", name=f"Open {BOB}").click()
    person = admin.get_by_role("dialog", name=BOB)
    await expect(person).to_contain_text("credits left")
    await expect(person).to_contain_text("0 strikes")

    await person.get_by_label("Credits to give").fill("7")
    await person.get_by_role("button", name="Give").click()
    await expect(person.locator("#person-line")).to_contain_text("credits left")
    assert (await site.bot.service.quota(BOB)).granted == 7

    await person.get_by_label("Reason").fill("spam")
    await person.get_by_role("button", name="Ban", exact=True).click()
    await admin.get_by_role("dialog", name="Ban").get_by_role("button", name="Ban").click()
    await expect(person.locator("#person-line")).to_contain_text("is banned")
    await expect(admin.locator("#people").get_by_role("row", name=BOB)).to_contain_text("banned")
    assert (await acts(site))[:2] == ["ban", "grant"]
    assert admin.jobs[1].status is JobStatus.CANCELLED


async def test_a_preset_is_turned_off_and_a_refusal_is_shown(site, admin):
    await admin.get_by_role("button", name="Turn canny off").click()
    await expect(admin.get_by_role("button", name="Turn canny on")).to_be_visible()
    assert "canny" not in site.bot.service.presets

    await admin.get_by_label("Admin command").fill("queue first abcdefgh")
    await admin.get_by_label("Admin command").press("Enter")
    await expect(admin.locator("#said")).to_contain_text("There is no job")
    await admin.get_by_label("Admin command").fill("admin stats 7")
    await admin.get_by_label("Admin command").press("Enter")
    await expect(admin.locator("#said")).to_contain_text("jobs")


async def test_it_fits_on_a_phone(site, admin):
    page = await site.page(size=PHONE)
    await page.goto(f"{site.chat.address}/admin")
    await ready(page)

    await expect(page.get_by_role("button", name=f"Cancel {admin.jobs[1].id}")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    heights = await page.locator("#queue button").evaluate_all(
        "all => all.map((each) => each.getBoundingClientRect().height)"
    )
    assert min(heights) >= 44

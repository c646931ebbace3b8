"""On the screen of a phone."""

from playwright.async_api import expect

from bot.source import Source
from tests.adapters.web_chat.page.conftest import (
    DRIVEN,
    PHONE,
    attach,
    attached,
    box,
    pictures,
    ready,
    say,
)
from tests.conftest import ADMIN
from tests.samples import picture

pytestmark = DRIVEN


SIDEWAYS = """
() => [
  ...[...document.querySelectorAll("html, body, .top, .scroll, .composer, .panel, dialog")]
    .filter((box) => box.scrollWidth > box.clientWidth + 1 && box.clientWidth),
  ...[...document.querySelectorAll("button, a, input, textarea, .job, .bubble")]
    .filter((box) => box.checkVisibility() && !box.closest(".chips, .skip"))
    .filter((box) => box.getBoundingClientRect().right > innerWidth + 1),
].map((box) => box.outerHTML.slice(0, 120))
"""


async def fits(page):
    """Whether all of the page fits the width of the screen."""
    assert await page.evaluate(SIDEWAYS) == []


async def test_a_phone_scrolls_in_one_direction_only(site):
    site.engine.open()
    page = await site.page(PHONE)
    await ready(page)
    await fits(page)

    await say(page, "a" * 300 + " --images 4 --steps 1")
    await say(page, "a fox --size 256x64 --steps 1")
    await say(page, "help")
    await expect(pictures(page)).to_have_count(5)
    await fits(page)
    await page.set_input_files(
        "#file", {"name": "s" * 90 + ".png", "mimeType": "image/png", "buffer": picture()}
    )
    await attached(page)
    await fits(page)
    await page.get_by_role("button", name="Options", exact=True).click()
    await expect(page.locator("#options")).to_be_visible()
    await fits(page)
    await page.keyboard.press("Escape")
    await page.locator("#history-button").click()
    await expect(page.locator("#history-list .row")).to_have_count(2)
    await fits(page)
    await page.locator("#history-list .row").first.click()
    await expect(page.locator("#viewer")).to_be_visible()
    await fits(page)


SMALL = """
() => [...document.querySelectorAll("button, a.ghost, .segment, input[type=range]")]
  .filter((each) => each.checkVisibility() && !each.closest(".skip, .frame"))
  .map((each) => [each.getBoundingClientRect(), each.outerHTML.slice(0, 90)])
  .filter(([box]) => Math.round(box.height) < 44 || Math.round(box.width) < 36)
  .map(([box, html]) => `${Math.round(box.width)}x${Math.round(box.height)} ${html}`)
"""


async def test_a_thumb_finds_every_button_on_a_phone(site):
    site.engine.open()
    page = await site.page(PHONE)
    await ready(page)
    assert await page.evaluate(SMALL) == []
    await say(page, "a blue circle --steps 1")
    await expect(pictures(page)).to_have_count(1)
    (job,) = (await site.bot.service.lookups.history(ADMIN)).jobs
    path = await site.bot.service.lookups.picture(Source(ADMIN), job.id)

    file = {"name": "own.png", "mimeType": "image/png", "buffer": path.read_bytes()}
    await page.set_input_files("#file", file)
    await expect(page.locator(".offer")).to_be_visible()
    await page.locator("#message").fill("a fox --steps 99")
    await page.get_by_role("button", name="Draw", exact=True).click()
    await expect(page.locator("#notice")).to_be_visible()

    assert await page.evaluate(SMALL) == []
    await fits(page)
    await page.get_by_role("button", name="Options", exact=True).click()
    assert await page.evaluate(SMALL) == []
    await fits(page)


async def test_the_focus_is_where_the_work_is(site, page):
    """On a desktop; a phone's keyboard would cover what is there to see."""
    site.engine.open()
    box = page.locator("#message")
    await expect(box).to_be_focused()
    await say(page, "a fox --steps 1")
    await expect(pictures(page)).to_have_count(1)
    await expect(box).to_be_focused()

    await page.get_by_role("button", name="Open the picture").click()
    await page.keyboard.press("Escape")

    await expect(page.get_by_role("button", name="Open the picture")).to_be_focused()


async def test_an_attachment_takes_little_of_a_phones_screen(site):
    page = await site.page(PHONE)
    await ready(page)
    await attach(page, "s" * 90 + ".png")

    top, bottom = await box(page.locator("#attachment"))

    assert bottom - top < PHONE["height"] / 8
    await fits(page)


async def test_chosen_options_do_not_widen_a_phones_page(site):
    site.engine.open()
    page = await site.page(PHONE)
    await ready(page)
    await say(page, "a fox --seed 3191099824 --steps 2 --size 192x128 --guidance 2")
    await expect(pictures(page)).to_have_count(1)

    await page.get_by_role("button", name="Edit prompt").click()

    await expect(page.locator("#chips li")).to_have_count(4)
    await fits(page)


async def test_the_way_to_the_newest_lies_above_the_composer_whatever_it_holds(site):
    page = await site.page(PHONE)
    await ready(page)
    for _ in range(3):
        await say(page, "help")
    await expect(page.locator(".reply")).to_have_count(3)
    await page.locator("#scroll").evaluate("scroll => { scroll.scrollTop = 0 }")
    button = page.get_by_role("button", name="Go to the newest")
    await expect(button).to_be_visible()

    await attach(page)

    assert (await box(button))[1] <= (await box(page.locator("#composer")))[0]


async def test_the_end_of_the_conversation_is_seen_also_above_a_growing_composer(site):
    site.engine.open()
    page = await site.page(PHONE)
    await ready(page)
    for count in (1, 2, 3):
        await say(page, "a fox --steps 1")
        await expect(pictures(page)).to_have_count(count)

    await say(page, "a fox --steps 99")
    await expect(page.locator("#notice")).to_be_visible()
    await attach(page)

    last = page.get_by_role("button", name="Copy seed").last
    await expect(last).to_be_in_viewport(ratio=1)
    assert (await box(last))[1] <= (await box(page.locator("#composer")))[0]


async def test_whoever_has_scrolled_up_stays_there_whatever_arrives(site):
    page = await site.page(PHONE)
    await ready(page)
    for _ in range(3):
        await say(page, "help")
    await expect(page.locator(".reply")).to_have_count(3)
    scroll = page.locator("#scroll")
    await scroll.evaluate("scroll => { scroll.scrollTop = scroll.scrollHeight }")
    await scroll.evaluate("scroll => { scroll.scrollTop -= 300 }")
    await expect(page.get_by_role("button", name="Go to the newest")).to_be_visible()

    away = await scroll.evaluate(
        """async scroll => {
            document.getElementById("conversation").lastElementChild.style.paddingBottom = "90px";
            for (let i = 0; i < 3; i++) await new Promise(requestAnimationFrame);
            return scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight;
        }"""
    )

    assert away > 300


async def test_the_history_has_its_name_where_there_is_no_room_to_write_it(site):
    page = await site.page(PHONE)
    await ready(page)

    await page.get_by_role("button", name="History", exact=True).click()

    await expect(page.locator("#history")).to_be_visible()

"""One picture large, and the way on to others."""

import asyncio

from playwright.async_api import expect

from tests.adapters.web_chat.page.conftest import DRIVEN, PHONE, pictures, ready, say
from tests.adapters.web_chat.page.test_history import drawn_before, short_pages

pytestmark = DRIVEN

SWIPE = """(stage, by) => {
  const touch = (x) => new Touch({ identifier: 1, target: stage, clientX: x, clientY: 200 });
  const send = (name, touches, changed) => stage.dispatchEvent(
    new TouchEvent(name, { touches, changedTouches: changed, bubbles: true }));
  send("touchstart", [touch(180)], [touch(180)]);
  send("touchend", [], [touch(180 + by)]);
}"""


async def test_the_viewer_goes_on_through_the_whole_history(site):
    site.engine.open()
    await drawn_before(site, 4)
    page = await site.page(PHONE)
    await ready(page)
    await short_pages(page, 2)
    await say(page, "a new picture --steps 1 --images 2")
    await page.get_by_role("button", name="Open picture 1 of 2").click()
    viewer = page.locator("#viewer")
    title, following = viewer.locator("h2"), viewer.get_by_role("button", name="Next picture")
    await expect(following).to_be_visible()
    await expect(viewer.get_by_role("button", name="Previous picture")).to_be_hidden()

    await page.keyboard.press("ArrowRight")
    await expect(viewer.get_by_text("Picture 2 of 2")).to_be_visible()
    for number in (3, 2):
        await following.click()
        await expect(title).to_have_text(f"an old picture {number}")
    for number in (1, 0):
        await viewer.locator(".stage").evaluate(SWIPE, -90)
        await expect(title).to_have_text(f"an old picture {number}")

    await expect(following).to_be_hidden()
    await viewer.locator(".stage").evaluate(SWIPE, 90)
    await expect(title).to_have_text("an old picture 1")


async def test_the_viewer_copies_the_prompt_and_says_so(site, page):
    site.engine.open()
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await say(page, "a fox in deep snow --steps 1")
    await page.get_by_role("button", name="Open the picture").click()
    said = asyncio.create_task(page.wait_for_selector(".copied :text('Copied')"))

    await page.locator("#viewer").get_by_role("button", name="Copy prompt").click()

    await said
    assert await page.evaluate("navigator.clipboard.readText()") == "a fox in deep snow"


async def test_two_pictures_are_compared_with_a_slider(site, page):
    site.engine.open()
    for name in ("fox", "owl"):
        await say(page, f"{name} --steps 1 --seed 5")
    await expect(pictures(page)).to_have_count(2)
    first = page.locator(".job").first
    await first.get_by_role("button", name="Vary strong").click()
    await expect(pictures(page)).to_have_count(3)
    await page.get_by_role("button", name="Open the picture").last.click()
    viewer = page.locator("#viewer")
    await viewer.get_by_role("button", name="Compare").click()

    images, slider = viewer.locator(".both img"), viewer.get_by_role("slider")
    parent = await first.get_attribute("data-id")
    await expect(images).to_have_count(2)
    assert parent in await images.first.get_attribute("src")
    await expect(slider).to_be_focused()
    await page.keyboard.press("ArrowRight")
    told = "51 % the left one, 49 % the right one"
    await expect(slider).to_have_attribute("aria-valuetext", told)
    assert "51%" in await images.last.evaluate("over => getComputedStyle(over).clipPath")
    both = await viewer.locator(".both").bounding_box()
    await page.mouse.click(both["x"] + both["width"] / 5, both["y"] + 20)
    await expect(slider).to_have_value("20")

    await viewer.get_by_role("button", name="Compare with").click()
    await viewer.get_by_role("button", name="owl", exact=True).click()

    await expect(viewer.locator(".differences")).to_contain_text("owl")
    await page.keyboard.press("Escape")
    await expect(viewer.locator("h2")).to_have_text("fox")
    await expect(viewer.locator(".both")).to_have_count(0)


async def test_a_picture_is_shared_by_its_link_and_taken_back(site, page):
    site.engine.open()
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await say(page, "a fox in deep snow --steps 1")
    await page.get_by_role("button", name="Open the picture").click()
    link = page.locator("#viewer").get_by_role("group", name="Link")
    await expect(link).to_contain_text("Only you can open")
    await link.get_by_role("button", name="Share").click()
    await expect(link).to_contain_text("Whoever has the link")
    await link.get_by_role("button", name="Copy link").click()
    address = await page.evaluate("navigator.clipboard.readText()")

    other = await page.context.new_page()
    await other.goto(address)
    await expect(other.locator("h1")).to_have_text("a fox in deep snow")
    assert await other.locator("main img").evaluate("image => image.naturalWidth") > 0
    await other.get_by_role("link", name="Open in fluxbot").click()
    await expect(other.locator("#viewer h2")).to_have_text("a fox in deep snow")
    await link.get_by_role("button", name="Take back").click()

    await expect(link).to_contain_text("Only you can open")
    assert not await site.bot.rows("SELECT * FROM shared_jobs")

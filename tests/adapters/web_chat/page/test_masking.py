"""Masks: painted with a mouse or a finger, taken back, and kept when a picture is edited."""

import pytest
import pytest_asyncio
from playwright.async_api import expect

from bot.source import Source
from tests.adapters.web_chat.page.conftest import DRIVEN, PHONE, pictures, ready, say
from tests.conftest import ADMIN, INPAINTING
from tests.samples import file, noise, opened

pytestmark = DRIVEN
FOX = "a fox --preset inpaint --steps 3"


@pytest_asyncio.fixture(loop_scope="session")
async def painting(site):
    await site.stop()
    await site.start(presets=INPAINTING, model={"width": 128, "height": 128})
    site.engine.open()
    return site


async def attach_noise(page):
    buffer = file(noise(160, 96))
    await page.locator("#file").set_input_files(
        {"name": "noise.png", "mimeType": "image/png", "buffer": buffer}
    )


async def open_editor(page):
    await page.locator("#attachment .paint").first.click()
    stage = page.locator(".mask-stage")
    await expect(stage).to_be_visible()
    return await stage.bounding_box()


async def mask_of(site):
    jobs = (await site.bot.service.lookups.history(ADMIN)).jobs
    return opened(jobs[0].request.pictures["mask_image"]).convert("L")


async def test_what_is_painted_is_drawn_and_the_rest_of_the_picture_stays(painting):
    page = await painting.page()
    await ready(page)
    await attach_noise(page)
    await page.fill("#message", FOX)
    box = await open_editor(page)
    x, y, width, height = (box[name] for name in ("x", "y", "width", "height"))

    await page.mouse.move(x + width * 0.25, y + height / 2)
    await page.mouse.down()
    await page.mouse.move(x + width * 0.35, y + height / 2, steps=4)
    await page.mouse.up()
    await page.get_by_role("button", name="Top right corner").click()
    await page.keyboard.press("Control+z")
    await page.get_by_role("button", name="Done").click()
    await expect(page.get_by_text("What is drawn anew").first).to_be_visible()
    await say(page, FOX)
    await expect(pictures(page)).to_have_count(1)

    left, top, right, bottom = (await mask_of(painting)).getbbox()
    assert (left, right) == pytest.approx((30, 66), abs=4)
    assert (top, bottom) == pytest.approx((38, 58), abs=4)
    (job,) = (await painting.bot.service.lookups.history(ADMIN)).jobs
    drawn = opened(await painting.bot.service.lookups.picture(Source(ADMIN), job.id, 1))
    half = (80, 0, 160, 96)
    assert drawn.crop(half).tobytes() == noise(160, 96).crop(half).tobytes()


async def test_a_mask_is_inverted_cleared_and_asked_for_where_there_is_none(painting):
    page = await painting.page()
    await ready(page)
    await attach_noise(page)
    await page.fill("#message", FOX)

    await page.locator("#message").press("Enter")
    await expect(page.locator(".mask-stage")).to_be_visible()
    assert await painting.spent() == 0
    await page.get_by_role("button", name="Left half").click()
    await page.get_by_role("button", name="Invert").click()
    await page.get_by_role("button", name="Done").click()
    await say(page, FOX)
    await expect(pictures(page)).to_have_count(1)

    assert (await mask_of(painting)).getbbox() == (80, 0, 160, 96)
    await page.get_by_role("button", name="Edit prompt").click()
    await expect(page.get_by_text("What is drawn anew").first).to_be_visible()
    await page.locator("#message").press("Enter")
    await expect(pictures(page)).to_have_count(2)
    assert (await mask_of(painting)).getbbox() == (80, 0, 160, 96)


async def test_a_finger_paints_and_what_is_added_at_the_edges_is_chosen(painting):
    context = await painting.context(PHONE)
    page = await painting.page(context=context)
    await ready(page)
    await attach_noise(page)
    await page.fill("#message", FOX)
    box = await open_editor(page)
    session = await context.new_cdp_session(page)
    for kind, across in (("touchStart", 0.5), ("touchMove", 0.6), ("touchEnd", None)):
        point = {"x": box["x"] + box["width"] * (across or 0), "y": box["y"] + box["height"] / 2}
        points = [] if across is None else [point]
        await session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    await page.get_by_role("button", name="Done").click()
    await page.get_by_role("button", name="Options").click()
    await page.locator("#outpaint input[value='25%']").check()
    await page.locator("#options-close").click()
    await expect(page.locator("#chips")).to_contain_text("continued by 25%")
    await page.locator("#message").press("Enter")
    await expect(pictures(page)).to_have_count(1)

    mask = await mask_of(painting)
    assert mask.size == (240, 144)
    assert mask.getpixel((40 + 85, 24 + 48)) == 255
    assert mask.getpixel((40 + 20, 24 + 48)) == 0
    assert mask.getpixel((5, 5)) == 255


async def test_a_copy_that_was_painted_on_elsewhere_is_added_and_shows_where(painting):
    copy = noise(160, 96)
    copy.paste((40, 250, 40), (100, 50, 140, 80))
    page = await painting.page()
    await ready(page)
    await attach_noise(page)
    await page.fill("#message", FOX)

    async with page.expect_file_chooser() as chooser:
        await page.get_by_role("button", name="Add a copy that you painted on").first.click()
    await (await chooser.value).set_files(
        {"name": "copy.jpg", "mimeType": "image/jpeg", "buffer": file(copy, "JPEG")}
    )
    await expect(page.get_by_role("button", name="Remove picture 2").first).to_be_visible()
    await say(page, FOX)
    await expect(pictures(page)).to_have_count(1)

    assert (await mask_of(painting)).getbbox() == pytest.approx((99, 49, 141, 81), abs=4)
    await expect(page.get_by_text("Drawn anew where your two pictures differ")).to_be_visible()

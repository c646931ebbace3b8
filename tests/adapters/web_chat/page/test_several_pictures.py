"""Several pictures for one prompt: added, taken away, and there again when it is edited."""

from random import Random

import pytest_asyncio
from PIL import Image
from playwright.async_api import expect

from tests.adapters.web_chat.page.conftest import DRIVEN, pictures, ready, say
from tests.conftest import ADMIN, FOLLOWING
from tests.samples import file, picture

pytestmark = DRIVEN
FOX = "a fox --preset both --steps 3"


@pytest_asyncio.fixture(loop_scope="session")
async def following(site):
    await site.stop()
    await site.start(presets=FOLLOWING, model={"width": 128, "height": 128})
    site.engine.open()
    return site


def chosen(colour, buffer=None):
    buffer = buffer or picture(96, 64, colour=colour)
    return {"name": f"{colour}.png", "mimeType": "image/png", "buffer": buffer}


async def add(page, colour, buffer=None):
    async with page.expect_file_chooser() as chooser:
        await page.locator("#attachment").get_by_role("button", name="Add a picture").click()
    await (await chooser.value).set_files(chosen(colour, buffer))


async def test_a_second_picture_goes_to_the_second_controlnet(following):
    page = await following.page()
    await ready(page)
    await page.fill("#message", FOX)
    await page.locator("#file").set_input_files(chosen("red"))
    attachment = page.locator("#attachment")

    await add(page, "green")
    await attachment.get_by_role("button", name="Remove picture 2").click()
    await add(page, "blue")
    await expect(attachment.get_by_alt_text("Control image: blue.png")).to_be_visible()
    await expect(attachment.get_by_role("button", name="Add a picture")).to_have_count(0)
    await expect(attachment.get_by_alt_text("Control map")).to_be_visible()
    await say(page, FOX)
    await expect(pictures(page)).to_have_count(1)

    (job,) = (await following.bot.service.lookups.history(ADMIN)).jobs
    assert list(job.request.pictures) == ["control_image", "control_image_2"]
    assert job.request.kind.strength_setting == (0.7, 0.4)

    await page.get_by_role("button", name="Edit prompt").click()
    await expect(attachment.get_by_role("button", name="Remove picture 2")).to_be_visible()
    await expect(page.locator("#strength-value")).to_have_text("0.7, 0.4")
    await page.fill("#message", f"{FOX} --strength 0.5,0.2")
    await expect(page.locator("#strength-value")).to_have_text("0.5, 0.2")
    await page.keyboard.press("Enter")
    await expect(pictures(page)).to_have_count(2)

    newest, _ = (await following.bot.service.lookups.history(ADMIN)).jobs
    assert newest.request.pictures == job.request.pictures
    assert newest.request.kind.strength_setting == (0.5, 0.2)


async def test_a_picture_that_is_a_map_already_is_shown_and_followed_as_it_is(following):
    page = await following.page()
    await ready(page)
    text = "a fox --preset canny --steps 3"
    await page.fill("#message", text)
    await page.locator("#file").set_input_files(chosen("red"))
    attachment = page.locator("#attachment")
    shown = attachment.get_by_alt_text("Control map")
    traced = await shown.get_attribute("src")

    await attachment.get_by_role("button", name="It is a map already").click()
    await expect(page.locator("#chips")).to_contain_text("as a map")
    await expect(shown).not_to_have_attribute("src", traced)
    await say(page, text)
    await expect(pictures(page)).to_have_count(1)
    await page.get_by_role("button", name="Edit prompt").click()

    (job, *_) = (await following.bot.service.lookups.history(ADMIN)).jobs
    assert job.request.kind.shows_maps
    await expect(attachment.get_by_role("button", name="Make a map of it")).to_be_visible()


async def test_pictures_that_are_too_large_together_are_made_smaller(site):
    """Each alone may have as many bytes as all of them, which go in one request."""
    await site.stop()
    limits = {"max_megabytes": 0.2}
    model = {"width": 128, "height": 128}
    await site.start(presets=FOLLOWING, model=model, control_images=limits)
    site.engine.open()
    noise = file(Image.frombytes("RGB", (256, 256), Random(7).randbytes(256 * 256 * 3)), "PNG")
    assert 0.19e6 < len(noise) < 0.2e6
    page = await site.page()
    await ready(page)
    await page.fill("#message", FOX)
    await page.locator("#file").set_input_files(chosen("red", noise))

    await add(page, "green", noise)
    attachment = page.locator("#attachment")
    await expect(attachment.get_by_alt_text("Control image: green.png")).to_be_visible()
    await expect(attachment.get_by_alt_text("Control map")).to_be_visible()
    await say(page, FOX)
    await expect(pictures(page)).to_have_count(1)

    (job,) = (await site.bot.service.lookups.history(ADMIN)).jobs
    assert list(job.request.pictures) == ["control_image", "control_image_2"]

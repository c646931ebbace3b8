"""Control images: how they are attached, shown, and leave again."""

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.async_api import expect

from bot.source import Source
from generation.cleaning import ORIENTATION_TAG
from tests.adapters.web_chat.page.conftest import (
    DRIVEN,
    attach,
    attached,
    drawn,
    pictures,
    ready,
    say,
)
from tests.conftest import ADMIN
from tests.samples import data_url, file, noise, opened, picture, square

pytestmark = DRIVEN


async def test_a_control_image_from_the_file_dialog_shows_its_map_before_anything_is_spent(
    site, page
):
    site.engine.open()

    async with page.expect_file_chooser() as chooser:
        await page.get_by_role("button", name="Attach a control image").click()
    await (await chooser.value).set_files(
        {"name": "square.png", "mimeType": "image/png", "buffer": picture(128, 128)}
    )

    await attached(page)
    assert await site.spent() == 0
    await expect(page.locator("#chips")).to_contain_text("canny")
    await expect(page.locator("#cost")).to_contain_text("credits")
    await say(page, "a blue square")
    await expect(pictures(page)).to_have_count(1)
    (job,) = (await site.bot.service.lookups.history(ADMIN)).jobs
    assert job.request.preset == "canny"
    assert await site.spent() == job.cost > 0


GIVE_FILE = """
async ([how, bytes, type]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], "given.png", { type }));
  const at = { bubbles: true, cancelable: true };
  if (how === "paste") {
    dispatchEvent(new ClipboardEvent("paste", { ...at, clipboardData: data }));
    return;
  }
  for (const kind of ["dragenter", "dragover", "drop"]) {
    const event = new DragEvent(kind, { ...at, dataTransfer: data });
    document.querySelector("#scroll").dispatchEvent(event);
  }
}
"""


@pytest.mark.parametrize("how", ["drop", "paste"])
async def test_a_control_image_may_be_dropped_or_pasted_anywhere(site, page, how):
    await page.evaluate(GIVE_FILE, [how, list(picture()), "image/png"])

    await attached(page)
    await expect(page.locator("#dropping")).to_be_hidden()
    await page.get_by_role("button", name="Remove the control image").click()
    await expect(page.locator("#attachment")).to_be_hidden()
    assert await site.spent() == 0


async def test_a_file_that_is_no_picture_is_explained(page):
    await page.evaluate(GIVE_FILE, ["drop", list(b"<svg/>"), "image/svg+xml"])

    await expect(page.locator("#notice")).to_contain_text(
        "is not a picture: a PNG, JPEG, WebP, GIF or AVIF is"
    )


async def test_an_attached_picture_leaves_with_the_prompt_it_was_sent_with(site, page):
    site.engine.open()
    await attach(page)
    await say(page, "a blue circle --steps 1")
    await expect(pictures(page)).to_have_count(1)

    await expect(page.locator("#attachment")).to_be_hidden()
    await expect(page.locator("#chips li")).to_have_count(0)
    await say(page, "red stars --steps 1")
    await expect(pictures(page)).to_have_count(2)
    assert [request.preset for request in await drawn(site, 2)] == ["canny", "plain"]

    await page.locator(".job").first.get_by_role("button", name="Edit prompt").click()
    await attached(page)
    await say(page, "a green circle --steps 1")
    await expect(pictures(page)).to_have_count(3)
    await expect(page.locator("#attachment")).to_be_hidden()
    (request,) = await drawn(site, 1)
    assert (request.preset, bool(request.pictures)) == ("canny", True)


async def test_an_attached_picture_stays_until_a_prompt_with_it_was_accepted(site, page):
    await attach(page)
    await say(page, "a circle --steps 99")
    await expect(page.locator("#notice")).to_contain_text("99")
    await attached(page)

    await say(page, "help steps")

    await expect(page.locator(".reply")).to_have_count(1)
    await attached(page)
    await expect(page.locator("#chips li")).to_have_text(["canny"])


async def test_a_preset_chosen_for_a_picture_is_chosen_for_the_next_one_too(site, page):
    site.engine.open()
    await page.get_by_role("button", name="Options").click()
    await attach(page)
    await page.get_by_label("redraw").check()
    await say(page, "a circle --steps 2")
    await expect(pictures(page)).to_have_count(1)
    await expect(page.locator("#chips li")).to_have_count(0)

    await attach(page, "another.png")

    await expect(page.locator("#chips li")).to_have_text(["redraw"])


async def test_a_reload_takes_the_picture_and_its_preset_and_leaves_the_rest(site, page):
    site.engine.open()
    await page.get_by_role("button", name="Options").click()
    await page.get_by_label("Steps").fill("3")
    await attach(page)
    await expect(page.locator("#chips li")).to_have_text(["canny", "3 steps"])

    await page.reload()
    await ready(page)

    await expect(page.locator("#chips li")).to_have_text(["3 steps"])
    await say(page, "a fox")
    await expect(pictures(page)).to_have_count(1)


async def drop(page, data, type="image/png"):
    await page.evaluate(GIVE_FILE, ["drop", list(data), type])


async def test_a_dropped_picture_of_the_bot_gives_its_prompt_and_settings_back(site, page):
    site.engine.open()
    await say(page, "a blue circle --steps 3 --seed 7 --size 192x128")
    await expect(pictures(page)).to_have_count(1)
    (job,) = (await site.bot.service.lookups.history(ADMIN)).jobs
    path = await site.bot.service.lookups.picture(Source(ADMIN), job.id)

    await drop(page, path.read_bytes())
    offer = page.get_by_role("group", name="This picture says how it was made")
    await expect(offer).to_contain_text("“a blue circle” · 3 steps · 192 × 128 · seed 7")
    await offer.get_by_role("button", name="Use its prompt and settings").click()

    await expect(page.locator("#attachment")).to_be_hidden()
    await expect(page.locator("#message")).to_have_value("a blue circle")
    await expect(page.locator("#chips li")).to_have_text(["192 × 128", "3 steps", "seed 7"])
    await say(page, "a green circle")
    await expect(pictures(page)).to_have_count(2)
    (request,) = await drawn(site, 1)
    assert (request.seed, request.num_inference_steps, request.width) == (7, 3, 192)


async def test_a_dropped_picture_of_ones_own_brings_its_control_image_back(site, page):
    site.engine.open()
    await attach(page)
    await say(page, "a blue circle --steps 1 --strength 0.4 --seed 7")
    await expect(pictures(page)).to_have_count(1)
    (job,) = (await site.bot.service.lookups.history(ADMIN)).jobs
    path = await site.bot.service.lookups.picture(Source(ADMIN), job.id)

    await drop(page, path.read_bytes())
    await page.get_by_role("button", name="Use its prompt and settings").click()

    await attached(page)
    await expect(page.locator("#attachment")).to_contain_text("control image")
    await expect(page.locator("#chips li")).to_have_text(
        ["canny", "1 step", "strength 0.4", "seed 7"]
    )


async def test_a_picture_of_another_program_gives_back_what_can_be_drawn_here(page):
    texts = PngInfo()
    texts.add_text("parameters", "a red star\nSteps: 80, Seed: 9, CFG scale: 2, Size: 999x64")
    await drop(page, file(square(), pnginfo=texts))
    await expect(page.locator("#message")).to_have_value("")

    await page.get_by_role("button", name="Use its prompt and settings").click()

    await expect(page.locator("#message")).to_have_value("a red star")
    await expect(page.locator("#chips li")).to_have_text(["guidance 2", "seed 9"])


async def test_a_picture_that_tells_its_prompt_may_be_the_control_image_all_the_same(site, page):
    site.engine.open()
    await say(page, "a blue circle --steps 1 --seed 7")
    await expect(pictures(page)).to_have_count(1)
    (job,) = (await site.bot.service.lookups.history(ADMIN)).jobs
    path = await site.bot.service.lookups.picture(Source(ADMIN), job.id)
    await drop(page, path.read_bytes())

    await page.locator(".offer").get_by_role("button", name="Use as control image").click()
    await attached(page)
    await page.get_by_role("button", name="Read how it was made").click()

    said = page.locator("#attachment .says")
    await expect(said).to_contain_text("It says of itself that it was made by AI.")
    await expect(said).to_contain_text("a blue circle --steps 1")
    await expect(said).to_contain_text("--seed 7")


async def test_where_a_picture_is_cropped_is_seen_and_chosen_before_it_is_drawn(site, page):
    site.engine.open()
    await page.get_by_role("button", name="Options").click()
    flag = {"name": "flag.png", "mimeType": "image/png", "buffer": picture(200, 100)}
    await page.set_input_files("#file", flag)
    await attached(page)
    frame = page.locator("#attachment").get_by_role("slider")
    await expect(page.locator("#drawn")).to_have_text("352 × 176")
    await expect(frame).to_have_count(0)
    await page.get_by_label("1:1").check()
    await expect(page.locator("#drawn")).to_have_text("256 × 256")
    await expect(frame).to_have_attribute("aria-valuetext", "50 % from the left")

    whole = await page.locator("#attachment .cropping").bounding_box()
    part = await frame.bounding_box()
    assert part["width"] == pytest.approx(whole["width"] / 2, abs=1)
    await page.mouse.move(part["x"] + 5, part["y"] + 5)
    await page.mouse.down()
    await page.mouse.move(part["x"] - whole["width"], part["y"] + 5)
    await page.mouse.up()
    in_drawer = page.locator("#drop").get_by_role("slider")
    await expect(in_drawer).to_have_attribute("aria-valuenow", "0")
    await frame.press("ArrowRight")

    await expect(frame).to_be_focused()
    await expect(in_drawer).to_have_attribute("aria-valuenow", "5")
    await say(page, "a circle --steps 1")
    await expect(pictures(page)).to_have_count(1)
    (request,) = await drawn(site, 1)
    assert (request.crop_x, request.crop_y) == (0.05, 0.5)
    await page.locator(".job").get_by_role("button", name="Edit prompt").click()
    await expect(frame).to_have_attribute("aria-valuenow", "5")
    await page.locator("#message").fill("a circle --crop right")
    await expect(frame).to_have_attribute("aria-valuenow", "100")


SENT = """
async ([bytes, type, limits]) => {
  const { readPicture } = await import("/static/reading.js");
  const file = new File([new Uint8Array(bytes)], "given", { type });
  return readPicture(file, limits).then(({ url }) => url, (error) => error.message);
}
"""


async def test_a_picture_that_is_too_large_is_made_smaller_before_it_is_sent(page):
    photo = square(300, 200)
    sideways = photo.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    large = file(sideways, "JPEG", exif=exif)

    sent = opened(await page.evaluate(SENT, [list(large), "image/jpeg", limits(1e6, 150)]))
    noisy = await page.evaluate(SENT, [list(file(noise(400, 400))), "image/png", limits(50e3, 999)])

    assert (sent.format, sent.size) == ("JPEG", (150, 100))
    red = sent.convert("RGB").getpixel((75, 37))
    assert red[0] > 200 > 60 > red[1]
    assert len(noisy) * 3 / 4 < 50e3
    assert opened(noisy).format == "JPEG"


async def test_a_picture_that_is_small_enough_travels_untouched(page):
    data = picture(300, 200)

    sent = await page.evaluate(SENT, [list(data), "image/png", limits(1e6, 300)])

    assert sent == data_url(data)


async def test_a_file_that_only_the_bot_can_read_is_sent_if_it_is_small_enough(page):
    heic = b"\0\0\0\x18ftypheic" + bytes(900)

    sent = await page.evaluate(SENT, [list(heic), "image/heic", limits(1000, 300)])
    refused = await page.evaluate(SENT, [list(heic), "image/heic", limits(500, 300)])

    assert sent == data_url(heic, "image/heic")
    assert "cannot be made smaller here" in refused
    assert "Save it as a JPEG" in refused


def limits(bytes, side):
    return {"bytes": bytes, "side": side}

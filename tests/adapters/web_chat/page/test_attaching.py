"""Control images: how they are attached, shown, and leave again."""

import pytest
from playwright.async_api import expect

from bot.source import Source
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
from tests.samples import picture

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


async def test_a_dropped_picture_can_be_asked_how_it_was_made(site, page):
    site.engine.open()
    await say(page, "a blue circle --steps 1 --seed 7")
    await expect(pictures(page)).to_have_count(1)
    (job,) = (await site.bot.service.lookups.history(ADMIN)).jobs
    path = await site.bot.service.lookups.picture(Source(ADMIN), job.id)

    await page.evaluate(GIVE_FILE, ["drop", list(path.read_bytes()), "image/png"])
    await page.get_by_role("button", name="Read how it was made").click()

    said = page.locator("#attachment .says")
    await expect(said).to_contain_text("It says of itself that it was made by AI.")
    await expect(said).to_contain_text("a blue circle --steps 1")
    await expect(said).to_contain_text("--seed 7")

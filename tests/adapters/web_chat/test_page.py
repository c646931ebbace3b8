"""The page, driven in headless Chromium as a person would."""

import asyncio
import re
import shutil
import time

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright, expect

from adapters.web_chat import WebChat
from bot.commands.options import IMAGINE
from bot.config import Secrets
from tests.conftest import ADMIN, Bot, Gate, at_step
from tests.samples import picture

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 360, "height": 740}

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser():
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


class Site:
    """A bot with its web chat, and pages that have it open."""

    def __init__(self, folder, browser):
        self.engine = Gate()
        self.folder = folder
        self.complaints = []
        self._browser = browser

    async def start(self, secrets=None, port=0, **settings):
        self.bot = Bot(self.folder, self.engine, time.time, web={"port": port}, **settings)
        await self.bot.start()
        self.chat = WebChat(self.bot.service, self.bot.config, secrets or Secrets())
        await self.chat.start()

    async def stop(self):
        await self.chat.close()
        self.engine.open()
        await self.bot.stop()

    async def page(self, size=WIDE, context=None):
        context = context or await self.context(size)
        page = await context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self._heard(said))
        await page.goto(self.chat.address)
        return page

    async def context(self, size=WIDE):
        return await self._browser.new_context(viewport=size, has_touch=size is PHONE)

    def _heard(self, said):
        # Chromium reports each 4xx here too; those are the tests' own doing.
        if said.type == "error" and "Failed to load resource" not in said.text:
            self.complaints.append(said.text)

    async def spent(self):
        return (await self.bot.service.quota(ADMIN)).used


@pytest_asyncio.fixture(loop_scope="module")
async def site(tmp_path, browser):
    site = Site(tmp_path, browser)
    await site.start()
    yield site
    for context in browser.contexts:
        await context.close()
    await site.stop()
    assert site.complaints == []


@pytest_asyncio.fixture(loop_scope="module")
async def page(site):
    page = await site.page()
    await ready(page)
    return page


async def ready(page):
    await page.wait_for_selector("html[data-ready]")


async def say(page, text):
    await page.locator("#message").fill(text)
    await page.keyboard.press("Escape")
    await page.locator("#message").press("Enter")


def pictures(page):
    """Those that are drawn and loaded."""
    return page.locator(".frame.done img.final")


async def test_a_typed_prompt_becomes_a_picture(site, page):
    site.engine.open()

    await say(page, "a red circle on a blue background")

    await expect(page.locator(".said .bubble p").first).to_have_text(
        "a red circle on a blue background"
    )
    await expect(pictures(page)).to_have_count(1)
    shown = pictures(page).first
    await expect(shown).to_have_attribute("alt", "a red circle on a blue background")
    assert await shown.evaluate("image => image.naturalWidth") == 256
    await expect(page.locator("#announcer")).to_have_text(
        "The picture is ready: a red circle on a blue background"
    )
    for label in ("Again", "Vary", "Edit prompt", "Use as control image", "Copy seed"):
        await expect(page.locator(".job").get_by_role("button", name=label)).to_be_visible()
    await expect(page.locator(".job").get_by_role("link", name="Download")).to_be_visible()


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


async def test_a_card_says_that_it_waits_for_a_pause_to_end(site, page):
    await site.bot.service.admin.pause(ADMIN)
    await say(page, "a fox --steps 1")
    await page.reload()
    await ready(page)

    await expect(page.locator("#engine")).to_contain_text("paused", ignore_case=True)
    await expect(page.locator(".job .line")).to_have_text("Queued: drawing is paused")

    await site.bot.service.admin.resume(ADMIN)
    site.engine.open()
    await expect(pictures(page)).to_have_count(1)


async def test_a_pause_is_shown_while_it_lasts(site, page):
    pill = page.locator("#engine")
    lines = page.locator(".job .line")
    site.engine.open()
    await say(page, "a moon --steps 1")
    await expect(pictures(page)).to_have_count(1)
    await page.get_by_role("button", name="Options").click()
    await expect(page.locator("#quote")).to_contain_text("starts")

    await say(page, "admin pause")
    await expect(pill).to_contain_text("An admin has paused drawing")
    await expect(page.locator("#quote")).not_to_contain_text("starts")
    await say(page, "a red star --steps 1")
    await expect(lines.nth(1)).to_have_text("Queued: drawing is paused")
    await say(page, "admin resume")

    await expect(pill).to_be_hidden()
    await expect(page.locator("#quote")).to_contain_text("starts")
    await expect(pictures(page)).to_have_count(2)


async def test_a_pause_by_somebody_else_is_noticed_with_the_next_prompt(site, page):
    site.engine.open()
    await site.bot.service.admin.pause(ADMIN)

    await say(page, "a red star --steps 1")
    await expect(page.locator(".job .line")).to_have_text("Queued: drawing is paused")
    await site.bot.service.admin.resume(ADMIN)

    await expect(pictures(page)).to_have_count(1)
    await expect(page.locator("#engine")).to_be_hidden()


async def test_whoever_drains_the_bot_sees_it(site, page):
    await say(page, "admin drain")

    await expect(page.locator("#engine")).to_contain_text("nothing new is accepted")


async def test_what_is_being_said_is_shown_once_however_slow_the_answer(site, page):
    """A look at the engine in between tells of the job before the answer does."""
    looked, answered = asyncio.Event(), asyncio.Event()

    async def hold(route):
        response = await route.fetch()
        await looked.wait()
        await route.fulfill(response=response)
        answered.set()

    await page.route("**/api/messages", hold)
    await say(page, "a fox --steps 4")
    async with asyncio.timeout(10):
        while not (await site.bot.service.history(ADMIN)).jobs:
            await asyncio.sleep(0)
    async with page.expect_response("**/api/status"):
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    looked.set()
    await answered.wait()

    await expect(page.locator(".job")).to_have_count(1)
    await expect(page.locator(".said")).to_have_count(1)
    await page.unroute("**/api/messages")


async def test_a_late_look_at_the_engine_does_not_set_a_picture_back(site, page):
    looked, drawn = asyncio.Event(), asyncio.Event()

    async def hold(route):
        response = await route.fetch()
        looked.set()
        await drawn.wait()
        answer = {**await response.json(), "engine": {"status": "paused", "message": "late"}}
        await route.fulfill(response=response, json=answer)

    await page.route("**/api/status", hold)
    await say(page, "a fox --steps 4")
    await looked.wait()
    site.engine.allow(2)
    await expect(page.locator(".job .line")).to_have_text("Drawing step 2 of 4")

    drawn.set()

    await expect(page.locator("#engine")).to_contain_text("Late")
    assert await page.locator(".job .line").inner_text() == "Drawing step 2 of 4"
    await page.unroute_all(behavior="wait")


async def test_an_example_is_one_click(site, page):
    site.engine.open()
    await expect(page.get_by_role("heading", name="What shall we draw?")).to_be_visible()

    await page.get_by_role("button", name="a red circle").click()

    await expect(pictures(page)).to_have_count(1)
    await expect(page.locator("#welcome")).to_be_hidden()


async def attached(page):
    await expect(page.locator("#attachment img[alt='Control map']")).to_be_visible()
    await expect(page.locator("#attachment img[alt^='Control image']")).to_be_visible()


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
    (job,) = (await site.bot.service.history(ADMIN)).jobs
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

    await expect(page.locator("#notice")).to_contain_text("no PNG, JPEG or WebP")


async def test_a_running_job_is_cancelled(site, page):
    await say(page, "a fox --steps 50")
    site.engine.allow(2)
    await expect(page.locator(".job .line")).to_have_text("Drawing step 2 of 50")

    await page.get_by_role("button", name="Cancel").click()
    async with asyncio.timeout(10):
        while "Cancelled" not in await page.locator(".job .line").inner_text():
            site.engine.allow(1)

    await expect(page.get_by_role("button", name="Again")).to_be_visible()
    assert await site.spent() == 0


async def test_the_history_is_searched(site, page):
    site.engine.open()
    for prompt in ("a red fox", "a blue bird"):
        await say(page, f"{prompt} --steps 1")
    await expect(pictures(page)).to_have_count(2)

    await page.get_by_role("button", name="History").click()
    rows = page.locator("#history-list .row")
    await expect(rows).to_have_count(2)
    await expect(rows.first.locator("img")).to_be_visible()
    await page.get_by_label("Search your prompts").fill("fox")

    await expect(rows).to_have_count(1)
    await expect(rows.first).to_contain_text("a red fox")
    await page.get_by_label("Search your prompts").fill("dragon")
    await expect(page.locator("#history-empty")).to_contain_text("dragon")


async def test_the_history_says_the_ids_that_show_and_again_ask_for(site, page):
    site.engine.open()
    await say(page, "a fox --steps 1")
    await expect(pictures(page)).to_have_count(1)
    (job,) = (await site.bot.service.history(ADMIN)).jobs

    await say(page, "history")
    await page.get_by_role("button", name="History").click()

    for row in (page.locator(".reply .thumb"), page.locator("#history-list .row")):
        await expect(row.get_by_text(job.id, exact=True)).to_be_visible()
    await say(page, f"show {job.id}")
    await expect(pictures(page)).to_have_count(2)


HOSTILE = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>&amp;'


async def test_a_hostile_prompt_is_shown_and_does_nothing(site, page):
    site.engine.open()

    await say(page, f"{HOSTILE} --steps 1 --negative '{HOSTILE}'")
    await expect(pictures(page)).to_have_count(1)
    await page.get_by_role("button", name="History").click()
    await page.locator("#history-list .row").click()
    await expect(page.locator("#viewer h2")).to_have_text(HOSTILE)
    await page.reload()
    await ready(page)

    await expect(page.locator(".said .bubble p").first).to_have_text(HOSTILE)
    assert await page.evaluate("window.pwned") is None
    assert await page.locator("img[src='x'], .bubble script").count() == 0


async def test_completion_works_by_keyboard_alone(site, page):
    await page.locator("#message").focus()
    await page.keyboard.type("a fox --pre")
    box = page.locator("#message")
    await expect(box).to_have_attribute("aria-expanded", "true")
    await page.keyboard.press("Enter")
    await expect(box).to_have_value("a fox --preset ")

    await page.keyboard.press("ArrowDown")
    await expect(page.locator("#completion [aria-selected=true]")).to_contain_text("canny")
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("Tab")

    await expect(box).to_have_value("a fox --preset plain ")
    await page.keyboard.type("--st")
    await expect(page.locator("#completion li")).to_have_count(2)
    await page.keyboard.press("Escape")
    await expect(page.locator("#completion")).to_be_hidden()
    await expect(box).to_have_value("a fox --preset plain --st")


async def test_a_verb_is_offered_but_a_word_is_not_taken_away(site, page):
    site.engine.open()
    await page.locator("#message").focus()

    await page.keyboard.type("quo")
    await expect(page.locator("#completion")).to_contain_text("quota")
    await page.keyboard.press("Enter")

    await expect(page.locator(".said .bubble p").first).to_have_text("quo")


async def test_shift_enter_is_a_new_line_and_an_empty_message_is_not_sent(site, page):
    await page.locator("#message").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#notice")).to_contain_text("what to draw")

    await page.keyboard.type("a fox")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("in snow")

    await expect(page.locator("#message")).to_have_value("a fox\nin snow")
    await expect(page.locator(".said")).to_have_count(0)


async def test_a_wrong_word_is_marked_where_it_stands(site, page):
    await say(page, "a fox --steps 80 --seed 7")

    await expect(page.locator("#notice")).to_contain_text("80")
    await expect(page.locator("#mirror .wrong-word")).to_have_text("80")
    await expect(page.locator("#message")).to_have_value("a fox --steps 80 --seed 7")
    chosen = await page.evaluate("getSelection().toString()")
    assert chosen == "80"
    assert await site.spent() == 0


async def test_the_form_asks_for_the_same_as_the_words(site, page):
    site.engine.open()
    await page.get_by_role("button", name="Options").click()
    await page.get_by_label("16:9").check()
    await page.get_by_label("Steps").fill("3")
    await page.get_by_label("Seed").fill("7")
    await page.locator("#images").get_by_label("2").check()
    await page.get_by_label("Negative prompt").fill("blurry")
    await expect(page.locator("#quote")).to_contain_text("credits")

    await say(page, "a fox")

    await expect(pictures(page)).to_have_count(2)
    (job,) = (await site.bot.service.history(ADMIN)).jobs
    request = job.request
    assert (request.num_inference_steps, request.seed, job.images) == (3, 7, 2)
    assert (request.width, request.height, request.negative_prompt) == (336, 192, "blurry")
    await page.get_by_role("button", name="Remove seed 7").click()
    await expect(page.locator("#chips")).not_to_contain_text("seed")


async def test_a_preset_that_needs_a_picture_says_so_before_and_after(site, page):
    await page.get_by_role("button", name="Options").click()
    await page.get_by_label("redraw").check()
    await expect(page.locator("#quote")).to_contain_text("needs a control image")

    await say(page, "a fox")

    await expect(page.locator("#notice")).to_contain_text("needs a control image")
    await expect(page.locator("#message")).to_have_value("a fox")


async def test_several_pictures_are_looked_at_one_by_one(site, page):
    site.engine.open()
    await say(page, "a fox --images 3 --steps 1 --seed 5")
    await expect(pictures(page)).to_have_count(3)

    await page.get_by_role("button", name="Open picture 2 of 3").click()
    viewer = page.locator("#viewer")
    await expect(viewer.locator("dd").first).to_have_text("6")
    await page.keyboard.press("ArrowRight")
    await expect(viewer.locator("dd").first).to_have_text("7")
    href = await viewer.get_by_role("link", name="Download").get_attribute("href")
    assert "number=3" in href
    await page.keyboard.press("Escape")
    await expect(viewer).to_be_hidden()

    await page.get_by_role("button", name="Open picture 2 of 3").click()
    await viewer.get_by_role("button", name="Again").click()
    await expect(pictures(page)).to_have_count(4)
    job, _ = (await site.bot.service.history(ADMIN)).jobs
    assert (job.request.seed, job.images) == (6, 1)


async def test_the_buttons_draw_again_vary_and_edit(site, page):
    site.engine.open()
    await say(page, "a fox --steps 2 --seed 5")
    await expect(pictures(page)).to_have_count(1)
    first = page.locator(".job").first

    await first.get_by_role("button", name="Again").click()
    await expect(pictures(page)).to_have_count(2)
    await first.get_by_role("button", name="Vary").click()
    await expect(pictures(page)).to_have_count(3)
    await first.get_by_role("button", name="Edit prompt").click()

    await expect(page.locator("#message")).to_have_value("a fox")
    await expect(page.locator("#chips")).to_contain_text("2 steps")
    await expect(page.locator("#chips")).to_contain_text("seed 5")
    seeds = [job.request.seed for job in (await site.bot.service.history(ADMIN)).jobs]
    assert seeds[1:] == [5, 5]
    assert seeds[0] != 5
    await first.get_by_role("button", name="Use as control image").click()
    await attached(page)


async def drawn(site, count):
    """The requests of the newest *count* jobs, oldest first."""
    jobs = (await site.bot.service.history(ADMIN)).jobs
    return [job.request for job in jobs[:count]][::-1]


async def test_what_edit_filled_in_leaves_with_the_edited_prompt(site, page):
    site.engine.open()
    chips = page.locator("#chips")
    await say(page, "a star --seed 7 --size 192x128 --steps 8")
    await expect(pictures(page)).to_have_count(1)
    await page.get_by_role("button", name="Options").click()
    await page.get_by_label("Steps").fill("3")

    await page.locator(".job").get_by_role("button", name="Edit prompt").click()
    await expect(chips.locator("li")).to_have_text(["192 × 128", "8 steps", "seed 7"])
    await page.reload()
    await ready(page)
    await expect(chips.locator("li")).to_have_text(["192 × 128", "8 steps", "seed 7"])
    await say(page, "help steps")
    await expect(page.locator(".reply")).to_have_count(1)
    await say(page, "a star --guidance 99")
    await expect(page.locator("#notice")).to_contain_text("99")
    await expect(chips.locator("li")).to_have_text(["192 × 128", "8 steps", "seed 7"])
    await page.get_by_role("button", name="Options").click()
    await page.get_by_label("Guidance").fill("5")
    await say(page, "a yellow star")
    await expect(pictures(page)).to_have_count(2)

    await expect(chips.locator("li")).to_have_text(["3 steps", "guidance 5"])
    await say(page, "a moon")
    await expect(pictures(page)).to_have_count(3)
    star, moon = await drawn(site, 2)
    assert (star.seed, star.num_inference_steps, star.width) == (7, 8, 192)
    assert (moon.num_inference_steps, moon.width, moon.guidance_scale) == (3, 256, 5)


async def attach(page, name="square.png"):
    file = {"name": name, "mimeType": "image/png", "buffer": picture()}
    await page.set_input_files("#file", file)
    await attached(page)


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


async def test_what_is_typed_is_shown_instead_of_what_was_clicked(site, page):
    site.engine.open()
    await page.get_by_role("button", name="Options").click()
    await page.get_by_label("Steps").fill("3")
    await attach(page)
    card = page.locator("#attachment")
    await expect(card).to_contain_text("What it follows")
    await expect(card).to_contain_text("for the preset canny")

    await page.locator("#message").fill("a circle --preset redraw --steps 4")

    await expect(card).to_contain_text("What it starts from")
    await expect(card).to_contain_text("for the preset redraw")
    await expect(page.locator("#chips li")).to_have_count(0)
    await expect(page.locator("#options").get_by_label("redraw")).to_be_checked()
    await page.locator("#message").fill("a circle --preset plain")
    await expect(card).to_contain_text("the preset plain takes no picture")
    await expect(page.locator("#attachment img")).to_have_count(1)
    await page.locator("#message").fill("a circle --steps 1")
    await attached(page)
    await expect(card).to_contain_text("What it follows")
    await expect(page.locator("#chips li")).to_have_text(["canny"])


async def test_the_page_knows_every_word_that_says_the_same_as_a_click(page):
    """Else a chip would go on to show what is not drawn with."""
    names = [name for name, option in IMAGINE.items() if option.name != "private"]

    unknown = await page.evaluate(
        """async (names) => {
          const { typedOver } = await import("/static/grammar.js");
          return names.filter((name) => typedOver(`a fox --${name} 1`).length === 0);
        }""",
        names,
    )

    assert unknown == []


async def test_a_notice_goes_with_its_cause(site, page):
    site.engine.open()
    await say(page, "a blue circle --steps 1 --preset canny")
    await expect(page.locator("#notice")).to_contain_text("needs a control image")

    await attach(page)

    await expect(page.locator("#notice")).to_be_hidden()
    await page.get_by_role("button", name="Send").click()
    await expect(pictures(page)).to_have_count(1)
    await say(page, "a green circle --steps 99")
    await expect(page.locator("#notice")).to_contain_text("99")
    await page.get_by_label("Guidance").fill("5")
    await expect(page.locator("#notice")).to_be_visible()
    await say(page, "a green circle --steps 1")
    await expect(pictures(page)).to_have_count(2)
    assert [request.preset for request in await drawn(site, 2)] == ["canny", "plain"]


async def test_the_conversation_survives_a_reload_also_in_the_middle_of_a_picture(site, page):
    site.engine.allow(1)
    await say(page, "first --steps 1")
    await expect(pictures(page)).to_have_count(1)
    await say(page, "second --steps 9")
    site.engine.allow(3)
    await expect(page.locator(".job .line").nth(1)).to_have_text("Drawing step 3 of 9")

    await page.reload()
    await ready(page)

    await expect(page.locator(".said .bubble p:first-of-type")).to_have_count(2)
    await expect(page.locator(".said .bubble").first).to_contain_text("first")
    await expect(page.locator(".job .line").nth(1)).to_have_text("Drawing step 3 of 9")
    site.engine.open()
    await expect(pictures(page)).to_have_count(2)


async def test_another_tab_shows_the_same_picture_growing(site):
    context = await site.context()
    one, two = await site.page(context=context), await site.page(context=context)
    for page in (one, two):
        await ready(page)

    await say(one, "a fox --steps 2")

    for page in (two, one):
        await expect(page.locator(".job")).to_have_count(1)
    site.engine.open()
    for page in (one, two):
        await expect(pictures(page)).to_have_count(1)


async def test_a_restart_of_the_bot_is_survived_without_duplicates(site, page):
    await say(page, "a fox --steps 4")
    await expect(page.locator(".job")).to_have_count(1)
    await at_step((await site.bot.service.history(ADMIN)).jobs[0], 0)
    port = int(site.chat.address.rpartition(":")[2])

    site.engine.allow(1)
    await site.chat.close()
    await expect(page.locator("#engine")).to_contain_text("cannot be reached")
    stopping = site.bot.stop()
    site.engine.open()
    await stopping
    await site.start(port=port)

    await expect(pictures(page)).to_have_count(1, timeout=15000)
    await expect(page.locator(".job")).to_have_count(1)


VERBS = {
    "quota": "credits left",
    "presets": "needs a picture",
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
    moon, _ = (await site.bot.service.history(ADMIN)).jobs
    await say(page, f"cancel {moon.id}")
    await expect(replies.last).to_contain_text(f"{moon.id} is cancelled")


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
    """Nothing is wider than the screen."""
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


async def box(locator):
    """Top and bottom on the screen."""
    box = await locator.bounding_box()
    return box["y"], box["y"] + box["height"]


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


async def test_whoever_has_no_token_is_asked_for_it(tmp_path, browser):
    site = Site(tmp_path, browser)
    await site.start(Secrets(web_tokens={"ada-token-0123456789": "ada"}))
    try:
        page = await site.page()
        token = page.get_by_label("Token")
        await expect(token).to_be_visible()

        await token.fill("a wrong one")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.locator("#sign-in-wrong")).to_contain_text("not known")
        await token.fill("ada-token-0123456789")
        await page.get_by_role("button", name="Sign in").click()

        await ready(page)
        await expect(page.locator("#sign-in")).to_be_hidden()
        await say(page, "a fox --steps 1")
        site.engine.open()
        await expect(pictures(page)).to_have_count(1)
        assert len((await site.bot.service.history("web:ada")).jobs) == 1
        await page.context.close()
    finally:
        await site.stop()


NAMELESS = """
() => [...document.querySelectorAll("button, a, input, textarea, img, dialog, [role=listbox],"
    + " [role=meter], [role=progressbar]")]
  .filter((each) => !each.closest("[aria-hidden=true]") && !each.hidden)
  .filter((each) => !each.getAttribute("aria-label") && !each.getAttribute("aria-labelledby")
    && !each.textContent.trim() && !each.labels?.length && !each.hasAttribute("alt"))
  .map((each) => each.outerHTML)
"""


async def test_everything_that_can_be_used_has_a_name_to_be_read_out(site, page):
    site.engine.open()
    await say(page, "a fox --steps 1 --images 2")
    await expect(pictures(page)).to_have_count(2)
    await page.get_by_role("button", name="Options").click()
    await page.get_by_role("button", name="History").click()

    assert await page.evaluate(NAMELESS) == []


async def test_the_history_has_its_name_where_there_is_no_room_to_write_it(site):
    page = await site.page(PHONE)
    await ready(page)

    await page.get_by_role("button", name="History", exact=True).click()

    await expect(page.locator("#history")).to_be_visible()


async def test_what_was_being_typed_survives_a_reload(page):
    await page.locator("#message").fill("a fox in s")

    await page.reload()
    await ready(page)

    await expect(page.locator("#message")).to_have_value("a fox in s")


async def test_a_used_up_quota_is_told_and_the_words_are_kept(tmp_path, browser):
    site = Site(tmp_path, browser)
    await site.start(quota={"credits": 2})
    try:
        page = await site.page()
        await ready(page)

        await say(page, "a fox --steps 12")

        await expect(page.locator("#notice")).to_contain_text("credits")
        await expect(page.locator("#message")).to_have_value("a fox --steps 12")
        await expect(page.locator(".said")).to_have_count(0)
        await page.context.close()
    finally:
        await site.stop()

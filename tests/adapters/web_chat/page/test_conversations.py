"""Ten conversations on the page, in a browser, which docs/conversations.md shows."""

import re

import pytest_asyncio
from playwright.async_api import expect

from bot.commands import ImagineCommand
from bot.source import Source
from generation.kinds import Upscale
from generation.types import Preset
from tests.adapters.web_chat.page.conftest import DRIVEN, Site, attach, pictures, ready, say
from tests.conftest import BOB, PRESETS, at_step
from tests.conversations import hold

pytestmark = DRIVEN

FOX = "a fox in snow --steps 3 --seed 7"
#: What is read of the page: lines of text, and what can be pressed in brackets.
READ = """() => {
  const blocks = ["block", "flex", "grid", "list-item"];
  const text = (node) => {
    if (node.nodeType === Node.TEXT_NODE) return node.textContent;
    if (node.nodeType !== Node.ELEMENT_NODE || node.hidden) return "";
    const { display } = getComputedStyle(node);
    if (display === "none" || node.classList.contains("unseen")) return "";
    if (node.tagName === "IMG") return node.alt ? `\\n[picture: ${node.alt}]\\n` : "";
    const children = [...node.childNodes].map(text);
    const trimmed = children.map((each) => each.trim());
    if (node.matches("button, a") && !node.querySelector("img")) return ` [${trimmed.join("")}]`;
    if (node.matches(".facts, .chips")) return `\\n${trimmed.join(" · ")}\\n`;
    const inner = children.join("");
    if (node.matches(".said")) return `\\nyou:\\n${inner}\\nflux:\\n`;
    return blocks.includes(display) ? `\\n${inner}\\n` : inner;
  };
  return text(document.getElementById("conversation"));
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def large(tmp_path, browser):
    """A bot that makes pictures larger, and its page."""
    site = Site(tmp_path, browser)
    preset = Preset(name="large", kind=Upscale(tile_size=64), description="Twice the size")
    await site.start(presets={**PRESETS, "large": preset})
    site.engine.open()
    page = await site.page()
    await ready(page)
    yield page
    await page.close()
    await site.stop()


async def drawn(page, count):
    """Wait until *count* jobs have ended, which is a moment after their pictures are there."""
    await expect(pictures(page)).to_have_count(count)
    await expect(page.locator(".job[data-status=succeeded]")).to_have_count(count)


async def held(page, title):
    text = await page.evaluate(READ)
    lines = [re.sub(r"[ \t\u00a0]+", " ", line).strip() for line in text.splitlines()]
    text = "\n".join(
        f"\n{line}" if line in ("you:", "flux:") else f"  {line}" for line in lines if line
    )
    text = re.sub(r"drawn in [\d.]+ s", "drawn in a moment", text)
    text = re.sub(r"(\d+ (?:s|min|h) ago|just now)", "just now", text)
    hold("The page", title, re.sub(r"\b(?=[a-z]*\d)[a-z\d]{8}\b", "picture1", text))


async def test_a_first_picture(site, page):
    site.engine.open()
    await say(page, FOX)
    await drawn(page, 1)

    await held(page, "A first picture")


async def test_a_place_in_the_queue(site, page):
    other = await site.bot.service.submit(Source(BOB), ImagineCommand("a lighthouse"))
    await at_step(other, 0)
    await say(page, FOX)
    await expect(page.locator(".job .line")).to_contain_text("1 job ahead of you")

    await held(page, "Somebody is being drawn for already")


async def test_a_picture_of_ones_own_is_followed(site, page):
    site.engine.open()
    await attach(page)
    await say(page, "a castle --preset canny --steps 3 --seed 7")
    await drawn(page, 1)

    await held(page, "A picture that is followed")


async def test_on_from_the_last_picture(site, page):
    site.engine.open()
    await say(page, FOX)
    await drawn(page, 1)
    await say(page, "same, at night")
    await drawn(page, 2)

    await held(page, "On from the last picture")


async def test_a_series(site, page):
    site.engine.open()
    await say(page, "{red,blue} house --steps 3 --seed 7")
    await page.get_by_role("button", name="Draw 2 pictures").click()
    await drawn(page, 2)

    await held(page, "Two of a kind")


async def test_larger(large):
    await say(large, "a fox in snow --size 64x64 --steps 3 --seed 7")
    await large.get_by_role("button", name="Upscale").click()
    await expect(large.locator(".frame.done img.final[width='128']")).to_be_visible()
    await drawn(large, 2)

    await held(large, "Larger")


async def test_a_draft_and_its_picture(site, page):
    site.engine.open()
    await say(page, "a fox in snow --size 128x128 --steps 20 --seed 7 --draft")
    await page.get_by_role("button", name="Final picture").click()
    await expect(page.locator(".frame.done img.final[width='128']")).to_be_visible()
    await drawn(page, 2)

    await held(page, "A draft first")


async def test_a_number_that_is_too_large(site, page):
    await say(page, "a fox --size 2048x2048")
    notice = page.locator("#notice-text")
    await expect(notice).to_contain_text("ask for a smaller size")

    hold("The page", "More than there is room for", f"(the page) {await notice.inner_text()}")


async def test_courtesy(site, page):
    await say(page, "hello")
    await expect(page.locator("#conversation")).to_contain_text("For everything else")
    await say(page, "thanks!")
    await expect(page.locator("#conversation")).to_contain_text("You are welcome")

    await held(page, "Courtesy")


async def test_a_change_of_mind(site, page):
    other = await site.bot.service.submit(Source(BOB), ImagineCommand("a lighthouse"))
    await at_step(other, 0)
    await say(page, FOX)
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.locator(".job .line")).to_contain_text("given back")

    await held(page, "A change of mind")


async def test_what_is_left(site, page):
    await say(page, "quota")
    await expect(page.locator(".quota-card")).to_be_visible()
    await say(page, "queue")
    await expect(page.locator("#conversation")).to_contain_text("0 waiting")

    await held(page, "What is left")

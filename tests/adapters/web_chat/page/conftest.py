import shutil
import time

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright, expect

from adapters.web_chat import WebChat
from bot.config import Secrets
from tests.conftest import ADMIN, Bot, Gate
from tests.samples import picture

#: Without windows it takes a third of the time to open a page.
PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser")
CHROMIUM = next(filter(None, map(shutil.which, PROGRAMS)), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
#: Whether a page may notify people is still open; without windows, Chromium says no by itself.
UNDECIDED = "Object.defineProperty(Notification, 'permission', {get: () => 'default'})"
#: Milliseconds that a page may take to show something, on a machine with much else to do.
expect.set_options(timeout=30_000)

WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 360, "height": 740}

#: The marks of a module whose tests share the browser of this process, on one loop.
DRIVEN = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
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

    async def start(self, secrets=None, port=0, judges=None, **settings):
        self.bot = Bot(
            self.folder,
            self.engine,
            time.time,
            web={"port": port, **settings.pop("web", {})},
            **settings,
        )
        self.bot.judges = judges or {}
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
        context = await self._browser.new_context(viewport=size, has_touch=size is PHONE)
        await context.add_init_script(UNDECIDED)
        return context

    def _heard(self, said):
        # Chromium reports each 4xx here too; those are the tests' own doing.
        if said.type == "error" and "Failed to load resource" not in said.text:
            self.complaints.append(said.text)

    async def spent(self):
        return (await self.bot.service.quota(ADMIN)).used


@pytest_asyncio.fixture(loop_scope="session")
async def site(tmp_path, browser):
    site = Site(tmp_path, browser)
    await site.start()
    yield site
    for context in browser.contexts:
        await context.close()
    await site.stop()
    assert site.complaints == []


@pytest_asyncio.fixture(loop_scope="session")
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
    """The pictures that are drawn and loaded."""
    return page.locator(".frame.done img.final")


async def attached(page):
    await expect(page.locator("#attachment img[alt='Control map']")).to_be_visible()
    await expect(page.locator("#attachment img[alt^='Control image']")).to_be_visible()


async def drawn(site, count):
    """The requests of the newest *count* jobs, oldest first."""
    jobs = (await site.bot.service.lookups.history(ADMIN)).jobs
    return [job.request for job in jobs[:count]][::-1]


async def attach(page, name="square.png"):
    file = {"name": name, "mimeType": "image/png", "buffer": picture()}
    await page.set_input_files("#file", file)
    await attached(page)


async def box(locator):
    """Top and bottom on the screen."""
    box = await locator.bounding_box()
    return box["y"], box["y"] + box["height"]

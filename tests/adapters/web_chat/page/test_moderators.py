"""Held pictures on the page: an admin looks at them and decides."""

from dataclasses import replace

import pytest_asyncio
from playwright.async_api import expect

from bot.config import Secrets
from bot.jobs import JobStatus
from bot.source import Source
from tests.adapters.web_chat.page.conftest import DRIVEN, PHONE, Site, ready, say
from tests.bot.conftest import CIRCLE
from tests.conftest import ADA, until
from tests.judges import HELD, Judge

pytestmark = DRIVEN

TOKENS = {"ada-token-0123456789": "ada", "admin-token-0123456789": "local"}


@pytest_asyncio.fixture(loop_scope="session")
async def watched(tmp_path, browser):
    """A site whose screen holds every picture."""
    judge = Judge()
    judge.picture = HELD
    site = Site(tmp_path, browser)
    await site.start(Secrets(web_tokens=TOKENS), judges={"judge": lambda: judge})
    site.engine.open()
    yield site
    for context in browser.contexts:
        await context.close()
    await site.stop()
    assert site.complaints == []


async def held(site, prompt="a red circle"):
    job = await site.bot.service.submit(Source(ADA), replace(CIRCLE, prompt=prompt))
    await until(lambda: job.status is JobStatus.HELD)
    return job


async def signed_in(site, token, **page):
    page = await site.page(**page)
    await page.get_by_label("Token").fill(token)
    await page.get_by_role("button", name="Sign in").click()
    await ready(page)
    return page


async def test_an_admin_looks_at_a_held_picture_and_releases_it(watched):
    job = await held(watched)
    page = await signed_in(watched, "admin-token-0123456789")
    asked = []
    page.on("request", lambda request: asked.append(request.url))

    await page.get_by_role("button", name="1 held picture").click()
    dialog = page.get_by_role("dialog", name="Held pictures")
    await expect(dialog).to_contain_text("a red circle")
    await expect(dialog).to_contain_text("judge: 0.90")
    assert not [url for url in asked if url.endswith("number=1")]

    await dialog.get_by_role("button", name=f"Show {job.id}").click()
    await expect(dialog.get_by_role("img", name="Held picture 1: a red circle")).to_be_visible()
    await dialog.get_by_role("button", name="Release").click()

    await expect(dialog.get_by_role("status").first).to_contain_text(job.id)
    assert job.status is JobStatus.SUCCEEDED


async def test_a_rejection_carries_its_reason_on_a_phone_too(watched):
    job = await held(watched)
    page = await signed_in(watched, "admin-token-0123456789", size=PHONE)

    await page.get_by_role("button", name="1 held picture").click()
    dialog = page.get_by_role("dialog", name="Held pictures")
    await dialog.get_by_label(f"Reason for {job.id}").fill("not in this club")
    await dialog.get_by_role("button", name="Reject").click()

    await expect(dialog.get_by_role("status").first).to_contain_text("is deleted")
    assert "(not in this club)" in job.error
    width = await dialog.evaluate("it => it.scrollWidth - it.clientWidth")
    assert width == 0


async def test_what_others_decide_leaves_the_dialog(watched):
    first, second = await held(watched, "one"), await held(watched, "two")
    page = await signed_in(watched, "admin-token-0123456789")
    await page.get_by_role("button", name="2 held pictures").click()
    dialog = page.get_by_role("dialog", name="Held pictures")
    await expect(dialog.get_by_role("listitem")).to_have_count(2)

    await watched.bot.service.review.release("web:local", first.id)
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    await expect(dialog.get_by_role("listitem")).to_have_count(1)
    await expect(dialog).to_contain_text("two")
    assert second.status is JobStatus.HELD


async def test_nobody_else_is_offered_to_decide(watched):
    await held(watched)
    page = await signed_in(watched, "ada-token-0123456789")

    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    await expect(page.locator("#held-button")).to_be_hidden()


async def test_signing_out_leaves_nothing_on_any_page_and_nothing_of_the_session(watched):
    page = await signed_in(watched, "ada-token-0123456789")
    other = await watched.page(context=page.context)
    await ready(other)
    cookies = await page.context.cookies()
    await page.locator("#message").fill("a secret thought")

    await page.get_by_role("button", name="Sign out").click()
    dialog = page.get_by_role("dialog", name="Sign out")
    async with other.expect_navigation(), page.expect_navigation():
        await dialog.get_by_role("button", name="Sign out here").click()

    for each in (page, other):
        await expect(each.get_by_label("Token")).to_be_visible()
        await expect(each.locator("#message")).to_have_value("")
    await page.context.add_cookies(cookies)
    assert (await page.request.get(f"{watched.chat.address}/api/quota")).status == 401


async def test_signing_out_everywhere_ends_the_sessions_of_other_browsers(watched):
    page = await signed_in(watched, "ada-token-0123456789")
    elsewhere = await signed_in(watched, "ada-token-0123456789")

    await page.get_by_role("button", name="Sign out").click()
    async with page.expect_navigation():
        await page.get_by_role("button", name="Sign out everywhere").click()

    answer = await elsewhere.request.get(f"{watched.chat.address}/api/quota")
    assert answer.status == 401


async def test_the_browser_saves_the_audit_log(watched):
    await watched.bot.service.admin.ban("web:local", "discord:1234", "spam")
    page = await signed_in(watched, "admin-token-0123456789")

    async with page.expect_download() as download:
        await say(page, "admin audit export")

    saved = await download.value
    assert saved.suggested_filename == "audit.jsonl"
    assert '"spam"' in (await saved.path()).read_text()

"""Told by the browser that a picture is done, where one looks elsewhere meanwhile."""

from playwright.async_api import expect

from tests.adapters.web_chat.page.conftest import DRIVEN, ready, say
from tests.conftest import ADMIN, finished

pytestmark = DRIVEN

#: A browser that can be looked into, and its page looked away from.
BROWSER = """
window.told = [];
window.asked = 0;
window.Notification = class extends EventTarget {
  static permission = "default";
  static async requestPermission() {
    window.asked += 1;
    return (this.permission = "granted");
  }
  constructor(title, { body }) {
    super();
    window.told.push([title, body]);
    window.latest = this;
  }
  close() {}
};
window.look = (away) => {
  Object.defineProperty(document, "hidden", { value: away, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
};
"""


async def test_whoever_looks_elsewhere_is_told_as_they_have_set_it(site, browser):
    context = await site.context()
    await context.add_init_script(BROWSER)
    page = await site.page(context=context)
    await ready(page)

    async def ends_unseen():
        await page.evaluate("look(true)")
        site.engine.allow(2)
        job = (await site.bot.service.lookups.history(ADMIN)).jobs[0]
        await finished(job)
        await page.evaluate("look(true)")  # it asks for news now, and not in a while
        await expect(page).to_have_title("✓ fluxbot")
        await page.evaluate("look(false)")
        return await page.evaluate("told.splice(0)")

    card = page.locator(".job").last
    await say(page, "a fox --steps 2")
    await expect(card.get_by_role("button", name="Cancel")).to_be_visible()
    assert await page.evaluate("asked") == 0, "at load, or without a press"
    await card.get_by_role("button", name="Tell me when it is done").click()
    await expect(card).to_contain_text("You will be told")
    assert await ends_unseen() == [["Your picture is ready", "a fox"]]
    await page.evaluate("latest.dispatchEvent(new Event('click'))")
    await expect(page.locator("#viewer h2")).to_have_text("a fox")
    await page.keyboard.press("Escape")

    await say(page, "an owl --steps 2")
    await expect(card.get_by_role("button", name="Cancel")).to_be_visible()
    assert await ends_unseen() == [], "it did not take long"

    async with page.expect_response("**/api/me/notifications"):
        await say(page, "settings --notify always")
    await say(page, "an elk --steps 2")
    await expect(card.get_by_role("button", name="Cancel")).to_be_visible()
    assert await ends_unseen() == [["Your picture is ready", "an elk"]]

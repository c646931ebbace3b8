"""Accounts that are joined on the page, with a person of Discord on the other side."""

from playwright.async_api import expect

from bot.conversation import converse
from bot.source import Source
from tests.adapters.web_chat.page.conftest import DRIVEN, say
from tests.conftest import ADMIN, EVE

pytestmark = DRIVEN


async def test_a_dialog_asks_once_the_other_side_has_said_yes(site, page):
    service, eves = site.bot.service, Source(EVE, name="Eve")
    await say(page, "link")
    answer = page.get_by_role("list", name="Conversation").get_by_text("Your code is")
    await expect(answer).to_be_visible()
    code = (await answer.inner_text()).partition("Your code is ")[2][:9]

    await converse(service, eves, f"link {code}")
    await converse(service, eves, "link yes")
    dialog = page.get_by_role("dialog", name="Join accounts")
    await expect(dialog).to_contain_text("Discord “Eve” (eve)")
    await dialog.get_by_role("button", name="Yes, join them").click()

    told = page.get_by_role("list", name="Conversation").get_by_text("Joined: this account and")
    await expect(told).to_be_visible()
    assert service.selves.of(ADMIN) == {ADMIN, EVE}

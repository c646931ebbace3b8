"""The box that prompts are typed into."""

from playwright.async_api import expect

from bot.commands.options import IMAGINE
from tests.adapters.web_chat.page.conftest import DRIVEN, attach, drawn, pictures, say

pytestmark = DRIVEN


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


async def test_enter_sends_what_is_written_out_though_longer_words_begin_with_it(site, page):
    await page.locator("#message").focus()
    await page.keyboard.type("a fox --mask top")
    await expect(page.locator("#completion li")).to_have_count(3)

    await page.keyboard.press("Enter")

    await expect(page.locator("#notice")).to_contain_text("Mask is for a preset")
    await expect(page.locator("#message")).to_have_value("a fox --mask top")


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


async def test_the_page_knows_every_word_that_says_the_same_as_a_click(page):
    """Else a chip would go on showing an option that is not used."""
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
    await page.get_by_role("button", name="Draw").click()
    await expect(pictures(page)).to_have_count(1)
    await say(page, "a green circle --steps 99")
    await expect(page.locator("#notice")).to_contain_text("99")
    await page.get_by_label("Guidance").fill("5")
    await expect(page.locator("#notice")).to_be_visible()
    await say(page, "a green circle --steps 1")
    await expect(pictures(page)).to_have_count(2)
    assert [request.preset for request in await drawn(site, 2)] == ["canny", "plain"]


async def test_the_arrow_up_brings_back_what_was_said_last(site, page):
    await say(page, "a fox --steps 2")
    box = page.locator("#message")
    await expect(box).to_have_value("")

    await box.press("ArrowUp")

    await expect(box).to_have_value("a fox --steps 2")
    await box.fill("a cat")
    await box.press("ArrowUp")
    await expect(box).to_have_value("a cat")


async def test_characters_are_counted_where_the_limit_is_near(site, page):
    box, counter = page.locator("#message"), page.locator("#counter")
    await box.fill("x" * 1799)
    await expect(counter).to_be_hidden()

    await box.fill("x" * 2001)

    await expect(counter).to_have_text("2001 of 2000 characters")
    await expect(counter).to_have_class("counter over")

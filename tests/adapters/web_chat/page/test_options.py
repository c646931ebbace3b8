"""The form, which says the same as the words."""

from playwright.async_api import expect

from bot.commands import fit_size
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
from tests.conftest import ADMIN, finished, until

pytestmark = DRIVEN


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
    (job,) = (await site.bot.service.lookups.history(ADMIN)).jobs
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
    await page.locator("#message").fill("a yellow star")
    await page.get_by_label("Guidance").fill("5")
    await say(page, "a yellow star")
    await expect(pictures(page)).to_have_count(2)

    await expect(chips.locator("li")).to_have_text(["3 steps", "guidance 5"])
    await say(page, "a moon")
    await expect(pictures(page)).to_have_count(3)
    star, moon = await drawn(site, 2)
    assert (star.seed, star.num_inference_steps, star.width) == (7, 8, 192)
    assert (moon.num_inference_steps, moon.width, moon.guidance_scale) == (3, 256, 5)


async def test_what_is_typed_stands_in_the_form_and_changes_with_it(site, page):
    site.engine.open()
    message, chips = page.locator("#message"), page.locator("#chips li")
    await page.get_by_role("button", name="Options").click()
    await page.get_by_label("Steps").fill("3")

    await message.fill('a --steps 8 fox --ar 3:2 --seed 7 --no "bad hands" --preset plain')

    for label, value in {"Steps": "8", "Seed": "7", "Negative prompt": "bad hands"}.items():
        await expect(page.get_by_label(label)).to_have_value(value)
    await expect(page.get_by_label("3:2")).to_be_checked()
    await expect(page.locator("#drawn")).to_have_text("320 × 208")
    await page.get_by_label("Steps").fill("5")
    await page.get_by_label("Negative prompt").fill('a "hand"')
    await page.get_by_label("16:9").check()
    await page.get_by_role("button", name="Any").click()

    await expect(message).to_have_value(
        'a --steps 5 fox --size 336x192 --no "a \\"hand\\"" --preset plain'
    )
    await expect(chips).to_have_count(0)
    await message.press("Escape")
    await message.press("Enter")
    await expect(pictures(page)).to_have_count(1)
    (request,) = await drawn(site, 1)
    assert (request.num_inference_steps, request.width) == (5, 336)
    assert request.negative_prompt == 'a "hand"'


async def test_a_shape_has_the_size_on_the_page_that_the_bot_gives_it(page):
    shapes = [((3, 2), 65536), ((16, 9), 1024**2), ((9, 16), 2**19), ((7, 5), 500_000)]

    sizes = await page.evaluate(
        """async (shapes) => {
          const { sizeOf } = await import("/static/grammar.js");
          return shapes.map(([ratio, pixels]) => sizeOf(ratio, pixels));
        }""",
        shapes,
    )

    assert [tuple(size) for size in sizes] == [fit_size(*shape) for shape in shapes]


async def test_the_price_is_that_of_all_pictures_that_the_words_ask_for(page):
    await page.locator("#message").fill("a {red,blue} circle --steps 10")

    await expect(page.locator("#drawn")).to_have_text("2 pictures, 256 × 256")
    await expect(page.locator("#cost")).to_have_text("20 credits")


async def test_the_reach_of_a_controlnet_is_chosen_in_the_form(site, page):
    site.engine.open()
    await page.get_by_role("button", name="Options").click()
    await expect(page.get_by_label("Begins at")).to_be_hidden()
    await attach(page)
    await page.get_by_label("Strength").fill("0.4")
    await page.get_by_label("Begins at").fill("0.1")
    await page.get_by_label("Ends at").fill("0.6")
    await say(page, "a circle --steps 1")
    await expect(pictures(page)).to_have_count(1)

    (request,) = await drawn(site, 1)
    assert request.kind.strength_setting == 0.4
    assert request.kind.span_setting == (0.1, 0.6)
    await page.locator(".job").get_by_role("button", name="Edit prompt").click()
    await attached(page)
    await expect(page.get_by_label("Ends at")).to_have_value("0.6")


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


async def test_presets_are_shown_with_what_they_draw(site, page):
    site.engine.open()
    job = await site.bot.service.samples.draw(Source(ADMIN), "plain")
    await finished(job)
    await until(lambda: "plain" in site.bot.service.samples.all())
    await page.reload()
    await ready(page)

    await page.get_by_role("button", name="Options").click()

    card = page.locator(".preset-card", has_text="plain")
    await expect(card.locator("img")).to_be_visible()
    await expect(page.locator(".preset-card", has_text="canny").locator("img")).to_have_count(0)

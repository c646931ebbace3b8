"""The page in the languages of the people who look at it."""

from playwright.async_api import expect

from tests.adapters.web_chat.page.conftest import DRIVEN, WIDE, pictures, ready, say

pytestmark = DRIVEN

#: What the page says in English, of those sentences that say something else in German.
ENGLISH = """
async () => {
  const sentences = await (await fetch("/static/languages/de.json")).json();
  const english = Object.keys(sentences)
    .filter((each) => !each.includes("{") && sentences[each] !== each)
    .filter((each) => /[a-z] |^[A-Z]/.test(each));
  const said = [...document.querySelectorAll("body *")].flatMap((each) => [
    ...[...each.childNodes].filter(({ nodeType }) => nodeType === 3).map(({ data }) => data),
    ...["aria-label", "title", "placeholder", "alt"].map((name) => each.getAttribute(name) ?? ""),
  ]);
  return said.map((text) => text.trim()).filter((text) => english.includes(text));
}
"""


async def test_a_german_browser_finds_a_german_page_and_a_german_bot(site, browser):
    site.engine.open()
    context = await browser.new_context(viewport=WIDE, locale="de-DE")
    page = await site.page(context=context)
    await ready(page)
    await expect(page.locator("html")).to_have_attribute("lang", "de")
    await expect(page.get_by_role("heading", name="Was zeichnen wir?")).to_be_visible()
    await expect(page.locator("#quota-text")).to_have_text("10.000 Credits")
    await say(page, "a fox --steps 99")
    await expect(page.locator("#notice")).to_contain_text("eine ganze Zahl zwischen 1 und 50")
    await say(page, "a fox --steps 2 --images 2")
    await expect(pictures(page)).to_have_count(2)
    await say(page, "quota")
    await expect(page.locator(".quota-card")).to_contain_text("Credits in")
    for name in ("Optionen", "Verlauf"):
        await page.get_by_role("button", name=name, exact=True).click()
    await page.get_by_role("button", name="Bild 1 von 2 öffnen").click()
    await expect(
        page.locator("#viewer").get_by_role("button", name="Leicht variieren")
    ).to_be_visible()

    assert await page.evaluate(ENGLISH) == []


async def test_the_language_that_somebody_chooses_is_remembered(site, page):
    await page.get_by_role("button", name="Options").click()
    async with page.expect_navigation():
        await page.get_by_label("Language").select_option("fr")

    await ready(page)
    await page.reload()
    await ready(page)
    await expect(page.get_by_role("heading", name="Que dessinons-nous ?")).to_be_visible()
    await say(page, "help")
    await expect(page.locator(".reply")).to_contain_text("Relie tes comptes")

"""More presets than Discord's menus and messages have room for."""

import pytest

from adapters.discord_chat.messages import MAX_DESCRIPTION, presets_post, text_post
from generation.types import Preset
from tests.adapters.discord_chat.conftest import SMALL, drawn, ended, the_job
from tests.conftest import PRESETS

MANY = {
    f"style-{number:02}": Preset(
        name=f"style-{number:02}", description=f"Style *{number}*: " + "very long words " * 8
    )
    for number in range(60)
}


@pytest.fixture
async def crowded(make_presence, gate):
    gate.open()
    return await make_presence(presets={**PRESETS, **MANY})


@pytest.fixture
async def eve(crowded, fake):
    return fake.person("eve")


def options_of(form):
    return {each["value"]: each for each in form.modal.fields["preset"]["options"]}


async def test_all_presets_are_listed_on_pages(eve, fake):
    listed = await eve.command(fake.channel, "flux presets")
    message = await listed.until(ended)
    seen = [message.text]

    while forward := [label for label in message.buttons if "▶" in label]:
        turned = await eve.press(message, forward[0])
        await turned.answered()
        before = message.text
        message = await listed.until(lambda message, before=before: message.text != before)
        seen.append(message.text)
    turned = await eve.press(message, next(iter(message.buttons)))
    await listed.until(lambda message: message.text == seen[-2])

    for name in (*PRESETS, *MANY):
        assert len([page for page in seen if f"{name}:" in page or f"{name} (" in page]) == 1, name


async def test_the_form_of_a_picture_has_its_own_preset_and_says_how_to_name_others(eve, fake):
    asked = await eve.command(
        fake.channel, "flux imagine", prompt="a fox", preset="style-57", **SMALL
    )
    fox = await asked.until(drawn)

    opened = await eve.press(fox, "Edit prompt")
    await opened.answered()

    offered = options_of(opened)
    assert len(offered) == 25
    assert offered["style-57"]["default"]
    hints = [part.get("description") for part in opened.modal.components]
    assert any("more: name one under Options, as in --preset style-" in str(hint) for hint in hints)


async def test_a_preset_that_the_menu_has_no_room_for_can_be_typed(crowded, eve, fake):
    asked = await eve.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    opened = await eve.press(await asked.until(drawn), "Edit prompt")
    await opened.answered()
    assert "style-59" not in options_of(opened)

    sent = await eve.submit(opened, {"options": "--preset style-59 --steps 3 --size 64x64"})

    await sent.until(drawn)
    assert (await the_job(crowded.bot.service, eve)).request.preset == "style-59"


def test_a_page_holds_what_a_message_holds_whatever_a_line_is_made_of():
    text = "\n".join(f"name-{number}: " + "*_~`" * number for number in range(120))

    pages = [presets_post(text, page) for page in range(1, 40)]

    assert all(len(page.embeds[0].description) <= MAX_DESCRIPTION for page in pages)
    first = [page for page in pages if not page.files]
    assert len({page.embeds[0].description for page in first}) > 10


def test_a_text_that_is_too_long_is_attached_as_a_whole():
    text = "a long story\n" * 1000

    ((name, data),) = text_post(text).files

    assert name == "answer.txt"
    assert data.decode() == text
    assert not text_post("short").files

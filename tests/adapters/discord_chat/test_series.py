"""Several pictures in one message on Discord."""

import asyncio

import pytest

from tests.adapters.discord_chat.conftest import SMALL, drawn, shows
from tests.bot.test_expansion import RICH, LanguageModel
from tests.conftest import stepping
from tests.fakes.discord import File
from tests.samples import opened, picture


@pytest.fixture
def ask(fake, ada):
    """Asks for a series and accepts its price; the interaction that draws it."""

    async def ask(person=ada, **options):
        asked = await person.command(fake.channel, "flux imagine", **options, **SMALL)
        proposal = await asked.followed_up(1)
        assert proposal.is_ephemeral
        return await person.press(proposal, next(iter(proposal.buttons)))

    return ask


def full(message):
    return "2 of 2 are drawn" in message.text and "Cancel all" not in message.buttons


async def test_the_price_is_said_first_and_a_no_costs_nothing(fake, ada, service):
    asked = await ada.command(fake.channel, "flux imagine", prompt="{red,blue} house", **SMALL)

    proposal = await asked.followed_up(1)

    assert "2 pictures:" in proposal.text
    assert "Together they cost 2 credits; you have 10000." in proposal.text
    assert list(proposal.buttons) == ["Draw 2 pictures", "No"]
    pressed = await ada.press(proposal, "No")
    assert "Nothing was drawn." in (await pressed.followed_up(1)).text
    assert (await service.quota(f"discord:{ada.id}")).used == 0


async def test_one_message_fills_as_the_pictures_end(fake, ask, ada, gate):
    pressed = await ask(prompt="{red,blue} house")
    message = await pressed.until(shows("0 of 2 are drawn"))
    assert list(message.buttons) == ["Cancel all"]

    gate.allow(3)
    message = await pressed.until(shows("1 of 2 are drawn"))
    assert "1. red ·" in message.text
    assert "2. blue · Drawing step" in message.text
    assert list(message.buttons) == ["1. red", "Cancel all"]
    gate.open()
    message = await pressed.until(full)

    assert list(message.buttons) == ["1. red", "2. blue"]
    (sheet,) = message.attachments
    with opened(sheet.data) as image:
        assert image.width > image.height > 500
        assert "trainedAlgorithmicMedia" in str(image.info["xmp"])
    assert fake.channel.messages == [message]


async def test_one_of_them_is_picked_to_go_on_with(ask, ada, gate):
    gate.open()
    message = await (await ask(prompt="{red,blue} house")).until(full)

    picked = await (await ada.press(message, "2. blue")).until(drawn)

    assert "blue house" in picked.text
    assert {"Again", "Vary strong", "Edit prompt"} <= set(picked.buttons)


async def test_cancelling_cancels_all_that_are_left(ask, ada, service, gate):
    pressed = await ask(prompt="a red circle", repeat=3)
    message = await pressed.until(shows("Drawing step 0"))

    await ada.press(message, "Cancel all")

    # What is being drawn ends with its next step, which is paid for.
    await pressed.until(lambda each: each.text.count("Cancelled") >= 2)
    await stepping(gate, pressed.until(lambda each: not each.buttons))
    assert (await service.quota(f"discord:{ada.id}")).used <= 1


async def test_a_contact_sheet_goes_through_several_presets(fake, ada, gate, ask):
    gate.open()

    pressed = await ask(
        prompt="a fox", contact_sheet="plain, redraw,canny", control_image=File(picture(), "a.png")
    )

    message = await pressed.until(shows("3 of 3 are drawn"))
    assert list(message.buttons) == ["1. plain", "2. redraw", "3. canny"]


async def test_a_series_is_followed_after_a_restart(fake, ask, make_presence, presence, gate):
    pressed = await ask(prompt="{red,blue} house")
    await pressed.until(shows("Drawing step 0"))

    await stepping(gate, presence.restart())
    gate.open()

    await pressed.until(full)
    await asyncio.sleep(0)
    assert len(fake.channel.messages) == 1


async def test_a_shortcut_is_kept_used_and_removed(fake, ada, gate):
    gate.open()
    kept = await ada.command(
        fake.channel, "flux prefer", name="tiny", text="--size 64x64 --steps 2"
    )
    message = await kept.until(shows("--tiny"))

    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox --tiny")
    assert "2 steps · 64×64" in (await asked.until(drawn)).text
    removed = await ada.press(message, "Remove tiny")

    assert "no words of your own" in (await removed.followed_up(1)).text


async def test_a_picture_is_expanded_by_its_button(fake, make_presence, gate):
    model = await LanguageModel().start()
    await make_presence(expansion={"url": model.url, "model": "small"})
    ada = fake.person("ada")
    gate.open()
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)

    pressed = await ada.press(await asked.until(drawn), "Expand")
    proposal = await pressed.until(shows(RICH))
    assert proposal.is_ephemeral
    accepted = await ada.press(proposal, "Draw this")

    message = await accepted.until(drawn)
    assert RICH in message.text
    assert "Expanded from: a fox" in message.text
    await model.stop()


async def test_words_are_expanded_by_a_command(fake, make_presence, gate):
    model = await LanguageModel().start()
    await make_presence(expansion={"url": model.url, "model": "small"})
    ada = fake.person("ada")

    asked = await ada.command(fake.channel, "flux expand", prompt="a fox", axis="light")
    proposal = await asked.until(shows(RICH))
    nothing = await ada.command(fake.channel, "flux expand")

    assert "Draw this" in proposal.buttons
    await nothing.until(shows("Expand what?"))
    await model.stop()


async def test_braces_of_an_edited_prompt_are_text_or_alternatives(fake, ada, gate, presence):
    gate.open()
    asked = await ada.command(fake.channel, "flux imagine", prompt="a \\{red,blue\\} fox", **SMALL)
    fox = await asked.until(drawn)
    pressed = await ada.press(fox, "Edit prompt")
    await pressed.answered()
    assert "a \\{red,blue\\} fox" in [f.get("value") for f in pressed.modal.fields.values()]

    same = await ada.submit(pressed, {"options": "--steps 2 --size 64x64"})
    assert "a {red,blue} fox" in (await same.until(drawn)).text
    again = await ada.press(fox, "Edit prompt")
    await again.answered()
    several = await ada.submit(again, {"prompt": "a {red,blue} fox"})

    proposal = await several.followed_up()
    assert "Draw 2 pictures" in proposal.buttons

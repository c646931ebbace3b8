"""Pictures changed as words say: a command, a button, and an entry in the menu of a message."""

import pytest

from generation.kinds import Edit
from generation.types import Preset
from tests.adapters.discord_chat.conftest import SMALL, drawn, shows, the_job
from tests.conftest import PRESETS
from tests.fakes.discord import File
from tests.samples import picture


@pytest.fixture
async def edits(make_presence):
    edit = Preset(name="edit", kind=Edit(kontext="a/b"))
    return await make_presence(presets={**PRESETS, "edit": edit})


async def test_a_picture_is_changed_as_the_form_behind_its_button_says(edits, fake, gate):
    gate.open()
    ada, bob = fake.person("ada"), fake.person("bob")
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    fox = await asked.until(drawn)

    pressed = await bob.press(fox, "Edit picture")
    await pressed.answered()
    assert pressed.modal.title == "Edit picture"
    submitted = await bob.submit(pressed, {"prompt": "make it night"})

    night = await submitted.until(drawn)
    assert f"<@{bob.id}> · edited from" in night.text
    assert f"by <@{ada.id}>" in night.text
    assert "make it night" in night.text


async def test_flux_edit_changes_an_attached_picture_or_one_of_a_job(edits, fake, gate):
    gate.open()
    ada = fake.person("ada")
    attached = await ada.command(
        fake.channel, "flux edit", words="make it night", picture=File(picture(), "fox.png")
    )
    await attached.until(drawn)

    latest = await (await ada.command(fake.channel, "flux edit", words="make it day")).until(drawn)

    assert "edited from" in latest.text

    foxes = await ada.command(fake.channel, "flux imagine", prompt="a fox", images=2, **SMALL)
    await foxes.until(drawn)
    job = await the_job(edits.bot.service, ada)
    asked = await ada.command(fake.channel, "flux imagine", prompt="a red circle", **SMALL)
    await asked.until(drawn)
    asked = await ada.command(fake.channel, "flux edit", words="make it day", id=job.id, number=2)

    assert f"edited from {job.id}" in (await asked.until(drawn)).text


SEVERAL = ["control_image", "control_image_2", "control_image_3", "control_image_4"]


async def test_as_many_pictures_are_changed_together_as_the_preset_takes(make_presence, fake, gate):
    gate.open()
    together = Preset(name="edit", kind=Edit(references=3))
    presence = await make_presence(presets={**PRESETS, "edit": together})
    ada = fake.person("ada")
    files = [File(picture(), f"{number}.png") for number in range(4)]
    named = dict(zip(["picture", "picture_2", "picture_3", "picture_4"], files, strict=True))
    asked = await ada.command(fake.channel, "flux edit", words="put it on him", **named)
    hats = await asked.until(drawn)
    service = presence.bot.service
    assert list((await the_job(service, ada)).request.pictures) == SEVERAL

    pressed = await ada.press(hats, "Edit picture")
    await pressed.answered()
    sent = await ada.submit(pressed, {"prompt": "make it night", "others": files[1:]})
    await sent.until(drawn)
    assert list((await the_job(service, ada)).request.pictures) == SEVERAL

    opened = await ada.command(fake.channel, "flux form")
    await opened.answered()
    filled = {"prompt": "a hat", "preset": "edit", "picture": files}
    await (await ada.submit(opened, filled)).until(drawn)
    assert list((await the_job(service, ada)).request.pictures) == SEVERAL


async def test_the_menu_of_a_message_changes_its_picture(edits, fake, gate):
    gate.open()
    ada, bob = fake.person("ada"), fake.person("bob")
    message = await ada.say(fake.channel, "look", File(picture(), "fox.png"))

    chosen = await bob.menu("Edit picture", message)
    await chosen.answered()
    submitted = await bob.submit(chosen, {"prompt": "make it night"})

    assert "make it night" in (await submitted.until(drawn)).text


async def test_where_no_preset_edits_no_button_does_and_the_command_says_why(presence, fake, gate):
    gate.open()
    ada = fake.person("ada")
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    fox = await asked.until(drawn)
    assert "Edit picture" not in fox.buttons

    asked = await ada.command(fake.channel, "flux edit", words="make it night")
    chosen = await ada.menu("Edit picture", fox)

    for refused in (await asked.followed_up(), await chosen.until(shows("No preset"))):
        assert "No preset here changes a picture by words" in refused.text

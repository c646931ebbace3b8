"""A part of a picture drawn anew: nine buttons that remember what was chosen, and a form."""

import pytest

from tests.adapters.discord_chat.conftest import drawn, shows, the_job
from tests.conftest import INPAINTING
from tests.samples import opened


@pytest.fixture
async def paints(make_presence):
    return await make_presence(presets=INPAINTING)


@pytest.fixture
async def fox(paints, fake, gate):
    """A picture, and the person who asked for it."""
    gate.open()
    ada = fake.person("ada")
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", size="96x96", steps=3)
    return await asked.until(drawn), ada


def chosen(message):
    """Labels of the fields that are marked as chosen."""
    return [
        each["label"]
        for each in message.controls
        if each.get("style") == 1 and each["label"].isdecimal()
    ]


async def choose(person, message, *numbers):
    """Press fields of *message*, each once those before it are marked."""
    for number in numbers:
        marked = sorted(set(chosen(message)) ^ {number})
        pressed = await person.press(message, number)
        await pressed.until(lambda shown, marked=marked: chosen(shown) == marked)


async def test_fields_are_chosen_one_by_one_and_drawn_as_the_form_says(paints, fox, fake):
    message, ada = fox
    bob = fake.person("bob")

    pressed = await bob.press(message, "Change a part")
    fields = await pressed.until(shows("Press the fields that are to be drawn anew"))
    before = opened(fields.attachments[0].data).tobytes()
    await choose(bob, fields, "1", "2", "6")
    await choose(bob, fields, "2")
    assert opened(fields.attachments[0].data).tobytes() != before, "it shows what is chosen"
    ended = await bob.press(fields, "Draw anew")
    await ended.answered()
    assert ended.modal.title == "Change a part"
    submitted = await bob.submit(ended, {"prompt": "a hat"})
    answer = await submitted.until(drawn)

    job, first = await the_job(paints.bot.service, bob), await the_job(paints.bot.service, ada)
    assert (job.parent, job.request.prompt, job.request.preset) == (first.id, "a hat", "inpaint")
    mask = opened(job.request.pictures["mask_image"]).convert("L")
    fields_drawn = [
        mask.getpixel((16 + 32 * x, 16 + 32 * y)) > 0 for y in range(3) for x in range(3)
    ]
    assert [n for n, is_drawn in enumerate(fields_drawn, 1) if is_drawn] == [1, 6]
    assert not answer.is_ephemeral


async def test_fields_that_are_pressed_faster_than_they_are_shown_are_all_chosen(fox):
    message, ada = fox
    pressed = await ada.press(message, "Change a part")
    fields = await pressed.until(shows("Press the fields"))

    presses = [await ada.press(fields, number) for number in ("1", "5", "9")]
    for each in presses:
        await each.until(lambda shown: chosen(shown) == ["1", "5", "9"])
    await choose(ada, fields, "5")

    assert chosen(fields) == ["1", "9"]


async def test_nothing_is_drawn_anew_before_a_field_is_chosen_and_a_restart_forgets_none(
    paints, fox
):
    message, ada = fox
    pressed = await ada.press(message, "Change a part")
    fields = await pressed.until(shows("Press the fields"))
    (end,) = [each for each in fields.controls if each.get("label") == "Draw anew"]
    assert end["disabled"]
    await choose(ada, fields, "9")

    await paints.stop()
    await paints.start()
    await choose(ada, fields, "8")

    assert chosen(fields) == ["8", "9"]


async def test_the_part_of_a_private_picture_stays_private(paints, fake, gate):
    gate.open()
    ada = fake.person("ada")
    asked = await ada.command(
        fake.channel, "flux imagine", prompt="a fox", size="64x64", steps=3, private=True
    )
    fox = await asked.until(drawn)
    pressed = await ada.press(fox, "Change a part")
    fields = await pressed.until(shows("Press the fields"))
    await choose(ada, fields, "5")

    ended = await ada.press(fields, "Draw anew")
    await ended.answered()
    submitted = await ada.submit(ended, {"prompt": "a hat"})

    assert (await submitted.until(drawn)).is_ephemeral


async def test_where_no_preset_inpaints_no_button_does(presence, fake, gate):
    gate.open()
    asked = await fake.person("ada").command(
        fake.channel, "flux imagine", prompt="a fox", size="64x64", steps=3
    )

    assert "Change a part" not in (await asked.until(drawn)).buttons

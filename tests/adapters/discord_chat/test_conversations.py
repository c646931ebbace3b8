"""Ten conversations on Discord, which docs/conversations.md shows."""

import pytest

from generation.kinds import Edit, Upscale
from generation.types import Preset
from tests.adapters.discord_chat.conftest import SMALL, drawn, ended, marked, shows, the_job
from tests.conftest import PRESETS
from tests.conversations import TWO_MODELS, hold
from tests.fakes.discord import File, transcript
from tests.samples import picture


@pytest.fixture
def held(fake, request):
    """Holds what the channel shows, to ada too."""

    def held(title, person):
        hold("Discord", title, transcript(fake.channel, sees=person))

    return held


async def ask(fake, person, prompt, **options):
    return await person.command(
        fake.channel, "flux imagine", prompt=prompt, **{**SMALL, "seed": 7, **options}
    )


async def test_a_first_picture(fake, ada, gate, held):
    gate.open()
    await (await ask(fake, ada, "a fox in snow")).until(drawn)

    held("A first picture", ada)


async def test_a_place_in_the_queue(fake, ada, bob, gate, held):
    await (await ask(fake, bob, "a lighthouse")).until(shows("step 0"))
    asked = await ask(fake, ada, "a fox in snow")
    await asked.until(shows("1 ahead"))

    held("Somebody is being drawn for already", ada)


async def test_a_picture_of_ones_own_is_followed(fake, ada, gate, held):
    gate.open()
    attached = File(picture(), "holiday.png")
    asked = await ask(fake, ada, "a castle", preset="canny", control_image=attached)
    await asked.until(drawn)

    held("A picture that is followed", ada)


async def test_a_change(make_presence, fake, gate, held):
    gate.open()
    edit = Preset(name="edit", kind=Edit(kontext="a/b"), description="Changes a picture")
    await make_presence(presets={**PRESETS, "edit": edit})
    ada = fake.person("ada")
    fox = await (await ask(fake, ada, "a fox in snow")).until(drawn)
    pressed = await ada.press(fox, "Edit picture")
    await pressed.answered()
    submitted = await ada.submit(pressed, {"prompt": "make it night"})
    await submitted.until(drawn)

    held("A picture is changed as words say", ada)


async def test_on_from_the_last_picture(fake, ada, gate, held):
    gate.open()
    await (await ask(fake, ada, "a fox in snow")).until(drawn)
    asked = await ada.command(fake.channel, "flux imagine", prompt="same, at night")
    await asked.until(drawn)

    held("On from the last picture", ada)


async def test_four_and_one_of_them(fake, ada, gate, held):
    gate.open()
    message = await (await ask(fake, ada, "a fox", images=4)).until(drawn)
    pressed = await ada.press(
        message, next(name for name in message.buttons if "U" in name or "2" in name)
    )
    await pressed.until(ended)

    held("Four at once", ada)


async def test_larger(make_presence, fake, gate, held):
    gate.open()
    large = Preset(name="large", kind=Upscale(tile_size=64), description="Twice the size")
    await make_presence(presets={**PRESETS, "large": large})
    ada = fake.person("ada")
    message = await (await ask(fake, ada, "a fox in snow")).until(drawn)
    await (await ada.press(message, "Upscale")).until(drawn)

    held("Larger", ada)


async def test_a_draft_and_its_picture(fake, ada, gate, held):
    gate.open()
    asked = await ask(fake, ada, "a fox in snow", draft=True, size="128x128", steps=20)
    message = await asked.until(drawn)
    await (await ada.press(message, "Final picture")).until(drawn)

    held("A draft first", ada)


async def test_a_number_that_is_too_large(fake, ada, held):
    asked = await ask(fake, ada, "a fox", size="2048x2048")
    await asked.followed_up()
    await fake.until(lambda: asked.message.is_deleted)

    held("More than there is room for", ada)


async def test_courtesy(fake, ada, held):
    for words in ("hello", "thanks!"):
        asked = await ada.command(fake.channel, "flux imagine", prompt=words)
        await asked.followed_up()
        await fake.until(lambda asked=asked: asked.message.is_deleted)

    held("Courtesy", ada)


async def test_a_change_of_mind(fake, ada, bob, gate, held):
    await (await ask(fake, bob, "a lighthouse")).until(shows("step 0"))
    asked = await ask(fake, ada, "a fox in snow")
    message = await asked.until(shows("1 ahead"))
    await ada.press(message, "Cancel")
    await asked.until(shows("ancelled"))

    held("A change of mind", ada)


async def test_what_is_left_and_what_was_drawn(fake, ada, gate, held):
    gate.open()
    await (await ask(fake, ada, "a fox in snow")).until(drawn)
    for name in ("flux quota", "flux queue"):
        await (await ada.command(fake.channel, name)).until(ended)

    held("What is left", ada)


async def test_which_models_there_are(make_presence, fake, held):
    await make_presence(**TWO_MODELS)
    ada = fake.person("ada")
    await (await ada.command(fake.channel, "flux models")).until(ended)

    held("What there is to draw with", ada)


async def test_stars_letters_and_crosses(fake, ada, bob, gate, service):
    gate.open()
    fox = await (await ask(fake, ada, "a fox in snow")).until(drawn)
    job = await the_job(service, ada)
    await bob.react(fox, "⭐")
    await marked(service, bob, job.id)
    listed = await bob.command(fake.channel, "flux history", favourites=True)
    await listed.until(ended)
    await bob.react(fox, "✉️")
    await bob.direct.until(len)

    letter = transcript(bob.direct).replace(job.id, "picture1")
    hold("Discord", "Stars and letters", f"{transcript(fake.channel, sees=bob)}\n\n{letter}")

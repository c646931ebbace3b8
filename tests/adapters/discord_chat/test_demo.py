"""A conversation on Discord with the model that ships, and a look at what it drew."""

import pytest

from tests.adapters.discord_chat.conftest import Presence, drawn
from tests.fakes.discord import File
from tests.samples import opened

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture
async def on_discord(demo, fake):
    """The demo model's bot on Discord."""
    presence = Presence(demo, fake)
    await presence.start()
    yield presence
    await presence.stop()


async def test_a_conversation_ends_in_the_pictures_that_were_asked_for(on_discord, fake):
    from generation.demo import checker

    ada = fake.person("ada")
    asked = await ada.command(
        fake.channel, "flux imagine", prompt="a red circle on a blue background", seed=3
    )
    circle = await asked.until(drawn)
    ground, found = checker.look(opened(circle.attachments[0].data))
    assert opened(circle.attachments[0].data).size == (256, 256)
    assert ground == "blue"
    assert [(each.colour, each.shape) for each in found] == [("red", "circle")]

    pressed = await ada.press(circle, "Use as control image")
    await pressed.answered()
    followed = await ada.submit(
        pressed, {"prompt": "a yellow circle on a green background", "preset": "canny"}
    )
    ground, found = checker.look(opened((await followed.until(drawn)).attachments[0].data))
    assert ground == "green"
    assert [each.colour for each in found] == ["yellow"]

    attached = await ada.command(
        fake.channel,
        "flux imagine",
        prompt="a red circle on a blue background",
        preset="redraw",
        strength=0.3,
        control_image=File(circle.attachments[0].data, "circle.png"),
    )
    assert checker.look(opened((await attached.until(drawn)).attachments[0].data))[0] == "blue"

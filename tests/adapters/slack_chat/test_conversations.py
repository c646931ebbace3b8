"""Ten conversations on Slack, which docs/conversations.md shows."""

import pytest

from generation.kinds import Edit, Upscale
from generation.types import Preset
from tests.adapters.slack_chat.conftest import SMALL, delivered, jobs, marked
from tests.conftest import PRESETS
from tests.conversations import TWO_MODELS, hold
from tests.samples import picture

FOX = f"a fox in snow {SMALL} --seed 7"


@pytest.fixture
def held(slack):
    """Holds what a channel shows."""

    def held(title, channel):
        hold("Slack", title, slack.transcript(channel))

    return held


async def test_a_first_picture(chat, ada, general, gate, held):
    gate.open()
    await ada.mention(general, FOX)
    await general.said("seed 7", button="Again")

    held("A first picture", general)


async def test_a_place_in_the_queue(chat, slack, ada, general, held):
    bob = slack.person("bob")
    await bob.mention(general, f"a lighthouse {SMALL}")
    await general.said("Drawing step 0", button="Cancel")
    await ada.mention(general, FOX)
    await general.said("1 ahead", button="Cancel")

    held("Somebody is being drawn for already", general)


async def test_a_picture_of_ones_own_is_followed(chat, ada, general, gate, held):
    gate.open()
    await ada.mention(
        general, f"a castle --preset canny {SMALL} --seed 7", files=[ada.file(picture())]
    )
    await general.said("seed 7", button="Again")

    held("A picture that is followed", general)


async def test_a_thread_is_a_session(chat, ada, general, gate, held):
    gate.open()
    await ada.mention(general, FOX)
    fox = await general.said("seed 7", button="Again")
    await ada.mention(general, "same, at night", thread=fox["thread_ts"])
    await general.said("at night", button="Again")

    held("A thread is a session", general)


async def test_a_change(make_chat, ada, general, gate, held):
    gate.open()
    edit = Preset(name="edit", kind=Edit(kontext="a/b"), description="Changes a picture")
    await make_chat(presets={**PRESETS, "edit": edit})
    await ada.mention(general, FOX)
    fox = await general.said("seed 7", button="Edit picture")
    await ada.say(general, "make it night --size 64x64 --seed 8", thread=fox["thread_ts"])
    await general.said("make it night", button="Edit picture")

    held("A picture is changed as words say", general)


async def test_a_command(chat, ada, general, gate, held):
    gate.open()
    await ada.slash(general, FOX)
    await general.said("seed 7", button="Again")

    held("A command", general)


async def test_larger(make_chat, ada, general, gate, held):
    gate.open()
    large = Preset(name="large", kind=Upscale(tile_size=64), description="Twice the size")
    await make_chat(presets={**PRESETS, "large": large})
    await ada.mention(general, FOX)
    fox = await general.said("seed 7", button="Upscale")
    await ada.press(fox, "Upscale", general)
    await general.said("128×128", button="Again")

    held("Larger", general)


async def test_a_draft_and_its_picture(chat, ada, general, gate, held):
    gate.open()
    await ada.mention(general, "a fox in snow --size 128x128 --steps 20 --seed 7 --draft")
    draft = await general.said("64×64", button="Final picture")
    await ada.press(draft, "Final picture", general)
    await general.said("128×128", button="Again")

    held("A draft first", general)


async def test_a_number_that_is_too_large(chat, ada, general, held):
    await ada.mention(general, "a fox --size 2048x2048")
    await general.whispered(ada.id, "ask for a smaller size")

    held("More than there is room for", general)


async def test_courtesy(chat, ada, general, held):
    await ada.mention(general, "hello")
    await general.whispered(ada.id, "")
    await ada.mention(general, "thanks!")
    await general.whispered(ada.id, "You are welcome")

    held("Courtesy", general)


async def test_which_models_there_are(make_chat, ada, general, held):
    await make_chat(**TWO_MODELS)
    await ada.mention(general, "models")
    await general.whispered(ada.id, "lab/klein")

    held("What there is to draw with", general)


async def test_a_change_of_mind(chat, slack, ada, general, held):
    bob = slack.person("bob")
    await bob.mention(general, f"a lighthouse {SMALL}")
    await general.said("Drawing step 0", button="Cancel")
    await ada.mention(general, FOX)
    fox = await general.said("1 ahead", button="Cancel")
    await ada.press(fox, "Cancel", general)
    await general.said("ancelled")

    held("A change of mind", general)


async def test_what_is_left(chat, ada, general, gate, held):
    gate.open()
    await ada.mention(general, FOX)
    await general.said("seed 7", button="Again")
    await delivered(chat)
    await ada.mention(general, "quota")
    await general.whispered(ada.id, "credits left")
    await ada.mention(general, "queue")
    await general.whispered(ada.id, "waiting")

    held("What is left", general)


async def test_stars_and_letters(chat, slack, ada, general, gate, held):
    gate.open()
    bob = slack.person("bob")
    await ada.mention(general, FOX)
    fox = await general.said("seed 7", button="Again")
    await delivered(chat)
    (job,) = await jobs(chat)
    await bob.react(general, fox, "star")
    await marked(chat, bob, job)
    await bob.mention(general, "history favourites")
    await general.whispered(bob.id, job.id)
    await bob.react(general, fox, "envelope")
    await bob.direct.said(job.id)

    held("Stars and letters", general)

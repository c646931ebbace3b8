"""A part of a picture drawn anew: nine buttons in a form that keeps what was typed."""

import pytest

from tests.adapters.slack_chat.conftest import jobs
from tests.adapters.slack_chat.test_actions import one_more
from tests.conftest import INPAINTING
from tests.samples import opened


@pytest.fixture
async def fox(make_chat, ada, general, gate):
    gate.open()
    chat = await make_chat(presets=INPAINTING)
    await ada.mention(general, "a fox --steps 3 --size 96x96 --seed 7")
    return chat, await general.said("seed 7", button="Change a part")


def chosen(view):
    """Labels of the fields that are marked as chosen."""
    rows = [block["elements"] for block in view["blocks"] if block["type"] == "actions"]
    assert [len(row) for row in rows] == [3, 3, 3]
    return [each["text"]["text"] for row in rows for each in row if each.get("style")]


async def choose(person, number, expected):
    """Press a field of the form that is open, and wait until *expected* are marked."""
    await person.press(person.view, number)
    await person.sees(lambda each: chosen(each.view) == expected)


async def test_fields_are_chosen_one_by_one_and_drawn_as_the_form_says(fox, slack, ada, general):
    chat, message = fox
    bob, before = slack.person("bob"), set(general.messages)

    await bob.press(message, "Change a part", general)
    first = await bob.form()
    nowhere = await bob.submit(first, prompt="a hat")
    await choose(bob, "2", ["2"])
    await choose(bob, "9", ["2", "9"])
    await choose(bob, "2", ["9"])
    assert await bob.submit(bob.view, prompt="a hat") is None
    hat = await one_more(general, before)

    assert nowhere == {
        "prompt": "Press one of the nine fields at least, so that I know where to draw."
    }
    earlier, job = await jobs(chat)
    assert (job.parent, job.user, job.request.prompt) == (earlier.id, bob.key, "a hat")
    mask = opened(job.request.pictures["mask_image"]).convert("L")
    assert mask.getbbox() == (64, 64, 96, 96)
    assert hat["thread_ts"] == message["thread_ts"]


async def test_what_was_typed_stays_while_fields_are_pressed(fox, ada, general):
    _, message = fox
    await ada.press(message, "Change a part", general)
    view = await ada.form()
    view["state"] = {
        "values": {"prompt": {"value": {"type": "plain_text_input", "value": "a hat"}}}
    }

    await choose(ada, "5", ["5"])

    (prompt,) = [block for block in ada.view["blocks"] if block.get("block_id") == "prompt"]
    assert prompt["element"]["initial_value"] == "a hat"


async def test_fields_that_are_pressed_faster_than_they_are_shown_are_all_drawn(fox, ada, general):
    chat, message = fox
    before = set(general.messages)
    await ada.press(message, "Change a part", general)
    first = await ada.form()

    for number in ("1", "9", "5"):
        await ada.press(first, number)
    await ada.sees(lambda each: chosen(each.view) == ["1", "5", "9"])
    await choose(ada, "5", ["1", "9"])
    await ada.submit(ada.view, prompt="a hat")
    await one_more(general, before)

    *_, job = await jobs(chat)
    mask = opened(job.request.pictures["mask_image"]).convert("L")
    assert [mask.getpixel((16 + 32 * each, 16 + 32 * each)) for each in range(3)] == [255, 0, 255]

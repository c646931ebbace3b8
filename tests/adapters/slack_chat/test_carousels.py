"""Several pictures side by side, where the operator wants them so and Slack takes them."""

import pytest

from tests.adapters.slack_chat.conftest import SMALL, delivered, jobs
from tests.adapters.slack_chat.test_talk import drawn
from tests.fakes.slack.world import buttons, images

TWO = f"a fox {SMALL} --images 2"


def kinds(message):
    return {block["type"] for block in message["blocks"]}


@pytest.fixture
async def chat(make_chat):
    return await make_chat(slack_settings={"carousel": True})


async def test_several_pictures_stand_side_by_side_with_the_buttons_of_each(
    chat, ada, general, gate
):
    gate.open()

    message = await drawn(ada, general, TWO)

    (fox,) = await jobs(chat)
    (row,) = (block for block in message["blocks"] if block["type"] == "carousel")
    assert images(message) == fox.reply_to["files"]
    labels = [[each["text"]["text"] for each in card["actions"]] for card in row["elements"]]
    assert labels == [["Vary subtle", "Vary strong"]] * 2
    await ada.press(message, "Vary subtle", general)
    await delivered(chat)
    assert (await jobs(chat))[-1].parent == fox.id


async def test_one_picture_stands_alone(chat, ada, general, gate):
    gate.open()

    message = await drawn(ada, general, f"a fox {SMALL}")

    assert "carousel" not in kinds(message)


async def test_where_slack_takes_none_they_stand_below_one_another_from_then_on(
    chat, slack, ada, general, gate
):
    gate.open()
    slack.takes_carousels = False

    first = await drawn(ada, general, TWO)
    (fox,) = await jobs(chat)
    refused = len(slack.api.called("chat.update"))
    await drawn(ada, general, f"show {fox.id}")

    assert "carousel" not in kinds(first)
    assert len(images(first)) == 2
    assert {"Vary subtle 1", "Vary subtle 2"} <= set(buttons(first))
    assert not chat.workspaces["T0123"].shows_carousels
    assert refused >= 2


async def test_a_picture_once_more_falls_back_too(chat, slack, ada, general, gate):
    gate.open()
    await drawn(ada, general, TWO)
    (fox,) = await jobs(chat)
    slack.takes_carousels = False

    again = await drawn(ada, general, f"show {fox.id}")

    assert len(images(again)) == 2
    assert "carousel" not in kinds(again)

"""Several pictures in one message in Slack."""

import asyncio

from bot.jobs import JobStatus
from tests.adapters.slack_chat.conftest import SMALL, jobs, restarted
from tests.conftest import stepping
from tests.fakes.slack.world import buttons, images, shown_text
from tests.samples import opened


async def agreed(ada, general, text):
    await ada.mention(general, f"{text} {SMALL}")
    proposal = await general.whispered(ada.id, "Shall I draw them?")
    yes, no = buttons(proposal)
    assert no == "No"
    await ada.press(proposal, yes, general)


async def test_the_price_is_said_first_and_a_no_costs_nothing(chat, ada, general):
    await ada.mention(general, f"{{red,blue}} house {SMALL}")
    proposal = await general.whispered(ada.id, "Together they cost 2 credits; you have 10000.")
    assert buttons(proposal) == ["Draw 2 pictures", "No"]

    await ada.press(proposal, "No", general)

    await general.whispered(ada.id, "Nothing was drawn.")
    assert await jobs(chat) == []


async def test_one_message_fills_and_one_of_them_is_picked(chat, slack, ada, general, gate):
    await agreed(ada, general, "{red,blue} house")
    message = await general.said("0 of 2 are drawn", button="Cancel all")
    gate.allow(3)
    message = await general.said("1 of 2 are drawn", button="1. red")
    assert "2. blue · Drawing step" in shown_text(message)
    gate.open()

    await general.until(lambda messages: any(map(images, messages)))
    message = await general.said("2 of 2 are drawn", button="2. blue")
    (file,) = images(message)
    with opened(slack.files[file].data) as sheet:
        assert sheet.width > sheet.height > 500
    assert buttons(message) == ["1. red", "2. blue"]
    await ada.press(message, "2. blue", general)
    picked = await general.said("blue house", button="Again")
    assert "red house" not in shown_text(picked)


async def test_cancelling_cancels_all_that_are_left(chat, ada, general, gate):
    await agreed(ada, general, "a fox --repeat 3")
    message = await general.said("Drawing step 0", button="Cancel all")
    _, *others = await jobs(chat)

    pressing = asyncio.ensure_future(ada.press(message, "Cancel all", general))
    for job in others:
        await job.finished()
    await stepping(gate, pressing)

    def over(messages):
        ours = [each for each in messages if "bot_id" in each]
        return ours if ours and not any(map(buttons, ours)) else None

    (message,) = await general.until(over)
    assert "Cancelled" in shown_text(message)
    assert [job.status for job in await jobs(chat)] == [JobStatus.CANCELLED] * 3


async def test_a_series_is_followed_after_a_restart(make_chat, chat, ada, general, gate):
    await agreed(ada, general, "{red,blue} house")
    await general.said("Drawing step 0", button="Cancel all")

    chat = await restarted(make_chat, chat, gate)
    gate.open()

    await general.until(lambda messages: any(map(images, messages)))
    await general.said("2 of 2 are drawn", button="2. blue")
    assert len([each for each in general.messages.values() if "bot_id" in each]) == 1

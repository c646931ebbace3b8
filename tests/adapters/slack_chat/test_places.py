"""Places where nothing can be said."""

import asyncio

import pytest

from adapters.slack_chat.window import MOST_EDITS
from bot.commands import ImagineCommand
from bot.source import Source
from tests.adapters.slack_chat.conftest import SMALL, delivered, jobs, ours, restarted
from tests.conftest import at_step, stepping
from tests.fakes.slack.world import buttons, images, shown_text


@pytest.mark.parametrize("error", ["not_in_channel", "channel_not_found", "is_archived"])
async def test_where_nothing_can_be_posted_the_person_is_answered_alone(
    chat, slack, ada, general, gate, error
):
    slack.api.fault("chat.postMessage", error)
    gate.open()

    await ada.mention(general, f"a fox {SMALL}")

    message = await ada.direct.said("seed", button="Again")
    assert "I could not answer where you asked" in shown_text(message)
    assert ours(general) == []


async def test_a_channel_that_is_archived_meanwhile_does_not_lose_the_picture(
    chat, slack, ada, general, gate
):
    await ada.mention(general, f"a fox {SMALL}")
    await general.said("a fox", button="Cancel")
    general.is_archived = True

    gate.open()

    assert images(await ada.direct.said("seed", button="Again"))


async def without_progress(chat, slack, ada, general):
    """A message of ada's that shows no more progress, so that faults meet the end of her job."""
    await ada.mention(general, f"a fox {SMALL}")
    message = await general.said("Drawing step 0", button="Cancel")
    slack.time.hold()
    chat.workspaces["T0123"].pace.hold("elsewhere", 10_000)
    return message


async def passing(slack, true):
    """Let time pass until *true*."""
    async with asyncio.timeout(10):
        while not true():
            await slack.time.advance(0.01)


async def test_the_message_of_a_picture_that_came_directly_says_so(chat, slack, ada, general, gate):
    message = await without_progress(chat, slack, ada, general)
    slack.api.fault("chat.update", "restricted_action")
    gate.open()

    await passing(slack, lambda: "Answered in a direct message." in shown_text(message))

    assert buttons(message) == []
    assert any(images(each) for each in ours(ada.direct))


async def test_it_says_so_too_where_its_answer_was_lost_at_first(chat, slack, ada, general, gate):
    """What was posted twice is deleted in the end, and this message is not."""
    slack.api.fault("chat.postMessage", "lost")
    message = await without_progress(chat, slack, ada, general)
    slack.api.fault("chat.update", "restricted_action")
    gate.open()

    await passing(slack, lambda: "Answered in a direct message." in shown_text(message))

    assert ours(general) == [message]


async def test_a_message_that_cannot_say_so_is_deleted(chat, slack, ada, general, gate):
    await without_progress(chat, slack, ada, general)
    general.is_archived = True
    gate.open()

    await passing(slack, lambda: ours(general) == [])

    assert any(images(each) for each in ours(ada.direct))


async def test_a_process_that_dies_as_it_moves_leaves_its_message_to_the_next(
    make_chat, chat, slack, ada, general, gate
):
    message = await without_progress(chat, slack, ada, general)
    slack.api.fault("chat.update", "restricted_action")
    slack.api.fault("chat.postMessage", asyncio.Event())
    gate.open()
    posted = len(slack.api.called("chat.postMessage"))
    await passing(slack, lambda: len(slack.api.called("chat.postMessage")) > posted)

    slack.time.release()
    await restarted(make_chat, chat, gate)

    await general.until(lambda _: "Answered in a direct message." in shown_text(message))


async def test_a_process_that_dies_before_its_last_word_leaves_that_to_the_next(
    make_chat, chat, slack, ada, general, gate, monkeypatch
):
    """The picture is in another message already, which has called the person by being new."""
    monkeypatch.setattr("bot.following.SECONDS_TO_LEAVE", 0.05)
    own = chat.bot.service.own_settings
    await own.change(ada.key, ImagineCommand(), beside={"notify": "always"})
    message = await without_progress(chat, slack, ada, general)
    slack.api.fault("chat.update", "restricted_action", None, asyncio.Event())
    gate.open()
    edits = len(slack.api.called("chat.update"))
    await passing(slack, lambda: len(slack.api.called("chat.update")) == edits + 3)
    assert any(images(each) for each in ours(ada.direct))

    slack.time.release()
    chat = await restarted(make_chat, chat, gate)

    await general.until(lambda _: "Answered in a direct message." in shown_text(message))
    await delivered(chat)
    assert len(ours(ada.direct)) == 1


async def test_the_message_of_a_picture_that_slack_refuses_says_so(chat, slack, ada, general, gate):
    message = await without_progress(chat, slack, ada, general)
    slack.api.fault("chat.update", *["invalid_blocks"] * MOST_EDITS)
    gate.open()

    await passing(slack, lambda: "Not delivered: Slack refused" in shown_text(message))

    assert "Your credits were given back" in shown_text(message)
    assert buttons(message) == []


async def test_a_message_that_can_be_changed_no_more_makes_room_for_another(
    chat, slack, ada, general, gate
):
    message = await without_progress(chat, slack, ada, general)
    slack.api.fault("chat.update", "edit_window_closed")
    gate.open()

    await passing(slack, lambda: any(images(each) for each in ours(general)))
    await passing(slack, lambda: len(ours(general)) == 1)

    assert message["ts"] not in general.messages


@pytest.mark.parametrize("method", ["chat.postMessage", "chat.update"])
@pytest.mark.parametrize("error", ["fatal_error", "internal_error", "service_unavailable"])
async def test_a_fault_of_slacks_own_only_delays_the_picture(
    chat, slack, ada, general, gate, method, error
):
    slack.api.fault(method, error)
    gate.open()

    await ada.mention(general, f"a fox {SMALL}")

    await general.said("seed", button="Again")
    await delivered(chat)
    assert len(ours(general)) == 1


async def test_people_who_wait_are_told_that_the_bot_restarts(chat, ada, general):
    await ada.mention(general, f"a fox {SMALL}")
    message = await general.said("Drawing step 0", button="Cancel")

    await chat.close()

    assert "The bot is restarting; your picture will follow" in shown_text(message)


async def test_a_message_is_in_the_language_of_the_person_who_asked(chat, ada, general, gate):
    gate.open()
    reply_to = {"team": "T0123", "channel": general.id, "root": "", "note": "", "locale": "de-DE"}
    command = ImagineCommand("ein Fuchs", width=64, height=64, num_inference_steps=3)

    await chat.bot.service.submit(Source(ada.key, reply_to=reply_to), command)
    await chat.following.follow_all()

    await general.said("3 Schritte", button="Nochmal")


async def test_what_can_be_told_nowhere_costs_nothing(chat, slack, ada, general, gate):
    slack.api.fault("chat.postMessage", "is_archived", "cannot_dm_bot")

    await ada.mention(general, f"a fox {SMALL}")
    await stepping(gate, delivered(chat))

    (job,) = await jobs(chat)
    assert job.status.is_final
    assert job.error == "the channel was archived"
    assert (await chat.bot.service.quota(ada.key)).used == 0


async def test_a_message_that_was_deleted_meanwhile_is_posted_anew(chat, slack, ada, general, gate):
    envelope = await ada.mention(general, f"a fox {SMALL}")
    message = await general.said("a fox", button="Cancel")
    del general.messages[message["ts"]]

    gate.open()

    again = await general.said("seed", button="Again")
    assert again["thread_ts"] == envelope.payload["event"]["ts"]


async def test_blocks_that_slack_refuses_for_good_give_the_credits_back(
    chat, slack, ada, general, gate
):
    await ada.mention(general, f"a fox {SMALL}")
    await general.said("a fox", button="Cancel")
    (job,) = await jobs(chat)
    await at_step(job, 0)
    slack.api.fault("chat.update", *["invalid_blocks"] * 20)

    gate.open()
    await delivered(chat)

    assert (await chat.bot.service.quota(ada.key)).used == 0
    (job,) = await jobs(chat)
    assert job.error == "Slack refused the picture (invalid_blocks)"

"""Requests to Slack whose answers are lost do no harm."""

import asyncio

import pytest

from bot.commands import ImagineCommand
from bot.jobs import Delivery
from bot.source import Source
from tests.adapters.slack_chat.conftest import SMALL, delivered, jobs, ours, restarted
from tests.conftest import at_step
from tests.fakes.slack.world import buttons, images


@pytest.mark.parametrize("fault", ["drop", "lost", 503])
async def test_a_lost_answer_to_the_first_message_leaves_one_message(
    chat, slack, ada, general, gate, fault
):
    slack.api.fault("chat.postMessage", fault)
    gate.open()

    await ada.mention(general, f"a fox {SMALL}")
    await general.said("seed", button="Again")

    assert len(ours(general)) == 1


async def test_a_lost_answer_outside_of_threads_leaves_one_message_too(
    chat, slack, ada, general, gate
):
    slack.api.fault("chat.postMessage", "drop")
    gate.open()

    await ada.slash(general, f"a fox {SMALL}")
    await general.said("seed", button="Again")

    assert len(ours(general)) == 1


async def test_a_lost_answer_to_a_direct_message_that_the_bot_began_leaves_one_message_too(
    chat, slack, ada, gate
):
    """Slack tells what stands in a conversation by its own id alone, and not by the person's."""
    between = slack.conversation_of_two()
    slack.api.fault("chat.postMessage", None, "drop")
    gate.open()

    await ada.slash(between, f"a fox {SMALL}")
    await ada.direct.said("seed", button="Again")
    await delivered(chat)

    assert len(ours(ada.direct)) == 1


async def test_without_the_right_to_begin_direct_messages_they_are_sent_all_the_same(
    chat, slack, ada, gate
):
    slack.scopes.discard("im:write")
    gate.open()

    await ada.slash(slack.conversation_of_two(), f"a fox {SMALL}")

    await ada.direct.said("seed", button="Again")


@pytest.mark.parametrize("fault", ["internal_error", "drop"])
async def test_who_is_answered_directly_is_told_so_though_that_took_another_try(
    chat, slack, ada, gate, fault
):
    between = slack.conversation_of_two()
    slack.api.fault("chat.postMessage", None, fault)
    gate.open()

    await ada.slash(between, f"a fox {SMALL}")

    await between.whispered(ada.id, "Answered in a direct message.")


async def test_without_the_right_to_read_a_channel_a_lost_answer_costs_a_second_message(
    chat, slack, ada, general, gate
):
    slack.scopes.discard("channels:history")
    slack.api.fault("chat.postMessage", "drop")
    gate.open()

    await ada.mention(general, f"a fox {SMALL}")

    await general.said("seed", button="Again")


@pytest.mark.parametrize(
    ("method", "fault"),
    [
        ("chat.update", "drop"),
        ("chat.update", "lost"),
        ("chat.update", 500),
        ("files.getUploadURLExternal", "lost"),
        ("files.completeUploadExternal", "drop"),
        ("files.completeUploadExternal", "lost"),
        ("files.info", 503),
        ("upload", "lost"),
        ("upload", 500),
    ],
)
async def test_a_picture_arrives_once_whatever_gets_lost(
    chat, slack, ada, general, gate, method, fault
):
    await ada.mention(general, f"a fox {SMALL}")
    await general.said("a fox", button="Cancel")
    (job,) = await jobs(chat)
    await at_step(job, 0)
    slack.api.fault(method, fault)

    gate.open()
    message = await general.said("seed", button="Again")
    await delivered(chat)

    assert len(ours(general)) == 1
    shown = images(message)
    complete = [file.id for file in slack.files.values() if file.is_complete]
    assert complete == shown


@pytest.mark.parametrize("fault", ["drop", "lost", 502])
async def test_a_picture_that_somebody_asks_to_see_again_is_posted_once(
    chat, slack, ada, general, gate, fault
):
    gate.open()
    await ada.mention(general, f"a fox {SMALL}")
    await general.said("seed", button="Again")
    await delivered(chat)
    (job,) = await jobs(chat)
    slack.api.fault("chat.postMessage", fault)

    await ada.mention(general, f"show {job.id}")
    await chat.close()

    assert len(ours(general)) == 2
    assert all(images(message) for message in ours(general))


async def test_a_message_that_slack_posts_after_another_took_its_place_is_deleted(
    make_chat, slack, ada, general, gate, monkeypatch
):
    monkeypatch.setattr("adapters.slack_chat.workspaces.TIMEOUT", 0.1)
    monkeypatch.setattr("adapters.slack_chat.chat.TIMEOUT", 0.1)
    chat = await make_chat()
    late = slack.hold_up("chat.postMessage")
    await ada.mention(general, f"a fox {SMALL}")
    await general.said("Drawing step 0", button="Cancel")
    late.set()
    await general.until(lambda _: len(ours(general)) == 2)

    gate.open()
    await delivered(chat)

    assert ["Again" in buttons(message) for message in ours(general)] == [True]


async def test_an_upload_that_slack_completes_late_is_the_one_that_is_shown(
    make_chat, slack, ada, general, gate, monkeypatch
):
    """Another file would be left behind where nobody sees it."""
    monkeypatch.setattr("adapters.slack_chat.workspaces.TIMEOUT", 0.1)
    monkeypatch.setattr("adapters.slack_chat.chat.TIMEOUT", 0.1)
    chat = await make_chat()
    late = slack.hold_up("files.completeUploadExternal")
    gate.open()
    await ada.mention(general, f"a fox {SMALL}")
    message = await general.said("seed", button="Again")
    await delivered(chat)

    late.set()
    await chat.close()

    assert [file.id for file in slack.files.values()] == images(message)


async def test_a_picture_whose_delivery_was_broken_off_arrives_once_after_the_restart(
    make_chat, chat, slack, ada, general, gate
):
    await ada.mention(general, f"a fox {SMALL}")
    message = await general.said("a fox", button="Cancel")
    never = asyncio.Event()
    slack.api.fault("files.info", never)
    gate.open()
    while not slack.api.called("files.info"):
        await asyncio.sleep(0)

    chat = await restarted(make_chat, chat, gate)
    never.set()
    await general.until(lambda _: "Again" in buttons(message))
    await delivered(chat)

    (job,) = await jobs(chat)
    assert job.delivery is Delivery.DELIVERED
    assert [file.id for file in slack.files.values()] == images(message)
    assert len(ours(general)) == 1


async def test_a_message_that_was_posted_as_the_bot_died_is_found_again(
    make_chat, chat, slack, ada, general, gate
):
    slack.api.fault("chat.postMessage", "drop", *["lost"] * 3)
    await ada.mention(general, f"a fox {SMALL}")
    await general.said("a fox")

    chat = await restarted(make_chat, chat, gate)
    slack.api.faults.clear()
    gate.open()
    await general.said("seed", button="Again")
    await delivered(chat)

    assert len(ours(general)) == 1


async def test_a_waiting_job_goes_on_in_its_message_after_a_restart(
    make_chat, chat, ada, general, gate
):
    await ada.mention(general, f"a fox {SMALL}")
    message = await general.said("a fox", button="Cancel")

    chat = await restarted(make_chat, chat, gate)
    gate.open()

    await general.until(lambda _: "Again" in buttons(message))


async def test_what_somebody_else_has_drawn_again_is_delivered_too(
    make_chat, chat, ada, general, gate, monkeypatch
):
    """An admin does that who replays a job that was given up."""
    gate.open()
    await ada.mention(general, f"a fox {SMALL} --seed 7")
    await general.said("seed 7", button="Again")
    await delivered(chat)
    (job,) = await jobs(chat)
    monkeypatch.setattr("bot.following.SECONDS_BETWEEN_LOOKS", 0.01)
    chat = await restarted(make_chat, chat, gate)

    changes = ImagineCommand(seed=8)
    await chat.bot.service.again(Source(job.user, reply_to=job.reply_to), job.id, changes)

    await general.said("seed 8", button="Again")

"""Places where nothing can be said."""

import pytest

from tests.adapters.slack_chat.conftest import SMALL, delivered, jobs, ours
from tests.conftest import at_step, stepping
from tests.fakes.slack.world import images, shown_text


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
    await at_step(chat.bot.service._worker.unfinished[job.id], 0)
    slack.api.fault("chat.update", *["invalid_blocks"] * 20)

    gate.open()
    await delivered(chat)

    assert (await chat.bot.service.quota(ada.key)).used == 0
    (job,) = await jobs(chat)
    assert job.error == "Slack refused the picture (invalid_blocks)"

"""Reactions to the bot's pictures in Slack."""

import pytest

from bot.source import Source
from tests.adapters.slack_chat.conftest import SMALL, delivered, jobs, marked
from tests.fakes.slack.world import images, shown_text


@pytest.fixture
async def fox(chat, ada, general, gate):
    """The message of a picture of ada's, and its job."""
    gate.open()
    await ada.mention(general, f"a fox {SMALL}")
    message = await general.said("a fox", button="Again")
    await delivered(chat)
    return message, (await jobs(chat))[0]


async def test_a_star_is_a_favourite_for_as_long_as_it_stays(chat, slack, general, fox):
    message, job = fox
    bob = slack.person("bob")

    await bob.react(general, message, "star")
    await marked(chat, bob, job)
    await bob.react(general, message, "star", is_added=False)
    await marked(chat, bob, job, is_on=False)


async def test_an_envelope_sends_picture_and_settings_directly(chat, slack, general, fox):
    message, job = fox
    bob = slack.person("bob")

    await bob.react(general, message, "envelope")

    letter = await bob.direct.said(job.id)
    assert "a fox --preset plain" in shown_text(letter)
    assert images(letter) == job.reply_to["files"]


async def test_a_hidden_picture_is_sent_to_nobody(chat, slack, ada, general, fox):
    message, job = fox
    await chat.bot.database.write(
        lambda db: db.execute("UPDATE jobs SET is_spoiler = 1 WHERE id = ?", (job.id,))
    )

    await ada.react(general, message, "email")

    await general.whispered(ada.id, "This picture is hidden")
    assert not [each for each in ada.direct.messages.values() if job.id in shown_text(each)]


async def test_a_cross_deletes_for_the_maker_alone(chat, slack, ada, general, fox):
    message, job = fox
    bob = slack.person("bob")
    await bob.react(general, message, "x")
    await bob.react(general, message, "thumbsup")
    await bob.react(general, message, "star")
    await marked(chat, bob, job)
    assert message["ts"] in general.messages

    await ada.react(general, message, "x")

    await general.until(lambda _: message["ts"] not in general.messages)
    deleted = await chat.bot.service.lookups.job(Source(ada.key), job.id)
    assert deleted.is_pruned

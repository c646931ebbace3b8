"""Votes in Slack, and the best-of channel of a workspace."""

import pytest

from adapters.slack_chat.files import COMPLETIONS, UPLOADS
from tests.adapters.slack_chat.conftest import SMALL, jobs, ours
from tests.fakes.slack.world import buttons, images, shown_text


@pytest.fixture
async def chat(make_chat, slack, gate, monkeypatch):
    monkeypatch.setattr("bot.showcase.SECONDS_BETWEEN_LOOKS", 0.01)
    monkeypatch.setattr("bot.showcase.SECONDS_AFTER_A_FAULT", 0.01)
    gate.open()
    return await make_chat(showcase={"votes": 1})


@pytest.fixture
async def best_of(chat, slack):
    channel = slack.channel("best-of")
    boss = slack.person("boss", is_admin=True)
    await boss.mention(channel, "admin showcase here")
    await channel.until(lambda _: any("1 vote are shown" in t for t in texts(channel, boss)))
    return channel


def texts(channel, person):
    whispers = [shown_text(message) for _, message in channel.whispers]
    return [*map(shown_text, ours(channel)), *whispers, *map(shown_text, ours(person.direct))]


def best(channel):
    return [message for message in ours(channel) if images(message)]


async def test_the_best_are_shown_with_their_maker_and_go_with_the_picture(
    chat, slack, best_of, ada, general
):
    bob = slack.person("bob")
    await ada.mention(general, f"a fox {SMALL}")
    fox = await general.said("seed", button="Vote")

    await bob.press(fox, "Vote", general)
    await general.whispered(bob.id, "is among the best")
    await best_of.until(lambda _: best(best_of))
    (shown,) = best(best_of)

    (job,) = await jobs(chat)
    assert f"<@{ada.id}> · 1 vote · {job.id}" in shown_text(shown)
    assert "Go to the message" in shown_text(shown)
    await ada.press(fox, "Delete", general)
    await best_of.until(lambda _: not best(best_of))
    assert not [file for file in slack.files.values() if file.title == job.id]


async def test_a_picture_whose_upload_is_lost_is_shown_later_and_leaves_nothing_behind(
    chat, slack, best_of, ada, general
):
    await ada.mention(general, f"a fox {SMALL}")
    fox = await general.said("seed", button="Vote")
    (job,) = await jobs(chat)
    slack.api.fault("files.completeUploadExternal", *["lost"] * COMPLETIONS * UPLOADS)

    await slack.person("bob").press(fox, "Vote", general)

    await best_of.until(lambda _: best(best_of))
    kept = [file for file in slack.files.values() if file.title == job.id]
    assert len(kept) == 2, "the picture itself, and that among the best"


async def test_nobody_votes_for_their_own_picture(chat, slack, best_of, ada, general):
    await ada.mention(general, f"a fox {SMALL}")
    fox = await general.said("seed", button="Vote")

    await ada.press(fox, "Vote", general)

    await general.whispered(ada.id, "your own picture")
    assert best(best_of) == []


async def test_there_is_no_vote_in_a_direct_message(chat, ada):
    await ada.tell(f"a fox {SMALL}")

    assert "Vote" not in buttons(await ada.direct.said("seed", button="Again"))

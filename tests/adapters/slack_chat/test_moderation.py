"""Moderation in Slack: reports, the log channel, its buttons, and who asked."""

import json

import pytest

from bot.screens import Action, Verdict
from tests.adapters.slack_chat.conftest import SMALL, ours
from tests.conftest import until
from tests.fakes.slack.world import images
from tests.judges import HIDDEN, Judge

HELD = Verdict(Action.HOLD, "held", "judge", "0.90")


@pytest.fixture
def judge():
    return Judge()


@pytest.fixture
def mods(slack):
    return slack.channel("mods")


@pytest.fixture
async def chat(make_chat, make_bot, judge, mods, monkeypatch):
    monkeypatch.setattr("bot.moderation_log.SECONDS_BETWEEN_LOOKS", 0.01)
    bot = await make_bot(moderation={"slack_channel": mods.id})
    bot.judges = {"judge": lambda: judge}
    await bot.restart()
    return await make_chat(bot)


async def test_a_held_picture_is_released_by_a_button(chat, slack, mods, judge, gate):
    gate.open()
    judge.picture = HELD
    boss, ada = slack.person("boss", is_admin=True), slack.person("ada")
    general = slack.channel()
    await ada.mention(general, f"a fox {SMALL}")
    waiting = await general.said("A moderator looks at this picture")
    assert not any(block["type"] == "actions" for block in waiting["blocks"])
    told = await mods.said("Held for you", button="Release")

    await ada.press(told, "Release", mods)
    await mods.whispered(ada.id, "Only admins may do that")
    await boss.press(told, "Release", mods)

    await general.said("seed", button="Again")
    await mods.said("Released")


async def test_a_report_reaches_the_log_channel(chat, slack, mods, gate):
    gate.open()
    boss, ada, eve = (slack.person("boss", is_admin=True), slack.person("ada"), slack.person("eve"))
    general = slack.channel()
    await ada.mention(general, f"a fox {SMALL}")
    message = await general.said("seed", button="Report")

    await eve.press(message, "Report", general)

    await general.whispered(eve.id, "moderators will look")
    told = await mods.said("Reported", button="Dismiss")
    await boss.press(told, "Dismiss", mods)
    await mods.said("Dismissed")


async def test_a_spoiler_is_shown_to_whoever_asks_for_it_alone(chat, slack, judge, gate):
    gate.open()
    judge.picture = HIDDEN
    ada, general = slack.person("ada"), slack.channel()
    await ada.mention(general, f"a fox {SMALL}")

    message = await general.said("not everybody wants to see", button="Show")
    assert not any(block["type"] == "image" for block in message["blocks"])
    await ada.press(message, "Show", general)
    await chat.close()

    ((to, shown),) = general.whispers
    assert (to, len(images(shown))) == (ada.id, 1)
    assert ours(general) == [message]


@pytest.mark.parametrize("who", ["the person", "a moderator"])
async def test_a_picture_for_one_person_is_shown_though_slack_fails_at_first(
    chat, slack, judge, mods, gate, who
):
    """I8"""
    gate.open()
    boss, general = slack.person("boss", is_admin=True), slack.channel()
    judge.picture = HIDDEN if who == "the person" else HELD
    await boss.mention(general, f"a fox {SMALL}")
    place = general if who == "the person" else mods
    message = await place.said("", button="Show")
    slack.api.fault("chat.postEphemeral", "internal_error", 503)

    await boss.press(message, "Show", place)

    await place.until(lambda _: place.whispers)
    assert images(place.whispers[0][1])


async def test_who_cannot_be_shown_a_picture_is_told_so(chat, slack, judge, gate):
    gate.open()
    judge.picture = HIDDEN
    ada, general = slack.person("ada"), slack.channel()
    await ada.mention(general, f"a fox {SMALL}")
    message = await general.said("not everybody wants to see", button="Show")
    slack.api.fault("chat.postEphemeral", "any_new_word")

    await ada.press(message, "Show", general)

    await general.whispered(ada.id, "Something went wrong on our side")


async def test_a_log_entry_leads_to_the_message(chat, slack, mods, gate):
    gate.open()
    ada, bob, general = slack.person("ada"), slack.person("bob"), slack.channel()
    await ada.mention(general, f"a fox {SMALL}")
    message = await general.said("seed", button="Report")

    await bob.press(message, "Report", general)

    told = await mods.said("Reported")
    assert f"/archives/{general.id}/p{message['ts'].replace('.', '')}|Go to the message>" in str(
        told
    )


async def test_the_audit_log_is_a_file_for_the_person_alone(chat, slack, mods):
    boss = slack.person("boss", is_admin=True)
    await boss.mention(mods, "admin ban slack:U5 spam")
    await mods.whispered(boss.id, "banned")

    await boss.slash(mods, "admin audit export")

    await until(lambda: any(file.is_complete for file in slack.files.values()))
    (file,) = slack.files.values()
    assert file.channel.startswith("D")
    assert json.loads(file.data)["act"] == "ban"

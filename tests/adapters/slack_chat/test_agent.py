"""The bot as an agent of Slack's: threads for each message, prompts, titles, words of welcome."""

import pytest

from tests.adapters.slack_chat.conftest import SMALL, jobs, ours
from tests.conftest import at_step
from tests.fakes.slack.world import buttons, shown_text


async def test_each_direct_message_is_answered_in_its_own_thread(chat, slack, ada, gate):
    gate.open()

    fox = await ada.tell(f"a fox {SMALL} --seed 7")
    message = await ada.direct.said("seed 7", button="Again")
    quota = await ada.tell("quota")
    answer = await ada.direct.said("credits left")

    assert message["thread_ts"] == fox.payload["event"]["ts"]
    assert answer["thread_ts"] == quota.payload["event"]["ts"]


async def test_a_thread_goes_on_from_its_picture_and_a_new_message_from_the_latest(
    chat, slack, ada, gate
):
    gate.open()
    fox = (await ada.tell(f"a fox {SMALL}")).payload["event"]["ts"]
    await ada.direct.said("a fox", button="Again")
    await ada.tell(f"a cat {SMALL}")
    await ada.direct.said("a cat", button="Again")

    await ada.tell("same, at night", thread=fox)
    night = await ada.direct.said("a fox, at night", button="Again")
    await ada.tell("same, in snow")
    await ada.direct.said("a fox, at night, in snow", button="Again")

    assert night["thread_ts"] == fox


async def test_a_new_message_goes_on_from_here_and_not_from_elsewhere(
    chat, slack, ada, general, gate
):
    gate.open()
    await ada.tell(f"a fox {SMALL}")
    await ada.direct.said("a fox", button="Again")
    await ada.mention(general, f"a cat {SMALL}")
    await general.said("a cat", button="Again")

    await ada.tell("same, at night")

    await ada.direct.said("a fox, at night", button="Again")


async def test_a_thread_has_the_prompt_as_its_title_and_a_status_until_the_answer(
    chat, slack, ada, gate
):
    asked = (await ada.tell(f"a fox {SMALL}")).payload["event"]["ts"]
    await ada.direct.until(lambda _: ada.direct.titles)
    (fox,) = await jobs(chat)
    await at_step(fox, 0)

    assert slack.api.called("assistant.threads.setStatus")[0]["status"] == "is thinking…"
    assert ada.direct.titles == {asked: "a fox"}
    await ada.direct.said("a fox", button="Cancel")
    assert ada.direct.statuses == {}


async def test_what_slack_does_not_take_of_it_is_left_out(chat, slack, ada, gate):
    gate.open()
    slack.api.fault("assistant.threads.setStatus", "lost")
    slack.api.fault("assistant.threads.setTitle", "internal_error")

    await ada.tell(f"a fox {SMALL}")

    await ada.direct.said("a fox", button="Again")


async def test_buttons_under_a_picture_stay_in_its_thread(chat, slack, ada, gate):
    gate.open()
    asked = (await ada.tell(f"a fox {SMALL} --seed 7")).payload["event"]["ts"]
    fox = await ada.direct.said("seed 7", button="Again")

    await ada.press(fox, "Again", ada.direct)
    await ada.direct.until(lambda _: str(ours(ada.direct)).count("Made by AI: a fox") == 2)

    assert {each["thread_ts"] for each in ours(ada.direct)} == {asked}


async def test_an_app_of_an_older_manifest_answers_without_threads(make_chat, slack, ada, gate):
    slack.scopes.discard("assistant:write")
    await make_chat()
    gate.open()

    await ada.tell(f"a fox in snow {SMALL} --seed 7")
    await ada.direct.said("seed 7", button="Again")
    await ada.tell("same, at night")
    night = await ada.direct.said("a fox in snow, at night", button="Again")

    assert "thread_ts" not in night
    assert slack.api.called("assistant.threads.setStatus") == []


# Words of welcome


async def test_whoever_opens_the_conversation_first_is_welcomed_once(chat, slack, ada):
    await ada.open_home("messages")
    message = await ada.direct.said("Write what you would like to see")
    await ada.open_home("messages")
    await ada.direct.until(
        lambda _: len(slack.api.called("assistant.threads.setSuggestedPrompts")) == 2
    )

    lines = message["blocks"][0]["text"]["text"].splitlines()
    assert len(lines) == 3
    assert "Settings" in buttons(message)
    assert len(ours(ada.direct)) == 1


async def test_whoever_has_written_before_is_not(make_chat, chat, slack, ada):
    await ada.tell("quota")
    await ada.direct.said("credits left")

    await ada.open_home("messages")
    await chat.close()  # which waits for all that is under way

    assert slack.api.called("conversations.history")
    assert len(ours(ada.direct)) == 1


async def test_prompts_are_offered_in_the_language_of_the_person(chat, slack):
    uwe = slack.person("uwe", locale="de-DE")

    await uwe.open_home("messages")
    await uwe.direct.until(lambda _: uwe.direct.prompts)

    assert uwe.direct.prompts[-1] == {"title": "Was kannst du?", "message": "help"}
    await uwe.direct.said("Schreib, was du sehen möchtest")


async def test_a_channel_that_invites_the_bot_is_told_what_it_does(chat, slack, general):
    uwe = slack.person("uwe", locale="de-DE")

    await uwe.invite(general)

    message = await general.said("Erwähne mich mit dem, was du sehen möchtest")
    assert "thread_ts" not in message


async def test_when_others_join_nothing_is_said(chat, slack, ada, general):
    event = {"type": "message", "subtype": "channel_join", "user": ada.id, "ts": slack.ts()}
    event |= {"channel": general.id, "channel_type": "channel", "event_ts": event["ts"]}

    await ada.acked(await ada.event(event))

    assert ours(general) == []


@pytest.mark.parametrize("code", ["en-US", "ja-JP"])
async def test_the_home_welcomes_people_who_have_drawn_nothing(chat, slack, code):
    someone = slack.person("someone", locale=code)

    await someone.open_home()
    home = await someone.sees(lambda person: person.home)

    assert ("same, at night" in shown_text(home)) is True


# Opinions


def opinions(chat):
    found = chat.bot.service.metrics.registry.collect()
    samples = [each for family in found for each in family.samples]
    return {
        each.labels["opinion"]: each.value for each in samples if each.name == "fluxbot_opinions"
    }


async def test_a_thumb_is_counted_and_the_last_one_stands(chat, slack, ada, gate):
    gate.open()
    await ada.tell(f"a fox {SMALL}")
    fox = await ada.direct.said("a fox", button="Again")

    await ada.judge(fox, ada.direct)
    await ada.judge(fox, ada.direct)
    assert opinions(chat) == {"good": 1}
    await ada.judge(fox, ada.direct, is_good=False)

    assert opinions(chat) == {"good": 0, "bad": 1}
    assert len(ours(ada.direct)) == 1, "and nothing is said about it"


async def test_in_a_channel_nobody_is_asked(chat, slack, ada, general, gate):
    """Others would see it, and there is a button to report."""
    gate.open()
    await ada.mention(general, f"a fox {SMALL}")

    message = await general.said("a fox", button="Again")

    assert "feedback_buttons" not in str(message)

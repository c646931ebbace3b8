"""In a thread with the bot people go on without naming it; and talk to each other undisturbed."""

import pytest

from generation.kinds import Edit
from generation.types import Preset
from tests.adapters.slack_chat.conftest import SMALL, jobs, ours
from tests.adapters.slack_chat.test_talk import drawn
from tests.conftest import PRESETS, at_step
from tests.fakes.slack.world import shown_text
from tests.samples import picture


@pytest.fixture
async def thread(chat, ada, general, gate):
    """A thread in which the bot has drawn a fox for ada."""
    gate.open()
    return (await drawn(ada, general, f"a fox {SMALL} --seed 7"))["thread_ts"]


async def silent(slack, chat, channel, before):
    """Whether nothing is said in *channel* since *before*, and nothing is on its way."""
    return ours(channel) == before and len(await jobs(chat)) == 1 and channel.whispers == []


async def test_whoever_is_alone_with_the_bot_goes_on_without_its_name(chat, ada, general, thread):
    await ada.say(general, "same, at night", thread=thread)
    night = await general.said("a fox, at night", button="Again")
    await ada.say(general, f"a cat {SMALL}", thread=thread)
    cat = await general.said("a cat", button="Again")

    assert night["thread_ts"] == cat["thread_ts"] == thread
    assert [job.request.prompt for job in await jobs(chat)] == ["a fox", "a fox, at night", "a cat"]


async def test_questions_and_mistakes_are_answered_there_too(chat, ada, general, thread):
    await ada.say(general, "quota", thread=thread)
    await general.whispered(ada.id, "credits left")
    await ada.say(general, "again --steps 99", thread=thread)
    await general.whispered(ada.id, "between 1 and 50")


async def test_thanks_are_not_answered(slack, chat, ada, general, thread):
    before = ours(general)

    await ada.say(general, "thank you!", thread=thread)

    assert await silent(slack, chat, general, before)


async def test_people_who_talk_to_each_other_are_left_alone(slack, chat, ada, general, thread):
    bob, before = slack.person("bob"), ours(general)

    await bob.say(general, "what a fox", thread=thread)
    await ada.say(general, "a red house would be nice", thread=thread)
    await bob.say(general, "same, that was my idea", thread=thread)
    await bob.say(general, "history repeats itself", thread=thread)

    assert await silent(slack, chat, general, before)


async def test_among_several_commands_are_heard_and_same_from_whom_the_picture_is_of(
    slack, chat, ada, general, thread
):
    bob = slack.person("bob")
    await bob.say(general, "what a fox", thread=thread)

    await ada.say(general, "same, at night", thread=thread)
    await general.said("a fox, at night", button="Again")
    await bob.say(general, "vary", thread=thread)
    await general.until(lambda _: str(ours(general)).count("Made by AI: a fox, at night") == 2)

    _, night, varied = await jobs(chat)
    assert (varied.user, varied.parent) == (bob.key, night.id)


async def test_words_to_somebody_else_are_not_for_the_bot(slack, chat, ada, general, thread):
    bob, before = slack.person("bob"), ours(general)

    await ada.say(general, f"<@{bob.id}> again", thread=thread)
    await ada.say(general, "<!here> vary", thread=thread)

    assert await silent(slack, chat, general, before)


async def test_outside_of_its_threads_nothing_is_heard(slack, chat, ada, general, thread):
    other, before = ada.write(general, "hello everybody"), ours(general)

    await ada.say(general, "again")
    await ada.say(general, "again", thread=other["ts"])

    assert await silent(slack, chat, general, before)


async def test_a_mention_that_slack_tells_of_twice_makes_one_picture(chat, ada, general, thread):
    """As an ``app_mention``, and as a message like all others."""
    words = f"a cat {SMALL}"
    await ada.mention(general, words, thread=thread)
    await general.said("a cat", button="Again")
    told = [each for each in general.messages.values() if each["user"] == ada.id][-1]
    event = {**told, "channel": general.id, "channel_type": "channel", "event_ts": told["ts"]}
    await ada.acked(await ada.event(event))

    assert len(await jobs(chat)) == 2


async def test_what_waits_can_be_cancelled_without_a_name(chat, slack, ada, general, gate):
    await slack.person("bob").mention(slack.channel("elsewhere"), f"a dog {SMALL}")
    await at_step((await jobs(chat))[0], 0)
    asked = await ada.mention(general, f"a fox {SMALL}")

    await ada.say(general, "cancel", thread=asked.payload["event"]["ts"])

    await general.said("Cancelled")


async def test_where_slack_does_not_let_it_look_it_hears_commands_alone(
    slack, chat, ada, general, thread
):
    slack.scopes.discard("channels:history")
    before = ours(general)

    await ada.say(general, f"a cat {SMALL}", thread=thread)
    assert await silent(slack, chat, general, before)
    await ada.say(general, "again", thread=thread)

    await general.until(lambda _: len(ours(general)) == 2)


async def test_of_a_thread_that_is_too_long_to_look_through_nobody_is_alone_in(
    slack, chat, ada, general, thread, monkeypatch
):
    monkeypatch.setattr("adapters.slack_chat.threads.IN_A_THREAD", 1)
    before = ours(general)

    await ada.say(general, f"a cat {SMALL}", thread=thread)

    assert await silent(slack, chat, general, before)


async def test_one_who_edits_such_words_has_the_new_ones_drawn(chat, slack, ada, general, gate):
    """They are no mention, so the event of an edit is another one."""
    gate.open()
    thread = (await drawn(ada, general, f"a fox {SMALL} --seed 7"))["thread_ts"]
    gate.close_again()
    bob = slack.person("bob")
    await bob.mention(slack.channel("elsewhere"), f"a dog {SMALL}")
    await at_step((await jobs(chat))[1], 0)
    envelope = await ada.say(general, f"a cet {SMALL}", thread=thread)
    message = general.messages[envelope.payload["event"]["ts"]]

    await ada.edit(general, message, f"a cat {SMALL}", names_the_bot=False)
    gate.open()

    await general.said("a cat", button="Again")


# Pictures further up


async def test_a_picture_further_up_is_taken_where_a_preset_needs_one(
    chat, slack, ada, general, gate
):
    gate.open()
    bob = slack.person("bob")
    sketch = bob.write(general, "my sketch", [bob.file(picture())])

    await drawn(ada, general, f"a fox --preset canny {SMALL}", thread=sketch["ts"])
    await drawn(ada, general, f"a cat --preset canny {SMALL}", "a cat", thread=sketch["ts"])

    fox, cat = await jobs(chat)
    assert fox.request.control_image == cat.request.control_image is not None, "and not the fox"


async def test_a_picture_of_the_bot_is_taken_where_it_is_asked_for(chat, slack, ada, general, gate):
    """By whomever: everybody in the thread has seen it."""
    gate.open()
    bob = slack.person("bob")
    sketch = ada.write(general, "my sketch", [ada.file(picture())])
    await drawn(ada, general, f"a fox --preset canny {SMALL}", thread=sketch["ts"])

    asked = f"a castle from the picture above --preset redraw {SMALL}"
    await drawn(bob, general, asked, "a castle", thread=sketch["ts"])

    fox, castle = await jobs(chat)
    assert (castle.request.prompt, castle.parent) == ("a castle", fox.id)
    assert (fox.user, castle.user) == (ada.key, bob.key)


async def test_what_comes_after_a_message_is_not_above_it(chat, slack, ada, general, gate):
    gate.open()
    bob = slack.person("bob")
    root = bob.write(general, "a thread")["ts"]
    text = f"<@UBOT1> a fox from the picture above --preset canny {SMALL}"
    event = ada.mention_event(general, text, thread=root)
    bob.write(general, "my sketch", [bob.file(picture())], thread=root)

    await ada.acked(await ada.event(event))

    await general.whispered(ada.id, "There is no picture further up")


async def test_in_a_direct_message_the_picture_before_is_taken(chat, ada, gate):
    gate.open()
    await ada.tell(f"a fox --preset redraw {SMALL}", files=[ada.file(picture())])
    await ada.direct.said("redraw", button="Again")

    await ada.tell(f"a cat --preset canny {SMALL}")
    await ada.direct.said("a cat", button="Again")

    assert (await jobs(chat))[1].request.control_image is not None


async def test_in_a_channel_a_picture_is_taken_only_where_it_is_asked_for(
    chat, slack, ada, general, gate
):
    gate.open()
    bob = slack.person("bob")
    bob.write(general, "my sketch", [bob.file(picture())])

    await ada.mention(general, f"a fox --preset canny {SMALL}")
    await general.whispered(ada.id, "needs a control image")
    await drawn(ada, general, f"a fox from the picture above --preset canny {SMALL}")

    (fox,) = await jobs(chat)
    assert fox.request.control_image is not None


async def test_what_is_not_there_is_said(chat, ada, general):
    await ada.mention(general, f"a fox from the picture above --preset canny {SMALL}")

    await general.whispered(ada.id, "There is no picture further up in this conversation")


async def test_where_a_preset_edits_a_sentence_that_asks_for_a_change_changes_the_picture(
    make_chat, ada, general, gate
):
    gate.open()
    edit = Preset(name="edit", kind=Edit(kontext="a/b"))
    chat = await make_chat(presets={**PRESETS, "edit": edit})
    thread = (await drawn(ada, general, f"a fox {SMALL} --seed 7"))["thread_ts"]

    await ada.say(general, "now make it night", thread=thread)
    night = await general.said("now make it night", button="Again")
    await ada.say(general, f"a cat {SMALL}", thread=thread)
    await general.said("a cat", button="Again")
    await ada.mention(general, f"make it day {SMALL}")
    await general.said("make it day", button="Again")

    fox, edited, cat, day = await jobs(chat)
    assert (edited.parent, edited.request.preset) == (fox.id, "edit")
    assert "edited from" in shown_text(night)
    assert cat.request.preset == day.request.preset == "plain"

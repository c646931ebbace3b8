"""Messages that people edit after they were sent: Slack delivers another event for each."""

import asyncio

import pytest

from bot.jobs import JobStatus
from tests.adapters.slack_chat.conftest import SMALL, delivered, jobs, ours, restarted
from tests.conftest import at_step
from tests.fakes.slack.world import shown_text
from tests.samples import picture


async def used(chat, person):
    return (await chat.bot.service.quota(person.key)).used


def message_of(person, channel):
    """The newest message of *person*."""
    return [each for each in channel.messages.values() if each["user"] == person.id][-1]


@pytest.fixture
async def occupied(chat, slack, gate):
    """An engine that draws for somebody else."""
    bob, elsewhere = slack.person("bob"), slack.channel("elsewhere")
    await bob.mention(elsewhere, f"a dog {SMALL}")
    (dog,) = await jobs(chat)
    await at_step(dog, 0)
    return dog


async def test_an_edited_mention_changes_the_waiting_picture(chat, occupied, ada, general, gate):
    """I10, D10: and is charged once."""
    await ada.mention(general, f"a fix {SMALL}")
    await general.said("a fix", button="Cancel")
    before = await used(chat, ada)

    await ada.edit(general, message_of(ada, general), f"a fox {SMALL}")
    await general.said("Not drawn: you changed your message, and its new words are drawn instead")
    gate.open()
    await general.said("seed", button="Again")
    await delivered(chat)

    drawn = [(job.request.prompt, job.status.value) for job in (await jobs(chat))[1:]]
    assert drawn == [("a fix", "cancelled"), ("a fox", "succeeded")]
    assert await used(chat, ada) == before


async def test_a_message_can_be_edited_again_and_again(chat, occupied, ada, general, gate):
    """D10"""
    await ada.mention(general, f"a fix {SMALL}")
    before = await used(chat, ada)

    for prompt in ("a fax", "a fex", "a fox"):
        await ada.edit(general, message_of(ada, general), f"{prompt} {SMALL}")

    waiting = [job.request.prompt for job in await jobs(chat) if not job.status.is_final]
    assert waiting == [occupied.request.prompt, "a fox"]
    assert await used(chat, ada) == before


async def test_an_edited_direct_message_changes_the_waiting_picture_too(chat, occupied, ada, gate):
    """D10"""
    await ada.tell(f"a fix {SMALL}")

    await ada.edit(ada.direct, message_of(ada, ada.direct), f"a fox {SMALL}")
    gate.open()

    await ada.direct.said("a fox", button="Again")


@pytest.mark.parametrize("is_over", [False, True])
async def test_a_mention_that_is_edited_later_is_neither_drawn_nor_charged_again(
    chat, ada, general, gate, is_over
):
    """I10, D10"""
    await ada.mention(general, f"a fix {SMALL}")
    (job,) = await jobs(chat)
    await at_step(job, 0)
    if is_over:
        gate.open()
        await delivered(chat)
    before = await used(chat, ada)

    await ada.edit(general, message_of(ada, general), f"a fox {SMALL}")
    await general.whispered(ada.id, "from the words as you first wrote them")
    gate.open()
    await delivered(chat)

    (job,) = await jobs(chat)
    assert job.status is JobStatus.SUCCEEDED
    assert await used(chat, ada) == before


async def test_a_restart_does_not_make_an_edited_mention_a_new_one(
    make_chat, chat, ada, general, gate
):
    """D10"""
    gate.open()
    await ada.mention(general, f"a fix {SMALL}")
    await general.said("a fix", button="Again")
    await delivered(chat)

    chat = await restarted(make_chat, chat, gate)
    await ada.edit(general, message_of(ada, general), f"a fox {SMALL}")
    await general.whispered(ada.id, "from the words as you first wrote them")

    assert len(await jobs(chat)) == 1


async def test_new_words_that_are_refused_leave_the_picture_as_it_was(
    chat, occupied, ada, general, gate
):
    """D10"""
    await ada.mention(general, f"a fox {SMALL}")

    await ada.edit(general, message_of(ada, general), "a fox --steps 9999")
    await general.whispered(ada.id, "Steps")
    gate.open()

    await general.said("seed", button="Again")


async def test_a_refused_mention_can_be_mended_where_it_stands(chat, ada, general, gate):
    """D10"""
    gate.open()
    await ada.mention(general, "a fox --stepps 3")
    await general.whispered(ada.id, "--stepps")

    await ada.edit(general, message_of(ada, general), f"a fox {SMALL}")

    await general.said("seed", button="Again")


async def test_new_words_that_ask_something_leave_the_picture_as_it_was(
    chat, occupied, ada, general, gate
):
    """D10"""
    await ada.mention(general, f"a fox {SMALL}")

    await ada.edit(general, message_of(ada, general), "quota")
    await general.whispered(ada.id, "credits left")
    gate.open()

    await general.said("seed", button="Again")


async def test_new_words_that_come_as_the_old_ones_are_taken_up_cost_nothing(
    chat, occupied, slack, ada, general, gate
):
    """D10: the picture of the new ones needs a file, which takes its time."""
    event = ada.mention_event(general, f"<@UBOT1> a fix {SMALL}")
    await ada.acked(await ada.event(event))
    before = await used(chat, ada)
    arrives = slack.hold_up("file")
    more = {"files": [ada.file(picture()).shown()], "edited": {"user": ada.id, "ts": "2"}}
    text = f"<@UBOT1> a fox --preset canny {SMALL}"
    edited = await ada.event({**event, **more, "text": text})
    while not slack.api.called("file"):
        await asyncio.sleep(0)

    _, fix = await jobs(chat)
    gate.allow(3)
    await at_step(fix, 0)
    arrives.set()
    await ada.acked(edited)
    gate.open()
    await general.whispered(ada.id, "from the words as you first wrote them")
    await delivered(chat)

    ends = [(job.request.prompt, job.status.value) for job in (await jobs(chat))[1:]]
    assert ends == [("a fix", "succeeded"), ("a fox", "cancelled")]
    assert await used(chat, ada) == before


async def test_a_link_that_slack_unfolds_is_no_edit(make_chat, chat, slack, ada, gate):
    """D10: Slack itself changes the message then, and the words stay."""
    await ada.tell("quota")
    await ada.direct.said("credits left")
    message = message_of(ada, ada.direct)
    event = {"type": "message", "subtype": "message_changed", "channel_type": "im"}
    event |= {"channel": ada.direct.id, "message": message, "previous_message": message}

    for change in ({}, {"edited": {"user": ada.id, "ts": "2"}}):
        chat = await restarted(make_chat, chat, gate)
        changed = {**event, "message": {**message, **change}, "event_ts": slack.ts()}
        await ada.acked(await ada.event(changed))
        await chat.close()

    assert len(ours(ada.direct)) == 1


async def test_words_that_stay_are_no_new_ones(chat, ada, general):
    """D10"""
    await ada.mention(general, "help")
    text = message_of(ada, general)["text"].removeprefix("<@UBOT1> ")

    await ada.edit(general, message_of(ada, general), text)
    await chat.close()

    assert len(general.whispers) == 1


async def test_an_admin_is_obeyed_once(chat, slack, ada, general):
    """D10: but a slip can be mended."""
    boss = slack.person("boss", is_admin=True)
    total = (await chat.bot.service.quota(ada.key)).granted
    await boss.mention(general, f"admin quota grunt <@{ada.id}> 10")
    message = message_of(boss, general)

    for text in ("grant <@{}> 10", "grant <@{}> 100", "grant <@{}> 1000"):
        await boss.edit(general, message, "admin quota " + text.format(ada.id))

    assert (await chat.bot.service.quota(ada.key)).granted == total + 10


async def test_an_edited_command_of_an_admin_is_not_carried_out_after_a_restart(
    make_chat, chat, slack, ada, general, gate
):
    """D10: nobody knows then whether it was before."""
    boss = slack.person("boss", is_admin=True)
    await boss.mention(general, f"admin quota grant <@{ada.id}> 10")
    await general.whispered(boss.id, "10")
    message = message_of(boss, general)

    chat = await restarted(make_chat, chat, gate)
    await boss.edit(general, message, f"admin quota grant <@{ada.id}> 100")

    assert (await chat.bot.service.quota(ada.key)).granted == 10


async def test_two_versions_of_a_message_that_come_at_once_make_one_picture(
    chat, occupied, slack, ada, general, gate
):
    """D10"""
    event = ada.mention_event(general, f"<@UBOT1> a fix {SMALL}")
    edited = {**event, "text": f"<@UBOT1> a fox {SMALL}", "edited": {"user": ada.id, "ts": "2"}}

    first, second = await ada.event(event), await ada.event(edited)
    await ada.acked(first)
    await ada.acked(second)
    gate.open()
    await delivered(chat)

    ends = [(job.request.prompt, job.status.value) for job in (await jobs(chat))[1:]]
    assert ends == [("a fix", "cancelled"), ("a fox", "succeeded")]
    assert "a fox" in shown_text(ours(general)[-1])

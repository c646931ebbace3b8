"""Slack is told that an event has arrived: in time, and once it is on disk."""

import asyncio

from tests.adapters.slack_chat.conftest import SMALL, delivered, jobs, ours, restarted
from tests.samples import picture


async def test_an_event_is_acknowledged_once_its_job_is_on_disk_and_not_before(
    chat, slack, ada, general
):
    arrives = asyncio.Event()
    slack.api.fault("file", arrives)
    text, files = f"<@UBOT1> a fox --preset canny {SMALL}", [ada.file(picture())]
    first = await ada.send_mention(general, text, files)
    while not [method for method, _ in slack.api.calls if method == "file"]:
        await asyncio.sleep(0)
    assert not first.acked.done()

    await slack.advance(3.1)  # Slack has waited long enough, and says it again
    second = slack.sockets.envelopes[-1]
    assert (second.attempt, second.acked.done()) == (1, False)
    arrives.set()
    await second.acked
    await first.acked

    assert len(await jobs(chat)) == 1
    slack.sockets.late.clear()


async def test_an_event_that_comes_again_makes_one_job_and_one_answer(chat, ada, general, gate):
    gate.open()

    for _ in range(3):
        await ada.mention(general, f"a fox {SMALL}", event_id="Ev1")
        await ada.mention(general, "quota", event_id="Ev2")
    await delivered(chat)

    assert len(await jobs(chat)) == 1
    assert len(ours(general)) == 1
    assert len(general.whispers) == 1


async def test_an_event_that_comes_again_after_a_restart_makes_one_job(
    make_chat, chat, ada, general, gate
):
    await ada.mention(general, f"a fox {SMALL}", event_id="Ev1")
    await general.said("a fox", button="Cancel")

    chat = await restarted(make_chat, chat, gate)
    await ada.mention(general, f"a fox {SMALL}", event_id="Ev1")
    gate.open()
    await general.said("seed", button="Again")
    await delivered(chat)

    assert len(await jobs(chat)) == 1
    assert len(ours(general)) == 1


async def test_what_the_bot_does_not_understand_is_acknowledged_too(chat, slack, ada, general):
    event = {"type": "reaction_added", "user": ada.id, "reaction": "fox", "event_ts": slack.ts()}
    await ada.acked(await ada.event(event | {"item": {"type": "message"}}))
    await ada.slash(general, "hello", command="/other")
    await ada.shortcut("unknown", ada.write(general, "x"), general)
    foreign = ada.write(general, "x") | {
        "blocks": [
            {
                "type": "actions",
                "elements": [
                    {
                        "type": "button",
                        "action_id": "other",
                        "text": {"type": "plain_text", "text": "Other"},
                    }
                ],
            }
        ]
    }
    await ada.press(foreign, "Other", general)
    edited = {"type": "message", "subtype": "message_changed", "channel_type": "im"}
    await ada.acked(await ada.event(edited | {"channel": ada.direct.id, "event_ts": slack.ts()}))

    assert await jobs(chat) == []


async def test_a_command_is_acknowledged_in_time_though_its_answer_takes_longer(
    make_chat, slack, ada, general
):
    chat = await make_chat(patience=0.02)
    await ada.mention(general, "quota")  # her language is known from now on
    goes_on = asyncio.Event()
    slack.api.fault("users.info", goes_on)

    assert await ada.slash(general, "admin stats") is None
    goes_on.set()

    await general.whispered(ada.id, "Only admins may do that")
    assert chat.workspaces["T0123"].lost is None


async def test_a_form_is_acknowledged_in_time_though_its_picture_takes_longer(
    make_chat, slack, ada, general
):
    await make_chat(patience=0.02)
    goes_on = asyncio.Event()
    slack.api.fault("file", goes_on)
    await ada.slash(general)

    filled = {"prompt": "a fox", "preset": "canny", "image": [ada.file(b"no picture")]}
    assert await ada.submit(await ada.form(), **filled) is None
    goes_on.set()

    await general.whispered(ada.id, "PNG, JPEG or WebP")


async def test_a_fault_of_ours_is_told_and_acknowledged(chat, ada, general, monkeypatch):
    async def broken(*_, **__):
        raise RuntimeError("a bug")

    monkeypatch.setattr(chat.bot.service, "quota", broken)

    await ada.mention(general, "quota")

    await general.whispered(ada.id, "Something went wrong on our side; nothing was charged.")

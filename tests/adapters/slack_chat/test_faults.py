"""What goes wrong between Slack and the bot, and what people see of it."""

import asyncio
import contextlib

import pytest
from aiohttp import web

from bot.commands import ImagineCommand
from bot.config import ConfigError
from bot.jobs import Delivery
from tests.conftest import at_step, stepping
from tests.fakes.slack.world import buttons, images, shown_text
from tests.samples import picture

SMALL = "--size 64x64 --steps 3"


async def jobs(chat):
    rows = await chat.bot.rows("SELECT id FROM jobs ORDER BY number")
    return [await chat.bot.service.job("web:local", row["id"]) for row in rows]


def ours(channel):
    return [message for message in channel.messages.values() if "bot_id" in message]


async def delivered(chat):
    """Wait until nobody is owed an answer any more."""
    async with asyncio.timeout(10):
        while await chat.bot.service.undelivered("slack"):
            await asyncio.sleep(0.002)


async def restarted(make_chat, chat, gate):
    """A new process: what was not on disk is forgotten."""
    await chat.close()
    await stepping(gate, chat.bot.restart())
    return await make_chat(chat.bot)


# Acknowledging


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
    assert await ada.submit(ada.view, **filled) is None
    goes_on.set()

    await general.whispered(ada.id, "PNG, JPEG or WebP")


async def test_a_fault_of_ours_is_told_and_acknowledged(chat, ada, general, monkeypatch):
    async def broken(*_, **__):
        raise RuntimeError("a bug")

    monkeypatch.setattr(chat.bot.service, "quota", broken)

    await ada.mention(general, "quota")

    await general.whispered(ada.id, "Something went wrong on our side; nothing was charged.")


# Pace


async def test_a_busy_channel_is_spoken_to_about_once_a_second(chat, slack, ada, general, gate):
    gate.open()

    people = [slack.person(f"p{number}") for number in range(10)]
    for person in people:
        await person.mention(general, f"a fox {SMALL}")
    await delivered(chat)

    assert slack.api.limited == []
    assert all("Again" in buttons(message) for message in ours(general))


async def test_progress_that_slack_has_no_time_for_is_dropped(chat, slack, ada, general, gate):
    await ada.mention(general, f"a fox {SMALL}")
    message = await general.said("a fox", button="Cancel")
    slack.time.hold()
    slack.api.fault("chat.update", ("ratelimited", 30))
    gate.allow(1)
    while "chat.update" not in slack.api.limited:
        await slack.time.advance(0.1)
    gate.open()
    await slack.time.advance(28)
    assert "Again" not in buttons(message)

    while "Again" not in buttons(message):
        await slack.time.advance(0.1)

    assert slack.api.limited == ["chat.update"]
    texts = [arguments["text"] for arguments in slack.api.called("chat.update")]
    assert len(set(texts)) == len(texts), "what was dropped is not said later"


async def test_a_picture_that_is_done_waits_for_nobodys_progress(chat, slack, ada, general, gate):
    await ada.mention(general, f"a fox {SMALL}")
    message = await general.said("Drawing step 0", button="Cancel")
    slack.time.hold()
    chat.workspaces["T0123"].pace.hold("elsewhere", 600)  # hundreds have something to show

    gate.open()
    async with asyncio.timeout(10):
        while "Again" not in buttons(message):
            await slack.time.advance(0.001)

    assert slack.time.waited < 60


async def test_what_must_be_said_waits_as_long_as_slack_wants(chat, slack, ada, general, gate):
    slack.api.fault("chat.postMessage", ("ratelimited", -1))  # at once, to keep the test short
    gate.open()

    await ada.mention(general, f"a fox {SMALL}")

    await general.said("seed", button="Again")
    assert len(ours(general)) == 1


async def test_long_drawing_shows_a_preview_that_is_gone_at_the_end(
    chat, slack, ada, general, gate
):
    await ada.mention(general, f"a fox {SMALL}")
    message = await general.said("Drawing step 0", button="Cancel")
    await slack.time.advance(11)
    gate.allow(1)

    (preview,) = await general.until(lambda _: images(message))
    assert slack.files[preview].data.startswith(b"\xff\xd8")
    gate.open()
    await general.until(lambda _: "Again" in buttons(message))
    await delivered(chat)

    assert preview not in slack.files


# Lost answers


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
    await at_step(chat.bot.service._worker.unfinished[job.id], 0)
    slack.api.fault(method, fault)

    gate.open()
    message = await general.said("seed", button="Again")
    await delivered(chat)

    assert len(ours(general)) == 1
    shown = images(message)
    complete = [file.id for file in slack.files.values() if file.is_complete]
    assert complete == shown


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
    """As an admin does who replays a job that was given up."""
    gate.open()
    await ada.mention(general, f"a fox {SMALL} --seed 7")
    await general.said("seed 7", button="Again")
    await delivered(chat)
    (job,) = await jobs(chat)
    monkeypatch.setattr("adapters.slack_chat.delivery.SECONDS_BETWEEN_LOOKS", 0.01)
    chat = await restarted(make_chat, chat, gate)

    changes = ImagineCommand(seed=8)
    await chat.bot.service.again(job.user, job.id, changes, reply_to=job.reply_to)

    await general.said("seed 8", button="Again")


# Places where nothing can be said


@pytest.mark.parametrize("error", ["not_in_channel", "channel_not_found", "is_archived"])
async def test_where_nothing_can_be_posted_the_person_is_answered_alone(
    chat, slack, ada, general, gate, error
):
    slack.api.fault("chat.postMessage", error)
    gate.open()

    await ada.mention(general, f"a fox {SMALL}")

    message = await ada.direct.said("seed", button="Again")
    assert "Where you asked I could not answer" in shown_text(message)
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


# Tokens and workspaces


@pytest.mark.parametrize("error", ["token_revoked", "account_inactive", "invalid_auth"])
async def test_a_workspace_that_is_gone_gets_its_credits_back_and_disturbs_no_other(
    make_chat, slack, gate, error
):
    other = slack.add_team("T0456")
    ada, eve = slack.person("ada"), slack.person("eve", other)
    here, there = slack.channel(), slack.channel("there", other)
    chat = await make_chat()
    await eve.mention(there, f"a fox {SMALL}")
    await there.said("a fox", button="Cancel")
    await eve.mention(there, f"a cat {SMALL}")
    await there.said("a cat", button="Cancel")

    other.error = error
    await stepping(gate, delivered(chat))
    gate.open()
    await ada.mention(here, f"a fox {SMALL}")
    await here.said("seed", button="Again")

    assert chat.workspaces["T0456"].lost
    assert (await chat.bot.service.quota(eve.key)).used == 0


async def test_an_uninstalled_app_is_noticed_by_its_event(chat, slack, ada, general, gate):
    await ada.mention(general, f"a fox {SMALL}")
    await general.said("a fox", button="Cancel")

    await ada.acked(await ada.event({"type": "app_uninstalled", "event_ts": slack.ts()}))
    await stepping(gate, delivered(chat))

    assert chat.workspaces["T0123"].lost == "the app was removed from the workspace"
    assert (await chat.bot.service.quota(ada.key)).used == 0


async def test_a_token_of_a_person_that_is_revoked_is_none_of_our_business(chat, slack, ada):
    event = {"type": "tokens_revoked", "tokens": {"oauth": ["U1"]}, "event_ts": slack.ts()}

    await ada.acked(await ada.event(event))

    assert chat.workspaces["T0123"].lost is None


async def test_a_wrong_token_is_refused_in_a_sentence_but_others_work(make_chat, slack, caplog):
    chat = await make_chat(tokens=("xoxb-wrong", slack.team.token))
    assert list(chat.workspaces) == ["T0123"]
    assert "Slack does not know the token" in caplog.text
    await chat.close()

    with pytest.raises(ConfigError, match="no Slack token can be used"):
        await make_chat(chat.bot, tokens=("xoxb-wrong",))


async def test_an_app_token_that_opens_no_socket_is_refused_in_a_sentence(make_chat, slack):
    slack.app_error = "token_revoked"

    with pytest.raises(ConfigError, match="the token was revoked"):
        await make_chat()


async def test_slack_that_cannot_be_reached_is_tried_again(make_chat, slack, ada, general):
    slack.api.fault("auth.test", *["lost"] * 5)

    await make_chat()
    await ada.mention(general, "quota")

    await general.whispered(ada.id, "credits left")


# Sockets


async def test_a_socket_that_slack_wants_renewed_is_renewed_and_hears_on(chat, slack, ada, general):
    old = await slack.sockets.disconnect()

    await slack.sockets.until(lambda sockets: sockets.open and old not in sockets.open)
    await ada.mention(general, "quota")

    await general.whispered(ada.id, "credits left")
    assert slack.sockets.refused_tickets == 0


async def test_sockets_that_are_lost_come_back_and_hear_what_was_missed(chat, slack, ada, general):
    slack.sockets.cut()
    await slack.sockets.until(lambda sockets: not sockets.open)

    envelope = await ada.send_mention(general, "<@UBOT1> quota")

    await ada.acked(envelope)
    await general.whispered(ada.id, "credits left")


@pytest.mark.parametrize("fault", ["internal_error", "too_many_websockets", "lost", 500])
async def test_a_socket_that_is_not_opened_is_tried_again(make_chat, slack, ada, general, fault):
    slack.api.fault("apps.connections.open", fault)

    await make_chat()

    await ada.mention(general, "quota")
    await general.whispered(ada.id, "credits left")


async def test_a_ticket_that_slack_does_not_take_is_not_tried_twice(make_chat, slack, ada, general):
    starting = asyncio.create_task(make_chat())
    while not slack.sockets.tickets:
        await asyncio.sleep(0)
    slack.sockets.tickets.clear()  # it has expired before it was used

    await starting

    await ada.mention(general, "quota")
    assert slack.sockets.refused_tickets == 1


async def test_with_two_sockets_each_event_is_answered_once(make_chat, slack, ada, general, gate):
    chat = await make_chat(slack_settings={"connections": 2})
    await slack.sockets.until(lambda sockets: len(sockets.open) == 2)
    gate.open()

    await ada.mention(general, f"a fox {SMALL}", event_id="Ev1")
    await ada.mention(general, f"a fox {SMALL}", event_id="Ev1")
    await delivered(chat)

    assert len(await jobs(chat)) == 1


async def test_an_app_token_that_is_revoked_ends_slack_alone(chat, slack):
    ending = asyncio.create_task(chat.ended())
    slack.app_error = "token_revoked"

    await slack.sockets.disconnect()

    with pytest.raises(ConfigError, match=r"opens no socket any more: the token was revoked"):
        await asyncio.wait_for(ending, 10)


# Files


FILES = [
    ({"url": "http://evil.example/x.png"}, "the file does not lie at Slack"),
    ({"data": b"x" * 200_000}, "0.2 MB; at most 0.1 MB are read"),
    ({"data": b"<!DOCTYPE html><title>x</title>"}, "I need the files:read permission"),
    ({"data": b"GIF89a"}, "PNG, JPEG or WebP"),
]


@pytest.mark.parametrize(("file", "sentence"), FILES)
async def test_a_file_that_is_no_picture_for_us_is_refused_before_it_costs(
    make_chat, slack, ada, general, file, sentence
):
    chat = await make_chat(control_images={"max_megabytes": 0.1})
    attached = ada.file(**{"data": picture(), **file})

    await ada.mention(general, f"a fox --preset canny {SMALL}", files=[attached])

    await general.whispered(ada.id, sentence[:1].upper() + sentence[1:])
    assert await jobs(chat) == []


async def test_without_the_right_to_read_files_slacks_sign_in_page_is_recognised(
    chat, slack, ada, general
):
    slack.scopes.discard("files:read")

    await ada.mention(general, f"a fox --preset canny {SMALL}", files=[ada.file(picture())])

    await general.whispered(ada.id, "I need the files:read permission")


async def test_a_file_that_is_gone_is_asked_for_again(chat, slack, ada, general):
    slack.api.fault("file", 404)

    await ada.mention(general, f"a fox --preset canny {SMALL}", files=[ada.file(picture())])

    await general.whispered(ada.id, "The file is gone: attach it again")


async def test_the_token_is_sent_to_slacks_hosts_alone_and_no_redirect_is_followed(
    chat, slack, ada, general
):
    hits = []

    async def elsewhere(request):
        hits.append(request.headers.get("Authorization"))
        return web.Response(body=picture(), content_type="image/png")

    app = web.Application()
    app.router.add_get("/{path:.*}", elsewhere)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/x.png"
    with contextlib.suppress(TimeoutError):
        foreign = ada.file(picture(), url=url)
        await ada.mention(general, f"a fox --preset canny {SMALL}", files=[foreign])
        await general.whispered(ada.id, "The file does not lie at Slack")
        slack.api.fault("file", url)
        moved = ada.file(picture())
        await ada.mention(general, f"a fox --preset canny {SMALL}", files=[moved])
        await general.whispered(ada.id, "I need the files:read permission")
    await runner.cleanup()

    assert hits == []
    assert len(general.whispers) == 2


async def test_of_several_files_none_is_guessed(chat, ada, general):
    two = [ada.file(picture()), ada.file(picture())]

    await ada.mention(general, f"a fox --preset canny {SMALL}", files=two)

    await general.whispered(ada.id, "2 files are attached")


async def test_a_file_of_a_shared_channel_is_looked_up(chat, slack, ada, general, gate):
    gate.open()
    file = ada.file(picture())
    shown = {"id": file.id, "mode": "file_access", "file_access": "check_file_info"}
    event = {
        "type": "app_mention",
        "user": ada.id,
        "text": f"<@UBOT1> a fox --preset canny {SMALL}",
        "channel": general.id,
        "team": "T0123",
        "files": [shown],
    }
    ts = ada.write(general, "a fox")["ts"]

    await ada.acked(await ada.event({**event, "ts": ts, "event_ts": ts}))

    await general.said("canny", button="Again")

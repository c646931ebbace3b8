"""The picture reaches whoever asked, once, whatever happens to Discord, the bot or the message."""

import asyncio

import aiohttp
import discord
import pytest

from adapters.discord_chat.faults import judged
from bot.config import ConfigError
from bot.jobs import Delivery, JobStatus
from bot.refusals import StorageTrouble
from bot.source import Source
from bot.windows import Meaning
from tests.adapters.discord_chat.conftest import EDIT, SMALL, drawn, mentioning, no, settled, shows
from tests.conftest import ADMIN, stepping


async def test_a_delivered_picture_is_owed_no_more(asked, ada, gate, service):
    gate.open()

    await asked.until(drawn)

    assert (await settled(service, ada)).delivery is Delivery.DELIVERED
    assert await service.answers.undelivered("discord") == []


async def test_a_picture_that_the_last_process_still_owed_comes_after_the_restart(
    presence, fake, asked, ada, gate
):
    await stepping(gate, presence.restart())
    gate.open()

    await asked.until(drawn)

    assert len(fake.channel.messages) == 1
    await settled(presence.bot.service, ada)


def calling(person):
    def find(messages):
        return [
            each for each in messages if each.content == f"<@{person.id}> Your picture is ready."
        ]

    return find


async def test_after_a_long_wait_the_person_alone_is_called_once_by_a_reply(
    presence, fake, asked, ada, gate
):
    presence.bot.clock.advance(31)
    gate.open()

    await fake.channel.until(calling(ada))
    (call,) = calling(ada)(fake.channel.messages)

    assert call.mentions == [ada]
    assert call.reference == asked.message.id
    await settled(presence.bot.service, ada)
    await presence.restart()
    assert len(calling(ada)(fake.channel.messages)) == 1


async def test_who_wants_that_is_called_directly_with_the_way_to_the_picture(
    presence, fake, ada, gate
):
    await ada.command(fake.channel, "flux settings", notify="dm")
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    await asked.until(shows("Drawing step 0"))
    presence.bot.clock.advance(31)
    gate.open()

    (call,) = await ada.direct.until(lambda messages: messages)

    place = f"{fake.channel.guild.id}/{fake.channel.id}/{asked.message.id}"
    assert call.content == f"Your picture is ready. https://discord.com/channels/{place}"
    assert calling(ada)(fake.channel.messages) == []


async def test_whoever_waits_is_told_that_the_bot_restarts(presence, fake, asked):
    await presence.stop()

    assert "The bot is restarting; your picture will follow" in asked.message.text


async def test_what_somebody_else_has_drawn_again_is_delivered_too(
    presence, fake, ada, gate, monkeypatch
):
    """An admin does that who replays a job that was given up."""
    gate.open()
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    await asked.until(drawn)
    job = await settled(presence.bot.service, ada)
    await presence.stop()
    monkeypatch.setattr("bot.following.SECONDS_BETWEEN_LOOKS", 0.01)
    await presence.start()

    again = await presence.bot.service.again(Source(job.user, reply_to=job.reply_to), job.id)

    await asked.until(shows(again.id))


async def test_what_was_drawn_and_not_posted_is_posted_and_not_drawn_again(
    presence, fake, asked, ada, gate
):
    await presence.stop()
    gate.open()
    job = presence.bot.service.queue(f"discord:{ada.id}").mine[0]
    await job.finished()
    drawn_before = len(gate.drawn)

    await presence.start()

    await asked.until(drawn)
    assert len(gate.drawn) == drawn_before


async def test_after_fifteen_minutes_the_message_is_edited_by_right(fake, asked, ada, gate):
    fake.clock.advance(16 * 60)
    gate.open()

    message = await asked.until(drawn)

    assert fake.channel.messages == [message]
    assert any(each.path.startswith("/channels/") for each in fake.requests)


async def test_where_the_message_is_gone_a_new_one_mentions_the_person_alone(
    fake, asked, ada, gate
):
    fake.delete(asked.message)
    gate.open()

    (message,) = await fake.channel.until(mentioning(ada))

    assert message.mentions == [ada]
    assert message.content == f"<@{ada.id}>"
    tried = [each for each in fake.requests if each.code == 10008]
    assert len(tried) < 5, "a message that was there is not waited for"


async def test_where_the_channel_is_closed_the_picture_comes_directly(fake, asked, ada, gate):
    fake.clock.advance(16 * 60)
    fake.channel.overwrite(
        fake.bot, deny=discord.Permissions(send_messages=True, view_channel=True)
    )
    gate.open()

    await ada.direct.until(lambda messages: [each for each in messages if drawn(each)])


async def test_where_the_channel_was_deleted_the_picture_comes_directly(fake, asked, ada, gate):
    fake.clock.advance(16 * 60)
    fake.channel.delete()
    gate.open()

    await ada.direct.until(lambda messages: [each for each in messages if drawn(each)])


async def test_where_nothing_is_open_the_credits_go_back_and_the_history_has_it(
    fake, asked, ada, gate, service
):
    fake.clock.advance(16 * 60)
    fake.channel.delete()
    ada.accepts_direct_messages = False
    gate.open()

    job = await settled(service, ada)

    assert (job.status, job.delivery) == (JobStatus.SUCCEEDED, Delivery.NONE)
    assert "could not be posted anywhere" in job.error
    assert (await service.quota(job.user)).used == 0
    assert (await service.lookups.picture(Source(job.user), job.id)).exists()


async def test_a_late_private_picture_comes_directly_and_never_in_the_channel(fake, ada, gate):
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", private=True, **SMALL)
    await asked.until(shows("step 0"))
    fake.clock.advance(16 * 60)
    gate.open()

    await ada.direct.until(lambda messages: [each for each in messages if drawn(each)])

    assert [each for each in fake.channel.messages if not each.is_ephemeral] == []


async def test_whose_late_private_job_an_admin_cancels_is_told_directly(fake, ada, gate, service):
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", private=True, **SMALL)
    await asked.until(shows("step 0"))
    fake.clock.advance(16 * 60)
    (job,) = service.queue(f"discord:{ada.id}").mine

    await stepping(gate, service.admin.cancel(ADMIN, job.id))

    await ada.direct.until(
        lambda messages: [each for each in messages if "an admin cancelled this job" in each.text]
    )
    assert (await settled(service, ada)).delivery is Delivery.DELIVERED


async def test_who_cancels_their_own_late_private_job_is_told_nothing(fake, ada, gate, service):
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", private=True, **SMALL)
    await asked.until(shows("step 0"))
    fake.clock.advance(16 * 60)

    await stepping(gate, service.cancel(Source(f"discord:{ada.id}")))

    assert (await settled(service, ada)).delivery is Delivery.DELIVERED
    assert ada.direct.messages == []


async def test_a_lost_answer_to_the_message_in_the_channel_leaves_one_message(
    fake, asked, ada, gate, service, impatient
):
    fake.delete(asked.message)
    fake.fail("POST", "/channels/.*/messages", lose_answer=True, times=1)
    gate.open()

    await fake.channel.until(mentioning(ada))
    await settled(service, ada)

    assert len(mentioning(ada)(fake.channel.messages)) == 1


async def test_a_lost_answer_to_the_direct_message_leaves_one_message(
    fake, asked, ada, gate, service, impatient
):
    fake.clock.advance(16 * 60)
    fake.channel.delete()
    fake.fail("POST", f"/channels/{ada.direct.id}/messages", lose_answer=True, times=1)
    gate.open()

    await settled(service, ada)

    assert len([each for each in ada.direct.messages if drawn(each)]) == 1


@pytest.mark.parametrize("status", [503, 429, None])
async def test_a_fault_that_passes_only_delays_the_picture(
    fake, asked, ada, gate, service, impatient, status
):
    """None cuts the line; 429 without a Via header is what the edge answers."""
    fake.fail("PATCH", EDIT, status=status, times=1)
    gate.open()

    await asked.until(drawn)

    assert (await settled(service, ada)).delivery is Delivery.DELIVERED
    assert len(fake.channel.messages) == 1


async def test_a_file_that_discord_finds_too_large_after_all_is_made_smaller(
    fake, asked, ada, gate, service
):
    # Some of them meet progress, which is none the worse for it.
    fake.fail("PATCH", EDIT, status=413, body=no(40005), times=5)
    gate.is_noisy = True
    gate.open()

    message = await asked.until(drawn)

    assert message.attachments[0].filename.endswith(".webp")


async def test_what_a_filter_blocks_is_refunded_and_not_tried_again(
    fake, asked, ada, gate, service
):
    fake.fail("PATCH", EDIT, status=400, body=no(200000), times=9)
    gate.open()

    job = await settled(service, ada)

    assert job.delivery is Delivery.NONE
    assert "filter" in job.error
    assert (await service.quota(job.user)).used == 0


async def test_what_is_too_large_however_small_goes_another_way(fake, asked, ada, gate, service):
    fault = fake.fail("PATCH", EDIT, status=413, body=no(40005), times=99)
    gate.open()

    await settled(service, ada)

    assert fault.hits < 40


async def test_a_trouble_of_the_disk_only_delays_the_picture(
    service, asked, gate, impatient, monkeypatch
):
    calls = []

    def fitted(path, max_bytes):
        calls.append(path)
        if len(calls) == 1:
            raise OSError(24, "Too many open files")
        return real(path, max_bytes)

    real = service.provenance.fitted
    monkeypatch.setattr(service.provenance, "fitted", fitted)
    gate.open()

    await asked.until(drawn)


async def test_a_failed_job_keeps_its_reason_where_it_cannot_be_delivered(
    fake, asked, ada, gate, presence, service, monkeypatch
):
    def broken(*_):
        raise ValueError("no picture")

    monkeypatch.setattr(presence.bot.gallery, "save", broken)
    fake.clock.advance(16 * 60)
    fake.channel.delete()
    ada.accepts_direct_messages = False
    gate.open()

    job = await settled(service, ada)

    assert job.status is JobStatus.FAILED
    assert "went wrong on our side" in job.error


async def test_a_refusal_is_said_though_the_first_answer_was_lost(make_presence, fake):
    await make_presence(quota={"credits": 1})
    ada = fake.person("ada")
    fake.fail("POST", "/interactions/.*/callback", lose_answer=True, times=1)

    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", steps=50)

    assert "credits" in (await asked.followed_up()).text
    assert fake.channel.messages == []


async def test_a_lost_first_answer_loses_no_picture(fake, ada, gate):
    fake.fail("POST", "/interactions/.*/callback", lose_answer=True, times=1)
    gate.open()

    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)

    await asked.until(drawn)
    assert len(fake.channel.messages) == 1


async def test_whoever_asked_too_early_for_us_is_not_charged(fake, ada, service, gate):
    fault = fake.fail("POST", "/interactions/.*/callback", status=404, body=no(10062), times=1)

    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    await fake.changes.until(lambda: fault.hits, 20, fake.story)
    late = await ada.command(fake.channel, "flux quota")
    await late.until(shows("credits left"))

    assert asked.message is None
    assert (await service.lookups.history(f"discord:{ada.id}")).jobs == []


async def test_progress_that_cannot_be_shown_is_dropped(fake, asked, ada, gate):
    fault = fake.fail("PATCH", EDIT, status=400, body=no(50035), times=1)
    gate.allow(1)
    await fake.changes.until(lambda: fault.hits, 20, fake.story)
    gate.allow(1)

    await asked.until(shows("step 2"))


async def test_edits_of_one_message_keep_their_distance_and_the_picture_does_not_wait(
    presence, fake, gate
):
    presence.chat.pace.seconds_between_edits = 3600.0
    ada = fake.person("ada")
    gate.open()

    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", size="64x64", steps=50)

    message = await asked.until(drawn)
    assert len(message.edits) <= 4  # promised, first progress, picture


async def test_what_was_sent_is_not_sent_again_because_it_could_not_be_written(
    fake, asked, ada, gate, service, impatient, monkeypatch
):
    fake.delete(asked.message)
    refused, delivered = [], service.answers.delivered

    async def troubled(job):
        if len(refused) < 2:
            refused.append(job)
            raise StorageTrouble("the disk is full")
        await delivered(job)

    monkeypatch.setattr(service.answers, "delivered", troubled)
    gate.open()

    await settled(service, ada)

    assert len(refused) == 2
    posts = [each for each in fake.requests if (each.method, each.path.count("/")) == ("POST", 3)]
    assert len([each for each in posts if each.path.endswith("/messages")]) == 1


async def test_a_token_that_is_revoked_stops_the_adapter_at_once(presence, fake, asked, gate):
    fake.clock.advance(16 * 60)
    # A token that is revoked stays so: the last progress is refused as well as the picture.
    fake.fail("PATCH", "/channels/.*", status=401, times=10)
    before = len(fake.requests)
    gate.open()

    with pytest.raises(ConfigError, match="does not accept DISCORD_TOKEN"):
        await asyncio.wait_for(asyncio.shield(presence.running), 20)

    assert len(fake.requests) - before < 5
    assert (await presence.bot.service.answers.undelivered("discord")) != []
    presence.running = asyncio.create_task(asyncio.sleep(0))


# Progress is never in the way of the end


def slow_down(seconds):
    """Discord's own answer to too many requests, not its edge's."""
    return {
        "status": 429,
        "body": {"message": "You are being rate limited.", "retry_after": seconds, "global": False},
        "headers": {"Retry-After": str(seconds), "Via": "1.1 google"},
    }


async def test_a_picture_does_not_wait_for_progress_that_came_too_often(fake, asked, gate):
    fault = fake.fail("PATCH", EDIT, **slow_down(60.0), times=1)
    gate.allow(1)
    await fake.changes.until(lambda: fault.hits, 20, fake.story)

    gate.open()

    async with asyncio.timeout(15):
        await asked.until(drawn)


async def test_a_picture_does_not_wait_for_progress_that_hangs_and_stays_when_that_arrives(
    fake, asked, ada, gate, service, monkeypatch
):
    """An edit that was cut off may arrive after the picture, and take its place."""
    monkeypatch.setattr("bot.following.SECONDS_UNTIL_ARRIVED", 0.5)
    arrives = asyncio.Event()
    fault = fake.fail("PATCH", EDIT, gate=arrives, status=200, times=1)
    gate.allow(1)
    await fake.changes.until(lambda: fault.hits, 20, fake.story)

    gate.open()
    async with asyncio.timeout(15):
        message = await asked.until(drawn)
    arrives.set()
    await asked.until(lambda message: "Cancel" in message.buttons)

    await asked.until(drawn)
    assert (await settled(service, ada)).delivery is Delivery.DELIVERED
    assert fake.channel.messages == [message]


# No message is left in a state that is over


@pytest.fixture
def quiet(presence, asked):
    """Ada's message shows no more progress, so that faults meet the end of her job."""
    presence.chat.pace.seconds_between_edits = 3600.0
    return asked


async def test_the_message_of_a_picture_that_came_directly_says_so(presence, fake, ada, gate):
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", private=True, **SMALL)
    await asked.until(shows("step 0"))
    presence.chat.pace.seconds_between_edits = 3600.0
    fake.fail("PATCH", EDIT, status=400, body=no(50035), times=1)
    gate.open()

    await ada.direct.until(lambda messages: [each for each in messages if drawn(each)])
    message = await asked.until(shows("Answered in a direct message."))
    assert not message.buttons


async def test_the_message_of_a_picture_that_is_further_down_says_so(fake, quiet, ada, gate):
    fake.fail("PATCH", EDIT, status=400, body=no(50035), times=1)
    fake.fail("PATCH", "/channels/.*", status=403, body=no(50001), times=1)
    gate.open()

    message = await quiet.until(shows("Answered in a new message further down."))

    assert not message.buttons
    assert len(mentioning(ada)(fake.channel.messages)) == 1


async def test_the_message_of_a_picture_that_a_filter_blocks_says_so(fake, quiet, gate):
    fake.fail("PATCH", EDIT, status=400, body=no(200000), times=1)
    gate.open()

    message = await quiet.until(shows("filter blocked the message"))

    assert "credits were given back" in message.text
    assert "a fox" not in message.text, "the filter may have taken offence at it"
    assert not message.buttons


async def test_the_message_of_a_picture_that_could_be_posted_nowhere_says_so(
    fake, quiet, ada, gate
):
    fake.fail("PATCH", EDIT, status=400, body=no(50035), times=1)
    fake.fail("*", "/channels/.*", status=403, body=no(50001), times=2)
    ada.accepts_direct_messages = False
    gate.open()

    message = await quiet.until(shows("not be posted anywhere"))

    assert not message.buttons


# What faults mean


@pytest.mark.parametrize(
    "error", [aiohttp.ServerDisconnectedError(), TimeoutError(), ConnectionResetError()]
)
def test_a_broken_line_is_tried_again(error):
    assert judged(error) is Meaning.UNKNOWN

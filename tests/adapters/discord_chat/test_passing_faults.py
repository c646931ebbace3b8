"""Whatever Discord answers, a picture or words reach the person, and no message stays as if it were
still being drawn. The ids are those of docs/reliability.md."""

import asyncio

import pytest

from bot.jobs import Delivery, JobStatus
from bot.source import Source
from tests.adapters.discord_chat.conftest import (
    EDIT,
    SMALL,
    drawn,
    ended,
    mentioning,
    no,
    settled,
    shows,
)
from tests.conftest import stepping, until

CALLBACK = "/interactions/.*/callback"
BY_RIGHT = "/channels/.*/messages/.*"


@pytest.fixture(autouse=True)
def quick(impatient):
    pass


@pytest.fixture
def quiet(presence):
    """Hushes progress from now on, so that faults meet the end of a job."""

    def hush():
        presence.chat.pace.seconds_between_edits = 3600.0

    return hush


async def privately(fake, person):
    asked = await person.command(
        fake.channel, "flux imagine", prompt="a fox", private=True, **SMALL
    )
    await asked.until(shows("step 0"))
    return asked


# The first answer


@pytest.mark.parametrize("status", [502, 504])
async def test_a_first_answer_that_was_reported_lost_is_found_out_and_carried_on(
    fake, ada, gate, service, status
):
    """C4: discord.py asks again and hears 40060, as a bot does that is told of an event twice."""
    fake.fail("POST", CALLBACK, status=status, misreport=True, times=1)
    gate.open()

    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)

    await asked.until(drawn)
    assert len((await service.lookups.history(f"discord:{ada.id}")).jobs) == 1


@pytest.mark.parametrize("fault", [{"status": 502, "misreport": True}, {"lose_answer": True}])
async def test_words_come_too_though_the_first_answer_was_lost(fake, ada, fault):
    """C4, C5"""
    fake.fail("POST", CALLBACK, **fault, times=1)
    asked = await ada.command(fake.channel, "flux quota")
    await asked.until(shows("credits"))

    fake.fail("POST", CALLBACK, **fault, times=1)
    at_once = await ada.command(fake.channel, "flux queue")
    await at_once.until(ended)

    assert not at_once.followups


@pytest.mark.parametrize("fault", [{"status": 502, "misreport": True}, {"lose_answer": True}])
async def test_buttons_and_forms_work_though_the_first_answer_was_lost(fake, ada, gate, fault):
    """C4, C5"""
    gate.open()
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    fox = await asked.until(drawn)

    fake.fail("POST", CALLBACK, **fault, times=1)
    pressed = await ada.press(fox, "Edit prompt")
    await pressed.answered()
    fake.fail("POST", CALLBACK, **fault, times=1)
    submitted = await ada.submit(pressed, {"prompt": "two foxes"})
    await submitted.until(drawn)
    fake.fail("POST", CALLBACK, **fault, times=1)
    await ada.press(fox, "Delete")
    await fake.until(lambda: fox.is_deleted)

    assert not pressed.followups


async def test_the_message_of_a_first_answer_that_was_lost_is_known_after_its_token_ended(
    fake, ada, gate
):
    """C4, C6: it is edited by the bot's own right, by its id, which Discord told too late."""
    fake.fail("POST", CALLBACK, status=502, misreport=True, times=1)
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    await asked.until(shows("step 0"))
    fake.clock.advance(16 * 60)
    gate.open()

    message = await asked.until(drawn)

    assert fake.channel.messages == [message]


async def test_a_first_answer_that_hangs_keeps_no_picture_back(fake, ada, gate, monkeypatch):
    """C5"""
    monkeypatch.setattr("adapters.discord_chat.first_answers.SECONDS_TO_ANSWER", 0.1)
    monkeypatch.setattr("adapters.discord_chat.first_answers.SECONDS_TO_FIND", 0.1)
    arrives = asyncio.Event()
    fake.fail("POST", CALLBACK, gate=arrives, times=1)
    gate.open()

    await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)

    await fake.channel.until(mentioning(ada))
    arrives.set()


async def test_whose_first_answer_was_limited_until_it_was_too_late_is_not_charged(
    fake, ada, service, monkeypatch, caplog
):
    """C3: Discord says "did not respond", and nothing was carried out."""
    monkeypatch.setattr("adapters.discord_chat.first_answers.SECONDS_TO_ANSWER", 0.1)
    monkeypatch.setattr("discord.webhook.async_.asyncio", asyncio)  # which waits as told
    caplog.set_level("INFO", "adapters.discord_chat.answers")
    body = {"message": "You are being rate limited.", "retry_after": 60.0, "global": False}
    fake.fail("POST", CALLBACK, status=429, body=body, times=1)

    await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)

    await until(lambda: "is not answered" in caplog.text)
    assert (await service.lookups.history(f"discord:{ada.id}")).jobs == []


# Text


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 404, "body": no(10015)},
        {"status": 404, "body": no(10008)},
        {"status": 500},
        {"status": 503},
        {"status": None},
        {"status": 403, "body": "<html>"},
        {"status": 400, "body": no(130000)},
        {"lose_answer": True},
        {"status": 429, "body": "<html>", "headers": {"Via": "1.1 google"}},
    ],
)
async def test_an_answer_in_words_comes_though_discord_has_a_fault(fake, ada, fault):
    """I8"""
    fake.fail("PATCH", EDIT, **fault, times=2)

    asked = await ada.command(fake.channel, "flux quota")

    await asked.until(shows("credits"))


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "POST"])
async def test_a_refusal_comes_to_the_person_alone_though_discord_has_a_fault(
    make_presence, fake, method
):
    """I8"""
    await make_presence(quota={"credits": 1})
    ada = fake.person("ada")
    fake.fail(method, "/webhooks/.*", status=404, body=no(10015), times=2)

    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", steps=50)

    assert "credits" in (await asked.followed_up()).text
    assert fake.channel.messages == []


async def test_whose_words_a_filter_blocks_in_an_answer_is_told_so(fake, ada, gate):
    """C14"""
    gate.open()
    asked = await ada.command(fake.channel, "flux imagine", prompt="a badword", **SMALL)
    await asked.until(drawn)
    fake.blocked_words.add("badword")

    listed = await ada.command(fake.channel, "flux history")

    await listed.until(shows("filter blocked"))


# The picture


@pytest.mark.parametrize("code", [10015, 10062])
async def test_a_passing_404_does_not_lose_a_private_picture(fake, ada, gate, service, quiet, code):
    """I8: nothing but the token leads to its message, and direct messages are closed."""
    ada.accepts_direct_messages = False
    asked = await privately(fake, ada)
    quiet()
    fake.fail("PATCH", EDIT, status=404, body=no(code), times=3)
    gate.open()

    await asked.until(drawn)

    assert (await settled(service, ada)).delivery is Delivery.DELIVERED


async def test_a_token_that_no_place_of_discords_knows_leads_to_the_next_way(fake, ada, gate):
    """C6"""
    fake.fail("*", "/webhooks/.*", status=404, body=no(10015), times=10**6)
    gate.open()

    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)

    await asked.until(drawn)
    assert len(fake.channel.messages) == 1


async def test_a_message_whose_every_edit_fails_is_not_left_as_if_it_were_being_drawn(
    fake, ada, asked, gate, service, quiet
):
    """I8: the picture comes in a new message, and the old one goes."""
    quiet()
    faults = [fake.fail("PATCH", path, status=500, times=10**6) for path in (EDIT, BY_RIGHT)]
    gate.open()

    await fake.channel.until(mentioning(ada))
    await fake.until(lambda: asked.message.is_deleted)

    assert (await settled(service, ada)).delivery is Delivery.DELIVERED
    assert len(fake.channel.messages) == 1
    assert all(0 < fault.hits < 100 for fault in faults)


async def test_a_picture_that_hangs_on_its_way_is_sent_again(
    fake, ada, asked, gate, quiet, monkeypatch
):
    """I8"""
    monkeypatch.setattr("adapters.discord_chat.faults.SECONDS_FOR_A_CALL", 0.3)
    quiet()
    arrives = asyncio.Event()
    fake.fail("PATCH", EDIT, gate=arrives, times=1)
    gate.open()

    await asked.until(drawn)
    arrives.set()


async def test_whose_prompt_a_filter_blocks_is_told_and_refunded_before_anything_is_drawn(
    fake, ada, gate, service
):
    """C14"""
    fake.blocked_words.add("badword")

    # Of many steps, and none before Discord has refused: a stub draws faster than that is read.
    size = {**SMALL, "steps": 50}
    asked = await ada.command(fake.channel, "flux imagine", prompt="a badword fox", **size)
    await until(lambda: any(each.code == 200000 for each in fake.requests))
    await stepping(gate, asked.until(shows("filter blocked the message")))
    job = await settled(service, ada)

    assert not asked.message.buttons
    assert job.status is JobStatus.CANCELLED
    assert (await service.quota(job.user)).used == 0


async def test_who_has_no_message_any_more_is_told_alone_why_no_picture_comes(
    fake, ada, asked, gate, service, quiet
):
    """C8, C14"""
    quiet()
    fake.delete(asked.message)
    fake.fail("PATCH", EDIT, status=400, body=no(200000), times=1)
    gate.open()

    told = await asked.followed_up()

    assert "filter blocked the message" in told.text
    assert told.is_ephemeral
    assert (await service.quota(f"discord:{ada.id}")).used == 0


async def test_who_left_the_server_finds_the_picture_in_the_channel(
    fake, ada, asked, gate, service
):
    """C13"""
    ada.leave(fake.guild)
    gate.open()

    await asked.until(drawn)

    assert (await settled(service, ada)).delivery is Delivery.DELIVERED


async def test_a_late_private_picture_of_somebody_who_left_the_server_is_refunded(
    fake, ada, gate, service
):
    """C13: Discord lets a bot write to those alone with whom it shares a server."""
    await privately(fake, ada)
    ada.leave(fake.guild)
    fake.clock.advance(16 * 60)
    gate.open()

    job = await settled(service, ada)

    assert job.delivery is Delivery.NONE
    assert (await service.quota(job.user)).used == 0
    assert (await service.lookups.picture(Source(job.user), job.id)).exists()


# Clocks


def edits_by_right(fake):
    return [
        each
        for each in fake.requests
        if each.method == "PATCH" and each.path.startswith("/channels/")
    ]


@pytest.mark.parametrize("skew", [-20 * 60, 20 * 60])
@pytest.mark.parametrize("is_private", [False, True])
async def test_a_clock_that_is_wrong_by_twenty_minutes_keeps_no_picture_from_its_message(
    presence, fake, ada, gate, skew, is_private
):
    """I3"""
    presence.skew = skew
    gate.open()

    asked = await ada.command(
        fake.channel, "flux imagine", prompt="a fox", private=is_private, **SMALL
    )

    message = await asked.until(drawn)
    assert ada.direct.messages == []
    assert fake.channel.messages == ([] if is_private else [message])
    assert edits_by_right(fake) == [], "the token serves, whatever our clock says"


async def test_a_clock_that_leaps_while_a_picture_is_drawn_moves_it_nowhere(
    presence, fake, ada, gate
):
    """I3"""
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    await asked.until(shows("step 0"))
    presence.skew = 24 * 3600
    gate.open()

    await asked.until(drawn)

    assert edits_by_right(fake) == []


async def test_a_clock_that_leaps_while_the_bot_is_away_moves_a_private_picture_nowhere(
    presence, fake, ada, gate
):
    """I3"""
    asked = await privately(fake, ada)
    presence.skew = 24 * 3600
    await stepping(gate, presence.restart())
    gate.open()

    await asked.until(drawn)

    assert ada.direct.messages == []


async def test_times_are_told_by_discords_clock(presence, fake, gate):
    """I3: clients count down to them."""
    presence.skew = 20 * 60
    eve, ada = fake.person("eve"), fake.person("ada")
    gate.open()
    first = await eve.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    await first.until(drawn)  # from here on the bot knows how long a step takes
    gate.close_again()
    first = await eve.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    await first.until(shows("step 0"))

    second = await ada.command(fake.channel, "flux imagine", prompt="a cat", **SMALL)

    message = await second.until(shows("<t:"))
    told = int(message.text.partition("<t:")[2].partition(":")[0])
    assert abs(told - fake.clock()) < 60

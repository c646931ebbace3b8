"""Sockets that are renewed, lost and refused."""

import asyncio

import pytest

from bot.config import ConfigError
from tests.adapters.slack_chat.conftest import SMALL, delivered, jobs


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


def heartbeats():
    """The timers of pings that are to be sent."""
    timers = asyncio.get_running_loop()._scheduled
    return [each for each in timers if not each.cancelled() and "_send_heartbeat" in repr(each)]


async def test_a_socket_that_was_closed_pings_nobody(chat, slack, ada, general):
    """A ping that is begun as the loop ends is a task that asyncio misses."""
    old = await slack.sockets.disconnect()
    await slack.sockets.until(lambda sockets: sockets.open and old not in sockets.open)
    await ada.mention(general, "quota")
    await general.whispered(ada.id, "credits left")
    assert len(heartbeats()) == 1

    await chat.close()

    assert heartbeats() == []

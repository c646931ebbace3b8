"""Whose turn it is to be said, in each channel and of all."""

import asyncio

import pytest

from adapters.slack_chat.pace import INTERVAL, PROGRESS_INTERVAL, Pace
from tests.conftest import Clock
from tests.fakes.slack.world import Time


async def test_turns_in_a_channel_come_one_after_another_and_channels_do_not_wait_for_each_other():
    time = Time(Clock(0.0))
    pace = Pace(time, time.sleep)
    heard = []

    async def speak(channel):
        await pace.turn(channel)
        heard.append((channel, round(time(), 3)))

    await asyncio.gather(*(speak(channel) for channel in ("a", "a", "b", "a")))

    assert sorted(heard) == [("a", 0), ("a", INTERVAL), ("a", 2 * INTERVAL), ("b", 0)]


async def test_progress_waits_for_everybody_who_must_speak():
    time = Time(Clock(0.0))
    pace = Pace(time, time.sleep)
    order = []

    async def say(what, waiting):
        await waiting
        order.append((what, round(time(), 3)))

    await asyncio.gather(
        say("first", pace.turn("a")),
        say("progress", pace.spare("a")),
        say("second", pace.turn("a")),
        say("third", pace.turn("a")),
    )

    assert [what for what, _ in order] == ["first", "second", "third", "progress"]


async def test_progress_is_shown_no_more_often_than_slack_lets_anybody_edit():
    time = Time(Clock(0.0))
    pace = Pace(time, time.sleep)

    for channel in "abcd":
        await pace.spare(channel)

    assert time() == pytest.approx(3 * PROGRESS_INTERVAL)
    assert 60 / PROGRESS_INTERVAL < 50, "chat.update is of tier 3"


async def test_whoever_is_told_to_be_quiet_is_quiet():
    time = Time(Clock(0.0))
    pace = Pace(time, time.sleep)
    pace.hold("a", 30)

    await pace.turn("b")
    assert time() == 0
    await pace.turn("a")
    assert time() == 30


async def test_channels_where_nobody_speaks_any_more_are_forgotten():
    clock = Clock(0.0)
    pace = Pace(clock)
    for number in range(3000):
        clock.advance(2)
        await pace.turn(f"C{number}")

    assert len(pace._next) <= 1001

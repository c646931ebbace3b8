"""Pictures of one job on several engines."""

from dataclasses import replace

import pytest

from bot.jobs import JobStatus
from bot.source import Source
from generation.errors import EngineLost
from tests.bot.conftest import CIRCLE, left
from tests.conftest import ADA, BOB, Gate, finished, stepping, until
from tests.samples import pixels

THREE = replace(CIRCLE, images=3, num_inference_steps=4)


@pytest.fixture
def other():
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
async def bot(make_bot, other):
    bot = await make_bot()
    await bot.stop()
    bot.engines.append(other)
    await bot.start()
    await until(lambda: bot.service.state.status == "ready")
    return bot


async def test_an_idle_engine_helps_and_waiting_jobs_come_first(bot, gate, other):
    shared = await bot.service.submit(Source(ADA), THREE)
    await until(lambda: gate.is_busy and other.is_busy)
    waiting = await bot.service.submit(Source(BOB), CIRCLE)
    seeds = sorted(request.seed for engine in (gate, other) for request in engine.drawn)
    assert seeds == [7, 8]
    assert shared.progress.picture in (1, 2)

    helper = other if other.drawn[0].seed == 8 else gate
    helper.allow(4)
    await until(lambda: len(helper.drawn) == 2)

    assert helper.drawn[1].num_inference_steps == CIRCLE.num_inference_steps, "Bob's comes first"
    helper.allow(3)
    await until(lambda: len(helper.drawn) == 3)
    assert helper.drawn[2].seed == 9, "and the last of the shared ones is not forgotten"
    gate.open()
    other.open()
    assert await finished(shared) is await finished(waiting) is JobStatus.SUCCEEDED
    pictures = [await bot.service.lookups.picture(Source(ADA), shared.id, n) for n in (1, 2, 3)]
    alone = await bot.service.submit(Source(ADA), replace(CIRCLE, seed=8, num_inference_steps=4))
    await finished(alone)
    one = await bot.service.lookups.picture(Source(ADA), alone.id)
    assert pixels(pictures[1]) == pixels(one)
    assert len({pixels(each) for each in pictures}) == 3


async def test_cancelling_ends_it_on_all_engines_and_takes_the_steps_of_all(bot, gate, other):
    job = await bot.service.submit(Source(ADA), THREE)
    await until(lambda: gate.is_busy and other.is_busy)
    gate.allow(2)
    other.allow(1)
    await until(lambda: job.progress.step == 3)

    await stepping(gate, stepping(other, bot.service.cancel(Source(ADA), job.id)))

    assert job.status is JobStatus.CANCELLED
    assert 3 <= job.steps_drawn <= 5, "each engine may take one more before it notices"
    assert await left(bot.service) == bot.config.quota.credits - job.cost + job.refunded
    await until(lambda: not gate.is_busy and not other.is_busy)


async def test_an_engine_lost_while_helping_costs_no_picture(bot, gate, other, monkeypatch):
    monkeypatch.setattr("bot.engines.RELOAD_AFTER", 0.0)
    job = await bot.service.submit(Source(ADA), THREE)
    await until(lambda: gate.is_busy and other.is_busy)
    waiting = await bot.service.submit(Source(BOB), CIRCLE)
    other.fault = EngineLost("it has died")
    other.allow(1)
    await until(lambda: not other.is_busy)
    other.fault = None
    await stepping(gate, until(lambda: waiting.status is JobStatus.RUNNING))
    assert job.attempts == 2, "it was still the turn of the job that was lost"
    gate.open()
    other.open()

    assert await finished(job) is JobStatus.SUCCEEDED
    assert job.attempts == 2
    assert other.loads == 2, "once more after the loss"


async def test_a_stop_gives_back_what_was_shared(bot, gate, other):
    job = await bot.service.submit(Source(ADA), THREE)
    await until(lambda: gate.is_busy and other.is_busy)

    await stepping(gate, stepping(other, bot.stop()))
    assert not gate.is_busy
    assert not other.is_busy

    service = await bot.start()
    gate.open()
    other.open()
    again = await service.lookups.job(Source(ADA), job.id)
    assert await finished(again) is JobStatus.SUCCEEDED

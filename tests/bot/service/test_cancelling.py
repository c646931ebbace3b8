"""Cancelling, wherever the job is by then."""

import asyncio
from dataclasses import replace

import pytest

from bot.jobs import JobStatus
from bot.refusals import Conflict, NotFound
from bot.source import Source
from tests.bot.conftest import CIRCLE, left
from tests.conftest import ADA, ADMIN, BOB, at_step, finished, stepping, until


async def test_cancelling_a_running_job_frees_the_engine_within_one_step(bot, gate):
    slow = await bot.service.submit(Source(ADA), replace(CIRCLE, num_inference_steps=50))
    other = await bot.service.submit(Source(BOB), CIRCLE)
    gate.allow(1)
    await at_step(slow, 1)

    await stepping(gate, bot.service.cancel(Source(ADA), slow.id))

    assert slow.status is JobStatus.CANCELLED
    assert await left(bot.service) == bot.config.quota.credits
    gate.allow(3)
    assert await finished(other) is JobStatus.SUCCEEDED


async def test_cancelling_a_waiting_job_never_reaches_the_engine(bot, gate):
    running = await bot.service.submit(Source(ADA), CIRCLE)
    await at_step(running, 0, picture=1)
    waiting = await bot.service.submit(Source(BOB), CIRCLE)

    await bot.service.cancel(Source(BOB))

    assert waiting.status is JobStatus.CANCELLED
    gate.open()
    await finished(running)
    assert len(gate.drawn) == 1
    assert await left(bot.service, BOB) == bot.config.quota.credits


async def test_a_job_cancelled_the_moment_it_is_picked_up_still_ends(bot, gate):
    """The worker has taken it, the engine's thread has not: nobody must wait for ever."""
    job = await bot.service.submit(Source(ADA), CIRCLE)
    await until(lambda: bot.service.is_drawing)

    gate.open()
    await bot.service.cancel(Source(ADA), job.id)

    assert job.status is JobStatus.CANCELLED


async def test_only_the_owner_and_admins_may_cancel_or_look(service):
    job = await service.submit(Source(ADA), CIRCLE)
    await at_step(job, 0, picture=1)
    waiting = await service.submit(Source(ADA), CIRCLE)

    with pytest.raises(NotFound):
        await service.cancel(Source(BOB), waiting.id)
    with pytest.raises(NotFound):
        await service.job(Source(BOB), waiting.id)

    assert await service.job(Source(ADMIN), waiting.id) is waiting
    await service.cancel(Source(ADMIN), waiting.id)
    assert waiting.status is JobStatus.CANCELLED


async def test_what_has_ended_cannot_be_cancelled(service, gate):
    gate.open()
    job = await service.submit(Source(ADA), CIRCLE)
    await finished(job)

    with pytest.raises(Conflict, match="has already succeeded"):
        await service.cancel(Source(ADA), job.id)
    with pytest.raises(NotFound, match="none of your jobs is waiting"):
        await service.cancel(Source(ADA))


async def test_a_cancel_whose_caller_goes_away_is_carried_out(bot, gate):
    """Half of it would be a picture that was refunded."""
    running = await bot.service.submit(Source(ADA), CIRCLE)
    await at_step(running, 0, picture=1)
    waiting = await bot.service.submit(Source(BOB), CIRCLE)
    cancelling = asyncio.create_task(bot.service.cancel(Source(BOB), waiting.id))
    await until(lambda: bot.service.queue(BOB).mine == ())
    cancelling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelling

    gate.open()

    assert await finished(waiting) is JobStatus.CANCELLED
    await finished(running)
    assert len(gate.drawn) == 1
    assert await left(bot.service, BOB) == bot.config.quota.credits


async def test_a_cancel_that_meets_the_stop_is_not_forgotten(make_bot, gate):
    bot = await make_bot()
    job = await bot.service.submit(Source(ADA), replace(CIRCLE, num_inference_steps=50))
    await at_step(job, 0, picture=1)
    cancelling = asyncio.create_task(bot.service.cancel(Source(ADA), job.id))
    await asyncio.sleep(0)  # it has told the engine, which takes no step that would notice

    await stepping(gate, bot.stop())
    await cancelling

    service = await bot.start()
    assert (await service.job(Source(ADA), job.id)).status is JobStatus.CANCELLED

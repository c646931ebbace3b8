"""Cancelling, wherever the job is by then."""

import asyncio
import gc
import weakref
from dataclasses import replace

import pytest

from bot import replies
from bot.jobs import JobStatus
from bot.refusals import Conflict, NotFound, QuotaExceeded
from bot.source import Source
from generation.errors import EngineLost
from tests.bot.conftest import CIRCLE, left
from tests.conftest import ADA, ADMIN, BOB, EVE, at_step, finished, stepping, until


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


async def test_why_a_job_was_cancelled_is_kept_no_longer_than_the_job(bot, gate):
    class Reason(str):
        """A sentence whose end can be waited for."""

    reason = Reason("the channel was deleted; your credits were given back")
    job = await bot.service.submit(Source(ADA), CIRCLE)
    await at_step(job, 0, picture=1)
    await stepping(gate, bot.service.cancel(Source(ADA), job.id, reason))
    assert job.error == reason
    kept = weakref.ref(reason)

    del reason, job

    gate.open()
    await finished(await bot.service.submit(Source(ADA), CIRCLE))
    gc.collect()
    assert kept() is None


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
        await service.lookups.job(Source(BOB), waiting.id)

    assert await service.lookups.job(Source(ADMIN), waiting.id) is waiting
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
    assert (await service.lookups.job(Source(ADA), job.id)).status is JobStatus.CANCELLED


#: Costs a credit a step.
FIFTY = replace(CIRCLE, num_inference_steps=50, width=256, height=256)


async def test_who_cancels_just_before_the_end_pays_for_it_every_time(make_bot, gate):
    """Nobody draws for nothing by cancelling at step 49 of 50, and asking again."""
    bot = await make_bot(quota={"credits": 120})
    for number in (1, 2):
        job = await bot.service.submit(Source(ADA), FIFTY)
        gate.allow(49)
        await at_step(job, 49)

        await stepping(gate, bot.service.cancel(Source(ADA), job.id))

        gate.close_again()
        assert (job.cost, job.refunded, job.steps_drawn) == (50, 1, 49)
        assert await left(bot.service) == 120 - 49 * number

    with pytest.raises(QuotaExceeded):
        await bot.service.submit(Source(ADA), FIFTY)


async def test_steps_of_all_pictures_count(bot, gate):
    job = await bot.service.submit(Source(ADA), replace(FIFTY, num_inference_steps=10, images=4))
    gate.allow(23)
    await at_step(job, 3, picture=3)

    await stepping(gate, bot.service.cancel(Source(ADA)))

    assert (job.cost, job.refunded, job.steps_drawn) == (40, 17, 23)


async def test_who_cancels_before_a_step_is_drawn_or_while_waiting_pays_nothing(bot, gate):
    running = await bot.service.submit(Source(ADA), FIFTY)
    await at_step(running, 0, picture=1)
    waiting = await bot.service.submit(Source(ADA), FIFTY)

    await bot.service.cancel(Source(ADA), waiting.id)
    await stepping(gate, bot.service.cancel(Source(ADA), running.id))

    assert await left(bot.service) == bot.config.quota.credits
    assert (waiting.refunded, running.refunded) == (50, 50)


@pytest.mark.parametrize("is_order", [True, False])
async def test_what_an_admin_cancels_costs_nothing(bot, gate, is_order):
    job = await bot.service.submit(Source(ADA), FIFTY)
    gate.allow(49)
    await at_step(job, 49)

    if is_order:
        await stepping(gate, bot.service.admin.cancel(ADMIN, job.id))
    else:
        await stepping(gate, bot.service.cancel(Source(ADMIN), job.id))

    assert await left(bot.service) == bot.config.quota.credits
    assert job.error == "an admin cancelled this job; your credits were given back"


async def test_an_admin_can_give_back_the_rest_once(bot, gate):
    job = await bot.service.submit(Source(ADA), FIFTY)
    gate.allow(20)
    await at_step(job, 20)
    await stepping(gate, bot.service.cancel(Source(ADA), job.id))
    assert await left(bot.service) == bot.config.quota.credits - 20

    await bot.service.admin.refund(ADMIN, job.id)

    assert await left(bot.service) == bot.config.quota.credits
    assert (await bot.service.lookups.job(Source(ADA), job.id)).refunded == 50
    with pytest.raises(Conflict, match="given back already"):
        await bot.service.admin.refund(ADMIN, job.id)


async def test_what_was_cancelled_reads_the_same_after_a_restart(make_bot, gate):
    bot = await make_bot()
    job = await bot.service.submit(Source(ADA), FIFTY)
    gate.allow(20)
    await at_step(job, 20)
    await stepping(gate, bot.service.cancel(Source(ADA), job.id))
    told = replies.progress_line(job, job.progress)

    service = await bot.restart()
    found = await service.lookups.job(Source(ADA), job.id)

    assert told == ("Cancelled: 20 of 50 steps were drawn (credits: 20 kept, 30 given back)")
    assert replies.progress_line(found, found.progress) == told


async def test_a_cancelled_job_whose_answer_cannot_be_delivered_gives_nothing_more(bot, gate):
    """Else somebody who closes the channel after cancelling would have drawn for nothing."""
    job = await bot.service.submit(Source(EVE, reply_to={"channel": "c1"}), FIFTY)
    gate.allow(20)
    await at_step(job, 20)
    await stepping(gate, bot.service.cancel(Source(EVE), job.id))

    await bot.service.answers.undeliverable(job, "the channel is gone")

    assert await left(bot.service, EVE) == bot.config.quota.credits - 20


async def test_a_replayed_job_costs_nothing_even_if_it_is_cancelled(bot, gate):
    gate.fault = EngineLost("the GPU hangs")
    job = await bot.service.submit(Source(ADA), FIFTY)
    await finished(job)
    gate.fault = None
    again = await bot.service.admin.replay(ADMIN, job.id)
    gate.allow(20)
    await at_step(again, 20)

    await stepping(gate, bot.service.cancel(Source(ADA), again.id))

    assert await left(bot.service) == bot.config.quota.credits
    assert replies.progress_line(again, again.progress).endswith("your credits were given back")

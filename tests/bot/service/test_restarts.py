"""Jobs on disk outlive the process, and an event that comes twice."""

import asyncio
from dataclasses import replace

import pytest

from bot.jobs import JobStatus
from bot.source import Source
from tests.bot.conftest import CIRCLE, left
from tests.conftest import ADA, ADMIN, BOB, at_step, finished, stepping


async def test_waiting_jobs_outlive_a_restart_in_their_order(make_bot, gate):
    bot = await make_bot()
    running = await bot.service.submit(Source(ADA), replace(CIRCLE, num_inference_steps=50))
    await at_step(running, 0, picture=1)
    waiting = [
        await bot.service.submit(Source(user), replace(CIRCLE, seed=seed))
        for user, seed in ((BOB, 8), (ADA, 9))
    ]
    await stepping(gate, bot.stop())

    service = await bot.start()
    gate.open()
    jobs = [await service.lookups.job(Source(ADMIN), job.id) for job in (running, *waiting)]
    for job in jobs:
        assert await finished(job) is JobStatus.SUCCEEDED

    # Begun before the restart and after it, in the order in which they had come.
    assert [each.seed for each in gate.drawn] == [7, 7, 8, 9]
    assert await left(service, BOB) == bot.config.quota.credits - waiting[0].cost
    (row,) = await bot.rows("SELECT attempts FROM jobs WHERE id = ?", running.id)
    assert row["attempts"] == 1, "an attempt that we broke off ourselves does not count"


async def test_who_waits_is_told_their_place_again_after_a_restart(make_bot):
    """Even where nothing moves: a pause outlives the restart too."""
    bot = await make_bot()
    await bot.service.admin.pause(ADMIN)
    before = [await bot.service.submit(Source(user), CIRCLE) for user in (ADA, BOB)]

    service = await bot.restart()

    after = [await service.lookups.job(Source(ADMIN), job.id) for job in before]
    assert [job.progress.position for job in after] == [0, 1]


async def test_a_job_that_took_the_bot_down_three_times_is_given_up_and_refunded(make_bot, gate):
    bot = await make_bot()
    running = await bot.service.submit(Source(ADA), replace(CIRCLE, num_inference_steps=50))
    await at_step(running, 0, picture=1)
    await stepping(gate, bot.stop())
    await bot.start()
    await bot.database.write(
        lambda db: db.execute("UPDATE jobs SET status = 'running', attempts = 3")
    )
    gate.open()

    service = await bot.restart()

    job = await service.lookups.job(Source(ADA), running.id)
    assert (job.status, await left(service)) == (JobStatus.FAILED, bot.config.quota.credits)
    assert "went down 3 times" in job.error


async def test_an_event_that_comes_twice_makes_one_job(bot):
    both = await asyncio.gather(
        *(bot.service.submit(Source(ADA, event_id="slack:Ev1"), CIRCLE) for _ in range(2))
    )
    third = await bot.service.submit(Source(ADA, event_id="slack:Ev1"), CIRCLE)

    assert len({job.id for job in (*both, third)}) == 1
    assert len(await bot.rows("SELECT * FROM jobs")) == 1
    assert await left(bot.service) == bot.config.quota.credits - both[0].cost


async def test_an_event_that_comes_again_at_the_cap_still_finds_its_job(make_bot):
    bot = await make_bot(queue={"max_waiting_per_user": 1})
    running = await bot.service.submit(Source(BOB), CIRCLE)
    await at_step(running, 0, picture=1)
    first = await bot.service.submit(Source(ADA, event_id="slack:Ev1"), CIRCLE)

    assert await bot.service.submit(Source(ADA, event_id="slack:Ev1"), CIRCLE) is first


async def test_whoever_asks_and_goes_away_still_gets_the_job_done(bot, gate, monkeypatch):
    """A job that is on disk and not in the queue would wait for the next restart."""
    writing = asyncio.Event()
    write = bot.database.write

    def noticed(work):
        writing.set()
        return write(work)

    monkeypatch.setattr(bot.database, "write", noticed)
    asking = asyncio.create_task(bot.service.submit(Source(ADA), CIRCLE))
    await writing.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    gate.open()

    async with asyncio.timeout(10):
        while not (page := await bot.service.lookups.history(ADA)).jobs:
            pass
    assert await finished(page.jobs[0]) is JobStatus.SUCCEEDED

"""Answers that are owed, and how that ends."""

import pytest

from bot.jobs import Delivery, JobStatus
from bot.refusals import Conflict, NotFound
from bot.source import Source
from tests.bot.conftest import CIRCLE, HERE
from tests.conftest import ADA, BOB, EVE, finished


async def test_whoever_is_to_be_answered_is_owed_it_until_it_is_delivered(bot, gate):
    service = bot.service
    waiting = await service.submit(Source(EVE, reply_to=HERE), CIRCLE)
    assert await service.answers.undelivered("discord") == [waiting]
    gate.open()
    await finished(waiting)

    service = await bot.restart()
    (owed,) = await service.answers.undelivered("discord")
    assert (owed.id, owed.status, owed.reply_to) == (waiting.id, JobStatus.SUCCEEDED, HERE)
    await service.answers.delivered(owed)

    assert await service.answers.undelivered("discord") == []


async def test_each_platform_sees_its_own_people_alone(service):
    await service.submit(Source(ADA, reply_to=HERE), CIRCLE)
    await service.submit(Source(EVE), CIRCLE)

    assert await service.answers.undelivered("discord") == []
    assert len(await service.answers.undelivered("web")) == 1


@pytest.fixture
async def ended_meanwhile(bot, gate, monkeypatch):
    """A job that ends while what was read of it is on its way to whoever asked."""
    job = await bot.service.submit(Source(EVE, reply_to=HERE, event_id="discord:1"), CIRCLE)
    read = bot.database.read

    async def slowly(work):
        found = await read(work)
        gate.open()
        await finished(job)
        return found

    monkeypatch.setattr(bot.database, "read", slowly)
    return job


async def test_a_job_that_ends_while_it_is_looked_up_is_found_as_it_ended(bot, ended_meanwhile):
    """Whoever waited for the end of one that only looks as if it went on would wait for ever."""
    (owed,) = await bot.service.answers.undelivered("discord")

    assert (owed.id, owed.status) == (ended_meanwhile.id, JobStatus.SUCCEEDED)


async def test_a_job_that_ends_while_its_event_comes_again_is_found_as_it_ended(
    bot, ended_meanwhile
):
    again = await bot.service.submit(Source(EVE, reply_to=HERE, event_id="discord:1"), CIRCLE)

    assert (again.id, again.status) == (ended_meanwhile.id, JobStatus.SUCCEEDED)


async def test_where_the_answer_goes_can_change(bot):
    job = await bot.service.submit(Source(EVE, reply_to=HERE), CIRCLE)

    await bot.service.answers.redirect(job, {**HERE, "message": "m1"})

    (unfinished,) = await (await bot.restart()).answers.undelivered("discord")
    assert unfinished.reply_to == {"channel": "c1", "message": "m1"}


async def test_an_answer_that_cannot_be_given_costs_nothing_and_stays_in_the_history(service, gate):
    gate.open()
    job = await service.submit(Source(EVE, reply_to=HERE), CIRCLE)
    await finished(job)

    await service.answers.undeliverable(job, "the channel was deleted")
    await service.answers.undeliverable(job, "the channel was deleted")

    assert await service.answers.undelivered("discord") == []
    assert (await service.quota(EVE)).used == 0
    (kept,) = (await service.lookups.history(EVE)).jobs
    assert (kept.delivery, kept.error) == (Delivery.NONE, "the channel was deleted")
    assert (await service.lookups.picture(Source(EVE), job.id)).exists()


async def test_a_delivered_picture_stays_charged(service, gate):
    gate.open()
    job = await service.submit(Source(EVE, reply_to=HERE), CIRCLE)
    await finished(job)
    await service.answers.delivered(job)

    await service.answers.undeliverable(job, "too late")

    assert (await service.quota(EVE)).used == job.cost


async def test_a_deleted_picture_is_gone_and_owed_to_nobody(bot, gate):
    gate.open()
    service = bot.service
    job = await service.submit(Source(EVE, reply_to=HERE), CIRCLE)
    await finished(job)
    path = await service.lookups.picture(Source(EVE), job.id)

    await service.delete(Source(EVE), job.id)

    assert not path.exists()
    assert await service.answers.undelivered("discord") == []
    assert (await service.lookups.job(Source(EVE), job.id)).is_pruned


async def test_only_what_has_ended_and_is_ones_own_can_be_deleted(service):
    job = await service.submit(Source(EVE), CIRCLE)

    with pytest.raises(Conflict, match="cancel it first"):
        await service.delete(Source(EVE), job.id)
    with pytest.raises(NotFound):
        await service.delete(Source(BOB), job.id)

"""Pictures of a job of several: each may be seen as soon as it is drawn, and stays."""

from dataclasses import replace

import pytest

from bot.jobs import JobStatus
from bot.refusals import Conflict, NotFound
from bot.screens import PASSED
from bot.source import PictureOf, Source
from generation.errors import EngineLost, GenerationError
from tests.bot.conftest import CIRCLE, left
from tests.conftest import ADA, ADMIN, at_step, finished, stepping, until
from tests.judges import HELD, HIDDEN, NOT_SHOWN

STEPS = 3
SEVERAL = replace(CIRCLE, num_inference_steps=STEPS, images=3, width=64, height=64, seed=5)


@pytest.fixture
async def bot(make_judged):
    """Each picture costs 3 credits."""
    return await make_judged(quota={"credits": 100, "pixels_per_credit": 64 * 64})


async def drawn(service, gate, pictures=1):
    """A job of which so many pictures are drawn, and the next is begun."""
    job = await service.submit(Source(ADA), SEVERAL)
    gate.allow(STEPS * pictures)
    await until(lambda: len(job.ready) == pictures)
    await at_step(job, 0, picture=pictures + 1)
    return job


async def test_a_picture_is_there_before_the_others_are_drawn(service, gate):
    job = await drawn(service, gate)

    path = await service.lookups.picture(Source(ADA), job.id)

    assert job.status is JobStatus.RUNNING
    assert path.exists()
    with pytest.raises(Conflict, match="has no picture 2 yet: it is running"):
        await service.lookups.picture(Source(ADA), job.id, 2)
    with pytest.raises(NotFound, match="pictures 1 to 3, not 4"):
        await service.lookups.picture(Source(ADA), job.id, 4)


async def test_watchers_are_woken_when_a_picture_is_there(service, gate):
    job = await service.submit(Source(ADA), SEVERAL)
    gate.allow(STEPS)

    async for _ in job.watch():
        if job.ready:
            break

    assert job.available == (1,)


async def test_one_can_go_on_from_a_picture_while_the_others_are_drawn(service, gate):
    job = await drawn(service, gate)

    varied = await service.from_picture(Source(ADA), PictureOf(job.id), "vary")

    assert varied.parent == job.id
    with pytest.raises(Conflict):
        await service.from_picture(Source(ADA), PictureOf(job.id, 2), "vary")


async def test_a_cancelled_job_keeps_its_pictures_and_only_the_rest_is_refunded(bot, gate):
    service = bot.service
    job = await drawn(service, gate, pictures=2)
    assert job.cost == 9

    await stepping(gate, service.cancel(Source(ADA), job.id))

    drawn_steps = job.steps_drawn
    assert job.status is JobStatus.CANCELLED
    assert 2 * STEPS <= drawn_steps < 3 * STEPS
    assert job.cost - job.refunded == 9 * drawn_steps // (3 * STEPS)
    assert await left(service) == 100 - job.cost + job.refunded
    assert job.available == (1, 2)
    for number in job.available:
        assert (await service.lookups.picture(Source(ADA), job.id, number)).exists()
    assert (await service.lookups.picture_file(Source(ADA), job.id, "grid")).exists()
    assert (await service.lookups.picture_file(Source(ADA), job.id, "thumbnail")).exists()


async def test_pictures_of_a_cancelled_job_are_deleted_and_swept_like_others(bot, gate):
    service = bot.service
    job = await drawn(service, gate)
    await stepping(gate, service.cancel(Source(ADA), job.id))

    await service.prune()
    assert bot.gallery.has_files_of(job.id)

    deleted = await service.delete(Source(ADA), job.id)
    assert deleted.available == ()
    assert not bot.gallery.has_files_of(job.id)


async def test_a_job_whose_pictures_were_all_drawn_when_the_bot_died_ends_without_another(
    make_bot, gate
):
    bot = await make_bot()
    gate.open()
    job = await bot.service.submit(Source(ADA), SEVERAL)
    await finished(job)
    await bot.database.write(
        lambda db: db.execute("UPDATE jobs SET status = 'running', finished_at = NULL")
    )

    service = await bot.restart()
    found = await service.lookups.job(Source(ADA), job.id)

    assert await finished(found) is JobStatus.SUCCEEDED
    assert len(gate.drawn) == 3, "each was drawn once"
    assert service.state.status == "ready"


async def test_who_is_cancelled_by_an_admin_pays_for_the_pictures_alone(bot, gate):
    job = await drawn(bot.service, gate)

    await stepping(gate, bot.service.cancel(Source(ADMIN), job.id))

    assert (job.steps_drawn, job.refunded) == (None, 6)
    assert job.available == (1,)


async def test_a_picture_stays_when_another_cannot_be_drawn(bot, gate):
    job = await drawn(bot.service, gate)
    gate.fault = GenerationError("the GPU fell off; your credits were given back")
    gate.allow(1)

    assert await finished(job) is JobStatus.FAILED

    assert job.refunded == 6
    assert (await bot.service.lookups.picture(Source(ADA), job.id)).exists()


async def test_no_picture_is_drawn_twice_when_the_engine_is_lost(bot, gate):
    job = await drawn(bot.service, gate)
    gate.fault = EngineLost("it is dead")
    gate.allow(1)
    await until(lambda: job.engine_losses == 1)
    gate.fault = None
    gate.open()

    assert await finished(job) is JobStatus.SUCCEEDED

    assert [request.seed for request in gate.drawn] == [5, 6, 6, 7]
    assert job.available == (1, 2, 3)


async def test_no_picture_is_drawn_twice_nor_lost_when_the_bot_is_started_anew(bot, gate):
    job = await drawn(bot.service, gate)
    before = (await bot.service.lookups.picture(Source(ADA), job.id)).read_bytes()
    gate.seconds = 2.0
    gate.open()

    service = await bot.restart()
    again = await service.lookups.job(Source(ADA), job.id)
    assert (await service.lookups.picture(Source(ADA), job.id)).read_bytes() == before
    assert await finished(again) is JobStatus.SUCCEEDED

    assert [request.seed for request in gate.drawn if request.seed == 5] == [5]
    assert again.available == (1, 2, 3)
    assert again.seconds > 4.0


async def test_a_picture_whose_file_is_gone_is_drawn_again_after_a_start(bot, gate):
    job = await drawn(bot.service, gate)
    bot.gallery.picture_path(job.id, 1).unlink()
    gate.open()

    service = await bot.restart()
    again = await service.lookups.job(Source(ADA), job.id)

    assert await finished(again) is JobStatus.SUCCEEDED
    assert bot.gallery.picture_path(job.id, 1).exists()


async def test_a_held_picture_is_not_shown_and_the_others_are(bot, judge, gate):
    service = bot.service
    judge.picture = HELD
    job = await service.submit(Source(ADA), SEVERAL)
    gate.allow(STEPS)
    await until(bot.gallery.picture_path(job.id, 1).exists)
    judge.picture = PASSED
    gate.open()
    await until(lambda: job.status is JobStatus.HELD)

    assert job.available == (2, 3)
    with pytest.raises(Conflict, match="a moderator looks at this picture"):
        await service.lookups.picture(Source(ADA), job.id)
    assert (await service.lookups.picture(Source(ADA), job.id, 2)).exists()

    await service.review.release(ADMIN, job.id)
    assert job.available == (1, 2, 3)


async def test_rejecting_a_held_picture_leaves_those_that_were_shown(bot, judge, gate):
    job = await drawn(bot.service, gate)
    judge.picture = HELD
    gate.open()
    await until(lambda: job.status is JobStatus.HELD)

    await bot.service.review.reject(ADMIN, job.id)

    assert (job.status, job.available, job.refunded) == (JobStatus.FAILED, (1,), 6)
    assert (await bot.service.lookups.picture(Source(ADA), job.id)).exists()
    assert not bot.gallery.picture_path(job.id, 2).exists()


async def test_a_refused_picture_ends_the_job_and_those_that_were_shown_stay(bot, judge, gate):
    job = await drawn(bot.service, gate)
    judge.picture = NOT_SHOWN
    gate.allow(STEPS)

    assert await stepping(gate, finished(job)) is JobStatus.FAILED

    assert job.available == (1,)
    assert "the picture was not shown" in job.error
    assert not bot.gallery.picture_path(job.id, 2).exists()
    assert len(await bot.service.review.strikes(ADMIN, ADA)) == 1


async def test_nobody_gets_round_a_strike_by_cancelling(service, judge, gate):
    judge.picture = NOT_SHOWN
    judge.gate.clear()
    job = await service.submit(Source(ADA), SEVERAL)
    gate.allow(STEPS)
    await at_step(job, 0, picture=2)

    async def cancel():
        await service.cancel(Source(ADA), job.id)

    judge.gate.set()
    with pytest.raises(Conflict):
        await stepping(gate, cancel())

    assert job.status is JobStatus.FAILED
    assert len(await service.review.strikes(ADMIN, ADA)) == 1


async def test_a_picture_behind_a_spoiler_hides_the_job_before_it_is_shown(service, judge, gate):
    judge.picture = HIDDEN

    job = await drawn(service, gate)

    assert job.is_spoiler
    row = (await service.lookups.job(Source(ADA), job.id)).is_spoiler
    assert row

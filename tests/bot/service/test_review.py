"""What a screen holds: it is shown to moderators alone, until one has decided."""

import asyncio
from dataclasses import replace

import pytest

from bot.jobs import Delivery, JobStatus, Review
from bot.origins import Origin
from bot.refusals import Conflict, NotAllowed, NotFound, TooManyJobs
from bot.source import PictureOf, Source
from generation.errors import EngineLost
from generation.executor import ThreadExecutor
from tests.bot.conftest import CIRCLE, HERE, left
from tests.conftest import ADA, ADMIN, BOB, EVE, finished, until
from tests.judges import HELD, HIDDEN, held

SERVER = "discord-server:1"


@pytest.fixture
async def bot(make_judged):
    return await make_judged()


async def test_nobody_but_moderators_gets_a_held_picture(bot, service, judge, gate):
    job = await held(bot, gate, judge, Source(ADA))

    for look in (
        lambda: service.lookups.picture(Source(ADA), job.id),
        lambda: service.lookups.picture_file(Source(ADA), job.id, "thumbnail"),
        lambda: service.lookups.picture(Source(ADMIN), job.id),
        lambda: service.delete(Source(ADA), job.id),
        lambda: service.cancel(Source(ADA), job.id),
        lambda: service.from_picture(Source(ADA), PictureOf(job.id), "vary"),
    ):
        with pytest.raises(Conflict, match="a moderator looks at this picture"):
            await look()
    assert (await service.review.picture(ADMIN, job.id)).exists()
    with pytest.raises(NotAllowed):
        await service.review.picture(BOB, job.id)


async def test_whoever_looks_at_a_held_picture_is_in_the_audit_log(service, judge, gate):
    judge.picture = HELD
    gate.open()
    job = await service.submit(Source(ADA), replace(CIRCLE, images=2))
    await until(lambda: job.status is JobStatus.HELD)

    await service.review.picture(ADMIN, job.id, 2)
    with pytest.raises(NotAllowed):
        await service.moderation.picture(EVE, job.id)

    acts = await service.admin.audit(ADMIN)
    assert [(act.admin, act.act, act.subject, act.detail) for act in acts] == [
        (ADMIN, "look", job.id, "picture 2")
    ]


async def test_held_pictures_count_among_those_that_one_person_may_have_waiting(
    make_judged, judge, gate
):
    service = (await make_judged(queue={"max_waiting_per_user": 2})).service
    judge.picture = HELD
    gate.open()
    for _ in range(2):
        job = await service.submit(Source(ADA), CIRCLE)
        await until(lambda job=job: job.status is JobStatus.HELD)

    with pytest.raises(TooManyJobs, match=r"2 jobs waiting already \(2 of them for a moderator\)"):
        await service.submit(Source(ADA), CIRCLE)
    await service.submit(Source(BOB), CIRCLE)


async def test_a_released_picture_goes_to_its_person(bot, service, judge, gate):
    job = await held(bot, gate, judge)

    await service.review.release(ADMIN, job.id)

    assert await finished(job) is JobStatus.SUCCEEDED
    assert await service.lookups.picture(Source(EVE), job.id)
    (owed,) = await service.answers.undelivered("discord")
    assert owed.id == job.id
    assert [(entry.act, entry.subject) for entry in await service.admin.audit(ADMIN)] == [
        ("release", job.id)
    ]


async def test_a_rejected_picture_is_deleted_refunded_and_a_strike(bot, service, judge, gate):
    job = await held(bot, gate, judge)

    await service.review.reject(ADMIN, job.id, "not here")

    assert await finished(job) is JobStatus.FAILED
    assert job.error.startswith("a moderator decided not to show this picture (not here); your")
    assert await left(service, EVE) == bot.config.quota.credits
    assert list(bot.gallery.images.iterdir()) == []
    assert len(await service.review.strikes(ADMIN, EVE)) == 1


async def test_admins_alone_see_how_many_pictures_wait_for_a_decision(bot, judge, gate):
    assert bot.service.review.waiting(ADMIN) == 0

    await held(bot, gate, judge)
    await held(bot, gate, judge)

    assert bot.service.review.waiting(ADMIN) == 2
    assert bot.service.review.waiting(EVE) is None


async def test_a_held_picture_is_still_held_after_a_restart_and_not_drawn_again(bot, judge, gate):
    job = await held(bot, gate, judge)
    drawn = len(bot.engine.drawn)

    service = await bot.restart()

    (again,) = await service.review.held(ADMIN)
    assert (again.id, again.status, again.review) == (job.id, JobStatus.HELD, Review.HELD)
    assert len(bot.engine.drawn) == drawn
    await service.review.release(ADMIN, job.id)
    assert (await service.lookups.job(Source(EVE), job.id)).delivery is Delivery.OWED


async def test_a_decision_is_made_once(bot, service, judge, gate):
    job = await held(bot, gate, judge)

    outcomes = await asyncio.gather(
        service.review.release(ADMIN, job.id),
        service.review.reject(ADMIN, job.id),
        return_exceptions=True,
    )

    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 1
    with pytest.raises(Conflict, match=r"was (released|rejected) already"):
        await service.review.release(ADMIN, job.id)


async def test_a_manager_decides_about_their_own_server_alone(bot, service, judge, gate):
    theirs = await held(bot, gate, judge, Source(EVE, Origin(SERVER), reply_to=HERE))
    other = await held(bot, gate, judge, Source(ADA, Origin("discord-server:2")))
    service.admin.recognise(BOB, manages=SERVER)

    assert [job.id for job in await service.review.held(BOB, SERVER)] == [theirs.id]
    with pytest.raises(NotAllowed):
        await service.review.release(BOB, other.id)
    await service.review.release(BOB, theirs.id)


async def test_a_picture_that_nobody_looks_at_is_refunded_in_the_end(bot, service, judge, gate):
    job = await held(bot, gate, judge, Source(ADA))
    bot.clock.advance(31 * 86400)

    await service.prune()

    assert await finished(job) is JobStatus.FAILED
    assert job.error.startswith("no moderator looked at this picture in time")
    assert await left(service) == bot.config.quota.credits
    assert await service.review.strikes(ADMIN, ADA) == []


async def test_a_picture_that_is_released_just_when_its_time_is_over_stays(
    bot, service, judge, gate
):
    job = await held(bot, gate, judge, Source(ADA))
    read = bot.database.read

    async def released_meanwhile(work):
        found = await read(work)
        bot.database.read = read
        await service.review.release(ADMIN, job.id)
        return found

    bot.database.read = released_meanwhile
    expired = await service.review.expire(bot.clock() + 1)

    assert expired == 0
    assert job.status is JobStatus.SUCCEEDED
    assert (await service.lookups.picture(Source(ADA), job.id)).exists()


async def test_cancelling_without_an_id_passes_over_what_is_held(service, judge, gate):
    judge.picture = HELD
    await service.admin.pause(ADMIN)
    first, second, newest = [await service.submit(Source(ADA), CIRCLE) for _ in range(3)]
    await service.admin.move(ADMIN, newest.id, to_front=True)
    gate.allow(CIRCLE.num_inference_steps)
    await service.admin.resume(ADMIN)
    await until(lambda: newest.status is JobStatus.HELD)
    await service.admin.pause(ADMIN)

    assert await service.cancel(Source(ADA)) is second
    cancelling = asyncio.create_task(service.cancel(Source(ADA)))
    gate.open()
    assert await cancelling is first
    with pytest.raises(Conflict, match="moderator"):
        await service.cancel(Source(ADA))


async def test_whoever_cancels_too_late_is_not_kept_waiting_for_moderators(
    service, judge, gate, monkeypatch
):
    judge.picture = HELD
    draw = ThreadExecutor.generate
    cancelling = []

    async def draw_and_cancel(executor, request, on_step):
        result = await draw(executor, request, on_step)
        cancelling.append(asyncio.create_task(service.cancel(Source(ADA))))
        return result

    monkeypatch.setattr(ThreadExecutor, "generate", draw_and_cancel)
    gate.open()
    job = await service.submit(Source(ADA), CIRCLE)
    await until(lambda: job.status is JobStatus.HELD)

    await until(lambda: cancelling[0].done())
    with pytest.raises(Conflict, match="moderator"):
        await cancelling[0]


async def test_what_was_to_be_held_is_held_when_it_is_replayed(bot, service, judge, gate):
    judge.words = {"circle": HELD}
    gate.open()
    gate.fault = EngineLost("it has died")
    job = await service.submit(Source(ADA), CIRCLE)
    assert await finished(job) is JobStatus.FAILED
    gate.fault = None

    new = await service.admin.replay(ADMIN, job.id)

    await until(lambda: new.status in (JobStatus.HELD, JobStatus.SUCCEEDED))
    assert new.status is JobStatus.HELD
    assert new.verdict == HELD.note


async def test_a_moderator_can_take_a_spoiler_away(service, judge, gate):
    judge.picture = HIDDEN
    gate.open()
    job = await service.submit(Source(ADA), CIRCLE)
    await finished(job)

    await service.review.reveal(ADMIN, job.id)

    assert not (await service.lookups.job(Source(ADA), job.id)).is_spoiler
    with pytest.raises(NotFound):
        await service.review.reveal(ADMIN, "zzzzzzzz")


async def test_a_held_picture_is_deleted_with_its_persons_data(bot, service, gate, judge):
    job = await held(bot, gate, judge)
    assert bot.gallery.picture_path(job.id, 1).exists()

    await service.own_data.delete(EVE)

    assert job.status is JobStatus.FAILED
    assert not any(bot.gallery.images.iterdir())
    assert await service.review.held(ADMIN) == []
    assert await left(service, EVE) == bot.config.quota.credits - job.cost

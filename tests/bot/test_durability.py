"""Every accepted job ends once, whatever dies: the engine, the bot, the disk, a stored row."""

import asyncio
import os
import sqlite3
from dataclasses import replace

import pytest

from bot import replies
from bot.conversation import converse
from bot.job_store import JobStore
from bot.jobs import JobStatus
from bot.outcomes import MAX_UNRELATED_LOSSES, UNREADABLE
from bot.refusals import NotAccepting, NotFound, StorageTrouble
from bot.source import Source
from bot.storage import Reserve
from bot.worker import BOT_RESTARTED, DRAWING_AGAIN, GPU_RESTARTED, RESTARTING
from generation.errors import DegenerateResult, EngineLost, ModelUnavailable
from tests.bot.conftest import CIRCLE
from tests.conftest import ADA, ADMIN, BOB, EVE, at_step, finished, stepping, until
from tests.samples import picture

LOST = EngineLost("the engine's process 5 has died")


async def noted(job, note):
    async with asyncio.timeout(20):
        async for progress in job.watch():
            if progress.note == note:
                return progress
    raise AssertionError(f"{job.id} ended as {job.status}")


class Faults:
    """Faults that drawing raises, one for each picture that is begun; None draws it."""

    def __init__(self, gate, *faults):
        self.left = list(faults)
        draws = gate.generate

        def generate(request, on_step):
            fault = self.left.pop(0) if self.left else None
            if fault is not None:
                gate.drawn.append(request)
                raise fault
            return draws(request, on_step)

        gate.generate = generate


# The engine


async def test_a_job_whose_engine_died_is_drawn_next_and_says_why(service, gate):
    Faults(gate, LOST)
    job = await service.submit(Source(ADA), CIRCLE)
    other = await service.submit(Source(BOB), replace(CIRCLE, seed=8))
    progress = await noted(job, GPU_RESTARTED)
    assert replies.progress_line(job, progress) == f"Next in the queue: {GPU_RESTARTED}" or (
        progress.status is JobStatus.RUNNING
    )

    gate.open()

    assert await finished(job) is JobStatus.SUCCEEDED
    assert await finished(other) is JobStatus.SUCCEEDED
    assert [request.seed for request in gate.drawn] == [7, 7, 8]
    assert job.attempts == 2
    assert (await service.quota(ADA)).used == job.cost


async def test_a_fresh_engine_is_loaded_before_the_next_picture(service, gate):
    gate.open()
    closings = []
    close = gate.close
    gate.close = lambda: (closings.append(len(gate.drawn)), close())
    Faults(gate, LOST)

    await finished(await service.submit(Source(ADA), CIRCLE))

    assert closings == [1]
    assert service.state.status == "ready"


async def test_an_engine_that_died_while_idle_is_replaced_before_anybody_asks(service, gate):
    """I5"""
    await until(lambda: service.state.status == "ready")
    assert gate.loads == 1

    gate.is_alive = False

    await until(lambda: gate.loads == 2)
    await until(lambda: service.state.status == "ready")
    gate.open()
    job = await service.submit(Source(ADA), CIRCLE)
    assert await finished(job) is JobStatus.SUCCEEDED
    assert (job.attempts, job.engine_losses) == (1, 0)


async def test_a_job_that_comes_just_when_the_engine_has_died_waits_for_the_next_and_pays_nothing(
    service, gate, monkeypatch
):
    """I5"""
    monkeypatch.setattr("generation.executor.LOOK_EVERY", 3600.0)
    await until(lambda: service.state.status == "ready")
    gate.is_alive = False
    gate.open()

    job = await service.submit(Source(ADA), CIRCLE)

    assert await finished(job) is JobStatus.SUCCEEDED
    assert gate.loads == 2
    assert (job.attempts, job.engine_losses) == (1, 0)


async def test_a_job_whose_engine_died_twice_is_refunded_and_kept_for_an_admin(bot, gate):
    gate.open()
    service = bot.service
    Faults(gate, LOST, LOST)
    job = await service.submit(Source(EVE, reply_to={"channel": "c1"}), CIRCLE)

    assert await finished(job) is JobStatus.FAILED
    assert "the GPU had to be restarted 2 times over this" in job.error
    assert (await service.quota(EVE)).used == 0
    assert len(gate.drawn) == 2
    assert await finished(await service.submit(Source(ADA), CIRCLE)) is JobStatus.SUCCEEDED
    listed = await converse(service, Source(ADMIN), "admin queue failed")
    assert listed.text == f"{job.id} · {EVE} · 2 attempts, 2 times the engine died · a red circle"


async def test_the_deaths_of_machines_are_not_held_against_a_job(bot, gate):
    gate.open()
    gone = EngineLost("its node has died", is_unrelated=True)
    Faults(gate, gone, gone, LOST, gone, gone)
    job = await bot.service.submit(Source(ADA), CIRCLE)

    assert await finished(job) is JobStatus.SUCCEEDED
    assert (job.attempts, job.engine_losses, job.unrelated_losses) == (2, 1, 4)
    (row,) = await bot.rows("SELECT attempts FROM jobs")
    assert row["attempts"] == 2


async def test_a_job_whose_machines_die_again_and_again_is_given_up_too(service, gate):
    gate.open()
    Faults(gate, *[EngineLost("its node has died", is_unrelated=True)] * MAX_UNRELATED_LOSSES)
    job = await service.submit(Source(ADA), CIRCLE)

    assert await finished(job) is JobStatus.FAILED
    assert "the machines that drew this were lost 10 times" in job.error
    assert (await service.quota(ADA)).used == 0
    assert [each.id for each in await service.admin.dead_letters(ADMIN)] == [job.id]


async def test_deaths_of_the_engine_are_counted_across_restarts(bot, gate):
    Faults(gate, LOST, None, LOST)
    job = await bot.service.submit(Source(ADA), replace(CIRCLE, num_inference_steps=50))
    await noted(job, GPU_RESTARTED)
    await until(gate.waits.is_set)

    service = await stepping(gate, bot.restart())
    job = await service.lookups.job(Source(ADA), job.id)

    assert await finished(job) is JobStatus.FAILED
    assert job.engine_losses == 2


async def test_what_was_given_up_is_replayed_by_an_admin_at_no_charge(bot, gate):
    gate.open()
    service = bot.service
    Faults(gate, LOST, LOST)
    job = await service.submit(
        Source(EVE, reply_to={"to": 1}), replace(CIRCLE, preset="canny"), (picture(),)
    )
    await finished(job)

    reply = await converse(service, Source(ADMIN), f"admin queue replay {job.id}")

    (new,) = [each for each in await service.answers.undelivered("discord") if each.id != job.id]
    assert reply.text == f"{job.id} is drawn again as {new.id}; it costs {EVE} nothing."
    assert await finished(new) is JobStatus.SUCCEEDED
    assert (new.user, new.parent, new.reply_to) == (EVE, job.id, {"to": 1})
    assert (await service.quota(EVE)).used == 0
    with pytest.raises(NotFound, match="that was given up"):
        await service.admin.replay(ADMIN, job.id)
    (entry, *_) = await service.admin.audit(ADMIN)
    assert (entry.act, entry.subject, entry.detail) == ("replay", job.id, new.id)


async def test_an_engine_that_died_and_cannot_be_loaded_is_tried_again_by_itself(
    make_bot, gate, monkeypatch
):
    monkeypatch.setattr("bot.engines.RELOAD_AFTER", 0.0)
    loads = []
    load = gate.load

    def sometimes():
        loads.append(1)
        if len(loads) in (2, 3):
            raise LOST
        load()

    gate.load = sometimes
    gate.open()
    Faults(gate, LOST)
    bot = await make_bot()

    assert await finished(await bot.service.submit(Source(ADA), CIRCLE)) is JobStatus.SUCCEEDED
    assert len(loads) == 4


async def test_a_job_cancelled_while_its_engine_dies_is_cancelled_and_refunded(bot, gate):
    job = await bot.service.submit(Source(ADA), CIRCLE)
    await at_step(job, 0)
    await until(gate.waits.is_set)

    gate.fault = LOST
    await stepping(gate, bot.service.cancel(Source(ADA), job.id))

    assert job.status is JobStatus.CANCELLED
    assert (await bot.service.quota(ADA)).used == 0


async def test_a_blank_picture_is_drawn_once_more(service, gate):
    blank = DegenerateResult("the picture came out blank")
    Faults(gate, blank)
    job = await service.submit(Source(ADA), CIRCLE)
    progress = await noted(job, DRAWING_AGAIN)
    assert replies.progress_line(job, progress) == "The picture came out blank, trying again"

    gate.open()

    assert await finished(job) is JobStatus.SUCCEEDED
    assert job.attempts == 1


async def test_a_picture_that_is_blank_twice_is_refunded(service, gate):
    gate.open()
    Faults(gate, *2 * [DegenerateResult("the picture came out blank: try another seed")])
    job = await service.submit(Source(ADA), CIRCLE)

    assert await finished(job) is JobStatus.FAILED
    assert job.error == "the picture came out blank: try another seed"
    assert (await service.quota(ADA)).used == 0


# Attempts


async def test_a_late_result_of_an_old_attempt_is_thrown_away(bot, gate):
    """Another process may have taken the job over meanwhile, and failed it."""
    job = await bot.service.submit(Source(ADA), CIRCLE)
    await at_step(job, 0)

    def elsewhere(db):
        db.execute("UPDATE jobs SET status = 'failed', error = 'elsewhere', fence = fence + 1")

    await bot.database.write(elsewhere)
    gate.open()

    assert await finished(job) is JobStatus.FAILED
    assert job.error == "elsewhere"
    await until(lambda: list(bot.gallery.images.iterdir()) == [])
    assert list(bot.gallery.images.iterdir()) == []
    assert await bot.rows("SELECT status, delivery FROM jobs") == [
        {"status": "failed", "delivery": "none"}
    ]


async def test_a_late_failure_of_an_old_attempt_refunds_nothing(bot, gate):
    job = await bot.service.submit(Source(ADA), CIRCLE)
    await at_step(job, 0)
    await until(gate.waits.is_set)
    await bot.database.write(lambda db: db.execute("UPDATE jobs SET fence = fence + 1"))

    gate.fault = LOST
    gate.open()
    await until(lambda: gate.loads == 2)  # so the end of the lost attempt has been seen to

    view = bot.service.queue(ADA)
    assert (view.running, view.waiting) == (0, 0)
    assert not job.status.is_final, "the later attempt will end it"
    assert (await bot.service.quota(ADA)).used == job.cost


async def test_an_attempt_that_was_begun_before_the_latest_can_end_nothing(bot):
    job = await bot.service.submit(Source(ADA), CIRCLE)
    await at_step(job, 0)
    records = JobStore(bot.gallery.control_images)
    fences = [
        await bot.database.write(lambda db: records.begin(db, job, 0.0, turn=0)) for _ in range(2)
    ]

    def end(db):
        failed = JobStatus.FAILED
        return [records.finish(db, job.id, failed, 0.0, fence=fence) for fence in fences]

    assert await bot.database.write(end) == [False, True]


# Order


async def order(service):
    return [job.request.seed for job in service.admin.queue(ADMIN)]


async def test_the_queue_stands_as_it_stood_after_a_restart(bot, gate):
    """Ada had her turn in this round when the bot died, so Bob, who came later, is first."""
    gate.allow(3)
    first = await bot.service.submit(Source(ADA), CIRCLE)
    await finished(first)
    running = await bot.service.submit(Source(EVE), replace(CIRCLE, seed=1))
    await at_step(running, 0)
    for user, seed in ((ADA, 2), (ADA, 3), (BOB, 4), (EVE, 5), (BOB, 6)):
        await bot.service.submit(Source(user), replace(CIRCLE, seed=seed))
    before = await order(bot.service)

    service = await stepping(gate, bot.restart())
    await until(lambda: service.is_drawing)

    assert before == [1, 4, 2, 5, 6, 3]
    assert await order(service) == before


async def test_where_an_admin_moved_a_job_it_stays_after_a_restart(bot, gate):
    running = await bot.service.submit(Source(EVE), replace(CIRCLE, seed=1))
    await at_step(running, 0)
    jobs = [
        await bot.service.submit(Source(user), replace(CIRCLE, seed=seed))
        for user, seed in ((ADA, 2), (ADA, 3), (BOB, 4), (EVE, 5))
    ]
    await bot.service.admin.move(ADMIN, jobs[3].id, to_front=True)
    await bot.service.admin.move(ADMIN, jobs[0].id, to_front=False)
    await bot.service.admin.move(ADMIN, jobs[1].id, to_front=True)
    before = await order(bot.service)

    service = await stepping(gate, bot.restart())
    await until(lambda: service.is_drawing)

    assert before == [1, 3, 5, 4, 2]
    assert await order(service) == before


async def test_who_waits_again_after_a_restart_reads_so(bot, gate):
    running = await bot.service.submit(Source(ADA), CIRCLE)
    await at_step(running, 0)
    await bot.database.write(lambda db: db.execute("UPDATE jobs SET attempts = 1"))
    row = await bot.rows("SELECT * FROM jobs")
    await stepping(gate, bot.stop())
    # As a kill would have left it.
    with sqlite3.connect(bot.folder / "bot.sqlite3") as db:
        db.execute("UPDATE jobs SET status = 'running', attempts = ?", (row[0]["attempts"],))
    db.close()

    service = await bot.start()

    job = await service.lookups.job(Source(ADA), running.id)
    assert job.progress.note == BOT_RESTARTED


# Stopping


async def test_stopping_finishes_the_picture_and_keeps_what_waits(make_bot, gate):
    bot = await make_bot()
    running = await bot.service.submit(Source(ADA), CIRCLE)
    await at_step(running, 0)
    waiting = await bot.service.submit(Source(BOB), CIRCLE)

    stopping = asyncio.create_task(bot.service.finish(30))
    await noted(waiting, RESTARTING)
    line = replies.progress_line(waiting, waiting.progress)
    assert line == f"Queued, 1 ahead of you: {RESTARTING}"
    with pytest.raises(NotAccepting, match="the bot is restarting"):
        await bot.service.submit(Source(EVE), CIRCLE)
    gate.open()
    await stopping
    await bot.stop()

    assert running.status is JobStatus.SUCCEEDED
    assert waiting.status is JobStatus.QUEUED
    assert len(gate.drawn) == 1
    assert (
        await finished(await (await bot.start()).lookups.job(Source(BOB), waiting.id))
        is JobStatus.SUCCEEDED
    )


async def test_a_picture_that_takes_too_long_is_given_back_when_stopping(make_bot, gate):
    bot = await make_bot()
    running = await bot.service.submit(Source(ADA), CIRCLE)
    await at_step(running, 0)

    await bot.service.finish(0.01)
    await stepping(gate, bot.stop())

    assert (running.status, running.progress.note) == (JobStatus.QUEUED, RESTARTING)
    service = await bot.start()
    gate.open()
    job = await service.lookups.job(Source(ADA), running.id)
    assert await finished(job) is JobStatus.SUCCEEDED
    assert job.attempts == 1, "the one that was broken off does not count"


async def test_what_is_known_to_take_too_long_is_not_waited_for(bot, gate):
    gate.seconds = 3600.0
    gate.allow(3)
    await finished(await bot.service.submit(Source(ADA), CIRCLE))
    running = await bot.service.submit(Source(ADA), CIRCLE)
    await at_step(running, 0)

    async with asyncio.timeout(5):
        await bot.service.finish(30)

    assert running.status is JobStatus.RUNNING


@pytest.mark.parametrize("is_heard", [False, True])
async def test_a_bot_whose_engine_is_not_loaded_stops_at_once(
    make_bot, gate, monkeypatch, is_heard
):
    """The bot waits half a minute before it loads again, and must hear the stop meanwhile."""
    tried = []

    def load():
        tried.append("again")
        raise ModelUnavailable("no such model")

    monkeypatch.setattr(gate, "load", load)
    bot = await make_bot()
    await until(lambda: bot.service.state.status == "failed")

    await bot.service.finish(30)
    if is_heard:  # before the end comes, and long enough for a load to begin
        for _ in range(1000):
            await asyncio.sleep(0)
    bot.running.cancel()
    ended, _ = await asyncio.wait({bot.running}, timeout=5)

    assert ended
    assert tried == ["again"]
    assert not bot.service.is_drawing


# What is on disk


async def test_a_row_that_cannot_be_read_costs_nobody_else_anything(bot, gate):
    running = await bot.service.submit(Source(EVE), CIRCLE)
    await at_step(running, 0)
    broken = await bot.service.submit(Source(ADA), CIRCLE)
    sound = await bot.service.submit(Source(BOB), CIRCLE)
    await bot.database.write(
        lambda db: db.execute(
            "UPDATE jobs SET request = '{\"prompt\": 3}' WHERE id = ?", (broken.id,)
        )
    )

    service = await stepping(gate, bot.restart())
    gate.open()

    assert await finished(await service.lookups.job(Source(BOB), sound.id)) is JobStatus.SUCCEEDED
    assert (await service.quota(ADA)).used == 0
    rows = await bot.rows("SELECT status, error FROM jobs WHERE id = ?", broken.id)
    assert rows == [{"status": "failed", "error": UNREADABLE}]
    assert (await service.lookups.history(ADA)).jobs == []
    with pytest.raises(NotFound):
        await service.lookups.job(Source(ADA), broken.id)


async def test_a_start_clears_away_what_a_killed_process_left(bot, gate):
    gate.open()
    kept = await bot.service.submit(Source(ADA), replace(CIRCLE, preset="canny"), (picture(),))
    await finished(kept)
    waiting = bot.gallery.picture_path("23456789", 1)
    failed = await bot.service.submit(Source(ADA), CIRCLE)
    await finished(failed)
    await bot.database.write(
        lambda db: db.execute("UPDATE jobs SET status = 'failed' WHERE id = ?", (failed.id,))
    )
    orphan = bot.gallery.keep_control_image(b"nobody's")
    waiting.write_bytes(b"its row came with a backup that was put back")
    os.utime(orphan, (0, 0))

    await bot.restart()

    await until(lambda: not orphan.exists())
    await until(lambda: not bot.gallery.picture_path(failed.id, 1).exists())
    assert not bot.gallery.picture_path(failed.id, 1).exists()
    assert waiting.exists(), "a picture without a row may be all that is left of it"
    assert bot.gallery.picture_path(kept.id, 1).exists()
    assert kept.request.control_image.exists()


async def test_a_full_disk_gives_up_its_reserve_so_that_ends_can_be_written(bot, gate, tmp_path):
    bot.reserve = reserve = Reserve(tmp_path / "reserve", 2**16)
    await bot.restart()
    job = await bot.service.submit(Source(ADA), CIRCLE)
    await at_step(job, 0)

    def fill(db):
        raise_full = sqlite3.OperationalError("database or disk is full")
        raise_full.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise raise_full

    with pytest.raises(StorageTrouble):
        await bot.database.write(fill)

    assert not (tmp_path / "reserve").exists()
    reserve._size = 2**60
    with pytest.raises(StorageTrouble, match="disk is full; nothing was charged"):
        await bot.service.submit(Source(BOB), CIRCLE)
    gate.open()
    assert await finished(job) is JobStatus.SUCCEEDED
    reserve._size = 2**16
    assert await finished(await bot.service.submit(Source(BOB), CIRCLE)) is JobStatus.SUCCEEDED
    assert (tmp_path / "reserve").stat().st_size == 2**16


async def test_damage_that_shows_while_running_is_said_in_a_sentence(bot):
    def damaged(db):
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    for way in (bot.database.read, bot.database.write):
        with pytest.raises(StorageTrouble, match="an admin must restore a backup"):
            await way(damaged)

"""Faults while drawing and storing are told, refunded, and end."""

import asyncio
import errno
import os
import shutil
import sqlite3
import threading
from dataclasses import replace

import pytest

from bot.jobs import JobStatus
from bot.outcomes import OUR_FAULT
from bot.refusals import NotAccepting, StorageTrouble
from bot.source import Source
from generation.errors import EngineLost, GenerationError, ModelUnavailable, OutOfMemory
from generation.executor import ThreadExecutor
from generation.results import RemoteResult
from tests.bot.conftest import CIRCLE, left
from tests.bot.faults import BEGIN, FINISH, INSERT, Storage, sqlite3_full, sqlite_error
from tests.conftest import ADA, ADMIN, BOB, at_step, finished, until
from tests.samples import picture


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (OutOfMemory("the picture does not fit on this GPU: ask for a smaller one"), "smaller one"),
        (GenerationError("the picture came out empty"), "came out empty"),
        (RuntimeError("CUDA error: device-side assert triggered"), OUR_FAULT),
    ],
)
async def test_a_failed_job_is_refunded_once_and_the_queue_goes_on(bot, gate, fault, sentence):
    gate.open()
    gate.fault = fault
    job = await bot.service.submit(Source(ADA), CIRCLE)

    assert await finished(job) is JobStatus.FAILED
    assert sentence in job.error
    assert await left(bot.service) == bot.config.quota.credits

    gate.fault = None
    assert await finished(await bot.service.submit(Source(ADA), CIRCLE)) is JobStatus.SUCCEEDED


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EACCES])
async def test_a_picture_in_hand_is_stored_as_soon_as_the_storage_is_back(
    bot, gate, monkeypatch, number
):
    """I1, A8: nothing is drawn for nothing meanwhile, and nobody loses what was drawn."""
    save = bot.gallery.save

    def refuse(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(bot.gallery, "save", refuse)
    gate.open()
    job = await bot.service.submit(Source(ADA), CIRCLE)
    await until(lambda: bot.service.state.status == "paused")
    second = await bot.service.submit(Source(BOB), CIRCLE)
    for _ in range(50):
        await asyncio.sleep(0)
    assert (job.status, second.status) == (JobStatus.RUNNING, JobStatus.QUEUED)
    is_full = number == errno.ENOSPC
    assert ("disk is full" in bot.service.state.message) is is_full

    monkeypatch.setattr(bot.gallery, "save", save)
    await bot.service.admin.resume(ADMIN)

    assert await finished(job) is JobStatus.SUCCEEDED
    assert await finished(second) is JobStatus.SUCCEEDED
    assert len(gate.drawn) == 2
    assert bot.service.state.status == "ready"


async def test_folders_that_were_deleted_are_made_anew(bot, gate):
    """I1: the pictures, and the folder of attached ones."""
    shutil.rmtree(bot.gallery.images)
    shutil.rmtree(bot.gallery.control_images)
    gate.open()

    job = await bot.service.submit(
        Source(ADA), replace(CIRCLE, preset="canny"), pictures=(picture(),)
    )

    assert await finished(job) is JobStatus.SUCCEEDED
    assert (await bot.service.lookups.picture(Source(ADA), job.id)).exists()


async def test_a_picture_that_cannot_be_stored_before_the_stop_is_drawn_after_it(
    bot, gate, monkeypatch
):
    """I1: its attempt is not counted."""

    def refuse(*args):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(bot.gallery, "save", refuse)
    gate.open()
    job = await bot.service.submit(Source(ADA), CIRCLE)
    await until(lambda: bot.service.state.status == "paused")

    await bot.stop()
    service = await bot.start()

    again = await service.lookups.job(Source(ADA), job.id)
    assert await finished(again) is JobStatus.SUCCEEDED
    assert again.attempts == 1


async def test_a_picture_that_nobody_could_store_is_refunded(bot, gate, monkeypatch):
    def refuse(*args):
        raise ValueError("no picture at all")

    monkeypatch.setattr(bot.gallery, "save", refuse)
    gate.open()

    job = await bot.service.submit(Source(ADA), CIRCLE)

    assert await finished(job) is JobStatus.FAILED
    assert job.error == OUR_FAULT
    assert await left(bot.service) == bot.config.quota.credits
    assert list(bot.gallery.images.iterdir()) == []
    assert bot.service.state.status == "ready"


@pytest.mark.parametrize("statement", [BEGIN, FINISH], ids=["begin", "finish"])
@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR])
async def test_a_storage_that_fails_for_a_while_loses_no_job(bot, gate, statement, code):
    """The job is drawn, or its end is written, as soon as the storage is back; nothing else
    is begun meanwhile, since it could not be written down."""
    gate.open()
    storage = Storage(bot.database, statement, sqlite_error(code))
    first = await bot.service.submit(Source(ADA), CIRCLE)
    await until(lambda: storage.failures)
    await until(lambda: bot.service.state.status == "paused")
    second = await bot.service.submit(Source(BOB), CIRCLE)

    storage.is_broken = False
    await bot.service.admin.resume(ADMIN)  # tries at once, and would do so by itself

    assert await finished(first) is JobStatus.SUCCEEDED
    assert await finished(second) is JobStatus.SUCCEEDED
    assert bot.service.state.status == "ready"
    assert await left(bot.service) == bot.config.quota.credits - first.cost


async def test_a_job_that_fails_while_the_storage_does_is_refunded_once_it_is_back(bot, gate):
    gate.open()
    gate.fault = GenerationError("the picture came out empty")
    storage = Storage(bot.database, FINISH, sqlite3_full())
    job = await bot.service.submit(Source(ADA), CIRCLE)
    await until(lambda: storage.failures)
    assert await left(bot.service) == bot.config.quota.credits - job.cost

    storage.is_broken = False
    await bot.service.admin.resume(ADMIN)

    assert await finished(job) is JobStatus.FAILED
    assert await left(bot.service) == bot.config.quota.credits


async def test_a_cancel_that_cannot_be_written_says_so_and_the_job_waits_on(bot, gate):
    running = await bot.service.submit(Source(ADA), CIRCLE)
    await at_step(running, 0, picture=1)
    waiting = await bot.service.submit(Source(BOB), CIRCLE)
    storage = Storage(bot.database, FINISH, sqlite3_full())

    with pytest.raises(StorageTrouble):
        await bot.service.cancel(Source(BOB), waiting.id)

    storage.is_broken = False
    gate.open()
    assert await finished(waiting) is JobStatus.SUCCEEDED


async def test_pictures_that_are_being_stored_outlive_the_stop(make_bot, gate, monkeypatch):
    """The pictures are drawn and paid for; drawing them again would waste the engine's time."""
    bot = await make_bot()
    may_store = threading.Event()
    save = bot.gallery.save

    def slowly(*args):
        assert may_store.wait(20)
        save(*args)

    monkeypatch.setattr(bot.gallery, "save", slowly)
    gate.open()
    jobs = [await bot.service.submit(Source(ADA), CIRCLE) for _ in range(3)]
    await until(lambda: len(gate.drawn) == 3 and not gate.is_busy)

    stopping = asyncio.create_task(bot.stop())
    await until(lambda: bot.service.state.status == "stopping")
    may_store.set()
    await stopping

    assert [job.status for job in jobs] == [JobStatus.SUCCEEDED] * 3


async def test_a_request_that_cannot_be_written_is_refused_and_not_queued(bot):
    Storage(bot.database, INSERT, sqlite3_full())

    with pytest.raises(StorageTrouble, match="nothing was charged"):
        await bot.service.submit(Source(ADA), CIRCLE)

    assert bot.service.queue(ADA).mine == ()
    assert await left(bot.service) == bot.config.quota.credits


async def test_a_model_that_cannot_be_loaded_is_said_and_can_be_tried_again(make_bot, gate):
    broken = ModelUnavailable("FLUX.1-dev is gated: accept its licence and set HF_TOKEN")
    loads = []

    def load():
        loads.append(1)
        if len(loads) == 1:
            raise broken

    gate.load = lambda: (load(), type(gate).load(gate))
    bot = await make_bot()
    async with asyncio.timeout(10):
        while bot.service.state.status != "failed":
            await asyncio.sleep(0)

    with pytest.raises(NotAccepting, match="accept its licence"):
        await bot.service.submit(Source(ADA), CIRCLE)

    await bot.service.admin.resume(ADMIN)
    async with asyncio.timeout(10):
        while bot.service.state.status != "ready":
            await asyncio.sleep(0)
    gate.open()
    assert await finished(await bot.service.submit(Source(ADA), CIRCLE)) is JobStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("error", "status", "attempts"),
    [
        (EngineLost("its process has died"), JobStatus.SUCCEEDED, 2),
        (GenerationError("it cannot be encoded"), JobStatus.FAILED, 1),
        (MemoryError(), JobStatus.FAILED, 1),
    ],
)
async def test_a_picture_that_is_drawn_and_does_not_arrive(
    bot, gate, monkeypatch, error, status, attempts
):
    draw = ThreadExecutor.generate
    errors = [error]

    def receive():
        raise errors.pop()

    async def draw_and_lose(executor, request, on_step):
        result = await draw(executor, request, on_step)
        return RemoteResult(1.0, None, receive) if errors else result

    monkeypatch.setattr(ThreadExecutor, "generate", draw_and_lose)
    gate.open()
    job = await bot.service.submit(Source(ADA), CIRCLE)

    assert await finished(job) is status
    assert job.attempts == attempts
    charged = job.cost if status is JobStatus.SUCCEEDED else 0
    assert await left(bot.service) == bot.config.quota.credits - charged

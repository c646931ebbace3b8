"""The life of a request, from what somebody asked for to a picture on disk."""

import asyncio
import errno
import io
import json
import os
import sqlite3
import threading
from dataclasses import replace

import pytest
from PIL import Image

from bot.administration import CANCELLED
from bot.commands import ImagineCommand
from bot.gallery import read_request
from bot.jobs import JobStatus
from bot.outcomes import OUR_FAULT, STORAGE_FULL
from bot.refusals import (
    Conflict,
    NotAccepting,
    NotAllowed,
    NotFound,
    QueueFull,
    QuotaExceeded,
    StorageTrouble,
    TooManyJobs,
)
from generation.errors import GenerationError, InvalidRequest, ModelUnavailable, OutOfMemory
from generation.types import Preset
from tests.conftest import ADA, ADMIN, BOB, PRESETS, at_step, finished, stepping

CIRCLE = ImagineCommand("a red circle", num_inference_steps=3, width=64, height=64, seed=7)


def picture(width=96, height=64, colour="teal"):
    """The bytes of an attached PNG with an edge in it."""
    image = Image.new("RGB", (width, height), "white")
    image.paste(colour, (16, 16, 48, 48))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def pixels(path):
    with Image.open(path) as image:
        return image.convert("RGB").tobytes()


async def left(service, user=ADA):
    return (await service.quota(user)).left


# From words to a picture


async def test_a_request_becomes_a_picture(service, gate):
    gate.open()

    job = await service.submit(ADA, CIRCLE)

    assert await finished(job) is JobStatus.SUCCEEDED
    with Image.open(await service.picture(ADA, job.id)) as image:
        assert (image.size, image.mode, image.format) == ((64, 64), "RGB", "PNG")


async def test_what_nobody_says_comes_from_the_preset_and_then_from_the_model(make_bot):
    presets = {**PRESETS, "slow": Preset(name="slow", num_inference_steps=40, width=192)}
    bot = await make_bot(presets=presets)

    job = await bot.service.submit(ADA, ImagineCommand("a fox", preset="slow"))

    request = job.request
    assert (request.num_inference_steps, request.width, request.height) == (40, 192, 256)
    assert (request.guidance_scale, request.preset) == (3.5, "slow")


async def test_own_defaults_come_before_those_of_the_preset_and_after_what_is_said(service):
    await service.change_settings(
        ADA, ImagineCommand(num_inference_steps=5, aspect_ratio=(2, 1), guidance_scale=2.0)
    )

    job = await service.submit(ADA, ImagineCommand("a fox", guidance_scale=9.0))

    request = job.request
    assert (request.num_inference_steps, request.guidance_scale) == (5, 9.0)
    assert request.width == 2 * request.height


async def test_a_size_of_ones_own_replaces_a_ratio_and_resetting_forgets_all(service):
    await service.change_settings(ADA, ImagineCommand(aspect_ratio=(2, 1)))
    await service.change_settings(ADA, ImagineCommand(width=128, height=64))
    assert await service.settings(ADA) == {"width": 128, "height": 64}

    await service.change_settings(ADA, None)

    assert await service.settings(ADA) == {}


async def test_what_belongs_to_one_picture_cannot_be_a_default(service):
    with pytest.raises(InvalidRequest, match="seed belongs to one picture"):
        await service.change_settings(ADA, ImagineCommand(seed=1))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (ImagineCommand(width=2048, height=2048), "at most 1048576 are drawn here"),
        (ImagineCommand(images=9), "images must be a whole number between 1 and 4"),
        (ImagineCommand(preset="nope"), "there is no preset 'nope'"),
        (ImagineCommand(preset="canny"), "canny needs a control image with every prompt"),
    ],
)
async def test_a_default_that_every_picture_would_be_refused_for_is_refused(
    service, changes, sentence
):
    with pytest.raises(InvalidRequest, match=sentence):
        await service.change_settings(ADA, changes)

    assert await service.settings(ADA) == {}


async def test_defaults_that_are_set_at_once_are_both_kept(service):
    await asyncio.gather(
        service.change_settings(ADA, ImagineCommand(num_inference_steps=5)),
        service.change_settings(ADA, ImagineCommand(guidance_scale=2.0)),
    )

    assert await service.settings(ADA) == {"num_inference_steps": 5, "guidance_scale": 2.0}


async def test_a_default_preset_that_was_removed_since_falls_back(make_bot):
    bot = await make_bot(presets={**PRESETS, "night": Preset(name="night")})
    await bot.service.change_settings(ADA, ImagineCommand(preset="night"))

    service = await bot.restart(presets=PRESETS)

    assert (await service.submit(ADA, CIRCLE)).request.preset == "plain"


async def test_a_negative_prompt_switches_true_guidance_on_and_nothing_else_does(service):
    with_it = await service.submit(ADA, replace(CIRCLE, negative_prompt="blurry"))
    without = await service.submit(ADA, CIRCLE)

    assert (with_it.request.true_cfg_scale, without.request.true_cfg_scale) == (3.0, 1.0)


async def test_several_pictures_have_seeds_that_count_up_and_a_grid(service, gate):
    gate.open()

    job = await service.submit(ADA, replace(CIRCLE, images=3))
    await finished(job)

    assert [request.seed for request in gate.drawn] == [7, 8, 9]
    with Image.open(await service.picture_file(ADA, job.id, "grid")) as grid:
        assert grid.size == (2 * 64 + 4, 2 * 64 + 4)
    alone = {pixels(await service.picture(ADA, job.id, number)) for number in (1, 2, 3)}
    assert len(alone) == 3
    with pytest.raises(NotFound, match="has pictures 1 to 3, not 4"):
        await service.picture(ADA, job.id, 4)


async def test_a_picture_says_how_it_was_made(service, gate):
    gate.open()
    job = await service.submit(ADA, replace(CIRCLE, images=2))
    await finished(job)

    made = read_request((await service.picture(ADA, job.id, 2)).read_bytes())

    assert made["job"] == job.id
    assert (made["prompt"], made["seed"], made["num_inference_steps"]) == ("a red circle", 8, 3)


# Control images


async def test_a_control_image_reaches_the_engine_and_its_map_can_be_looked_at(service, gate):
    gate.open()

    job = await service.submit(ADA, replace(CIRCLE, preset="canny"), picture())
    await finished(job)

    (drawn,) = gate.drawn
    assert drawn.kind.controlnet == "demo/controlnet-canny"
    assert drawn.control_image.exists()
    with Image.open(await service.picture_file(ADA, job.id, "map")) as shown:
        assert shown.size == (64, 64)
        assert shown.convert("L").getextrema() == (0, 255)
    with Image.open(await service.control_image(ADA, job.id)) as kept:
        assert kept.size == (96, 64)


async def test_an_attached_picture_decides_the_shape_where_nobody_says(service):
    wide = await service.submit(ADA, ImagineCommand("a fox", preset="canny"), picture(128, 64))
    narrow = await service.submit(ADA, ImagineCommand("a fox", preset="canny"), picture(64, 500))
    said = await service.submit(
        ADA, ImagineCommand("a fox", preset="canny", width=64, height=64), picture(128, 64)
    )

    assert wide.request.width / wide.request.height == pytest.approx(2, rel=0.15)
    assert narrow.request.height / narrow.request.width == pytest.approx(2, rel=0.15)
    assert (said.request.width, said.request.height) == (64, 64)


@pytest.mark.parametrize(
    ("preset", "image", "sentence"),
    [
        ("canny", None, "the preset canny needs a control image: attach a PNG, JPEG or WebP"),
        ("redraw", None, "the preset redraw needs a control image"),
        ("plain", picture(), "takes no control image: leave the picture out, or choose canny or"),
    ],
)
async def test_a_preset_says_whether_it_wants_a_picture(bot, preset, image, sentence):
    with pytest.raises(InvalidRequest, match=sentence):
        await bot.service.submit(ADA, replace(CIRCLE, preset=preset), image)

    assert await bot.rows("SELECT * FROM jobs UNION ALL SELECT * FROM jobs") == []


async def test_a_file_that_is_no_picture_costs_nothing(bot):
    with pytest.raises(InvalidRequest):
        await bot.service.submit(ADA, replace(CIRCLE, preset="canny"), b"<html>sign in</html>")

    assert await left(bot.service) == bot.config.quota.credits
    assert list(bot.gallery.control_images.iterdir()) == []


@pytest.mark.parametrize("quota", [{"credits": 0}, {"credits": 100}])
async def test_whoever_is_refused_leaves_no_file_behind(make_bot, quota):
    bot = await make_bot(quota=quota)
    if quota["credits"]:
        await bot.service.admin.ban(ADMIN, ADA)

    with pytest.raises((QuotaExceeded, NotAllowed)):
        await bot.service.submit(ADA, replace(CIRCLE, preset="canny"), picture())

    assert list(bot.gallery.control_images.iterdir()) == []


async def test_a_width_alone_leaves_the_height_as_it_would_be(make_bot):
    bot = await make_bot(presets={"plain": Preset(name="plain", width=128, height=256)})

    request = (await bot.service.submit(ADA, ImagineCommand("a fox", width=512))).request

    assert (request.width, request.height) == (512, 256)


async def test_a_file_that_is_too_large_is_refused_by_its_size(make_bot):
    bot = await make_bot(control_images={"max_megabytes": 0.001})

    with pytest.raises(InvalidRequest, match=r"at most 0\.001 MB are read"):
        await bot.service.submit(ADA, replace(CIRCLE, preset="canny"), picture() + b" " * 2000)


async def test_strength_grips_with_a_controlnet_and_lets_go_when_redrawing(service):
    held = await service.submit(ADA, replace(CIRCLE, preset="canny", strength=0.3), picture())
    redrawn = await service.submit(ADA, replace(CIRCLE, preset="redraw", strength=0.9), picture())

    assert held.request.kind.controlnet_conditioning_scale == 0.3
    assert redrawn.request.kind.strength == 0.9
    with pytest.raises(InvalidRequest, match="strength means nothing to the preset plain"):
        await service.submit(ADA, replace(CIRCLE, strength=0.5))


async def test_a_control_map_is_shown_before_anything_is_spent(bot):
    png, remarks = await bot.service.control_map(picture(), "canny", 128, 64)

    with Image.open(io.BytesIO(png)) as shown:
        assert shown.size == (128, 64)
    assert remarks == ()
    assert await left(bot.service) == bot.config.quota.credits


# Refusals cost nothing


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (ImagineCommand("  \u200b "), "the prompt is empty"),
        (ImagineCommand("a fox", preset="cannny"), "choose one of plain, canny, redraw"),
        (ImagineCommand("a fox", num_inference_steps=51), "between 1 and 50, not 51"),
        (ImagineCommand("a fox", num_inference_steps=True), "must be a whole number"),
        (ImagineCommand("a fox", guidance_scale=float("nan")), "between 0 and 30, not nan"),
        (ImagineCommand("a fox", seed=-1), "seed must be a whole number between 0"),
        (ImagineCommand("a fox", width=100, height=64), "multiple of 16, not 100: try 96 or 112"),
        (ImagineCommand("a fox", width=2048, height=2048), "at most 1048576 are drawn here"),
        (ImagineCommand("a fox", images=5), "images must be a whole number between 1 and 4, not 5"),
        (ImagineCommand("a fox", images=0), "images must be a whole number between 1 and 4, not 0"),
        (ImagineCommand("a fox", seed=10**5000), "not one of more than 40 digits"),
        (ImagineCommand("x" * 2001), "has 2001 characters; at most 2000"),
        (ImagineCommand("a\0fox"), "contains characters that are no text"),
        (ImagineCommand("a \ud83d fox"), "contains characters that are no text"),
        (ImagineCommand(10**5000), "the prompt must be text, not something of too many digits"),
        (ImagineCommand("a fox", negative_prompt=10**5000), "not something of too many digits"),
        (ImagineCommand("a fox", negative_prompt=7), "the negative prompt must be text, not 7"),
        (ImagineCommand("a fox", preset=10**5000), "no preset something of too many digits"),
    ],
)
async def test_bad_input_is_named_and_costs_nothing(bot, command, sentence):
    with pytest.raises(InvalidRequest, match=sentence):
        await bot.service.submit(ADA, command)

    assert await bot.rows("SELECT * FROM jobs") == []
    assert await left(bot.service) == bot.config.quota.credits


async def test_one_person_may_have_so_many_jobs_waiting_and_others_still_come_in(make_bot):
    bot = await make_bot(queue={"max_waiting_per_user": 2})
    running = await bot.service.submit(ADA, CIRCLE)
    await at_step(running, 0, picture=1)
    for _ in range(2):
        await bot.service.submit(ADA, CIRCLE)

    with pytest.raises(TooManyJobs, match="you have 2 jobs waiting already"):
        await bot.service.submit(ADA, CIRCLE)

    await bot.service.submit(BOB, CIRCLE)


async def test_requests_that_race_cannot_pass_the_cap_together(make_bot):
    bot = await make_bot(queue={"max_waiting_per_user": 2})
    running = await bot.service.submit(BOB, CIRCLE)
    await at_step(running, 0, picture=1)

    outcomes = await asyncio.gather(
        *(bot.service.submit(ADA, CIRCLE) for _ in range(6)), return_exceptions=True
    )

    assert sum(isinstance(each, TooManyJobs) for each in outcomes) == 4


async def test_a_full_queue_says_so_and_when_to_come_back(make_bot):
    bot = await make_bot(queue={"max_waiting": 1})
    running = await bot.service.submit(ADA, CIRCLE)
    await at_step(running, 0, picture=1)
    await bot.service.submit(ADA, CIRCLE)

    with pytest.raises(QueueFull, match="the queue is full") as refused:
        await bot.service.submit(BOB, CIRCLE)

    assert refused.value.retry_in >= 1


# The queue


async def test_one_thread_owns_the_engine(service, gate):
    gate.open()

    jobs = [await service.submit(user, CIRCLE) for user in (ADA, BOB, ADA)]
    for job in jobs:
        await finished(job)

    assert len(set(gate.threads)) == 1


async def test_a_position_counts_the_running_job(service, gate):
    first = await service.submit(ADA, CIRCLE)
    await at_step(first, 0, picture=1)
    second = await service.submit(BOB, CIRCLE)
    third = await service.submit(BOB, CIRCLE)

    assert (second.progress.position, third.progress.position) == (1, 2)
    assert second.progress.wait is None

    gate.allow(3)
    await finished(first)
    await at_step(second, 0, picture=1)
    assert third.progress.position == 1
    assert third.progress.wait is not None


async def test_a_quote_tells_cost_place_and_time_and_spends_nothing(service, gate):
    gate.allow(3)
    await finished(await service.submit(ADA, CIRCLE))
    running = await service.submit(ADA, CIRCLE)
    await at_step(running, 0, picture=1)
    before = await left(service, BOB)

    quote = await service.quote(BOB, ImagineCommand("a fox", num_inference_steps=20))

    assert (quote.cost, quote.left, quote.position) == (20, before, 1)
    assert quote.seconds > quote.starts_in > 0
    assert await left(service, BOB) == before


async def test_the_queue_shows_a_person_their_own_jobs(service):
    running = await service.submit(ADA, CIRCLE)
    await at_step(running, 0, picture=1)
    waiting = await service.submit(ADA, CIRCLE)
    await service.submit(BOB, CIRCLE)

    view = service.queue(ADA)

    assert (view.running, view.waiting, view.mine) == (1, 2, (running, waiting))


# Cancelling


async def test_cancelling_a_running_job_frees_the_engine_within_one_step(bot, gate):
    slow = await bot.service.submit(ADA, replace(CIRCLE, num_inference_steps=50))
    other = await bot.service.submit(BOB, CIRCLE)
    gate.allow(1)
    await at_step(slow, 1)

    await stepping(gate, bot.service.cancel(ADA, slow.id))

    assert slow.status is JobStatus.CANCELLED
    assert await left(bot.service) == bot.config.quota.credits
    gate.allow(3)
    assert await finished(other) is JobStatus.SUCCEEDED


async def test_cancelling_a_waiting_job_never_reaches_the_engine(bot, gate):
    running = await bot.service.submit(ADA, CIRCLE)
    await at_step(running, 0, picture=1)
    waiting = await bot.service.submit(BOB, CIRCLE)

    await bot.service.cancel(BOB)

    assert waiting.status is JobStatus.CANCELLED
    gate.open()
    await finished(running)
    assert len(gate.drawn) == 1
    assert await left(bot.service, BOB) == bot.config.quota.credits


async def test_a_job_cancelled_the_moment_it_is_picked_up_still_ends(bot, gate):
    """The worker has taken it, the engine's thread has not: nobody must wait for ever."""
    job = await bot.service.submit(ADA, CIRCLE)
    while job.id not in bot.service._worker._drawing:
        await asyncio.sleep(0)

    gate.open()
    await bot.service.cancel(ADA, job.id)

    assert job.status is JobStatus.CANCELLED


async def test_only_the_owner_and_admins_may_cancel_or_look(service):
    job = await service.submit(ADA, CIRCLE)
    await at_step(job, 0, picture=1)
    waiting = await service.submit(ADA, CIRCLE)

    with pytest.raises(NotFound):
        await service.cancel(BOB, waiting.id)
    with pytest.raises(NotFound):
        await service.job(BOB, waiting.id)

    assert await service.job(ADMIN, waiting.id) is waiting
    await service.cancel(ADMIN, waiting.id)
    assert waiting.status is JobStatus.CANCELLED


async def test_what_has_ended_cannot_be_cancelled(service, gate):
    gate.open()
    job = await service.submit(ADA, CIRCLE)
    await finished(job)

    with pytest.raises(Conflict, match="has already succeeded"):
        await service.cancel(ADA, job.id)
    with pytest.raises(NotFound, match="nothing of yours is waiting"):
        await service.cancel(ADA)


# Failing


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
    job = await bot.service.submit(ADA, CIRCLE)

    assert await finished(job) is JobStatus.FAILED
    assert sentence in job.error
    assert await left(bot.service) == bot.config.quota.credits

    gate.fault = None
    assert await finished(await bot.service.submit(ADA, CIRCLE)) is JobStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("number", "sentence", "state"),
    [(errno.ENOSPC, STORAGE_FULL, "paused"), (errno.EACCES, OUR_FAULT, "ready")],
)
async def test_a_picture_that_cannot_be_stored_is_refunded(
    bot, gate, monkeypatch, number, sentence, state
):
    """A full disk would swallow the next pictures too, so nothing more is drawn."""

    def refuse(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(bot.gallery, "save", refuse)
    gate.open()

    job = await bot.service.submit(ADA, CIRCLE)

    assert await finished(job) is JobStatus.FAILED
    assert job.error == sentence
    assert await left(bot.service) == bot.config.quota.credits
    assert list(bot.gallery.images.iterdir()) == []
    assert bot.service.state.status == state


class Storage:
    """Lets one method of the records fail as SQLite fails, until it is well again."""

    def __init__(self, records, method, error):
        self.error = error
        self.is_broken = True
        self.failures = 0
        works = getattr(records, method)

        def sometimes(*args, **kwargs):
            if self.is_broken:
                self.failures += 1
                raise self.error
            return works(*args, **kwargs)

        setattr(records, method, sometimes)


async def until(is_true):
    async with asyncio.timeout(20):
        while not is_true():
            await asyncio.sleep(0)


@pytest.mark.parametrize("method", ["begin", "finish"])
@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR])
async def test_a_storage_that_fails_for_a_while_loses_no_job(bot, gate, method, code):
    """The job is drawn, or its end is written, as soon as the storage is back; nothing else
    is begun meanwhile, since it could not be written down."""
    gate.open()
    storage = Storage(bot.service._worker._store, method, sqlite_error(code))
    first = await bot.service.submit(ADA, CIRCLE)
    await until(lambda: storage.failures)
    await until(lambda: bot.service.state.status == "paused")
    second = await bot.service.submit(BOB, CIRCLE)

    storage.is_broken = False
    await bot.service.admin.resume(ADMIN)  # tries at once, and would do so by itself

    assert await finished(first) is JobStatus.SUCCEEDED
    assert await finished(second) is JobStatus.SUCCEEDED
    assert bot.service.state.status == "ready"
    assert await left(bot.service) == bot.config.quota.credits - first.cost


async def test_a_job_that_fails_while_the_storage_does_is_refunded_once_it_is_back(bot, gate):
    gate.open()
    gate.fault = GenerationError("the picture came out empty")
    storage = Storage(bot.service._worker._store, "finish", sqlite3_full())
    job = await bot.service.submit(ADA, CIRCLE)
    await until(lambda: storage.failures)
    assert await left(bot.service) == bot.config.quota.credits - job.cost

    storage.is_broken = False
    await bot.service.admin.resume(ADMIN)

    assert await finished(job) is JobStatus.FAILED
    assert await left(bot.service) == bot.config.quota.credits


async def test_a_cancel_that_cannot_be_written_says_so_and_the_job_waits_on(bot, gate):
    running = await bot.service.submit(ADA, CIRCLE)
    await at_step(running, 0, picture=1)
    waiting = await bot.service.submit(BOB, CIRCLE)
    storage = Storage(bot.service._worker._store, "finish", sqlite3_full())

    with pytest.raises(StorageTrouble):
        await bot.service.cancel(BOB, waiting.id)

    storage.is_broken = False
    gate.open()
    assert await finished(waiting) is JobStatus.SUCCEEDED


async def test_a_cancel_whose_caller_goes_away_is_carried_out(bot, gate):
    """Half of it would be a picture that was refunded."""
    running = await bot.service.submit(ADA, CIRCLE)
    await at_step(running, 0, picture=1)
    waiting = await bot.service.submit(BOB, CIRCLE)
    cancelling = asyncio.create_task(bot.service.cancel(BOB, waiting.id))
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
    job = await bot.service.submit(ADA, replace(CIRCLE, num_inference_steps=50))
    await at_step(job, 0, picture=1)
    cancelling = asyncio.create_task(bot.service.cancel(ADA, job.id))
    await until(lambda: job.id in bot.service._worker._unwanted)

    await stepping(gate, bot.stop())
    await cancelling

    service = await bot.start()
    assert (await service.job(ADA, job.id)).status is JobStatus.CANCELLED


async def test_pictures_that_are_being_stored_outlive_the_stop(make_bot, gate, monkeypatch):
    """They are drawn and paid for; drawing them again would waste the engine's time."""
    bot = await make_bot()
    may_store = threading.Event()
    save = bot.gallery.save

    def slowly(*args):
        assert may_store.wait(20)
        save(*args)

    monkeypatch.setattr(bot.gallery, "save", slowly)
    gate.open()
    jobs = [await bot.service.submit(ADA, CIRCLE) for _ in range(3)]
    await until(lambda: len(gate.drawn) == 3 and not gate.is_busy)

    stopping = asyncio.create_task(bot.stop())
    await until(lambda: bot.service.state.status == "stopping")
    may_store.set()
    await stopping

    assert [job.status for job in jobs] == [JobStatus.SUCCEEDED] * 3


def sqlite_error(code):
    error = sqlite3.OperationalError("the storage refuses")
    error.sqlite_errorcode = code
    return error


def sqlite3_full():
    return sqlite_error(sqlite3.SQLITE_FULL)


async def test_a_request_that_cannot_be_written_is_refused_and_not_queued(bot):
    def full(db, job):
        raise sqlite3_full()

    bot.service._store.insert = full

    with pytest.raises(StorageTrouble, match="nothing was charged"):
        await bot.service.submit(ADA, CIRCLE)

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
        await bot.service.submit(ADA, CIRCLE)

    await bot.service.admin.resume(ADMIN)
    async with asyncio.timeout(10):
        while bot.service.state.status != "ready":
            await asyncio.sleep(0)
    gate.open()
    assert await finished(await bot.service.submit(ADA, CIRCLE)) is JobStatus.SUCCEEDED


# Again


async def test_again_makes_the_same_pixels(service, gate):
    gate.open()
    first = await service.submit(ADA, ImagineCommand("a fox", preset="canny"), picture())
    await finished(first)

    second = await service.again(ADA)
    await finished(second)

    assert second.parent == first.id
    assert second.request == first.request
    assert pixels(await service.picture(ADA, first.id)) == pixels(
        await service.picture(ADA, second.id)
    )


async def test_vary_changes_the_seed_alone(service, gate):
    gate.open()
    first = await service.submit(ADA, CIRCLE)
    await finished(first)

    varied = await service.again(ADA, first.id, vary=True)

    assert varied.request.seed != first.request.seed
    assert replace(varied.request, seed=first.request.seed) == first.request


async def test_again_takes_changes_and_keeps_the_rest(service, gate):
    gate.open()
    first = await service.submit(
        ADA, replace(CIRCLE, preset="canny", negative_prompt="blurry"), picture()
    )
    await finished(first)

    changed = await service.again(
        ADA, first.id, ImagineCommand("a blue one", num_inference_steps=9, negative_prompt="")
    )
    plain = await service.again(ADA, first.id, ImagineCommand(preset="plain", aspect_ratio=(2, 1)))

    assert changed.request.prompt == "a blue one"
    assert (changed.request.num_inference_steps, changed.request.seed) == (9, 7)
    assert (changed.request.negative_prompt, changed.request.true_cfg_scale) == ("", 1.0)
    assert changed.request.control_image == first.request.control_image
    assert (plain.request.kind.weights, plain.request.control_image) == ((), None)
    assert plain.request.width > plain.request.height


async def test_again_on_another_model_says_that_it_draws_differently(make_bot, gate):
    gate.open()
    bot = await make_bot()
    first = await bot.service.submit(ADA, CIRCLE)
    await finished(first)

    service = await bot.restart(model={"repository": "owner/other", "revision": "abc"})
    again = await service.again(ADA, first.id)

    assert again.request.model == "owner/other@abc"
    assert again.remarks == ("That was drawn with demo; owner/other@abc draws it differently.",)


async def test_again_with_changes_outlives_its_preset(make_bot, gate):
    gate.open()
    bot = await make_bot()
    first = await bot.service.submit(ADA, replace(CIRCLE, preset="canny"), picture())
    await finished(first)

    service = await bot.restart(presets={"plain": PRESETS["plain"]})
    again = await service.again(ADA, first.id, ImagineCommand(num_inference_steps=2))

    assert (again.request.preset, again.request.num_inference_steps) == ("canny", 2)


async def test_a_preset_that_wants_a_picture_is_no_change_for_a_job_without_one(service, gate):
    gate.open()
    await finished(await service.submit(ADA, CIRCLE))

    with pytest.raises(InvalidRequest, match="canny needs a control image"):
        await service.again(ADA, None, ImagineCommand(preset="canny"))


async def test_again_without_any_picture_says_so(service):
    with pytest.raises(NotFound, match="no picture yet"):
        await service.again(ADA)


# Across a restart


async def test_waiting_jobs_outlive_a_restart_in_their_order(make_bot, gate):
    bot = await make_bot()
    running = await bot.service.submit(ADA, replace(CIRCLE, num_inference_steps=50))
    await at_step(running, 0, picture=1)
    waiting = [
        await bot.service.submit(user, replace(CIRCLE, seed=seed))
        for user, seed in ((BOB, 8), (ADA, 9))
    ]
    await stepping(gate, bot.stop())

    service = await bot.start()
    gate.open()
    jobs = [await service.job(ADMIN, job.id) for job in (running, *waiting)]
    for job in jobs:
        assert await finished(job) is JobStatus.SUCCEEDED

    # Begun before the restart and after it, in the order in which they had come.
    assert [each.seed for each in gate.drawn] == [7, 7, 8, 9]
    assert await left(service, BOB) == bot.config.quota.credits - waiting[0].cost
    (row,) = await bot.rows("SELECT attempts FROM jobs WHERE id = ?", running.id)
    assert row["attempts"] == 1, "an attempt that we broke off ourselves does not count"


async def test_a_job_that_took_the_bot_down_three_times_is_given_up_and_refunded(make_bot, gate):
    bot = await make_bot()
    running = await bot.service.submit(ADA, replace(CIRCLE, num_inference_steps=50))
    await at_step(running, 0, picture=1)
    await stepping(gate, bot.stop())
    await bot.start()
    await bot.database.write(
        lambda db: db.execute("UPDATE jobs SET status = 'running', attempts = 3")
    )
    gate.open()

    service = await bot.restart()

    job = await service.job(ADA, running.id)
    assert (job.status, await left(service)) == (JobStatus.FAILED, bot.config.quota.credits)
    assert "went down 3 times" in job.error


async def test_an_event_that_comes_twice_makes_one_job(bot):
    both = await asyncio.gather(
        *(bot.service.submit(ADA, CIRCLE, event_id="slack:Ev1") for _ in range(2))
    )
    third = await bot.service.submit(ADA, CIRCLE, event_id="slack:Ev1")

    assert len({job.id for job in (*both, third)}) == 1
    assert len(await bot.rows("SELECT * FROM jobs")) == 1
    assert await left(bot.service) == bot.config.quota.credits - both[0].cost


async def test_an_event_that_comes_again_at_the_cap_still_finds_its_job(make_bot):
    bot = await make_bot(queue={"max_waiting_per_user": 1})
    running = await bot.service.submit(BOB, CIRCLE)
    await at_step(running, 0, picture=1)
    first = await bot.service.submit(ADA, CIRCLE, event_id="slack:Ev1")

    assert await bot.service.submit(ADA, CIRCLE, event_id="slack:Ev1") is first


async def test_a_job_row_holds_all_that_is_needed_to_draw_and_answer(bot, gate):
    job = await bot.service.submit(
        ADA, replace(CIRCLE, preset="canny"), picture(), reply_to={"channel": 5}
    )
    gate.open()
    await finished(job)

    (row,) = await bot.rows("SELECT * FROM jobs")

    assert json.loads(row["request"]) == job.request.to_dict()
    assert json.loads(row["reply_to"]) == {"channel": 5}
    assert (row["status"], row["delivery"], row["attempts"]) == ("succeeded", "owed", 1)


async def test_whoever_asks_and_goes_away_still_gets_the_job_done(bot, gate):
    """A job that is on disk and not in the queue would wait for the next restart."""
    asking = asyncio.create_task(bot.service.submit(ADA, CIRCLE))
    while not bot.service._admitting:
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    gate.open()

    async with asyncio.timeout(10):
        while not (page := await bot.service.history(ADA)).jobs:
            pass
    assert await finished(page.jobs[0]) is JobStatus.SUCCEEDED


# Quota


async def test_cost_follows_the_work(service):
    draft = await service.quote(ADA, ImagineCommand("a fox", num_inference_steps=4))
    fine = await service.quote(ADA, ImagineCommand("a fox", num_inference_steps=50, images=2))

    assert (draft.cost, fine.cost) == (4, 100)


async def test_two_requests_racing_for_the_last_credits_cannot_both_have_them(make_bot):
    bot = await make_bot(quota={"credits": 12})

    outcomes = await asyncio.gather(
        *(bot.service.submit(ADA, ImagineCommand("a fox")) for _ in range(5)),
        return_exceptions=True,
    )

    assert sum(isinstance(each, QuotaExceeded) for each in outcomes) == 4
    assert await left(bot.service) == 0


# Admins


async def test_an_admin_is_not_banned_least_of_all_by_themselves(service):
    """The only admin would lock everybody out."""
    service.admin.recognise("discord:9", is_admin=True)

    with pytest.raises(Conflict, match=r"take .*local out of admins\.users in config\.toml first"):
        await service.admin.ban(ADMIN, ADMIN)
    with pytest.raises(Conflict, match="Discord says that discord:9 is one"):
        await service.admin.ban(ADMIN, "discord:9")
    with pytest.raises(NotAllowed):
        await service.admin.ban(BOB, ADMIN)

    await service.submit(ADMIN, CIRCLE)


async def test_a_banned_person_is_refused_and_their_jobs_are_cancelled(service):
    running = await service.submit(BOB, CIRCLE)
    await at_step(running, 0, picture=1)
    waiting = await service.submit(ADA, CIRCLE)

    await service.admin.ban(ADMIN, ADA, "spam")

    assert (waiting.status, waiting.error) == (JobStatus.CANCELLED, CANCELLED)
    with pytest.raises(NotAllowed, match="banned you from drawing: spam"):
        await service.submit(ADA, CIRCLE)
    await service.admin.unban(ADMIN, ADA)
    await service.submit(ADA, CIRCLE)


async def test_a_pause_outlives_a_restart_and_what_waits_is_kept(make_bot, gate):
    gate.open()
    bot = await make_bot()
    await bot.service.admin.pause(ADMIN)
    job = await bot.service.submit(ADA, CIRCLE)

    service = await bot.restart()

    async with asyncio.timeout(10):
        while service.state.status != "paused":
            await asyncio.sleep(0)
    job = await service.job(ADA, job.id)
    assert job.status is JobStatus.QUEUED
    await service.admin.resume(ADMIN)
    assert await finished(job) is JobStatus.SUCCEEDED
    service = await bot.restart()
    await until(lambda: service.state.status != "loading")
    assert service.state.status == "ready", "resuming outlives a restart too"


async def test_presets_are_read_anew_without_a_restart(bot):
    bot.settings["presets"] = {**PRESETS, "night": Preset(name="night", guidance_scale=2.0)}

    await bot.service.admin.reload_presets(ADMIN)

    job = await bot.service.submit(ADA, ImagineCommand("a fox", preset="night"))
    assert job.request.guidance_scale == 2.0


async def test_every_act_of_an_admin_is_written_down_and_others_may_not(bot):
    admin = bot.service.admin
    await admin.grant(ADMIN, ADA, 50)
    await admin.set_quota(ADMIN, ADA, 7)
    await admin.reset_quota(ADMIN, ADA)
    for act in (admin.pause, admin.resume, admin.stats):
        with pytest.raises(NotAllowed):
            await act(ADA)
    with pytest.raises(NotAllowed):
        admin.queue(ADA)

    audit = await bot.rows("SELECT admin, act, subject, detail FROM audit")

    assert [(row["act"], row["subject"], row["detail"]) for row in audit] == [
        ("grant", ADA, "50"),
        ("set quota", ADA, "7"),
        ("reset quota", ADA, None),
    ]
    status = await bot.service.quota(ADA)
    assert (status.credits, status.granted, status.left) == (7, 50, 57)


# Keeping and finding


async def test_history_is_searched_by_the_beginnings_of_words(service, gate):
    gate.open()
    for prompt in ("a red circle", "a blue café at night", "circles, circles"):
        await finished(await service.submit(ADA, replace(CIRCLE, prompt=prompt)))
    await finished(await service.submit(BOB, replace(CIRCLE, prompt="a red star")))

    async def found(words):
        return [job.request.prompt for job in (await service.history(ADA, words)).jobs]

    assert await found("") == ["circles, circles", "a blue café at night", "a red circle"]
    assert await found("circ") == ["circles, circles", "a red circle"]
    assert await found("CAFE blue") == ["a blue café at night"]
    assert await found('red" OR star*') == []
    assert await found("!!!") == []


async def test_history_is_paged(service, gate):
    gate.open()
    for number in range(5):
        await finished(await service.submit(ADA, replace(CIRCLE, prompt=f"fox {number}")))

    first = await service.history(ADA, limit=2)
    second = await service.history(ADA, limit=2, before=first.next)
    third = await service.history(ADA, limit=2, before=second.next)

    prompts = [job.request.prompt for page in (first, second, third) for job in page.jobs]
    assert prompts == ["fox 4", "fox 3", "fox 2", "fox 1", "fox 0"]
    assert third.next is None


async def test_old_pictures_are_deleted_and_can_be_drawn_again(make_bot, gate, clock):
    gate.open()
    bot = await make_bot(gallery={"keep_days": 10})
    old = await bot.service.submit(ADA, CIRCLE)
    await finished(old)
    clock.advance(8 * 86400)
    new = await bot.service.submit(ADA, CIRCLE)
    await finished(new)
    clock.advance(3 * 86400)

    assert await bot.service.prune() == 1

    with pytest.raises(NotFound, match=f"`again {old.id}` draws it anew"):
        await bot.service.picture(ADA, old.id)
    assert (await bot.service.picture(ADA, new.id)).exists()
    assert await finished(await bot.service.again(ADA, old.id)) is JobStatus.SUCCEEDED


async def test_a_crash_while_deleting_repeats_it_instead_of_forgetting_it(
    make_bot, gate, clock, monkeypatch
):
    gate.open()
    bot = await make_bot(gallery={"keep_days": 10})
    old = await bot.service.submit(ADA, CIRCLE)
    await finished(old)
    clock.advance(11 * 86400)

    def crash(job_ids):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(bot.gallery, "prune_pictures", crash)
    with pytest.raises(OSError, match="Input/output"):
        await bot.service.prune()
    monkeypatch.undo()

    assert await bot.service.prune() == 1
    assert not bot.gallery.picture_path(old.id, 1).exists()


async def test_drawing_again_keeps_a_control_image_from_being_deleted(make_bot, gate):
    gate.open()
    bot = await make_bot(gallery={"keep_days": 10})
    first = await bot.service.submit(ADA, replace(CIRCLE, preset="canny"), picture())
    await finished(first)
    os.utime(first.request.control_image, (0, 0))

    await bot.service.again(ADA, first.id)

    assert first.request.control_image.stat().st_mtime > 1_600_000_000


async def test_a_control_image_stays_as_long_as_a_picture_refers_to_it(make_bot, gate):
    """Its file is shared by content, so one job's age must not take another's away."""
    gate.open()
    bot = await make_bot(gallery={"keep_days": 10})
    bot.clock.now = 4_000_000_000  # long after the files' own times
    old = await bot.service.submit(ADA, replace(CIRCLE, preset="canny"), picture())
    await finished(old)
    bot.clock.advance(9 * 86400)
    new = await bot.service.submit(ADA, replace(CIRCLE, preset="canny"), picture())
    await finished(new)
    bot.clock.advance(2 * 86400)

    await bot.service.prune()
    assert new.request.control_image.exists()

    bot.clock.advance(10 * 86400)
    await bot.service.prune()
    assert not new.request.control_image.exists()
    with pytest.raises(NotFound, match="attach it again"):
        await bot.service.again(ADA, new.id)


async def test_what_is_not_drawn_has_no_picture(service):
    job = await service.submit(ADA, CIRCLE)

    with pytest.raises(Conflict, match="has no picture: it is"):
        await service.picture(ADA, job.id)

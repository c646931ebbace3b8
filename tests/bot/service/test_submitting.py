"""A request becomes a picture, or is refused and costs nothing."""

import asyncio
import json
from dataclasses import replace

import pytest

from bot.commands import ImagineCommand
from bot.jobs import JobStatus
from bot.provenance import read_request
from bot.refusals import NotFound, QueueFull, QuotaExceeded, TooManyJobs
from bot.source import Source
from generation.errors import InvalidRequest
from generation.types import Preset
from tests.bot.conftest import CIRCLE, left
from tests.conftest import ADA, BOB, PRESETS, at_step, finished
from tests.samples import opened, picture, pixels

# From words to a picture


async def test_a_request_becomes_a_picture(service, gate):
    gate.open()

    job = await service.submit(Source(ADA), CIRCLE)

    assert await finished(job) is JobStatus.SUCCEEDED
    with opened(await service.lookups.picture(Source(ADA), job.id)) as image:
        assert (image.size, image.mode, image.format) == ((64, 64), "RGB", "PNG")


async def test_what_nobody_says_comes_from_the_preset_and_then_from_the_model(make_bot):
    presets = {**PRESETS, "slow": Preset(name="slow", num_inference_steps=40, width=192)}
    bot = await make_bot(presets=presets)

    job = await bot.service.submit(Source(ADA), ImagineCommand("a fox", preset="slow"))

    request = job.request
    assert (request.num_inference_steps, request.width, request.height) == (40, 192, 256)
    assert (request.guidance_scale, request.preset) == (3.5, "slow")


async def test_own_defaults_come_before_those_of_the_preset_and_after_what_is_said(service):
    await service.own_settings.change(
        ADA, ImagineCommand(num_inference_steps=5, aspect_ratio=(2, 1), guidance_scale=2.0)
    )

    job = await service.submit(Source(ADA), ImagineCommand("a fox", guidance_scale=9.0))

    request = job.request
    assert (request.num_inference_steps, request.guidance_scale) == (5, 9.0)
    assert request.width == 2 * request.height


async def test_a_size_of_ones_own_replaces_a_ratio_and_resetting_forgets_all(service):
    await service.own_settings.change(ADA, ImagineCommand(aspect_ratio=(2, 1)))
    await service.own_settings.change(ADA, ImagineCommand(width=128, height=64))
    assert await service.own_settings.of(ADA) == {"width": 128, "height": 64}

    await service.own_settings.change(ADA, None)

    assert await service.own_settings.of(ADA) == {}


async def test_what_belongs_to_one_picture_cannot_be_a_default(service):
    with pytest.raises(InvalidRequest, match="seed belongs to one picture"):
        await service.own_settings.change(ADA, ImagineCommand(seed=1))


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
        await service.own_settings.change(ADA, changes)

    assert await service.own_settings.of(ADA) == {}


async def test_defaults_that_are_set_at_once_are_both_kept(service):
    await asyncio.gather(
        service.own_settings.change(ADA, ImagineCommand(num_inference_steps=5)),
        service.own_settings.change(ADA, ImagineCommand(guidance_scale=2.0)),
    )

    assert await service.own_settings.of(ADA) == {"num_inference_steps": 5, "guidance_scale": 2.0}


async def test_a_default_preset_that_was_removed_since_falls_back(make_bot):
    bot = await make_bot(presets={**PRESETS, "night": Preset(name="night")})
    await bot.service.own_settings.change(ADA, ImagineCommand(preset="night"))

    service = await bot.restart(presets=PRESETS)

    assert (await service.submit(Source(ADA), CIRCLE)).request.preset == "plain"


async def test_a_negative_prompt_switches_true_guidance_on_and_nothing_else_does(service):
    with_it = await service.submit(Source(ADA), replace(CIRCLE, negative_prompt="blurry"))
    without = await service.submit(Source(ADA), CIRCLE)

    assert (with_it.request.true_cfg_scale, without.request.true_cfg_scale) == (1.75, 1.0)


async def test_several_pictures_have_seeds_that_count_up_and_a_grid(service, gate):
    gate.open()

    job = await service.submit(Source(ADA), replace(CIRCLE, images=3))
    await finished(job)

    assert [request.seed for request in gate.drawn] == [7, 8, 9]
    with opened(await service.lookups.picture_file(Source(ADA), job.id, "grid")) as grid:
        assert grid.size == (2 * 64 + 4, 2 * 64 + 4)
    alone = {
        pixels(await service.lookups.picture(Source(ADA), job.id, number)) for number in (1, 2, 3)
    }
    assert len(alone) == 3
    with pytest.raises(NotFound, match="has pictures 1 to 3, not 4"):
        await service.lookups.picture(Source(ADA), job.id, 4)


async def test_a_picture_says_how_it_was_made(service, gate):
    gate.open()
    job = await service.submit(Source(ADA), replace(CIRCLE, images=2))
    await finished(job)

    made = read_request((await service.lookups.picture(Source(ADA), job.id, 2)).read_bytes())

    assert made["job"] == job.id
    assert (made["prompt"], made["seed"], made["num_inference_steps"]) == ("a red circle", 8, 3)


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
        await bot.service.submit(Source(ADA), command)

    assert await bot.rows("SELECT * FROM jobs") == []
    assert await left(bot.service) == bot.config.quota.credits


async def test_one_person_may_have_so_many_jobs_waiting_and_others_still_come_in(make_bot):
    bot = await make_bot(queue={"max_waiting_per_user": 2})
    running = await bot.service.submit(Source(ADA), CIRCLE)
    await at_step(running, 0, picture=1)
    for _ in range(2):
        await bot.service.submit(Source(ADA), CIRCLE)

    with pytest.raises(TooManyJobs, match="you have 2 jobs waiting already"):
        await bot.service.submit(Source(ADA), CIRCLE)

    await bot.service.submit(Source(BOB), CIRCLE)


async def test_requests_that_race_cannot_pass_the_cap_together(make_bot):
    bot = await make_bot(queue={"max_waiting_per_user": 2})
    running = await bot.service.submit(Source(BOB), CIRCLE)
    await at_step(running, 0, picture=1)

    outcomes = await asyncio.gather(
        *(bot.service.submit(Source(ADA), CIRCLE) for _ in range(6)), return_exceptions=True
    )

    assert sum(isinstance(each, TooManyJobs) for each in outcomes) == 4


async def test_a_full_queue_says_so_and_when_to_come_back(make_bot):
    bot = await make_bot(queue={"max_waiting": 1})
    running = await bot.service.submit(Source(ADA), CIRCLE)
    await at_step(running, 0, picture=1)
    await bot.service.submit(Source(ADA), CIRCLE)

    with pytest.raises(QueueFull, match="the queue is full") as refused:
        await bot.service.submit(Source(BOB), CIRCLE)

    assert refused.value.retry_in >= 1


async def test_a_job_row_holds_all_that_is_needed_to_draw_and_answer(bot, gate):
    job = await bot.service.submit(
        Source(ADA, reply_to={"channel": 5}), replace(CIRCLE, preset="canny"), (picture(),)
    )
    gate.open()
    await finished(job)

    (row,) = await bot.rows("SELECT * FROM jobs")

    assert json.loads(row["request"]) == job.request.to_dict()
    assert json.loads(row["reply_to"]) == {"channel": 5}
    assert (row["status"], row["delivery"], row["attempts"]) == ("succeeded", "owed", 1)


# What it costs


async def test_cost_follows_the_work(service):
    draft = await service.previews.quote(
        Source(ADA), ImagineCommand("a fox", num_inference_steps=4)
    )
    fine = await service.previews.quote(
        Source(ADA), ImagineCommand("a fox", num_inference_steps=50, images=2)
    )

    assert (draft.cost, fine.cost) == (4, 100)


async def test_two_requests_racing_for_the_last_credits_cannot_both_have_them(make_bot):
    bot = await make_bot(quota={"credits": 12})

    outcomes = await asyncio.gather(
        *(bot.service.submit(Source(ADA), ImagineCommand("a fox")) for _ in range(5)),
        return_exceptions=True,
    )

    assert sum(isinstance(each, QuotaExceeded) for each in outcomes) == 4
    assert await left(bot.service) == 0

"""Pictures drawn again, varied and enlarged, and the last one of a conversation."""

from dataclasses import replace

import pytest

from bot.commands import ImagineCommand
from bot.jobs import Job
from bot.refusals import Conflict, NotFound
from bot.source import PictureOf, Source
from generation.errors import InvalidRequest
from generation.kinds import ImageToImage, Upscale
from generation.types import Preset
from tests.bot.conftest import CIRCLE, HERE
from tests.conftest import ADA, BOB, EVE, PRESETS, at_step, finished
from tests.samples import opened


async def test_what_was_shown_to_somebody_they_may_draw_again_and_pay_for(service, gate):
    gate.open()
    job = await service.submit(Source(ADA), CIRCLE)
    await finished(job)

    with pytest.raises(NotFound):
        await service.again(Source(BOB), job.id)
    again = await service.again(Source(BOB, shown=job.id), job.id)

    assert (again.user, again.request.seed, again.parent) == (BOB, 7, job.id)


async def test_a_variation_starts_from_the_picture_that_was_chosen(service, gate):
    gate.open()
    job = await service.submit(
        Source(ADA), ImagineCommand("a fox", images=2, width=64, height=64, seed=7)
    )
    await finished(job)

    varied = await service.from_picture(Source(BOB, shown=job.id), PictureOf(job.id, 2), "vary")

    request = varied.request
    assert (request.preset, varied.images) == ("redraw", 1)
    assert (request.prompt, request.width, varied.parent) == ("a fox", 64, job.id)
    with opened(request.control_image) as start:
        chosen = await service.lookups.picture(Source(ADA), job.id, 2)
        with opened(chosen) as second:
            assert start.tobytes() == second.convert("RGB").tobytes()


async def test_without_a_preset_that_redraws_a_variation_has_a_new_seed(make_bot, gate):
    bot = await make_bot(presets={"plain": PRESETS["plain"]})
    job = await bot.service.submit(Source(ADA), CIRCLE)

    varied = await bot.service.from_picture(Source(ADA), PictureOf(job.id, 1), "vary")

    assert varied.request.seed != 7
    assert varied.request.preset == "plain"


async def test_a_picture_is_made_larger_by_the_preset_that_enlarges(make_bot, gate):
    gate.open()
    large = Preset(name="large", kind=ImageToImage(strength=0.3, upscale=2))
    bot = await make_bot(presets={**PRESETS, "large": large})
    job = await bot.service.submit(
        Source(ADA), ImagineCommand("a fox", width=64, height=96, seed=7)
    )
    await finished(job)

    larger = await bot.service.from_picture(Source(ADA), PictureOf(job.id, 1), "upscale")

    await finished(larger)
    with opened(await bot.service.lookups.picture(Source(ADA), larger.id)) as image:
        assert image.size == (128, 192)
    assert (larger.request.preset, larger.request.seed) == ("large", 7)
    assert bot.service.can_enlarge(job)
    huge = replace(job.request, width=1040, height=96)
    assert not bot.service.can_enlarge(Job(user=ADA, request=huge))


async def test_larger_pictures_have_a_limit_of_their_own(make_bot, gate):
    gate.open()
    large = Preset(name="large", kind=Upscale(tile_size=64))
    limits = {"pixels": 128 * 64, "upscaled_pixels": 4 * 96 * 64}
    bot = await make_bot(presets={**PRESETS, "large": large}, limits=limits)
    job = await bot.service.submit(Source(ADA), ImagineCommand("a fox", width=96, height=64))
    await finished(job)
    wide = await bot.service.submit(Source(ADA), ImagineCommand("a fox", width=128, height=64))
    await finished(wide)

    larger = await bot.service.from_picture(Source(ADA), PictureOf(job.id, 1), "upscale")
    assert (larger.request.width, larger.request.height) == (192, 128)
    assert not bot.service.can_enlarge(wide)
    with pytest.raises(InvalidRequest, match="would be 256x128, 32768 pixels; at most 24576"):
        await bot.service.from_picture(Source(ADA), PictureOf(wide.id, 1), "upscale")


async def test_a_larger_picture_costs_what_its_tiles_compute_and_leaves_the_negative_prompt(
    make_bot, gate
):
    gate.open()
    large = Preset(name="large", kind=Upscale(tile_size=64, strength=1.0), num_inference_steps=4)
    bot = await make_bot(presets={**PRESETS, "large": large}, quota={"pixels_per_credit": 64 * 64})
    asked = ImagineCommand("a fox", width=64, height=64, negative_prompt="blue")
    job = await bot.service.submit(Source(ADA), asked)
    await finished(job)

    larger = await bot.service.from_picture(Source(ADA), PictureOf(job.id, 1), "upscale")

    assert larger.cost == 9 * 4, "tiles x steps"
    assert larger.request.negative_prompt == ""


async def test_without_such_a_preset_it_says_so(service, gate):
    gate.open()
    job = await service.submit(Source(ADA), CIRCLE)
    await finished(job)

    assert not service.can_enlarge(job)
    with pytest.raises(NotFound, match="no preset here makes pictures larger"):
        await service.from_picture(Source(ADA), PictureOf(job.id, 1), "upscale")


async def test_a_picture_that_is_not_drawn_yet_has_no_variations(service):
    job = await service.submit(Source(ADA), CIRCLE)
    await at_step(job, 0)

    with pytest.raises(Conflict, match="has no picture"):
        await service.from_picture(Source(ADA), PictureOf(job.id, 1), "vary")


async def test_whether_others_may_see_them_is_an_own_default(service):
    await service.own_settings.change(ADA, ImagineCommand(num_inference_steps=5), is_private=True)

    assert await service.own_settings.of(ADA) == {"num_inference_steps": 5, "private": True}
    job = await service.submit(Source(ADA), ImagineCommand("a fox"))
    assert job.request.num_inference_steps == 5


async def test_the_last_picture_of_a_conversation_is_found_whoever_asked_for_it(service, gate):
    gate.open()
    for user, thread in ((EVE, "t1"), ("discord:mallory", "t2"), (EVE, "t2"), (ADA, "t1")):
        place = {"channel": "c1", "thread": thread}
        await finished(await service.submit(Source(user, reply_to=place), CIRCLE))

    latest = await service.lookups.latest_answered("discord", "c1", thread="t1")

    assert (latest.user, latest.reply_to["thread"]) == (EVE, "t1")
    assert (await service.lookups.latest_answered("discord", "c1")).reply_to["thread"] == "t2"
    assert await service.lookups.latest_answered("discord", "c1", thread="t3") is None
    assert await service.lookups.latest_answered("discord", "c2") is None
    assert (await service.lookups.latest_answered("web", "c1")).user == ADA


async def test_a_job_without_a_picture_is_nothing_to_go_on_from(service):
    await service.submit(Source(EVE, reply_to=HERE), CIRCLE)

    assert await service.lookups.latest_answered("discord", "c1") is None


async def test_the_last_picture_of_a_conversation_is_found_by_an_index(bot):
    plan = await bot.rows(
        "EXPLAIN QUERY PLAN SELECT * FROM jobs WHERE json_extract(reply_to, '$.channel') = 'c1'"
        " AND reply_to IS NOT NULL ORDER BY number DESC LIMIT 1"
    )

    assert "jobs_by_conversation" in plan[0]["detail"]


async def test_a_variation_goes_as_far_as_is_said_and_as_often_as_is_set(make_bot, gate):
    gate.open()
    bot = await make_bot(variations={"subtle": 0.4, "strong": 0.8, "images": 3})
    job = await bot.service.submit(Source(ADA), replace(CIRCLE, num_inference_steps=20))
    await finished(job)
    await bot.service.own_settings.change(BOB, ImagineCommand(images=2))

    subtle = await bot.service.from_picture(Source(ADA), PictureOf(job.id), "vary", "subtle")
    bob = Source(BOB, shown=job.id)
    strong = await bot.service.from_picture(bob, PictureOf(job.id), "vary", "strong")
    usual = await bot.service.from_picture(Source(ADA), PictureOf(job.id), "vary")

    assert (subtle.request.kind.strength_setting, subtle.images) == (0.4, 3)
    assert (strong.request.kind.strength_setting, strong.images) == (0.8, 2)
    assert usual.request.kind.strength_setting == 0.5
    assert [each.relation for each in (subtle, strong, usual)] == ["subtle", "strong", "varied"]
    assert (strong.parent_user, strong.is_seed_given) == (ADA, False)


async def test_even_the_subtlest_variation_draws_a_step(service, gate):
    gate.open()
    job = await service.submit(Source(ADA), replace(CIRCLE, num_inference_steps=2))
    await finished(job)

    varied = await service.from_picture(Source(ADA), PictureOf(job.id), "vary", "subtle")

    assert varied.request.steps_taken == 1

"""Control images: what presets want of them, and what they decide."""

from dataclasses import replace

import pytest

from bot.commands import ImagineCommand, parse, render
from bot.refusals import NotAllowed, QuotaExceeded, TooManyJobs, TooOften
from bot.requests import command_of
from bot.source import Source
from generation.errors import InvalidRequest
from generation.types import Preset
from tests.bot.conftest import CIRCLE, left
from tests.conftest import ADA, ADMIN, BOB, FOLLOWING, finished, until
from tests.samples import opened, picture


async def test_a_control_image_reaches_the_engine_and_its_map_can_be_looked_at(service, gate):
    gate.open()

    job = await service.submit(Source(ADA), replace(CIRCLE, preset="canny"), (picture(96, 64),))
    await finished(job)

    (drawn,) = gate.drawn
    assert drawn.kind.controlnet == "demo/controlnet-canny"
    assert drawn.control_image.exists()
    with opened(await service.lookups.picture_file(Source(ADA), job.id, "map")) as shown:
        assert shown.size == (64, 64)
        assert shown.convert("L").getextrema() == (0, 255)
    with opened(await service.lookups.control_image(Source(ADA), job.id)) as kept:
        assert kept.size == (96, 64)


async def test_an_attached_picture_decides_the_shape_where_nobody_says(service):
    wide = await service.submit(
        Source(ADA), ImagineCommand("a fox", preset="canny"), (picture(128, 64),)
    )
    narrow = await service.submit(
        Source(ADA), ImagineCommand("a fox", preset="canny"), (picture(64, 500),)
    )
    said = await service.submit(
        Source(ADA),
        ImagineCommand("a fox", preset="canny", width=64, height=64),
        (picture(128, 64),),
    )

    assert wide.request.width / wide.request.height == pytest.approx(2, rel=0.15)
    assert narrow.request.height / narrow.request.width == pytest.approx(2, rel=0.15)
    assert (said.request.width, said.request.height) == (64, 64)


@pytest.mark.parametrize(
    ("preset", "image", "sentence"),
    [
        ("canny", None, "the preset canny needs a control image: attach a PNG, JPEG or WebP"),
        ("redraw", None, "the preset redraw needs a control image"),
        (
            "plain",
            picture(),
            "takes no control image: leave the picture out, or choose one of canny,",
        ),
    ],
)
async def test_a_preset_says_whether_it_wants_a_picture(bot, preset, image, sentence):
    with pytest.raises(InvalidRequest, match=sentence):
        await bot.service.submit(
            Source(ADA), replace(CIRCLE, preset=preset), () if image is None else (image,)
        )

    assert await bot.rows("SELECT * FROM jobs UNION ALL SELECT * FROM jobs") == []


async def test_a_file_that_is_no_picture_costs_nothing(bot):
    with pytest.raises(InvalidRequest):
        await bot.service.submit(
            Source(ADA), replace(CIRCLE, preset="canny"), (b"<html>sign in</html>",)
        )

    assert await left(bot.service) == bot.config.quota.credits
    assert list(bot.gallery.control_images.iterdir()) == []


@pytest.mark.parametrize("quota", [{"credits": 0}, {"credits": 100}])
async def test_whoever_is_refused_leaves_no_file_behind(make_bot, quota):
    bot = await make_bot(quota=quota)
    if quota["credits"]:
        await bot.service.admin.ban(ADMIN, ADA)

    with pytest.raises((QuotaExceeded, NotAllowed)):
        await bot.service.submit(Source(ADA), replace(CIRCLE, preset="canny"), (picture(),))

    assert list(bot.gallery.control_images.iterdir()) == []


async def test_a_width_alone_leaves_the_height_as_it_would_be(make_bot):
    bot = await make_bot(presets={"plain": Preset(name="plain", width=128, height=256)})

    request = (await bot.service.submit(Source(ADA), ImagineCommand("a fox", width=512))).request

    assert (request.width, request.height) == (512, 256)


async def test_a_file_that_is_too_large_is_refused_by_its_size(make_bot):
    bot = await make_bot(control_images={"max_megabytes": 0.001})

    with pytest.raises(InvalidRequest, match=r"at most 0\.001 MB are allowed"):
        await bot.service.submit(
            Source(ADA), replace(CIRCLE, preset="canny"), (picture() + b" " * 2000,)
        )


async def test_strength_grips_with_a_controlnet_and_lets_go_when_redrawing(service):
    held = await service.submit(
        Source(ADA), replace(CIRCLE, preset="canny", strength=0.3), (picture(),)
    )
    redrawn = await service.submit(
        Source(ADA), replace(CIRCLE, preset="redraw", strength=0.9), (picture(),)
    )

    assert held.request.kind.controlnet_conditioning_scale == 0.3
    assert redrawn.request.kind.strength == 0.9
    with pytest.raises(InvalidRequest, match="strength means nothing to the preset plain"):
        await service.submit(Source(ADA), replace(CIRCLE, strength=0.5))


async def test_a_control_map_is_shown_before_anything_is_spent(bot):
    png, remarks = await bot.service.previews.control_map(
        Source(ADA), [picture()], "canny", 128, 64
    )

    with opened(png) as shown:
        assert shown.size == (128, 64)
    assert remarks == ()
    assert await left(bot.service) == bot.config.quota.credits


async def test_no_picture_of_a_banned_person_is_fetched_or_looked_at(bot, monkeypatch):
    """Neither to draw from it, nor for a price or a control map, which cost nothing."""
    looked_at = []
    monkeypatch.setattr(bot.control_images, "clean", looked_at.append)

    async def fetched():
        looked_at.append("fetched")

    canny = replace(CIRCLE, preset="canny")
    await bot.service.admin.ban(ADMIN, ADA)

    with pytest.raises(NotAllowed):
        await bot.service.submit(Source(ADA), canny, (fetched,))
    with pytest.raises(NotAllowed):
        await bot.service.previews.quote(Source(ADA), canny, (picture(),))
    with pytest.raises(NotAllowed):
        await bot.service.previews.control_map(Source(ADA), [picture()], "canny")

    assert looked_at == []


async def test_no_picture_of_somebody_without_a_place_in_the_queue_is_looked_at(make_bot):
    bot = await make_bot(queue={"max_waiting_per_user": 1})
    await bot.service.submit(Source(ADA), CIRCLE)
    await until(lambda: bot.service.is_drawing)
    await bot.service.submit(Source(ADA), CIRCLE)

    async def fetched():
        raise AssertionError("it was fetched")

    with pytest.raises(TooManyJobs):
        await bot.service.submit(Source(ADA), replace(CIRCLE, preset="canny"), (fetched,))


async def test_prices_and_control_maps_are_given_at_a_limited_rate(make_bot, clock):
    bot = await make_bot(control_images={"previews_per_minute": 2})
    previews = bot.service.previews
    await previews.quote(Source(ADA), CIRCLE)
    await previews.control_map(Source(ADA), [picture()], "canny")

    with pytest.raises(TooOften, match="at most 2 prices, control maps and inspections a minute"):
        await previews.quote(Source(ADA), CIRCLE)
    with pytest.raises(TooOften):
        await previews.control_map(Source(ADA), [picture()], "canny")
    await previews.quote(Source(BOB), CIRCLE)

    clock.advance(30)
    await previews.quote(Source(ADA), CIRCLE)


async def test_the_texts_of_a_strangers_file_can_be_asked_for(bot):
    with pytest.raises(InvalidRequest, match="send a PNG"):
        await bot.service.attachments.texts(ADA, b"<html>")

    assert await bot.service.attachments.texts(ADA, picture()) == {}


async def test_a_controlnet_begins_and_ends_when_the_person_wants(service, gate):
    gate.open()
    command = parse("a fox --preset canny --control-start 0.2 --control-end 0.6 --steps 3")

    job = await service.submit(Source(ADA), command, [picture()])
    later = await service.again(Source(ADA), job.id, ImagineCommand(control_guidance_end=0.9))

    assert job.request.kind.span_setting == (0.2, 0.6)
    assert later.request.kind.span_setting == (0.2, 0.9)
    assert "--control-start 0.2 --control-end 0.6" in render(command_of(job.request, 1))


async def test_where_a_picture_is_cropped_is_kept_when_it_is_drawn_again(service, gate):
    gate.open()
    command = parse("a fox --preset redraw --size 64x64 --crop left --steps 3")

    job = await service.submit(Source(ADA), command, [picture(128, 64)])
    again = await service.again(Source(ADA), job.id, ImagineCommand(num_inference_steps=4))
    other = await service.again(Source(ADA), job.id, parse("again --crop 1,0.5").changes)

    found = [(each.request.crop_x, each.request.crop_y) for each in (job, again, other)]
    assert found == [(0, 0.5), (0, 0.5), (1, 0.5)]
    assert "--crop 0.0,0.5" in render(command_of(job.request, 1))


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("a fox --crop top", "the preset plain takes none"),
        (
            "a fox --control-end 0.5",
            "mean nothing to the preset plain, which follows no ControlNet",
        ),
        ("a fox --preset canny --control-start 0.8 --control-end 0.4", "begin before it ends"),
    ],
)
async def test_an_option_that_makes_no_sense_is_refused_before_the_charge(service, typed, sentence):
    pictures = [picture()] if "canny" in typed else []

    with pytest.raises(InvalidRequest, match=sentence):
        await service.submit(Source(ADA), parse(typed), pictures)
    assert (await service.quota(ADA)).used == 0


async def test_several_controlnets_follow_one_picture_or_each_its_own(make_bot, gate):
    gate.open()
    service = (await make_bot(presets=FOLLOWING)).service
    asked = replace(CIRCLE, preset="both", strength=(0.6, 0.3), control_guidance_end=0.8)

    one = await service.submit(Source(ADA), asked, (picture(96, 64),))
    two = await service.submit(Source(ADA), asked, (picture(96, 64), picture(64, 96)))
    await finished(two)

    assert list(one.request.pictures) == ["control_image"]
    assert list(two.request.pictures) == ["control_image", "control_image_2"]
    assert two.request.kind.strength_setting == (0.6, 0.3)
    assert two.request.kind.span_setting == (0.0, 0.8)
    with opened(await service.lookups.picture_file(Source(ADA), two.id, "map")) as shown:
        assert shown.size == (128, 64)
    lookups = service.lookups
    with opened(await lookups.control_image(Source(ADA), two.id, "control_image_2")) as kept:
        assert kept.size == (64, 96)
    recipe = render(command_of(two.request, 1))
    assert "--strength 0.6,0.3 --control-end 0.8" in recipe
    again = await service.again(Source(ADA), two.id, parse(recipe))
    assert (again.request.kind, again.request.pictures) == (two.request.kind, two.request.pictures)


@pytest.mark.parametrize(
    ("changes", "pictures", "sentence"),
    [
        ({}, 0, "the preset both takes 1 or 2 pictures, not 0"),
        ({}, 3, "the preset both takes 1 or 2 pictures, not 3"),
        ({"strength": (0.1, 0.2, 0.3)}, 1, "strength is one number for the preset both, or 2 with"),
        ({"control_guidance_end": (0.0, 1.0)}, 1, "the ControlNet must begin before it ends"),
        ({"preset": "canny", "strength": (0.1, 0.2)}, 1, "is one number for the preset canny, not"),
    ],
)
async def test_numbers_and_pictures_fit_the_controlnets(make_bot, changes, pictures, sentence):
    service = (await make_bot(presets=FOLLOWING)).service
    before, asked = await left(service), replace(CIRCLE, **{"preset": "both", **changes})

    with pytest.raises(InvalidRequest, match=sentence):
        await service.submit(Source(ADA), asked, [picture()] * pictures)

    assert await left(service) == before


async def test_another_preset_takes_what_it_can_of_several_pictures(make_bot):
    service = (await make_bot(presets=FOLLOWING)).service
    job = await service.submit(
        Source(ADA), replace(CIRCLE, preset="both"), (picture(96, 64), picture(64, 96))
    )

    other = await service.again(Source(ADA), job.id, ImagineCommand(preset="canny"))

    assert other.request.pictures == {"control_image": job.request.control_image}


async def test_maps_of_several_pictures_are_shown_side_by_side(make_bot):
    previews = (await make_bot(presets=FOLLOWING)).service.previews

    one, _ = await previews.control_map(Source(ADA), [picture()], "both", 64, 64)
    two, _ = await previews.control_map(
        Source(ADA), [picture(), picture(colour="blue")], "both", 64, 64
    )

    with opened(one) as first, opened(two) as second:
        assert first.size == second.size == (128, 64)
        left_half = (0, 0, 64, 64)
        assert first.crop(left_half).tobytes() == second.crop(left_half).tobytes()
        assert first.tobytes() != second.tobytes()

"""Drawing again: the same, varied, or with changes."""

from dataclasses import replace

import pytest

from bot.commands import ImagineCommand
from bot.lineage import Relation
from bot.refusals import NotFound
from bot.source import Source
from generation.errors import InvalidRequest
from tests.bot.conftest import CIRCLE
from tests.conftest import ADA, BOB, PRESETS, finished
from tests.samples import picture, pixels


async def test_the_same_again_makes_the_same_pixels(service, gate):
    gate.open()
    first = await service.submit(Source(ADA), ImagineCommand("a fox", preset="canny"), (picture(),))
    await finished(first)

    second = await service.again(Source(ADA), same=True)
    await finished(second)

    assert (second.parent, second.relation) == (first.id, Relation.SAME)
    assert second.request == first.request
    assert pixels(await service.lookups.picture(Source(ADA), first.id)) == pixels(
        await service.lookups.picture(Source(ADA), second.id)
    )


async def test_again_takes_a_new_seed_unless_a_person_gave_one(service, gate):
    gate.open()
    rolled = await service.submit(Source(ADA), replace(CIRCLE, seed=None))
    given = await service.submit(Source(ADA), replace(CIRCLE, seed=7))

    again = await service.again(Source(ADA), rolled.id)
    kept = await service.again(Source(ADA), given.id)
    third = await service.again(Source(ADA), kept.id)

    assert again.request.seed != rolled.request.seed
    assert replace(again.request, seed=rolled.request.seed) == rolled.request
    assert (kept.request, third.request) == (given.request, given.request)
    assert (again.is_seed_given, third.is_seed_given) == (False, True)
    assert again.relation is Relation.AGAIN


async def test_more_pictures_are_new_ones_and_a_change_keeps_the_seed(service, gate):
    gate.open()
    first = await service.submit(Source(ADA), replace(CIRCLE, seed=None))

    more = await service.again(Source(ADA), first.id, ImagineCommand(images=2))
    changed = await service.again(Source(ADA), first.id, ImagineCommand(num_inference_steps=2))

    assert more.request.seed != first.request.seed
    assert changed.request.seed == first.request.seed
    assert changed.relation is Relation.CHANGED


async def test_a_seed_that_a_form_shows_was_given_by_nobody(service, gate):
    gate.open()
    first = await service.submit(Source(ADA), replace(CIRCLE, seed=None))
    shown = ImagineCommand("a blue circle", seed=first.request.seed)

    edited = await service.again(Source(ADA), first.id, shown)
    typed = await service.again(Source(ADA), first.id, replace(shown, seed=9))

    assert edited.request.seed == first.request.seed
    assert (edited.is_seed_given, typed.is_seed_given) == (False, True)


async def test_one_of_several_pictures_is_drawn_again_alone(service, gate):
    gate.open()
    first = await service.submit(Source(ADA), replace(CIRCLE, images=3, seed=7))

    one = await service.again(Source(ADA), first.id, same=True, number=3)

    assert (one.images, one.request.seed) == (1, 9)


async def test_whether_a_seed_was_given_outlives_a_restart(bot, gate):
    gate.open()
    first = await bot.service.submit(Source(ADA), replace(CIRCLE, seed=7))
    rolled = await bot.service.again(Source(BOB, shown=first.id), first.id, vary=True)

    service = await bot.restart()

    again = await service.lookups.job(Source(BOB), rolled.id)
    assert (again.is_seed_given, again.relation) == (False, Relation.AGAIN)
    assert (again.parent, again.parent_user) == (first.id, ADA)
    assert (await service.lookups.job(Source(ADA), first.id)).is_seed_given


async def test_vary_changes_the_seed_alone(service, gate):
    gate.open()
    first = await service.submit(Source(ADA), CIRCLE)
    await finished(first)

    varied = await service.again(Source(ADA), first.id, vary=True)

    assert varied.request.seed != first.request.seed
    assert replace(varied.request, seed=first.request.seed) == first.request


async def test_again_takes_changes_and_keeps_the_rest(service, gate):
    gate.open()
    first = await service.submit(
        Source(ADA), replace(CIRCLE, preset="canny", negative_prompt="blurry"), (picture(),)
    )
    await finished(first)

    changed = await service.again(
        Source(ADA),
        first.id,
        ImagineCommand("a blue one", num_inference_steps=9, negative_prompt=""),
    )
    plain = await service.again(
        Source(ADA), first.id, ImagineCommand(preset="plain", aspect_ratio=(2, 1))
    )

    assert changed.request.prompt == "a blue one"
    assert (changed.request.num_inference_steps, changed.request.seed) == (9, 7)
    assert (changed.request.negative_prompt, changed.request.true_cfg_scale) == ("", 1.0)
    assert changed.request.control_image == first.request.control_image
    assert (plain.request.kind.weights, plain.request.control_image) == ((), None)
    assert plain.request.width > plain.request.height


async def test_again_on_another_model_says_that_it_draws_differently(make_bot, gate):
    gate.open()
    bot = await make_bot()
    first = await bot.service.submit(Source(ADA), CIRCLE)
    await finished(first)

    service = await bot.restart(model={"repository": "owner/other", "revision": "abc"})
    again = await service.again(Source(ADA), first.id)

    assert again.request.model == "owner/other@abc"
    assert again.remarks == ("That was drawn with demo; owner/other@abc draws it differently.",)


async def test_again_with_changes_outlives_its_preset(make_bot, gate):
    gate.open()
    bot = await make_bot()
    first = await bot.service.submit(Source(ADA), replace(CIRCLE, preset="canny"), (picture(),))
    await finished(first)

    service = await bot.restart(presets={"plain": PRESETS["plain"]})
    again = await service.again(Source(ADA), first.id, ImagineCommand(num_inference_steps=2))

    assert (again.request.preset, again.request.num_inference_steps) == ("canny", 2)


async def test_a_preset_that_wants_a_picture_is_no_change_for_a_job_without_one(service, gate):
    gate.open()
    await finished(await service.submit(Source(ADA), CIRCLE))

    with pytest.raises(InvalidRequest, match="canny needs a control image"):
        await service.again(Source(ADA), None, ImagineCommand(preset="canny"))


async def test_again_without_any_picture_says_so(service):
    with pytest.raises(NotFound, match="no picture yet"):
        await service.again(Source(ADA))

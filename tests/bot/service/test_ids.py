"""Ids of jobs are random, and drawn anew until one is nobody else's."""

import asyncio

import pytest

from bot.refusals import NotFound
from bot.source import Source
from generation.errors import EngineLost
from tests.bot.conftest import CIRCLE
from tests.conftest import ADA, ADMIN, BOB, at_step, finished

TAKEN, FREE, ALSO_FREE = "k7m2p9xd", "abcdefgh", "bcdefghj"


@pytest.fixture
def throw(bot):
    """Loads the dice: the ids that are drawn, one after the other."""

    def throw(*ids):
        left = iter(ids)
        bot.new_id = lambda: next(left)

    return throw


async def test_an_id_that_an_earlier_job_has_is_drawn_anew(bot, gate, throw):
    gate.open()
    throw(TAKEN, TAKEN, TAKEN, FREE)
    first = await bot.service.submit(Source(ADA), CIRCLE)
    await finished(first)
    kept = (await bot.service.lookups.picture(Source(ADA), TAKEN)).read_bytes()

    second = await bot.service.submit(Source(BOB), CIRCLE)
    await finished(second)

    assert (first.id, second.id) == (TAKEN, FREE)
    assert (await bot.service.lookups.picture(Source(ADA), TAKEN)).read_bytes() == kept
    with pytest.raises(NotFound):
        await bot.service.lookups.job(Source(BOB), TAKEN)


async def test_an_id_that_a_file_in_the_gallery_has_is_drawn_anew(bot, throw):
    bot.gallery.path(TAKEN, "map").write_bytes(b"of a job whose row was lost with a backup")
    throw(TAKEN, FREE)

    assert (await bot.service.submit(Source(ADA), CIRCLE)).id == FREE


async def test_two_people_who_ask_at_once_never_get_the_same_id(bot, throw):
    throw(TAKEN, TAKEN, FREE)

    jobs = await asyncio.gather(
        bot.service.submit(Source(ADA), CIRCLE), bot.service.submit(Source(BOB), CIRCLE)
    )

    assert {job.id for job in jobs} == {TAKEN, FREE}
    for job in jobs:
        assert await bot.service.lookups.job(Source(job.user), job.id) is job


async def test_a_replayed_job_has_an_id_of_its_own(bot, gate, throw):
    throw(TAKEN, TAKEN, FREE)
    gate.fault = EngineLost("the GPU hangs")
    job = await bot.service.submit(Source(ADA), CIRCLE)
    await finished(job)
    gate.fault = None

    again = await bot.service.admin.replay(ADMIN, job.id)

    assert (again.id, again.parent) == (FREE, TAKEN)
    await at_step(again, 0, picture=1)

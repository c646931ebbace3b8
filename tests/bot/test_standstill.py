"""Reasons for which no job is begun; all of them must be over before one is."""

import asyncio

import pytest

from bot.jobs import FairQueue, Job
from bot.standstill import Standstill


@pytest.fixture
def queue(fox):
    queue = FairQueue()
    queue.put(Job(user="web:ada", request=fox))
    return queue


async def is_begun(queue):
    getting = asyncio.create_task(queue.get())
    for _ in range(5):
        await asyncio.sleep(0)
    getting.cancel()
    return getting.done() and not getting.cancelled()


async def test_a_failed_database_outlasts_every_word_to_go_on(queue):
    standstill = Standstill(queue)
    standstill.fail("the database is gone")
    standstill.resume()

    assert not await is_begun(queue)
    assert standstill.state.status == "failed"


@pytest.mark.parametrize(
    "hold",
    [
        lambda standstill: standstill.fail("the database is gone"),
        lambda standstill: standstill.pause("maintenance"),
        Standstill.stop,
    ],
    ids=["failed", "paused", "stopping"],
)
async def test_no_job_is_begun_at_a_standstill(queue, hold):
    standstill = Standstill(queue)

    hold(standstill)

    assert standstill.state is not None
    assert not await is_begun(queue)


async def test_drawing_goes_on_once_the_last_trouble_is_over(queue):
    standstill = Standstill(queue)
    works = set()

    async def attempt(what):
        if what not in works:
            raise OSError(what)

    async def until_done(what):
        await standstill.until_done(what, lambda: attempt(what), str)

    rows = asyncio.create_task(until_done("rows"))
    pictures = asyncio.create_task(until_done("pictures"))
    await asyncio.sleep(0)
    assert standstill.state.message == "rows"

    works.add("rows")
    standstill.resume()
    await asyncio.wait({rows})
    assert standstill.state.message == "pictures"
    assert not await is_begun(queue)

    works.add("pictures")
    standstill.resume()
    await asyncio.wait({pictures})
    assert standstill.state is None
    assert await is_begun(queue)


async def test_an_error_that_does_not_pass_is_raised_at_once(queue):
    async def attempt():
        raise ValueError("no picture")

    with pytest.raises(ValueError, match="no picture"):
        await Standstill(queue).until_done("pictures", attempt, lambda error: None)

    assert await is_begun(queue)


async def test_a_rest_ends_by_itself_or_by_an_admins_word(queue):
    """I4"""
    standstill = Standstill(queue)
    resting = asyncio.create_task(standstill.rest(3600))
    await asyncio.sleep(0)
    assert not await is_begun(queue)
    assert "it draws again in 60 minutes" in standstill.state.message

    standstill.resume()
    await resting
    assert standstill.state is None

    await standstill.rest(0.001)
    assert await is_begun(queue)

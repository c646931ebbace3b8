"""Places in the queue, and what a request would cost and take."""

from bot.commands import ImagineCommand
from bot.source import Source
from tests.bot.conftest import CIRCLE, left
from tests.conftest import ADA, BOB, at_step, finished


async def test_one_thread_owns_the_engine(service, gate):
    gate.open()

    jobs = [await service.submit(Source(user), CIRCLE) for user in (ADA, BOB, ADA)]
    for job in jobs:
        await finished(job)

    assert len(set(gate.threads)) == 1


async def test_a_position_counts_the_running_job(service, gate):
    first = await service.submit(Source(ADA), CIRCLE)
    await at_step(first, 0, picture=1)
    second = await service.submit(Source(BOB), CIRCLE)
    third = await service.submit(Source(BOB), CIRCLE)

    assert (second.progress.position, third.progress.position) == (1, 2)
    assert second.progress.wait is None

    gate.allow(3)
    await finished(first)
    await at_step(second, 0, picture=1)
    assert third.progress.position == 1
    assert third.progress.wait is not None


async def test_a_quote_tells_cost_place_and_time_and_spends_nothing(service, gate):
    gate.allow(3)
    await finished(await service.submit(Source(ADA), CIRCLE))
    running = await service.submit(Source(ADA), CIRCLE)
    await at_step(running, 0, picture=1)
    before = await left(service, BOB)

    quote = await service.previews.quote(
        Source(BOB), ImagineCommand("a fox", num_inference_steps=20)
    )

    assert (quote.cost, quote.left, quote.position) == (20, before, 1)
    assert quote.seconds > quote.starts_in > 0
    assert await left(service, BOB) == before


async def test_the_queue_shows_a_person_their_own_jobs(service):
    running = await service.submit(Source(ADA), CIRCLE)
    await at_step(running, 0, picture=1)
    waiting = await service.submit(Source(ADA), CIRCLE)
    await service.submit(Source(BOB), CIRCLE)

    view = service.queue(ADA)

    assert (view.running, view.waiting, view.mine) == (1, 2, (running, waiting))

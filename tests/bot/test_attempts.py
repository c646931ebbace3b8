"""Attempts at a job, whose pictures several engines share."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.attempts import Attempt, Shares
from bot.jobs import Job, JobStatus, steps_drawn
from bot.screens import PASSED
from generation.errors import DegenerateResult, EngineLost, GenerationError
from generation.types import GenerationRequest, Step
from tests.conftest import ADA

STEPS = 3
REQUEST = GenerationRequest(
    prompt="a fox in snow",
    num_inference_steps=STEPS,
    guidance_scale=3.5,
    width=64,
    height=64,
    seed=0,
    preset="plain",
)


class Drawing:
    """An executor that draws when a test says so, and is asked for one picture at a time."""

    def __init__(self):
        self.request = None
        self.free = 0

    async def generate(self, request, on_step):
        assert self.request is None
        self.request, self.on_step = request, on_step
        self._end = asyncio.get_running_loop().create_future()
        try:
            return await self._end
        finally:
            self.request = None
            self.free += 1

    def step(self, number, preview=None):
        self.on_step(Step(number, preview))

    def draw(self):
        """The result is the seed, which is all that tells pictures apart here."""
        self._end.set_result(self.request.seed)

    def fail(self, error):
        self._end.set_exception(error)


def attempt_of(
    images,
    preview=lambda job, number, jpeg: jpeg,
    on_end=lambda attempt: None,
    *,
    ready=(),
    on_picture=None,
):
    async def begin(attempt):
        attempt.fence = 1

    async def keep():
        return PASSED

    def keeping(attempt, number, result):
        return asyncio.create_task(keep())

    job = Job(user=ADA, request=REQUEST, images=images, ready=ready)
    return Attempt(job, 0, begin, preview, on_picture or keeping, on_end)


async def settle():
    for _ in range(6):
        await asyncio.sleep(0)


async def test_an_engine_is_given_a_share_of_a_job_that_suits_it_alone():
    shares, first, second = Shares(), attempt_of(2), attempt_of(2)
    waiting = [
        asyncio.create_task(shares.get(lambda job, attempt=attempt: job is attempt.job))
        for attempt in (second, first)
    ]
    await settle()

    shares.add(first)
    await settle()

    assert [task.done() for task in waiting] == [False, True]
    shares.add(second)
    assert [await task for task in waiting] == [second, first]
    done = attempt_of(1, ready=(1,))
    shares.add(done)
    over = asyncio.create_task(shares.get(lambda job: True))
    await settle()
    assert not over.done(), "no picture of it is left"
    over.cancel()


async def test_pictures_are_shared_and_come_back_in_their_order():
    attempt = attempt_of(3)
    first, second = Drawing(), Drawing()
    part = attempt.join(first)
    await settle()
    helping = attempt.join(second)
    await settle()
    assert (first.request.seed, second.request.seed) == (0, 1)

    first.draw()
    await settle()
    assert first.request.seed == 2, "the first engine goes on until no picture is left"
    assert not attempt.has_work
    first.draw()
    await part
    assert not attempt.results.done()
    second.draw()
    await helping

    assert await attempt.results == [0, 1, 2]


async def test_who_helps_is_free_after_one_picture():
    attempt = attempt_of(4)
    first, second = Drawing(), Drawing()
    attempt.join(first)
    await settle()
    helping = attempt.join(second)
    await settle()

    second.draw()
    await helping

    assert attempt.has_work
    attempt.cancel()
    await asyncio.wait([attempt.results])


async def test_progress_never_goes_back_however_the_pictures_are_shared():
    attempt = attempt_of(2)
    job, first, second = attempt.job, Drawing(), Drawing()
    attempt.join(first)
    await settle()
    attempt.join(second)
    await settle()

    shown = []
    for engine, step in ((second, 1), (second, 2), (first, 1), (first, 2), (second, 3), (first, 3)):
        engine.step(step)
        shown.append((job.progress.picture, job.progress.step))
        assert steps_drawn(job) == len(shown)

    assert shown == [(1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (2, 3)]
    attempt.cancel()
    await asyncio.wait([attempt.results])


async def test_previews_of_one_picture_are_shown_at_a_time():
    asked = []

    def preview(job, number, jpeg):
        asked.append(number)
        return jpeg

    attempt = attempt_of(2, preview=preview)
    job, first, second = attempt.job, Drawing(), Drawing()
    attempt.join(first)
    await settle()
    attempt.join(second)
    await settle()

    first.step(1, b"fox")
    second.step(1, b"owl")
    assert (job.progress.preview, asked) == (b"fox", [1])
    first.draw()
    await settle()
    second.step(2, b"owl")
    assert (job.progress.preview, asked) == (b"owl", [1, 2])
    attempt.cancel()
    await asyncio.wait([attempt.results])


@pytest.mark.parametrize("error", [EngineLost("it died"), GenerationError("no"), ValueError("odd")])
async def test_what_goes_wrong_with_one_picture_ends_all(error):
    attempt = attempt_of(3)
    first, second = Drawing(), Drawing()
    part = attempt.join(first)
    await settle()
    helping = attempt.join(second)
    await settle()

    second.fail(error)
    await asyncio.wait([part, helping, attempt.results])

    assert attempt.results.exception() is helping.exception() is error
    assert part.cancelled()
    assert (first.free, second.free) == (1, 1)
    assert attempt.is_lost is isinstance(error, EngineLost)


async def test_a_blank_picture_is_drawn_once_more_beside_the_others():
    attempt = attempt_of(2)
    first, second = Drawing(), Drawing()
    attempt.join(first)
    await settle()
    helping = attempt.join(second)
    await settle()

    second.fail(DegenerateResult("blank"))
    await settle()
    assert second.request.seed == 1
    second.draw()
    first.draw()
    await helping

    assert await attempt.results == [0, 1]


async def test_who_cancels_when_all_is_drawn_comes_too_late():
    attempt = attempt_of(1)
    engine = Drawing()
    part = attempt.join(engine)
    await settle()
    engine.draw()
    while not part.done():
        await asyncio.sleep(0)

    attempt.cancel()

    assert await attempt.results == [0]


#: What happens next: which engine, and whether it draws, fails, is lost, or all is cancelled.
EVENTS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["draw", "draw", "draw", "fail", "cancel"])),
    max_size=12,
)


@given(images=st.integers(1, 5), events=EVENTS)
def test_it_ends_once_and_leaves_every_engine_free(images, events):
    async def play():
        ends = []
        attempt = attempt_of(images, on_end=ends.append)
        engines = [Drawing() for _ in range(3)]
        parts = {0: attempt.join(engines[0])}
        await settle()
        for number, event in [*events, *[(number, "draw") for number in (0, 1, 2)] * 6]:
            for helper in (1, 2):
                if attempt.has_work and (helper not in parts or parts[helper].done()):
                    parts[helper] = attempt.join(engines[helper])
            await settle()
            if event == "cancel":
                attempt.cancel()
            elif engines[number].request is not None:
                if event == "draw":
                    engines[number].draw()
                else:
                    engines[number].fail(GenerationError("no"))
            await settle()

        assert ends == [attempt]
        assert all(part.done() for part in parts.values())
        assert all(engine.request is None for engine in engines)
        await asyncio.wait(parts.values())
        if not attempt.results.cancelled() and attempt.results.exception() is None:
            assert attempt.results.result() == list(range(images))
        for part in parts.values():
            assert part.cancelled() or isinstance(part.exception(), GenerationError | None)
        assert attempt.job.status is JobStatus.RUNNING

    asyncio.run(play())


async def test_pictures_that_are_ready_are_not_drawn_again_and_count_as_drawn():
    attempt = attempt_of(3, ready=(1, 3))
    engine = Drawing()

    attempt.join(engine)
    await settle()
    engine.step(1)

    assert engine.request.seed == 1
    assert (attempt.images, attempt.has_work) == (1, False)
    assert steps_drawn(attempt.job) == 2 * STEPS + 1
    engine.draw()
    assert await attempt.results == [1]


async def test_a_picture_that_cannot_be_kept_ends_the_drawing_of_the_others():
    async def fail():
        raise OSError("the disk is gone")

    attempt = attempt_of(3, on_picture=lambda *_: asyncio.create_task(fail()))
    engine = Drawing()
    attempt.join(engine)
    await settle()

    engine.draw()

    with pytest.raises(OSError, match="the disk is gone"):
        await attempt.results
    assert not attempt.has_work

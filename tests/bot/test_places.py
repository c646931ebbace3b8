"""Places are told at most twice a second, to some at a time, and nobody is forgotten."""

import pytest

from bot import places
from bot.jobs import FairQueue, Job, StepTimes
from bot.places import FIRST, OTHERS, TOLD_EVERY, Places
from bot.views import EngineState


class TwoEngines:
    drawing = 2
    seconds_until_one_draws = 3.0


class Loop:
    """A loop whose time passes when a test says so, and that calls one thing later."""

    now = 50.0
    call = None

    def time(self):
        return self.now

    def call_later(self, seconds, call):
        assert self.call is None
        self.due, self.call = self.now + seconds, call
        return self

    def cancel(self):
        self.call = None

    def advance(self, seconds):
        self.now += seconds
        if self.call is not None and self.due <= self.now:
            call, self.call = self.call, None
            call()


@pytest.fixture
def loop(monkeypatch):
    loop = Loop()
    monkeypatch.setattr(places, "TOLD_EVERY", TOLD_EVERY)
    monkeypatch.setattr(places.asyncio, "get_running_loop", lambda: loop)
    return loop


@pytest.fixture
def told():
    """Jobs that were told something, in order."""
    return []


@pytest.fixture
def queue(fox, told, monkeypatch):
    queue = FairQueue()
    for number in range(FIRST + 3 * OTHERS):
        queue.put(Job(user=f"web:{number}", request=fox, id=str(number)))
    update = Job.update

    def noticed(job, status, **progress):
        told.append(job.id)
        update(job, status, **progress)

    monkeypatch.setattr(Job, "update", noticed)
    return queue


@pytest.fixture
def state():
    return [EngineState("ready")]


@pytest.fixture
def teller(queue, fox, state):
    times = StepTimes()
    times.record(Job(user="web:eve", request=fox), 10.0)
    return Places(queue, times, TwoEngines(), list, lambda: state[0])


async def test_places_are_told_twice_a_second_however_often_they_change(teller, loop, told, queue):
    teller.tell()
    first = len(told)
    assert first == FIRST + OTHERS
    for number in range(5):
        queue.remove(str(number))
        teller.tell()
    assert len(told) == first

    loop.advance(0.5)

    assert len(told) == 2 * (FIRST + OTHERS)


async def test_whoever_is_far_behind_is_told_in_their_turn(teller, loop, told, queue):
    teller.tell()
    for _ in range(2):
        teller.tell()
        loop.advance(0.5)

    assert len(set(told)) == len(queue)
    for place, job in enumerate(queue):
        assert job.progress.position == place
        assert job.progress.wait == pytest.approx(3.0 + place * 10.0 / 2)

    teller.tell()
    told.clear()
    loop.advance(0.5)
    assert told == [], "nothing has changed"


async def test_all_are_told_at_once_that_nothing_is_drawn(teller, loop, told, state, queue):
    teller.tell()
    told.clear()
    state[0] = EngineState("paused", "an admin has paused drawing")
    teller.tell()
    loop.advance(0.5)

    assert sorted(told) == sorted(job.id for job in queue)


async def test_whoever_joins_is_told_at_once(teller, loop, told, queue, fox):
    for _ in range(3):
        teller.tell()
        loop.advance(1.0)
    behind = len(queue)
    assert teller.prospect() == (behind, pytest.approx(3.0 + behind * 5.0))
    told.clear()
    job = Job(user="web:late", request=fox, id="late")
    queue.put(job)

    teller.join(job)

    assert told == ["late"]
    assert job.progress.position == behind
    assert job.progress.wait == pytest.approx(3.0 + behind * 5.0)


async def test_times_that_nobody_knows_are_not_told(queue, loop, state, fox):
    teller = Places(queue, StepTimes(), TwoEngines(), list, lambda: state[0])

    teller.tell()

    assert [job.progress.wait for job in queue] == [3.0, *[None] * (len(queue) - 1)]
    assert teller.prospect() == (len(queue), None)
    job = Job(user="web:late", request=fox, id="late")
    queue.put(job)
    teller.join(job)
    assert (job.progress.position, job.progress.wait) == (len(queue) - 1, None)


async def test_nobody_is_told_anything_after_the_end(teller, loop, told):
    teller.tell()
    teller.tell()
    told.clear()
    assert loop.call is not None

    teller.close()
    loop.advance(1.0)

    assert told == []

"""Work for strangers is done a little at a time for each person, and people take turns."""

import asyncio
import threading

import pytest

from bot.rates import Rate
from bot.refusals import NotAccepting, TooOften
from bot.turns import MOST_WAITING, MOST_WAITING_EACH, Turns
from tests.conftest import ADA, BOB, EVE, until


class Works:
    """Pieces of work that a test ends, and a list of those that were begun."""

    def __init__(self):
        self.begun = []
        self.ends = {}

    def __call__(self, name):
        self.ends[name] = threading.Event()

        def work():
            self.begun.append(name)
            assert self.ends[name].wait(20)
            return name

        return work

    def end(self, *names):
        for name in names:
            self.ends[name].set()


@pytest.fixture
def works():
    works = Works()
    yield works
    works.end(*works.ends)


@pytest.fixture
def make_turns():
    made = []

    def make(at_once):
        made.append(Turns("test", at_once))
        return made[-1]

    yield make
    for turns in made:
        turns.close()


async def test_one_person_never_holds_all_threads(make_turns, works):
    turns = make_turns(2)
    evil = [asyncio.create_task(turns.do(EVE, works(f"eve {each}"))) for each in range(4)]
    await until(lambda: works.begun == ["eve 0"])

    mine = asyncio.create_task(turns.do(ADA, works("ada")))
    await until(lambda: "ada" in works.begun)

    works.end("ada")
    assert await mine == "ada"
    assert works.begun == ["eve 0", "ada"]
    works.end(*works.ends)
    assert await asyncio.gather(*evil) == [f"eve {each}" for each in range(4)]


async def test_whose_work_is_over_gets_no_more_turns_than_others(make_turns, works):
    turns = make_turns(1)
    first = asyncio.create_task(turns.do(EVE, works("first")))
    await until(lambda: works.begun == ["first"])
    works.end("first")
    await first

    tasks = [asyncio.create_task(turns.do(EVE, works(f"eve {each}"))) for each in range(3)]
    await until(lambda: "eve 0" in works.begun)
    tasks.append(asyncio.create_task(turns.do(ADA, works("ada"))))
    await asyncio.sleep(0)
    works.end(*works.ends)
    await asyncio.gather(*tasks)

    assert works.begun == ["first", "eve 0", "eve 1", "ada", "eve 2"]


async def test_people_take_turns_however_much_one_of_them_asks_for(make_turns, works):
    turns = make_turns(1)
    tasks = [asyncio.create_task(turns.do(EVE, works(f"eve {each}"))) for each in range(3)]
    await until(lambda: works.begun == ["eve 0"])
    tasks += [asyncio.create_task(turns.do(who, works(who))) for who in (ADA, BOB)]
    await asyncio.sleep(0)

    works.end(*works.ends)
    await asyncio.gather(*tasks)

    assert works.begun == ["eve 0", "eve 1", ADA, BOB, "eve 2"]


async def test_who_has_too_much_waiting_is_refused_and_others_are_not(make_turns, works):
    turns = make_turns(2)
    tasks = [
        asyncio.create_task(turns.do(EVE, works(f"eve {each}")))
        for each in range(MOST_WAITING_EACH + 1)
    ]
    await until(lambda: works.begun == ["eve 0"])

    with pytest.raises(TooOften, match="8 of your pictures are being looked at already"):
        await turns.do(EVE, works("one more"))

    mine = asyncio.create_task(turns.do(ADA, works("ada")))
    works.end(*works.ends)
    assert await mine == "ada"
    await asyncio.gather(*tasks)


async def test_what_everybody_together_may_have_waiting_is_limited(make_turns, works):
    turns = make_turns(1)
    work = works("work")
    tasks = [asyncio.create_task(turns.do(f"web:{each}", work)) for each in range(MOST_WAITING + 1)]
    await until(lambda: works.begun == ["work"])

    with pytest.raises(NotAccepting, match="very many pictures"):
        await turns.do(ADA, work)

    works.end("work")
    await asyncio.gather(*tasks)


async def test_who_hangs_up_while_waiting_gives_the_turn_away(make_turns, works):
    turns = make_turns(1)
    first = asyncio.create_task(turns.do(EVE, works("first")))
    await until(lambda: works.begun == ["first"])
    second = asyncio.create_task(turns.do(EVE, works("second")))
    await asyncio.sleep(0)

    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    third = asyncio.create_task(turns.do(ADA, works("third")))
    works.end(*works.ends)

    assert await asyncio.gather(first, third) == ["first", "third"]
    assert works.begun == ["first", "third"]


async def test_who_hangs_up_keeps_the_thread_until_the_work_is_done(make_turns, works):
    """Else a stranger could have any number of bombs going off, by asking and hanging up."""
    turns = make_turns(1)
    first = asyncio.create_task(turns.do(EVE, works("first")))
    await until(lambda: works.begun == ["first"])
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first

    second = asyncio.create_task(turns.do(ADA, works("second")))
    for _ in range(100):
        await asyncio.sleep(0)
    assert turns._running == {EVE: 1}

    works.end(*works.ends)
    assert await second == "second"


async def test_an_error_of_the_work_is_its_askers_and_frees_the_thread(make_turns):
    turns = make_turns(1)

    with pytest.raises(ZeroDivisionError):
        await turns.do(EVE, lambda: 1 // 0)

    assert await turns.do(EVE, lambda: 1) == 1


async def test_once_closed_nothing_is_begun(make_turns):
    turns = make_turns(1)
    turns.close()

    with pytest.raises(NotAccepting, match="restarting"):
        await turns.do(ADA, lambda: 1)


def test_a_rate_is_so_many_a_minute_for_each_person(clock):
    rate = Rate(60, clock)
    for _ in range(60):
        rate.count(EVE, "acts")

    with pytest.raises(TooOften, match="at most 60 acts a minute for one person") as refused:
        rate.count(EVE, "acts")
    rate.count(ADA, "acts")

    assert refused.value.retry_in == 1
    clock.advance(1)
    rate.count(EVE, "acts")
    with pytest.raises(TooOften):
        rate.count(EVE, "acts")


def test_who_does_nothing_for_a_minute_is_forgotten_and_a_clock_may_be_put_back(clock):
    rate = Rate(2, clock)
    for who in (ADA, BOB, EVE):
        rate.count(who, "acts")
    clock.advance(61)
    rate.count(ADA, "acts")

    assert set(rate._dry_at) == {ADA}

    rate.count(ADA, "acts")
    clock.advance(-10_000)
    rate.count(ADA, "acts")

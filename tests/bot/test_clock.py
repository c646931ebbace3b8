"""I3, H4: clocks that leap, or are wrong at the start."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.assembly.doctor import clock_finding
from bot.backups import DAY, back_up_if_due, backups, made_at
from bot.clock import EVEN, LONG_REST, PATIENCE, PATIENCE_FOR_SMALL, SMALL, Clock, last_seen
from bot.jobs import JobStatus
from bot.source import Source
from tests.bot.conftest import CIRCLE, left
from tests.conftest import ADA, Bot, finished

NOW = 1_700_000_000.0


class Machine:
    """A machine whose time passes, and whose clock is set, when a test says so."""

    def __init__(self):
        self.passed = 0.0
        self.set_to = NOW

    def system(self):
        return self.set_to + self.passed

    def steady(self):
        return 5000.0 + self.passed

    def leap(self, seconds):
        self.set_to += seconds


@pytest.fixture
def machine():
    return Machine()


@pytest.fixture
def make_clock(machine, tmp_path):
    return lambda: Clock(tmp_path / "clock.json", machine.system, machine.steady)


def test_a_clock_that_goes_evenly_is_the_systems(machine, make_clock):
    clock = make_clock()
    for seconds in (1, 3600, 40 * DAY):
        machine.passed += seconds
        machine.leap(EVEN / 2)
        assert clock() == machine.system()


@pytest.mark.parametrize("seconds", [600, -600, SMALL])
def test_a_small_leap_is_followed_after_ten_minutes(machine, make_clock, seconds):
    clock = make_clock()
    machine.leap(seconds)

    assert clock() == NOW
    assert clock.problem.endswith("has held for ten minutes")
    machine.passed += PATIENCE_FOR_SMALL - 1
    assert clock() == NOW + PATIENCE_FOR_SMALL - 1
    machine.passed += 1
    assert clock() == machine.system()


@pytest.mark.parametrize("days", [400, -3, 0.2])
def test_a_leap_is_not_followed_until_it_has_held_for_a_day(machine, make_clock, days):
    clock = make_clock()
    machine.leap(days * DAY)

    assert clock() == NOW
    assert "nothing is deleted for its age" in clock.problem
    assert clock.problem.endswith("has held for a day")
    machine.passed += PATIENCE - 1
    assert clock() == NOW + PATIENCE - 1
    machine.passed += 1
    assert clock() == machine.system()
    assert clock.problem == ""


def test_a_clock_that_is_set_right_again_was_never_followed(machine, make_clock):
    clock = make_clock()
    machine.leap(400 * DAY)
    clock()
    machine.passed += 3600
    machine.leap(-400 * DAY)

    assert clock() == machine.system() == NOW + 3600
    assert clock.problem == ""


def test_a_clock_that_leaps_again_and_again_waits_from_the_last_leap_on(machine, make_clock):
    clock = make_clock()
    for _ in range(5):
        machine.leap(10 * DAY)
        machine.passed += PATIENCE / 2
        assert clock() < machine.system() - DAY


def test_daylight_saving_or_a_virtual_machine_that_slept_is_followed_soon(machine, make_clock):
    clock = make_clock()
    machine.leap(1800)
    clock()
    machine.passed += 600

    assert clock() == machine.system()


def test_a_start_with_a_clock_behind_goes_on_where_the_last_run_ended(machine, make_clock):
    make_clock()()
    machine.leap(-400 * DAY)

    assert make_clock()() == NOW


def test_a_start_after_a_rest_believes_the_system_and_after_a_very_long_one_waits(
    machine, make_clock
):
    make_clock()()
    machine.leap(LONG_REST - 1)
    assert make_clock()() == machine.system()
    machine.leap(LONG_REST + DAY)

    assert make_clock()() < machine.system() - DAY


def test_a_note_of_the_time_that_is_damaged_counts_as_none(machine, make_clock, tmp_path):
    for text in ("", "{}", "[]", '{"seen": "x"}', "null"):
        (tmp_path / "clock.json").write_text(text)
        assert last_seen(tmp_path / "clock.json") is None
        assert make_clock()() == NOW


@given(st.lists(st.tuples(st.floats(0, 10 * DAY), st.floats(-500 * DAY, 500 * DAY)), max_size=20))
def test_it_never_goes_faster_than_time_passes_but_to_the_systems(tmp_path_factory, leaps):
    machine = Machine()
    clock = Clock(tmp_path_factory.mktemp("clock") / "c.json", machine.system, machine.steady)
    before = clock()
    for passed, leap in leaps:
        machine.passed += passed
        machine.leap(leap)
        now = clock()
        assert now == machine.system() or abs(now - before - passed) < 1
        before = now


def test_check_says_where_the_clock_is_another_than_the_last_run_left():
    assert clock_finding(None, NOW).is_right
    for even in (clock_finding(NOW - DAY, NOW), clock_finding(NOW, NOW - EVEN)):
        assert even == ("clock", True, "it fits to the last run")
    behind = clock_finding(NOW, NOW - 3 * DAY)
    assert (behind.is_right, "3.0 days earlier" in behind.sentence) == (False, True)
    ahead = clock_finding(NOW, NOW + 400 * DAY)
    assert (ahead.is_right, "400.0 days later" in ahead.sentence) == (True, True)


async def test_a_leap_deletes_no_picture_and_changes_no_quota(tmp_path, gate, machine, make_clock):
    bot = Bot(tmp_path / "data", gate, make_clock(), quota={"credits": 10})
    service = await bot.start()
    gate.open()
    job = await service.submit(Source(ADA), CIRCLE)
    assert await finished(job) is JobStatus.SUCCEEDED
    spent = await left(service)

    for days in (400, -800, 400):
        machine.leap(days * DAY)
        assert await service.prune() == 0
        assert await left(service) == spent
    assert (await service.lookups.picture(Source(ADA), job.id)).exists()
    await bot.stop()


async def test_what_was_written_in_a_time_to_come_counts_from_now_on(bot, gate, clock):
    """A charge and a strike of a wrong clock lock nobody out until then."""
    gate.open()
    clock.advance(400 * DAY)
    job = await bot.service.submit(Source(ADA), CIRCLE)
    assert await finished(job) is JobStatus.SUCCEEDED
    await bot.database.write(
        lambda db: db.execute(
            "INSERT INTO strikes (user, made_at, reason) VALUES (?, ?, '')", (ADA, clock())
        )
    )
    clock.advance(-400 * DAY)

    await bot.service.prune()

    status = await bot.service.quota(ADA)
    assert status.used == job.cost
    assert status.resets_in == status.window_seconds
    (strike,) = await bot.rows("SELECT made_at FROM strikes")
    (row,) = await bot.rows("SELECT submitted_at, finished_at FROM jobs")
    assert strike["made_at"] == row["submitted_at"] == row["finished_at"] == clock()


async def test_backups_go_on_after_one_of_a_time_to_come(bot, tmp_path, clock):
    folder, database = tmp_path / "backups", bot.folder / "bot.sqlite3"
    back_up_if_due(database, folder, 7, clock() + 400 * DAY)

    assert back_up_if_due(database, folder, 7, clock()) is not None
    assert back_up_if_due(database, folder, 7, clock() + 10) is None
    assert len(backups(folder)) == 2
    assert made_at(backups(folder)[-1]) == clock()

"""Every call to Slack meets every fault: one picture, one charge, and no message in a state that
is over. How it is played stands in `plays`, what is played in `scenarios` and `matrix`."""

import pytest

from tests.adapters.slack_chat.matrix import FOUND, PLANTED, Matrix, some
from tests.adapters.slack_chat.plays import call_sites
from tests.adapters.slack_chat.scenarios import ALL

#: Cases of the plain suite, by lot; those that once found something are played beside them.
SAMPLE = 5


@pytest.fixture(scope="session")
def matrix(tmp_path_factory):
    return Matrix(tmp_path_factory.mktemp("plays"))


async def test_every_call_of_the_adapter_is_made_in_a_scenario_that_ends_well(matrix):
    reached = set()
    for name in ALL:
        outcome = await matrix.undisturbed(name)
        assert outcome.problems == [], name
        reached |= outcome.sites

    missing = [
        f"{file}:{first}"
        for file, first, last in call_sites()
        if not any(file == at and first <= line <= last for at, line in reached)
    ]
    assert missing == [], "calls that no scenario makes"


@pytest.mark.parametrize("case", FOUND, ids=str)
async def test_what_was_found_once_is_not_found_again(matrix, case):
    outcome = await matrix.outcome(case)

    assert outcome.problems == []
    assert outcome.is_met


async def test_a_call_that_meets_a_fault_changes_nothing_but_the_time(matrix):
    """I8, I9: some by lot; all of them in `make soak`."""
    cases = await matrix.cases()
    report = await matrix.play_all(some(cases, SAMPLE, seed=2026))

    assert report.problems == []
    assert report.met > SAMPLE / 2


@pytest.mark.parametrize("broken", PLANTED)
async def test_a_bot_that_is_broken_on_purpose_is_found_out(matrix, broken):
    """Else the plays would show nothing. What depends on which of two comes first, on a busy
    machine, has three plays to show itself."""
    plant, case, words = PLANTED[broken]
    problems = []
    for _ in range(3):
        outcome = await matrix.outcome(case, plant)
        assert outcome.is_met
        problems += outcome.problems
        if any(words in problem for problem in problems):
            return

    raise AssertionError(problems)


@pytest.mark.soak
@pytest.mark.timeout(7200)
async def test_every_call_that_meets_any_fault_changes_nothing_but_the_time(matrix):
    """I8, I9"""
    report = await matrix.play_all(await matrix.cases())

    assert report.problems == []
    assert report.met > 0.9 * report.plays

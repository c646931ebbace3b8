"""Short forms of ``python -m benchmarks.reliability --only acts``, which skips no step."""

import pytest

from tests.reliability.acts import ACTS, kill_at_every_step

#: So manieth step is that of a kill.
EVERY = {"migrating": 20, "backing up": 2, "restoring": 2, "pruning": 12, "saving": 1}
FAULTS = [(name, fault) for name, act in ACTS.items() for fault in act.faults]


@pytest.mark.parametrize("name", ACTS)
def test_an_act_that_is_killed_loses_nothing_and_leaves_nothing_behind(tmp_path, name):
    report = kill_at_every_step(ACTS[name], tmp_path, every=EVERY[name])

    assert report.problems == []
    assert report.kills >= 6


@pytest.mark.parametrize(("name", "fault"), FAULTS)
def test_what_is_wrong_in_an_act_is_found(tmp_path, name, fault):
    report = kill_at_every_step(ACTS[name], tmp_path, fault, every=EVERY[name])

    words = ACTS[name].faults[fault]
    assert any(words in problem for problem in report.problems), report.problems

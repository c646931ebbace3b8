"""Short forms of what ``python -m benchmarks.reliability`` does at length."""

import random

import pytest

from bot.commands import ImagineCommand
from bot.jobs import JobStatus
from bot.source import Source
from generation.child import ChildEngine
from tests.conftest import IS_THOROUGH, examples
from tests.reliability import load, syncs, wal
from tests.reliability.cluster import kill_on_a_cluster
from tests.reliability.harness import (
    FAULTS,
    POINTS,
    STOPS,
    Harness,
    kill_while_stopping,
    kills_at_points,
    kills_at_random,
    kills_for,
    kills_while_drawing,
    stops_at_random,
)


async def test_a_bot_that_is_killed_at_every_step_loses_and_doubles_nothing(tmp_path):
    dice = random.Random(7)
    kills = [
        *kills_at_points(dice, latest=1),
        *kills_at_random(dice, 6),
        *stops_at_random(dice, 3),
        *map(kill_while_stopping, STOPS),
    ]
    if not IS_THOROUGH:  # every third, from each kind
        kills = kills[::3]

    report = await Harness(tmp_path, 7).run(kills, most_events=300)

    assert report.problems == []
    assert report.kills >= (len(POINTS) if IS_THOROUGH else len(POINTS) // 3)
    assert report.accepted > 20
    assert report.statuses["succeeded"] > 10
    assert report.redelivered
    assert report.answers_lost


@pytest.mark.parametrize("fault", FAULTS)
async def test_the_harness_finds_what_is_wrong_in_a_bot_with(tmp_path, fault):
    _, words = FAULTS[fault]

    report = await Harness(tmp_path, 3, fault).run(kills_for(fault), most_events=60)

    assert any(words in problem for problem in report.problems), report.problems


@pytest.mark.soak
async def test_a_bot_that_is_killed_in_the_middle_of_a_picture_draws_the_same_one(tmp_path):
    """By the demo model on a thread; ``--only drawing`` also has it in a child, and kills that."""
    for name in ("undisturbed", "killed"):
        (tmp_path / name).mkdir()
    undisturbed = Harness(tmp_path / "undisturbed", 5, engine="demo on a thread")
    killed = Harness(tmp_path / "killed", 5, engine="demo on a thread")
    kills = kills_while_drawing(random.Random(5), 2, kills_engine=False)

    expected = await undisturbed.run([], most_events=4)
    report = await killed.run(kills, most_events=4)

    assert expected.problems == report.problems == []
    assert report.kills == 2
    assert len(report.pictures) == 4
    assert report.pictures == expected.pictures


async def test_with_two_engines_that_die_too_nothing_is_lost_and_nothing_doubled(tmp_path):
    """Each in a process of its own, for jobs of one and of several pictures."""
    dice = random.Random(11)
    kills = [
        *kills_at_points(dice, points=("commit begin: after", "file: after", "send: before")),
        *kills_while_drawing(dice, 3, kills_engine=True),
        *stops_at_random(dice, 1),
        kill_while_stopping("commit give_back: after"),
    ]

    report = await Harness(tmp_path, 11, engine="children").run(kills, most_events=120)

    assert report.problems == []
    assert report.kills >= 6
    assert report.accepted > 20
    assert report.statuses["succeeded"] > 10


@pytest.mark.soak
async def test_with_engines_on_a_cluster_nothing_is_lost_and_what_lives_on_is_found_warm(
    tmp_path,
):
    report, warmth = await kill_on_a_cluster(tmp_path, random.Random(12), kills=6, most_events=200)

    assert report.problems == []
    assert report.kills == 6
    assert report.statuses["succeeded"] > 20
    assert warmth.that_outlived_the_bots == 1


async def test_a_job_whose_engine_is_killed_is_drawn_by_a_fresh_one(tmp_path):
    engines = []

    def make():
        faulty = "tests.generation.faulty:FaultyEngine"
        engines.append(ChildEngine(faulty, {"folder": tmp_path}))
        return engines[-1]

    async with load.bot(tmp_path, make) as (service, _):
        job = await service.submit(Source("loop:ada"), ImagineCommand("die once", seed=1))
        progress = await job.finished()
        quota = await service.quota("loop:ada")

    assert progress.status is JobStatus.SUCCEEDED
    assert (job.attempts, job.engine_losses, len(engines)) == (2, 1, 2)
    assert quota.used == job.cost


async def test_what_a_damaged_log_opens_as_is_a_committed_prefix_or_refused(tmp_path):
    outcome = await wal.damaged_copies(tmp_path, 50, random.Random(1))

    assert outcome.problems == []
    assert outcome.opened + outcome.refused == 50
    assert outcome.lost_commits > 0


@pytest.fixture(scope="module")
def needs_strace():
    if not syncs.can_trace():
        pytest.skip("strace is not installed, or may not look at processes here")


@pytest.mark.usefixtures("needs_strace")
def test_whoever_is_told_that_it_is_accepted_has_it_on_disk(tmp_path):
    calls = syncs.trace(tmp_path)

    assert calls == [syncs.Calls(True, True, True)] * syncs.REQUESTS


@pytest.mark.usefixtures("needs_strace")
def test_a_commit_that_is_not_synced_would_be_noticed(tmp_path):
    calls = syncs.trace(tmp_path, "NORMAL")

    assert not any(each.log_is_synced for each in calls)


async def test_a_hundred_people_who_ask_ten_times_at_once_get_their_quota_to_the_credit(tmp_path):
    found = await load.rush(tmp_path, people=100, each=10, quota=7)

    assert found.answers == {"accepted": 700, "QuotaExceeded": 300}
    assert found.spent == {7: 100}


async def test_a_flood_is_refused_politely_and_overspends_nothing(tmp_path):
    queue = {"max_waiting": 50, "max_waiting_per_user": 3}
    found = await load.rush(tmp_path, people=50, each=10, quota=7, queue=queue)

    assert found.answers["accepted"] + found.answers["QueueFull"] + found.answers[
        "TooManyJobs"
    ] == sum(found.answers.values())
    assert 50 <= found.answers["accepted"] <= 51
    assert max(found.spent) <= 4


def test_hostile_texts_are_answered_and_break_nothing(tmp_path):
    siege = load.besiege_with_prompts(tmp_path, examples(150))

    assert siege.problems == []
    assert 0 < siege.refused < siege.tried


def test_hostile_parameters_are_refused_in_a_sentence(tmp_path):
    siege = load.besiege_with_parameters(tmp_path, examples(150))

    assert siege.problems == []
    assert 0 < siege.refused < siege.tried


def test_hostile_pictures_are_cleaned_or_refused_in_a_sentence():
    siege = load.besiege_with_images(examples(200))

    assert siege.problems == []
    assert 0 < siege.refused < siege.tried


async def test_jobs_leave_no_task_and_no_descriptor_behind(tmp_path):
    growth = await load.soak(tmp_path, 200, 100)

    assert (growth.tasks, growth.descriptors) == (0, 0)
    assert growth.memory < 20e6

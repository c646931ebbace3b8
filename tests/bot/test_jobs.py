"""The queue is fair, a job changes only as it may, and a watcher sees the latest."""

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.jobs import (
    ID_ALPHABET,
    ID_LENGTH,
    MOST_PASSED_OVER,
    TRANSITIONS,
    FairQueue,
    Job,
    JobStatus,
    StepTimes,
    new_id,
    share_done,
    waiting_times,
)
from generation.kinds import ControlNet
from generation.types import GenerationRequest


def request(**fields):
    defaults = {
        "prompt": "a fox",
        "num_inference_steps": 4,
        "guidance_scale": 3.5,
        "width": 256,
        "height": 256,
        "seed": 1,
    }
    return GenerationRequest(**{**defaults, **fields})


def job(user, id="", **fields):
    made = Job(user=user, request=request(**fields))
    made.id = id or made.id
    return made


async def drain(queue):
    return [(await queue.get()).id for _ in range(len(queue))]


async def test_a_job_that_is_left_to_somebody_else_waits_until_that_one_has_gone():
    queue, left = FairQueue(), [True]
    queue.put(only := job("ada"))
    getting = asyncio.create_task(queue.get(lambda job: False, lambda job: left[0]))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not getting.done()

    left[0] = False
    queue.wake()

    assert await getting is only


async def test_people_take_turns_however_many_jobs_one_of_them_has():
    queue = FairQueue()
    for number in range(5):
        queue.put(job("ada", f"ada{number}"))
    queue.put(job("bob", "bob0"))
    queue.put(job("bob", "bob1"))

    assert await drain(queue) == ["ada0", "bob0", "ada1", "bob1", "ada2", "ada3", "ada4"]


async def test_somebody_who_arrives_late_waits_for_one_turn_not_for_all():
    queue = FairQueue()
    for number in range(20):
        queue.put(job("ada", f"ada{number}"))
    await queue.get()
    await queue.get()

    queue.put(job("bob", "bob0"))

    assert (await drain(queue))[:2] == ["bob0", "ada2"]


async def test_coming_back_at_once_earns_no_second_turn_in_a_round():
    queue = FairQueue()
    queue.put(job("ada", "ada0"))
    queue.put(job("bob", "bob0"))
    assert (await queue.get()).id == "ada0"

    queue.put(job("ada", "ada1"))

    assert await drain(queue) == ["bob0", "ada1"]


async def test_somebody_who_always_comes_back_at_once_starves_nobody():
    queue = FairQueue()
    queue.put(job("ada", "ada0"))
    for number in range(4):
        queue.put(job("bob", f"bob{number}"))
    drawn = []
    for number in range(1, 8):
        drawn.append((await queue.get()).id)
        if drawn[-1].startswith("ada"):
            queue.put(job("ada", f"ada{number}"))

    assert [id[:3] for id in drawn] == ["ada", "bob", "bob", "ada", "bob", "ada", "bob"]


async def test_jobs_behind_a_cancelled_one_move_up_into_its_turn():
    queue = FairQueue()
    for name in ("ada0", "ada1", "ada2", "bob0", "bob1"):
        queue.put(job(name[:3], name))

    removed = queue.remove("ada0")

    assert removed.id == "ada0"
    assert await drain(queue) == ["ada1", "bob0", "ada2", "bob1"]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.sampled_from("abcd")),
            st.tuples(st.just("get"), st.none()),
            st.tuples(st.just("remove"), st.integers(0, 30)),
        ),
        max_size=60,
    ),
    st.sampled_from(("", "ab", "abc")),
)
@example([("put", user) for user in "abbab"] + [("get", None)], "")
@example([("put", user) for user in "aaaabbbbcccc"], "ab")
def test_whatever_happens_nobody_is_passed_over_and_nobody_lost(events, joined):
    """Between two turns of one person who waits, nobody else has more than one of theirs
    for each time the queue handed out a job; and every job comes out once. *joined* are accounts
    of one person."""

    def person_of(user):
        return joined[0] if user in joined else user

    async def play():
        queue, expected, made, had_a_turn = FairQueue(person_of), [], 0, set()
        for event, value in events:
            if event == "put":
                queue.put(job(value, f"{value}{made}"))
                expected.append(f"{value}{made}")
                made += 1
            elif event == "get" and expected:
                taken = await queue.get()
                expected.remove(taken.id)
                had_a_turn.add((queue.round, person_of(taken.user)))
            elif event == "remove" and expected:
                chosen = expected.pop(value % len(expected))
                assert queue.remove(chosen).id == chosen
        order = [each.id for each in queue]
        assert sorted(order) == sorted(expected)
        assert [queue.position(each) for each in queue] == list(range(len(order)))
        for user in "abcd":  # one person's jobs keep their order
            own = [id for id in order if person_of(id[0]) == user]
            assert own == sorted(own, key=lambda id: int(id[1:]))
            assert [each.id for each in queue.of(user)] == [id for id in order if id[0] == user]
        # Two people who both wait differ by at most one turn, those of this round included.
        waiting = {person_of(id[0]) for id in order}
        for count in range(len(order)):
            turns = {
                user: ((queue.round, user) in had_a_turn)
                + sum(person_of(id[0]) == user for id in order[:count])
                for user in waiting
            }
            still = [
                turns[user]
                for user in waiting
                if any(person_of(id[0]) == user for id in order[count:])
            ]
            assert max(still, default=0) - min(still, default=0) <= 1
        assert await drain(queue) == order

    asyncio.run(play())


async def test_a_turn_before_a_restart_counts_for_every_account_of_the_person():
    queue = FairQueue(lambda user: "ann" if user == "bob" else user)
    queue.resume(3, ["bob"])

    for user in ("ann", "cy"):
        queue.put(job(user, user))

    assert await drain(queue) == ["cy", "ann"]


async def test_a_held_queue_hands_out_nothing_until_it_is_released():
    queue = FairQueue()
    queue.hold()
    queue.put(job("ada", "ada0"))
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    assert not waiting.done()

    queue.release()

    assert (await waiting).id == "ada0"


def test_an_id_is_no_word():
    """A word is read as a prompt where it may be one: "inspect backyard"."""
    ids = {new_id() for _ in range(500)}

    assert len(ids) == 500
    assert all(len(id) == ID_LENGTH and set(id) <= set(ID_ALPHABET) for id in ids)
    assert not any(id.isalpha() for id in ids)


def test_a_job_changes_only_as_the_table_allows():
    for before in JobStatus:
        for after in JobStatus:
            each = job("ada")
            each.progress = type(each.progress)(before)
            if after is before or after in TRANSITIONS[before]:
                each.update(after)
                assert each.status is after
            else:
                with pytest.raises(ValueError, match=f"{before} cannot become {after}"):
                    each.update(after)


async def test_a_watcher_that_is_slow_sees_the_latest_progress_not_a_backlog():
    each = job("ada")
    watching = each.watch()
    assert (await anext(watching)).status is JobStatus.QUEUED
    each.update(JobStatus.RUNNING, step=1)
    each.update(JobStatus.RUNNING, step=2)
    each.update(JobStatus.RUNNING, step=3)

    assert (await anext(watching)).step == 3

    each.update(JobStatus.SUCCEEDED)
    assert [progress.status async for progress in watching] == [JobStatus.SUCCEEDED]


def test_several_pictures_have_seeds_that_count_up_and_wrap():
    each = Job(user="ada", request=request(seed=2**32 - 1), images=3)

    assert [one.seed for one in each.requests] == [2**32 - 1, 0, 1]


def test_work_follows_steps_pixels_pictures_and_true_guidance():
    plain = Job(user="ada", request=request()).work

    assert Job(user="ada", request=request(num_inference_steps=8)).work == 2 * plain
    assert Job(user="ada", request=request(width=512)).work == 2 * plain
    assert Job(user="ada", request=request(), images=3).work == 3 * plain
    guided = request(negative_prompt="blurry", true_cfg_scale=3.0)
    assert Job(user="ada", request=guided).work == 2 * plain


def test_no_waiting_time_is_told_before_one_was_measured():
    assert StepTimes().estimate(job("ada")) is None


def test_a_waiting_time_follows_what_was_measured_for_that_size():
    times = StepTimes()
    times.record(job("ada"), 2.0)
    times.record(job("ada", width=512), 40.0)

    assert times.estimate(job("bob")) == pytest.approx(2.0)
    assert times.estimate(job("bob", num_inference_steps=8)) == pytest.approx(4.0)
    assert times.estimate(job("bob", width=512)) == pytest.approx(40.0)


def test_a_waiting_time_counts_what_is_left_of_the_running_job():
    queue, times = FairQueue(), StepTimes()
    times.record(job("ada"), 8.0)
    running = job("ada")
    running.update(JobStatus.RUNNING, picture=1, step=3)
    queue.put(job("bob", "bob0"))
    queue.put(job("eve", "eve0"))

    told = [
        (each.id, position, wait)
        for each, position, wait in waiting_times(queue, [running], 1, times.estimate)
    ]

    assert share_done(running) == 0.75
    assert told == [("bob0", 1, pytest.approx(2.0)), ("eve0", 2, pytest.approx(10.0))]


def test_two_engines_halve_the_wait():
    queue, times = FairQueue(), StepTimes()
    times.record(job("ada"), 8.0)
    for user in ("ada", "bob", "eve"):
        queue.put(job(user, f"{user}0"))

    waits = [wait for _, _, wait in waiting_times(queue, [], 2, times.estimate)]

    assert waits == pytest.approx([0.0, 4.0, 8.0])
    waits = [wait for _, _, wait in waiting_times(queue, [], 2, times.estimate, 20.0)]
    assert waits == pytest.approx([20.0, 24.0, 28.0]), "after they are loaded"


def needing(user, id, controlnet=None):
    made = job(user, id)
    if controlnet is not None:
        kind = ControlNet(controlnet=controlnet, preprocessor="canny")
        made.request = replace(made.request, kind=kind, pictures={"control_image": Path("x.png")})
    return made


def holding(*names):
    return lambda each: each.request.kind.conditioning_model in (None, *names)


async def test_an_engine_takes_what_suits_it_within_the_round():
    queue = FairQueue()
    for user, net in (("ada", "canny"), ("bob", "depth"), ("eve", None)):
        queue.put(needing(user, f"{user}0", net))
    queue.put(needing("ada", "ada1", "depth"))  # of the next round

    order = [(await queue.get(holding("depth"))).id for _ in range(4)]

    assert order == ["bob0", "eve0", "ada0", "ada1"]


async def test_whoever_an_admin_moves_to_the_front_is_passed_over_by_nobody():
    queue = FairQueue()
    for user, net in (("bob", None), ("ada", "canny")):
        queue.put(needing(user, f"{user}0", net))
    queue.move("ada0", to_front=True)

    assert (await queue.get(holding())).id == "ada0"


NETS = st.sampled_from([None, "canny", "depth", "pose"])


@given(
    st.lists(st.tuples(st.sampled_from("abcdefghijklmnop"), NETS), min_size=1, max_size=60),
    st.lists(st.sets(NETS), min_size=1),
    st.integers(0, 20),
)
@example([(user, "canny") for user in "a"] + [(user, None) for user in "bcdefgh"], [set()], 0)
def test_nobody_is_passed_over_more_than_four_times_or_by_a_later_round(asked, engines, late):
    queue, jobs, ahead, rounds = FairQueue(), [], Counter(), []
    for number, (user, net) in enumerate(asked):
        jobs.append(needing(user, f"{user}{number}", net))

    async def take_all():
        for each in jobs[late:]:
            queue.put(each)
        for number in range(len(jobs)):
            if number < late and number < len(jobs):
                queue.put(jobs[number])  # somebody asks meanwhile
            before = [each.id for each in queue]
            taken = await queue.get(holding(*engines[number % len(engines)]))
            rounds.append(queue.round)
            ahead.update(before[: before.index(taken.id)])
            yield taken.id

    async def run():
        return [id async for id in take_all()]

    taken = asyncio.run(run())

    assert sorted(taken) == sorted(each.id for each in jobs)
    assert rounds == sorted(rounds)
    assert max(ahead.values(), default=0) <= MOST_PASSED_OVER

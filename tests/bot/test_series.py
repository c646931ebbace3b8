"""Several pictures that are asked for at once: all of them or none, and each its own job."""

import asyncio
from dataclasses import replace

import pytest

from bot.commands import ImagineCommand, PromptCommand
from bot.conversation import converse
from bot.jobs import Job, JobStatus
from bot.series import Series, labels
from bot.source import Source
from tests.bot.conftest import HERE, left
from tests.conftest import ADA, BOB, at_step, finished
from tests.samples import picture

SMALL = "--size 64x64 --steps 3"


@pytest.fixture
def say(service):
    async def say(text, user=ADA, image=None, **more):
        pictures = () if image is None else (image,)
        return await converse(service, Source(user, **more), text, pictures)

    return say


async def agreed(say, text, **more):
    """The series that *text* asks for, once its price was accepted."""
    proposal = await say(text, **more)
    assert proposal.job is None, proposal
    assert proposal.choices, proposal.text
    more.pop("image", None)
    return (await say(proposal.choices[0].says, **more)).series


async def test_a_series_is_drawn_once_its_number_and_price_were_accepted(say, service, gate):
    gate.open()
    before = await left(service)

    proposal = await say(f"{{red,blue}} {{circle,square}} {SMALL} --seed 7")

    assert proposal.text.splitlines() == [
        "4 pictures:",
        "1. red circle",
        "2. red square",
        "3. blue circle",
        "4. blue square",
        "Together they cost 4 credits; you have 10000.",
        "Shall I draw them?",
    ]
    assert [each.label for each in proposal.choices] == ["Draw 4 pictures", "No"]
    assert await left(service) == before

    reply = await say(proposal.choices[0].says)

    jobs = reply.series.parts
    assert reply.is_new
    for job in jobs:
        assert await finished(job) is JobStatus.SUCCEEDED
    prompts = [job.request.prompt for job in jobs]
    assert prompts == ["red circle", "red square", "blue circle", "blue square"]
    assert {job.request.seed for job in jobs} == {7}
    assert {job.series for job in jobs} == {jobs[0].id}
    assert await left(service) == before - 4
    history = (await say("history")).jobs
    assert {job.id for job in history} == {job.id for job in jobs}


async def test_a_no_forgets_a_series_and_a_yes_is_heard_once(say, service):
    proposal = await say(f"{{a,b}} {SMALL}")
    assert (await say("no")).text == "Nothing was drawn."
    gone = await say(proposal.choices[0].says)
    assert gone.text.startswith("There is nothing to say yes or no to")
    assert await left(service) == 10_000


async def test_whoever_deletes_their_data_has_nothing_proposed_any_more(say):
    proposal = await say(f"{{a,b}} {SMALL}")

    await say("mydata delete --yes")

    assert (await say(proposal.choices[0].says)).error is not None


async def test_nobody_answers_for_somebody_else(say):
    proposal = await say(f"{{a,b}} {SMALL}")

    assert (await say(proposal.choices[0].says, user=BOB)).error is not None
    assert (await say(proposal.choices[0].says)).series is not None


async def test_repeats_count_seeds_on_and_the_last_word_may_be_yes(say):
    await say(f"a red circle {SMALL} --repeat 3 --seed 5 --images 2")

    series = (await say("yes")).series

    assert [job.request.seed for job in series.parts] == [5, 7, 9]


async def test_a_contact_sheet_has_one_seed_and_one_picture(say, gate):
    series = await agreed(say, f"a fox {SMALL} --presets plain,canny,redraw", image=picture())

    plain, canny, redraw = series.parts
    assert len({job.request.seed for job in series.parts}) == 1
    assert plain.request.pictures == {}
    assert list(canny.request.pictures.values()) == list(redraw.request.pictures.values())
    assert series.labels == ["plain", "canny", "redraw"]


async def test_an_earlier_picture_is_drawn_through_several_presets(say, gate):
    gate.open()
    job = (await say(f"a fox {SMALL} --seed 3")).job
    await finished(job)

    series = await agreed(say, f"again {job.id} --repeat 2")

    assert [each.request.seed for each in series.parts] == [3, 4]
    assert {each.parent for each in series.parts} == {job.id}


async def test_same_may_have_alternatives_too(say, gate):
    gate.open()
    await finished((await say(f"a fox {SMALL}")).job)

    series = await agreed(say, "same, {at night,in snow}")

    assert [job.request.prompt for job in series.parts] == ["a fox, at night", "a fox, in snow"]


async def test_a_prompt_of_its_own_field_may_be_a_series(service):
    command = PromptCommand(ImagineCommand("{red,blue} house"), repeat=2)

    reply = await converse(service, Source(ADA), command)

    assert reply.text.startswith("4 pictures:")


@pytest.mark.parametrize(
    ("text", "settings", "sentence"),
    [
        ("{a,b,c}", {"limits": {"series": 2}}, "That makes 3 pictures, and at most 2 are drawn"),
        (
            "{a,b,c}",
            {"queue": {"max_waiting_per_user": 2}},
            "These are 3 jobs, and one person may have 2 waiting at once, of which you have 0",
        ),
        ("{a,b,c}", {"queue": {"max_waiting": 2}}, "The queue is full"),
        (
            "{a,b,c}",
            {"quota": {"credits": 2}},
            "This would cost 3 credits, and you never have more than 2",
        ),
        ("{a,b} --presets plain,nope", {}, "There is no preset 'nope'"),
    ],
)
async def test_a_series_that_cannot_be_had_as_a_whole_is_refused_before(
    make_bot, text, settings, sentence
):
    bot = await make_bot(**settings)

    reply = await converse(bot.service, Source(ADA), f"{text} {SMALL}")

    assert reply.text.startswith(sentence)
    assert reply.choices == ()
    assert (await bot.service.lookups.history(ADA)).jobs == []


async def test_all_of_a_series_is_charged_or_nothing(make_bot):
    """The credits go between the price and the yes."""
    bot = await make_bot(quota={"credits": 3})
    proposal = await converse(bot.service, Source(ADA), f"{{a,b,c}} {SMALL}")
    await converse(bot.service, Source(ADA), f"a fox {SMALL}")

    refused = await converse(bot.service, Source(ADA), proposal.choices[0].says)

    assert "would cost 3 credits and you have 2 left" in refused.text
    assert await left(bot.service) == 2
    assert len((await bot.service.lookups.history(ADA)).jobs) == 1
    # The proposal is not lost over it.
    again = await converse(bot.service, Source(ADA), "yes")
    assert "would cost 3 credits" in again.text


async def test_an_event_that_comes_twice_makes_one_series(say):
    proposal = await say(f"{{a,b}} {SMALL}")
    yes = proposal.choices[0].says

    first = await say(yes, event_id="e1")
    second = await say(yes, event_id="e1")

    assert second.series.parts == first.series.parts


async def test_cancelling_the_whole_cancels_all_that_is_left(say, service, gate):
    series = await agreed(say, f"{{a,b,c}} {SMALL}")
    first, *others = series.parts
    await at_step(first, 0, picture=1)
    gate.allow(3)
    await finished(first)
    await at_step(others[0], 0, picture=1)

    cancelling = asyncio.ensure_future(say(f"cancel {first.id} all"))
    await others[1].finished()
    await say("quota")  # by now the one that is being drawn is to be cancelled, too
    gate.allow(1)
    reply = await cancelling

    assert [job.status for job in others] == [JobStatus.CANCELLED] * 2
    assert first.status is JobStatus.SUCCEEDED
    assert reply.text == "2 pictures cancelled; credits given back: 2."
    assert await left(service) == 9_999


async def test_a_series_outlives_the_process(make_bot, gate):
    bot = await make_bot()

    async def say(text, **more):
        return await converse(bot.service, Source(ADA, reply_to=HERE, **more), text)

    series = await agreed(say, f"{{a,b}} {SMALL}")
    service = await bot.restart()
    gate.open()

    owed = await service.answers.undelivered("web")
    (found,) = await service.together.gathered(owed)

    assert [job.id for job in found.parts] == [job.id for job in series.parts]
    await found.finished()
    assert found.status is JobStatus.SUCCEEDED


async def test_a_series_tells_of_every_change_and_ends_with_the_last(fox):
    jobs = [Job(user=ADA, request=fox), Job(user=ADA, request=fox)]
    series = Series(tuple(jobs))
    seen = []

    async for _ in series.watch():
        seen.append(series.status)
        if len(seen) == 1:
            jobs[1].update(JobStatus.RUNNING)
        elif len(seen) == 2:
            jobs[1].update(JobStatus.SUCCEEDED)
        elif len(seen) == 3:
            jobs[0].update(JobStatus.CANCELLED)

    assert seen == ["queued", "running", "queued", "succeeded"]


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        (["a red house", "a blue house"], ["red", "blue"]),
        (["a house", "a red house"], ["a", "a red"]),
        (["house", "red house"], ["house", "red house"]),
        (["a red house by day", "a red boat by night"], ["house by day", "boat by night"]),
    ],
)
def test_a_label_is_what_the_others_have_not(fox, prompts, expected):
    jobs = [Job(user=ADA, request=replace(fox, prompt=each)) for each in prompts]

    assert labels(jobs) == expected


def test_repeats_are_told_by_their_seeds(fox):
    jobs = [Job(user=ADA, request=replace(fox, seed=seed)) for seed in (7, 8)]

    assert labels(jobs) == ["seed 7", "seed 8"]

"""Favourites, and histories by them, by preset, by days and by ids."""

import pytest

from bot.commands import DeleteCommand, HistoryFilter, read_filter, render_filter
from bot.conversation import converse
from bot.source import Source
from tests.conftest import ADA, BOB, finished
from tests.samples import picture

DAY = 24 * 3600
SMALL = "--size 64x64 --steps 3"


@pytest.fixture
def say(service):
    async def say(text, user=ADA, shown=None, image=None):
        source = Source(user, shown=shown)
        return await converse(service, source, text, () if image is None else (image,))

    return say


@pytest.fixture
async def drawn(say, gate, clock):
    """Jobs on the 14th, the 15th and the 16th of November 2023, the last of them of a picture."""
    gate.open()
    jobs = []
    for text, image in (
        ("a red fox", None),
        ("a red moon", None),
        ("a blue fox --preset redraw", picture()),
    ):
        job = (await say(f"{text} {SMALL}", image=image)).job
        await finished(job)
        jobs.append(job.id)
        clock.advance(DAY)
    return jobs


async def test_a_history_is_filtered_by_all_that_is_asked_for_together(say, drawn, clock):
    fox, moon, redrawn = drawn
    clock.advance(-DAY)  # so that the last of these days is today

    async def found(asked):
        reply = await say(f"history {asked}")
        assert reply.error is None, reply.text
        return [job.id for job in reply.jobs]

    assert (await say(f"favourite {fox}")).text == f"★ {fox} is among your favourites now."
    await say(f"favorite #{redrawn}")

    assert await found("favourites") == [redrawn, fox]
    assert await found("fox") == [redrawn, fox]
    assert await found("favourites by:plain") == [fox]
    assert await found("by:REDRAW") == [redrawn]
    assert await found("by:plain red mo") == [moon]
    assert await found("since:2023-11-15") == [redrawn, moon]
    assert await found("until:2023-11-15 red") == [moon, fox]
    assert await found("on:yesterday") == [moon]
    assert await found("fox since:today favorites by:redraw") == [redrawn]
    assert await found("on:2023-11-13") == []
    assert await found('"favourites"') == []

    await say(f"favourite {fox} off")
    assert await found("★") == [redrawn]
    assert await found("favourites until:2023-11-14") == []


async def test_pages_of_a_filtered_history_are_turned_with_its_words(say, service, gate):
    gate.open()
    for number in range(12):
        job = (await say(f"fox {number} {SMALL}")).job
        await finished(job)
        if number != 5:
            await say(f"favourite {job.id}")

    first, second = [await say(f"history favourites fox --page {page}") for page in (1, 2)]

    assert first.text.splitlines()[-1] == "More: history favourites fox --page 2"
    assert [job.request.prompt for job in second.jobs] == ["fox 0"]


async def test_a_history_shows_the_one_job_of_an_id(say, drawn):
    assert (await say(f"history {drawn[0]}")).job.id == drawn[0]
    assert (await say("history 2345678z")).text == "There is no picture '2345678z' of yours."
    # Letters alone may be an id as well as a word.
    assert (await say("history dragqueen")).text.startswith("None of your prompts")
    assert (await say("history standbys")).text.startswith("None of your prompts")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("since:tuesday", "“since:tuesday” does not fit: filters are favourites, by:canny,"),
        ("until:2026-02-30", "“until:2026-02-30” does not fit"),
        ("on:", "“on:” does not fit"),
        ("since:today on:yesterday", "“on:yesterday” is one filter too many; leave it out."),
        ("since:2026-11-20 until:2026-11-01", "2026-11-20 is after 2026-11-01: swap the two days"),
        ("by:lace", "There is no preset 'lace': choose one of plain, "),
    ],
)
async def test_a_filter_that_cannot_be_meant_is_told_in_a_sentence(say, asked, sentence):
    reply = await say(f"history {asked}")

    assert reply.text.startswith(sentence)
    assert reply.error is not None


async def test_a_favourite_of_somebody_elses_can_be_looked_at_as_long_as_it_is_one(say, drawn):
    id = drawn[0]
    refused = await say(f"favourite {id}", BOB)
    await say(f"favourite {id}", BOB, shown=id)

    assert refused.text == f"There is no picture '{id}' of yours."
    assert [job.id for job in (await say("history favourites", BOB)).jobs] == [id]
    assert (await say(f"show {id}", BOB)).job.id == id
    assert (await say(DeleteCommand(id), BOB)).error is not None

    await say(f"favourite {id} off", BOB)
    assert (await say(f"show {id}", BOB)).error is not None


@pytest.mark.parametrize(
    "wanted",
    [
        HistoryFilter(),
        HistoryFilter("a fox “by:night”"),
        HistoryFilter("fox", True, "canny", "2026-11-01", "2026-11-20"),
        HistoryFilter("", preset="canny", since="today", until="today"),
        HistoryFilter(until="yesterday"),
    ],
)
def test_a_filter_is_read_as_it_was_written(wanted):
    assert read_filter(render_filter(wanted)) == wanted

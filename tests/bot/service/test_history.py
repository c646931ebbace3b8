"""Finding what was drawn."""

from dataclasses import replace

import pytest

from bot.job_store import JobStore
from bot.jobs import Job
from bot.refusals import Conflict
from bot.source import Source
from tests.bot.conftest import CIRCLE
from tests.conftest import ADA, BOB, finished


async def test_history_is_searched_by_the_beginnings_of_words(service, gate):
    gate.open()
    for prompt in ("a red circle", "a blue café at night", "circles, circles"):
        await finished(await service.submit(Source(ADA), replace(CIRCLE, prompt=prompt)))
    await finished(await service.submit(Source(BOB), replace(CIRCLE, prompt="a red star")))

    async def found(words):
        return [job.request.prompt for job in (await service.lookups.history(ADA, words)).jobs]

    assert await found("") == ["circles, circles", "a blue café at night", "a red circle"]
    assert await found("circ") == ["circles, circles", "a red circle"]
    assert await found("CAFE blue") == ["a blue café at night"]
    assert await found('red" OR star*') == []
    assert await found("!!!") == []


async def test_history_is_paged(service, gate):
    gate.open()
    for number in range(5):
        await finished(await service.submit(Source(ADA), replace(CIRCLE, prompt=f"fox {number}")))

    first = await service.lookups.history(ADA, limit=2)
    second = await service.lookups.history(ADA, limit=2, before=first.next)
    third = await service.lookups.history(ADA, limit=2, before=second.next)

    prompts = [job.request.prompt for page in (first, second, third) for job in page.jobs]
    assert prompts == ["fox 4", "fox 3", "fox 2", "fox 1", "fox 0"]
    assert third.next is None


async def test_what_is_not_drawn_has_no_picture(service):
    job = await service.submit(Source(ADA), CIRCLE)

    with pytest.raises(Conflict, match="has no picture: it is"):
        await service.lookups.picture(Source(ADA), job.id)


@pytest.fixture
async def many(bot, fox, monkeypatch):
    """A history of two people, in which some words are frequent and some rare, looked at in small
    steps."""
    monkeypatch.setattr("bot.word_search.RARE", 8)
    monkeypatch.setattr("bot.word_search.FIRST_ROWS", 2)
    monkeypatch.setattr("bot.word_search.MANY_ROWS", 5)
    monkeypatch.setattr("bot.word_search.MOST_ROWS", 5)
    prompts = [f"a fox {'in snow' if n % 3 else 'and foxes'} number{n}" for n in range(60)]
    store = JobStore(bot.gallery.control_images)

    def insert(db):
        for number, prompt in enumerate(prompts):
            request = replace(fox, prompt=prompt)
            user = ADA if number % 4 else BOB
            store.insert(db, Job(user=user, request=request, id=f"k7m2{number:04d}"))

    await bot.database.write(insert)
    return bot.service, prompts


@pytest.mark.parametrize("user", [ADA, BOB])
@pytest.mark.parametrize(
    "words", ["", "fox", "foxes", "fo", "snow fox", "number5", "number57", "number56 snow", "zebra"]
)
async def test_a_search_finds_the_same_however_frequent_its_words_are(many, words, user):
    service, prompts = many
    mine = [prompt for n, prompt in enumerate(prompts) if (ADA if n % 4 else BOB) == user]
    wanted = [
        prompt
        for prompt in reversed(mine)
        if all(any(word.startswith(each) for word in prompt.split()) for each in words.split())
    ]

    found, before = [], None
    while True:
        page = await service.lookups.history(user, words, before=before, limit=4)
        found += [job.request.prompt for job in page.jobs]
        assert len(page.jobs) == 4 or page.next is None
        if (before := page.next) is None:
            break

    assert found == wanted

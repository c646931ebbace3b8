"""Finding what was drawn."""

from dataclasses import replace

import pytest

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
        return [job.request.prompt for job in (await service.history(ADA, words)).jobs]

    assert await found("") == ["circles, circles", "a blue café at night", "a red circle"]
    assert await found("circ") == ["circles, circles", "a red circle"]
    assert await found("CAFE blue") == ["a blue café at night"]
    assert await found('red" OR star*') == []
    assert await found("!!!") == []


async def test_history_is_paged(service, gate):
    gate.open()
    for number in range(5):
        await finished(await service.submit(Source(ADA), replace(CIRCLE, prompt=f"fox {number}")))

    first = await service.history(ADA, limit=2)
    second = await service.history(ADA, limit=2, before=first.next)
    third = await service.history(ADA, limit=2, before=second.next)

    prompts = [job.request.prompt for page in (first, second, third) for job in page.jobs]
    assert prompts == ["fox 4", "fox 3", "fox 2", "fox 1", "fox 0"]
    assert third.next is None


async def test_what_is_not_drawn_has_no_picture(service):
    job = await service.submit(Source(ADA), CIRCLE)

    with pytest.raises(Conflict, match="has no picture: it is"):
        await service.picture(Source(ADA), job.id)

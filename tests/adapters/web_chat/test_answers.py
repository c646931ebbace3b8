"""Answers that wait for their picture, seen piece by piece and without a server."""

import asyncio

import pytest

from adapters.web_chat import repeats
from adapters.web_chat.answers import Answer, Wish
from adapters.web_chat.links import HOUR, Links
from adapters.web_chat.openai.telling import Teller
from adapters.web_chat.openai.wishes import WishBody
from adapters.web_chat.sharing import Web
from bot.commands import ImagineCommand
from bot.config import Secrets
from bot.jobs import Job, JobStatus
from bot.refusals import Conflict
from bot.source import Source
from tests.conftest import Clock

ADA = Source("web:ada")


@pytest.fixture
def web(bot):
    return Web(bot.service, bot.config, Secrets())


async def test_who_has_come_back_is_not_given_up(bot, web, monkeypatch):
    monkeypatch.setattr(repeats, "GRACE", 0.0)
    monkeypatch.setattr(repeats, "REMEMBERED", 0.0)
    ended = Job(user=ADA.user, request=None)
    ended.update(JobStatus.RUNNING)
    ended.update(JobStatus.SUCCEEDED)
    async with web.repeats.asking(ADA, b"a fox") as asked:
        asked.job = ended

    async with web.repeats.asking(ADA, b"a fox") as again:
        for _ in range(50):
            rows = await bot.rows("SELECT * FROM idempotency_keys")

        assert again is asked
        assert len(rows) == 1


@pytest.mark.parametrize("is_cut", [True, False])
async def test_an_answer_that_breaks_off_was_none(bot, web, gate, is_cut):
    """Its beginning is on its way, and nobody takes the rest."""
    gate.open()
    gone = asyncio.Event()

    async def tell(source, job):
        await job.finished()
        yield b"{"
        yield b"}"

    async def receive():
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        if is_cut and message.get("body") == b"}":
            gone.set()

    async def ask():
        command = ImagineCommand("a fox", width=64, height=64, num_inference_steps=2)
        await Answer(web, Wish(ADA, command, (), b"a fox"), tell)({}, receive, send)

    await ask()
    gone.clear()
    is_cut, was_cut = False, is_cut
    await ask()

    jobs = (await bot.service.lookups.history(ADA.user)).jobs
    assert len(jobs) == (1 if was_cut else 2)


async def test_no_more_unfinished_pictures_come_than_were_asked_for(web, fox):
    job = Job(user=ADA.user, request=fox)
    events = Teller(web, WishBody(partial_images=1), "").as_events(ADA, job)
    pieces = [await anext(events)]
    coming = asyncio.create_task(anext(events))
    for step in (1, 2):
        job.update(JobStatus.RUNNING, picture=1, step=step, preview=b"jpeg")
        await asyncio.sleep(0)
    pieces.append(await coming)
    job.update(JobStatus.RUNNING, picture=1, step=3, preview=b"jpeg")
    rest = asyncio.create_task(anext(events))
    await asyncio.sleep(0)
    job.update(JobStatus.HELD)
    with pytest.raises(Conflict):
        await rest

    assert [piece[:20] for piece in pieces] == [b": queued\n\n", b"event: image_generat"]


def test_a_link_ends_after_an_hour():
    clock = Clock()
    links = Links(clock)
    secret = links.new(ADA.user, "abc", 1, "image/png")
    clock.advance(HOUR - 1)
    assert links.find(secret).job_id == "abc"

    clock.advance(1)

    assert links.find(secret) is None

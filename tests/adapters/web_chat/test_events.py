"""Server-sent events over a real connection."""

import asyncio

import httpx
import pytest

from adapters.web_chat.events import EventStream
from bot.commands import ImagineCommand
from bot.source import Source
from generation.errors import GenerationError
from tests.adapters.web_chat.conftest import events
from tests.conftest import ADMIN, at_step, finished
from tests.samples import opened

SMALL = {"prompt": "a fox", "width": 64, "height": 64, "num_inference_steps": 3}


async def ask(http, **changes):
    return (await http.post("/api/jobs", json={**SMALL, **changes})).json()["id"]


async def test_a_job_is_told_from_the_queue_to_the_picture(http, gate):
    first, second = await ask(http), await ask(http)

    seen = []
    async with http.stream("GET", f"/api/jobs/{second}/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        async for name, data in events(response):
            seen.append((name, data))
            gate.allow(3 if len(seen) == 1 else 1)

    names = [name for name, _ in seen]
    assert names[0] == "queued"
    assert seen[0][1]["position"] == 1
    assert names[-1] == "done"
    assert "step" in names
    assert all(data["id"] == second for _, data in seen)
    steps = [data for name, data in seen if name == "step" and data["preview"]]
    assert [data["step"] for data in steps] == sorted(data["step"] for data in steps)
    assert (steps[-1]["picture"], steps[-1]["images"], steps[-1]["steps"]) == (1, 1, 3)
    assert opened(steps[-1]["preview"]).format == "JPEG"
    done = seen[-1][1]
    assert (done["status"], done["prompt"], done["seconds"] is not None) == (
        "succeeded",
        "a fox",
        True,
    )
    assert (await http.get(done["pictures"][0]["url"])).status_code == 200
    assert first != second


async def test_the_picture_that_is_being_drawn_has_its_number(http, gate):
    id = await ask(http, images=2, num_inference_steps=1)
    gate.open()

    async with http.stream("GET", f"/api/jobs/{id}/events") as response:
        seen = [(name, data) async for name, data in events(response)]

    assert len(seen[-1][1]["pictures"]) == 2
    assert {data["picture"] for name, data in seen if name == "step"} <= {0, 1, 2}


async def test_what_has_ended_is_told_at_once(http, gate):
    gate.open()
    id = (await http.post("/api/generate", json=SMALL)).json()["metadata"]["id"]

    async with http.stream("GET", f"/api/jobs/{id}/events") as response:
        assert [name async for name, _ in events(response)] == ["done"]


async def test_a_cancelled_job_ends_with_cancelled(http, server):
    id = await ask(http)
    second = await ask(http)

    async with http.stream("GET", f"/api/jobs/{second}/events") as response:
        seen = events(response)
        assert (await anext(seen))[0] == "queued"
        await http.delete(f"/api/jobs/{second}")
        assert [name async for name, _ in seen][-1] == "cancelled"
    assert id != second


async def test_a_failed_job_ends_with_failed_and_its_sentence(http, gate):
    gate.fault = GenerationError("the picture came out blank")
    id = await ask(http)

    async with http.stream("GET", f"/api/jobs/{id}/events") as response:
        seen = [(name, data) async for name, data in events(response)]

    assert seen[-1][0] == "failed"
    assert "blank" in seen[-1][1]["error"]


async def test_one_stream_follows_several_jobs_until_all_have_ended(http, gate):
    ids = [await ask(http) for _ in range(3)]
    gate.open()

    async with http.stream("GET", "/api/events", params={"job": [*ids, ids[0]]}) as response:
        seen = [(name, data["id"]) async for name, data in events(response)]

    assert sorted(id for name, id in seen if name == "done") == sorted(ids)


@pytest.mark.parametrize("query", ["", "?" + "&".join(["job=x"] * 51)])
async def test_a_stream_of_no_jobs_or_too_many_is_refused(http, query):
    assert (await http.get(f"/api/events{query}")).status_code == 422


async def test_whoever_connects_anew_has_missed_nothing(http, server, gate):
    id = await ask(http)
    async with http.stream("GET", f"/api/jobs/{id}/events") as response:
        await anext(events(response))
    gate.allow(2)
    await at_step(await server.bot.service.lookups.job(Source(ADMIN), id), 2)

    async with http.stream("GET", f"/api/jobs/{id}/events") as response:
        name, data = await anext(events(response))

    assert (name, data["step"]) == ("step", 2)


def streams():
    return [task for task in asyncio.all_tasks() if "EventStream" in repr(task.get_coro())]


async def test_a_client_that_leaves_ends_its_stream_and_not_its_job(http, server, gate):
    id = await ask(http)
    async with http.stream("GET", f"/api/jobs/{id}/events") as response:
        await anext(events(response))
        assert streams()

    async with asyncio.timeout(5):
        while streams():
            await asyncio.sleep(0.01)
    gate.open()
    assert await finished(await server.bot.service.lookups.job(Source(ADMIN), id)) == "succeeded"


async def test_a_stopping_server_ends_open_streams_at_once(http, server):
    id = await ask(http)
    async with http.stream("GET", f"/api/jobs/{id}/events") as response:
        seen = events(response)
        await anext(seen)

        async with asyncio.timeout(1.5):
            closing = asyncio.create_task(server.close())
            assert [name async for name, _ in seen if name in ("done", "failed")] == []
            await closing


async def test_a_generate_that_waits_learns_that_the_bot_restarts(http, server, gate):
    waiting = asyncio.create_task(http.post("/api/generate", json=SMALL))
    async with asyncio.timeout(5):
        while not server.bot.service.queue(ADMIN).mine:
            await asyncio.sleep(0.01)
        (job,) = server.bot.service.queue(ADMIN).mine

        await server.close()
        response = await waiting

    assert response.status_code == 503
    assert job.id in response.json()["error"]["message"]
    assert not job.status.is_final


async def test_whoever_hangs_up_during_generate_cancels_it_and_pays_nothing(server, gate):
    async with httpx.AsyncClient(base_url=server.address) as http:
        waiting = asyncio.create_task(http.post("/api/generate", json=SMALL))
        async with asyncio.timeout(5):
            while not server.bot.service.queue(ADMIN).mine:
                await asyncio.sleep(0.01)
        (job,) = server.bot.service.queue(ADMIN).mine
        waiting.cancel()

    async with asyncio.timeout(10):
        while not job.status.is_final:
            gate.allow(1)
            await asyncio.sleep(0.05)

    assert job.status == "cancelled"
    assert (await server.bot.service.quota(ADMIN)).used == 0


class Reader:
    """An ASGI client that takes the next part only when told to."""

    def __init__(self):
        self.parts = []
        self.ready = asyncio.Event()
        self.waiting = asyncio.Event()

    async def send(self, message):
        if message["type"] == "http.response.body":
            self.waiting.set()
            await self.ready.wait()
            self.parts.append(message.get("body", b"").decode())

    async def receive(self):
        await asyncio.Event().wait()


async def test_a_client_that_reads_slowly_is_sent_the_latest_and_no_backlog(service, gate):
    job = await service.submit(Source(ADMIN), ImagineCommand("a fox", num_inference_steps=40))
    reader = Reader()
    stream = EventStream([job], asyncio.Event())
    sending = asyncio.create_task(stream({}, reader.receive, reader.send))
    await reader.waiting.wait()

    gate.open()
    await finished(job)
    reader.ready.set()
    await sending

    assert sum("event:" in part for part in reader.parts) <= 2
    assert any("event: done" in part for part in reader.parts)


async def test_silence_is_broken_by_comments(service):
    job = await service.submit(Source(ADMIN), ImagineCommand("a fox"))
    reader = Reader()
    reader.ready.set()
    stopping = asyncio.Event()
    stream = EventStream([job], stopping, keep_alive=0.01)
    sending = asyncio.create_task(stream({}, reader.receive, reader.send))

    async with asyncio.timeout(5):
        while not any(part.startswith(":") for part in reader.parts):
            await asyncio.sleep(0.01)
    stopping.set()
    await sending


async def test_pictures_of_several_are_told_of_as_soon_as_they_are_drawn(http, gate):
    id = await ask(http, images=2)
    gate.allow(4)
    told = []

    async with http.stream("GET", f"/api/jobs/{id}/events") as response:
        async for name, data in events(response):
            if name == "step" and data["pictures"] and not told:
                told = [each["number"] for each in data["pictures"]]
                assert (await http.get(data["pictures"][0]["url"])).status_code == 200
                early = await http.get(f"/api/jobs/{id}/image?number=2")
                assert early.status_code == 409
                gate.open()

    assert told == [1]
    assert [each["number"] for each in data["pictures"]] == [1, 2]

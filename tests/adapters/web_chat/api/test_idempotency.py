"""The header `Idempotency-Key`: what is asked twice is drawn and paid once."""

import asyncio

from bot.commands import ImagineCommand
from bot.source import Source
from tests.adapters.web_chat.api.conftest import CIRCLE, said, spent
from tests.conftest import ADA, ADMIN, BOB, finished, until

KEY = {"Idempotency-Key": "of-my-own-choice"}


async def test_the_same_request_with_the_same_key_is_one_job_for_a_day(web, bot, clock):
    responses = await asyncio.gather(
        *(web.post("/api/jobs", json=CIRCLE, headers=KEY) for _ in range(3))
    )

    (id,) = {response.json()["id"] for response in responses}
    assert await spent(bot) == responses[0].json()["cost"]
    clock.advance(86_399)
    assert (await web.post("/api/jobs", json=CIRCLE, headers=KEY)).json()["id"] == id
    clock.advance(2)
    assert (await web.post("/api/jobs", json=CIRCLE, headers=KEY)).json()["id"] != id
    assert len(await bot.rows("SELECT * FROM idempotency_keys")) == 1


async def test_another_request_with_the_same_key_is_refused_and_charged_nothing(web, bot):
    job = (await web.post("/api/jobs", json=CIRCLE, headers=KEY)).json()

    for path, body in (
        ("/api/jobs", {**CIRCLE, "seed": 8}),
        ("/api/generate", CIRCLE),
        (f"/api/jobs/{job['id']}/again", {}),
    ):
        response = await web.post(path, json=body, headers=KEY)
        assert "take a new key" in said(response, 422, "key_reused", "Idempotency-Key")
    assert await spent(bot) == job["cost"]


async def test_a_refused_request_may_come_again_with_its_key(web, bot):
    await bot.service.admin.drain(ADMIN)
    said(await web.post("/api/jobs", json=CIRCLE, headers=KEY), 503, "not_accepting")
    await bot.service.admin.resume(ADMIN)

    assert (await web.post("/api/jobs", json=CIRCLE, headers=KEY)).status_code == 202


async def test_who_hangs_up_with_a_key_comes_back_to_the_same_picture(server, http, gate):
    asking = asyncio.create_task(http.post("/api/generate", json=CIRCLE, headers=KEY))
    await until(lambda: server.bot.service.queue(ADMIN).mine)
    (job,) = server.bot.service.queue(ADMIN).mine
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)

    gate.open()
    answer = (await http.post("/api/generate", json=CIRCLE, headers=KEY)).json()

    assert answer["metadata"]["id"] == job.id


async def test_keys_are_a_persons_own_are_forgotten_at_will_and_deleted_with_them(bot, gate):
    keys = bot.service.idempotency
    of_ada = await keys.event_id(ADA, "k", b"a")

    assert await keys.event_id(BOB, "k", b"b") != of_ada
    assert await keys.event_id(ADA, "k", b"a") == of_ada
    await keys.forget(ADA, "k")
    assert await keys.event_id(ADA, "k", b"another") != of_ada
    gate.open()
    await finished(await bot.service.submit(Source(ADA), ImagineCommand("a fox", width=64)))
    await bot.service.own_data.delete(ADA)
    assert [row["user"] for row in await bot.rows("SELECT user FROM idempotency_keys")] == [BOB]

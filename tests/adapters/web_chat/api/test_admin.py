"""The page for admins, seen through its routes."""

import asyncio
from dataclasses import replace

import pytest

from bot import selves
from bot.config import Secrets
from bot.source import Source
from tests.adapters.web_chat.api.conftest import said
from tests.bot.conftest import CIRCLE
from tests.conftest import ADA, ADMIN, BOB, EVE, at_step, finished

DAY = 86400


async def test_nobody_else_sees_any_of_it(bot, make_client):
    secrets = Secrets(web_tokens={"a-token-of-sixteen-characters": "ada"})
    bearer = {"Authorization": "Bearer a-token-of-sixteen-characters"}
    async with make_client(bot, secrets, **bearer) as ada:
        for path in ("overview", "use", "acts"):
            assert "only admins" in said(await ada.get(f"/api/admin/{path}"), 403)


async def test_the_queue_and_the_presets_are_shown_as_they_are(bot, web, gate):
    running = await bot.service.submit(Source(ADA), replace(CIRCLE, prompt="a fox", images=2))
    await at_step(running, 0)
    waiting = await bot.service.submit(Source(BOB), CIRCLE)
    await bot.service.admin.enable_preset(ADMIN, "canny", is_enabled=False)
    await bot.service.admin.pause(ADMIN)

    now = (await web.get("/api/admin/overview")).json()

    assert [(job["id"], job["user"], job["status"]) for job in now["queue"]] == [
        (running.id, ADA, "running"),
        (waiting.id, BOB, "queued"),
    ]
    assert (now["queue"][0]["images"], now["queue"][0]["prompt"]) == (2, "a fox")
    assert (now["waiting"], now["is_paused"], now["is_draining"]) == (1, True, False)
    (engine,) = now["engines"]
    assert (engine["status"], engine["succeeded"], engine["lost"]) == ("drawing", 0, 0)
    presets = {each["name"]: each for each in now["presets"]}
    assert not presets["canny"]["is_enabled"]
    assert presets["plain"]["is_default"]
    assert presets["plain"]["is_enabled"]


@pytest.mark.parametrize("rows_at_once", [1, 2000])
async def test_use_is_summed_up_by_day_and_by_person(bot, web, gate, monkeypatch, rows_at_once):
    monkeypatch.setattr("bot.statistics.ROWS_AT_ONCE", rows_at_once)
    gate.open()
    for user, days in ((ADA, 0), (BOB, 0), (ADA, 2)):
        bot.clock.advance(days * DAY + 60)
        job = await bot.service.submit(Source(user), replace(CIRCLE, seed=days))
        await finished(job)
    gate.close_again()
    await bot.service.submit(Source(EVE), CIRCLE)
    await bot.service.admin.ban(ADMIN, BOB)

    use = (await web.get("/api/admin/use?days=3")).json()

    assert [day["jobs"] for day in use["days"]] == [2, 0, 2]
    assert [day["people"] for day in use["days"]] == [2, 0, 2]
    assert [day["credits"] for day in use["days"]] == [2 * job.cost, 0, job.cost]
    people = [(each["user"], each["jobs"], each["is_banned"]) for each in use["people"]]
    assert people == [(ADA, 2, False), (EVE, 1, False), (BOB, 1, True)]
    assert use["people"][0]["last_at"] == bot.clock.now

    found = (await web.get("/api/admin/use", params={"words": "BOB"})).json()
    assert [each["user"] for each in found["people"]] == [BOB]
    assert sum(day["jobs"] for day in found["days"]) == 1


async def test_the_accounts_of_one_person_are_named_beside_each_other(bot, web, gate):
    gate.open()
    await finished(await bot.service.submit(Source(ADA), CIRCLE))
    await bot.database.write(lambda db: selves.join(db, ADA, EVE, bot.clock.now))
    await bot.service.selves.refresh([ADA])

    (person,) = (await web.get("/api/admin/use")).json()["people"]

    assert (person["user"], person["joined"]) == (ADA, [EVE])


async def test_a_preset_has_the_address_of_its_sample_which_changes_with_it(bot, web, gate):
    gate.open()
    assert "no sample" in said(await web.get("/api/presets/plain/sample"), 404)
    addresses = []
    for prompt in ("a fox", "a dog"):
        job = await bot.service.samples.draw(Source(ADMIN), "plain", prompt)
        await finished(job)
        await asyncio.gather(*bot.service.samples._watching)
        (told, *_) = (await web.get("/api/presets")).json()["presets"]
        (shown, *_) = (await web.get("/api/admin/overview")).json()["presets"]
        assert told["sample"] == shown["sample"]
        addresses.append(told["sample"])

    answer = await web.get(addresses[1])
    assert answer.headers["content-type"] == "image/webp"
    assert answer.content[8:12] == b"WEBP"
    assert addresses[0] != addresses[1]


async def test_a_pause_is_shown_whatever_else_keeps_the_bot_from_drawing(bot, web):
    await bot.service.admin.pause(ADMIN)
    await bot.service.admin.resume(ADMIN)
    assert not (await web.get("/api/admin/overview")).json()["is_paused"]
    await bot.service.admin.pause(ADMIN)
    bot.service.fail("the database is damaged")

    now = (await web.get("/api/admin/overview")).json()

    assert (now["engine"]["message"], now["is_paused"]) == ("the database is damaged", True)


async def test_acts_come_a_page_at_a_time(bot, web, monkeypatch):
    monkeypatch.setattr("adapters.web_chat.admin.PAGE_OF_ACTS", 2)
    for user in (ADA, BOB, EVE):
        await bot.service.admin.grant(ADMIN, user, 5)

    first = (await web.get("/api/admin/acts")).json()
    second = (await web.get("/api/admin/acts?page=2")).json()
    found = (await web.get("/api/admin/acts", params={"words": BOB})).json()

    assert [act["subject"] for act in first] == [EVE, BOB]
    assert [act["subject"] for act in second] == [ADA]
    assert [(act["admin"], act["act"], act["detail"]) for act in found] == [(ADMIN, "grant", "5")]

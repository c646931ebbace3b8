"""Held pictures and the audit log over HTTP, for admins alone."""

import json

import pytest

from bot.config import Secrets
from bot.jobs import JobStatus
from bot.source import Source
from tests.adapters.web_chat.api.conftest import said
from tests.bot.conftest import CIRCLE
from tests.conftest import ADA, until
from tests.judges import HELD, Judge
from tests.samples import opened


@pytest.fixture
async def held(bot, gate):
    judge = Judge()
    judge.picture = HELD
    bot.judges = {"judge": lambda: judge}
    service = await bot.restart()
    gate.open()
    job = await service.submit(Source(ADA), CIRCLE)
    await until(lambda: job.status is JobStatus.HELD)
    return job


@pytest.fixture
async def admin(bot, held, make_client):
    async with make_client(bot) as client:
        yield client


async def test_an_admin_looks_at_a_held_picture_and_releases_it(admin, held):
    (listed,) = (await admin.get("/api/admin/held")).json()
    assert (listed["id"], listed["user"], listed["verdict"]) == (held.id, ADA, "judge: 0.90")

    shown = await admin.get(f"/api/admin/held/{held.id}/image")
    assert shown.headers["cache-control"] == "no-store"
    assert opened(shown.content).size == (64, 64)

    assert (await admin.post(f"/api/admin/held/{held.id}/release")).status_code == 200
    assert held.status is JobStatus.SUCCEEDED
    assert (await admin.get("/api/admin/held")).json() == []


async def test_an_admin_rejects_it_with_a_reason(admin, held):
    answer = await admin.post(f"/api/admin/held/{held.id}/reject", json={"reason": "not here"})

    assert answer.status_code == 200
    assert "(not here)" in held.error
    again = await admin.post(f"/api/admin/held/{held.id}/release")
    assert "rejected already" in said(again, 409)


async def test_its_person_sees_that_it_is_held_and_nothing_of_it(bot, held, make_client):
    secrets = Secrets(web_tokens={"a-token-of-sixteen-characters": "ada"})
    bearer = {"Authorization": "Bearer a-token-of-sixteen-characters"}
    async with make_client(bot, secrets, **bearer) as ada:
        job = (await ada.get(f"/api/jobs/{held.id}")).json()
        assert (job["status"], job["pictures"], job["thumbnail"]) == ("held", [], None)
        for path in ("image", "thumbnail", "grid"):
            answer = await ada.get(f"/api/jobs/{held.id}/{path}")
            assert "a moderator looks" in said(answer, 409).lower()
        for path in ("/api/admin/held", f"/api/admin/held/{held.id}/image", "/api/admin/audit"):
            said(await ada.get(path), 403)
        said(await ada.post(f"/api/admin/held/{held.id}/release"), 403)
    assert held.status is JobStatus.HELD


async def test_the_audit_log_is_searched_and_handed_out_as_lines(admin, held, bot):
    await admin.post(f"/api/admin/held/{held.id}/release")
    await bot.service.admin.ban("web:local", "discord:1234", "spam")

    async def acts(**query):
        answer = await admin.get("/api/admin/audit", params=query)
        return [json.loads(line)["act"] for line in answer.text.splitlines()]

    assert await acts() == ["ban", "release"]
    assert await acts(words="SPAM") == ["ban"]
    assert await acts(words=held.id) == ["release"]
    bot.clock.advance(2 * 86400)
    assert await acts(days=1) == []


async def test_the_number_of_held_pictures_is_told_to_admins_alone(admin, held, bot, make_client):
    assert (await admin.get("/api/status")).json()["held"] == 1

    secrets = Secrets(web_tokens={"a-token-of-sixteen-characters": "ada"})
    bearer = {"Authorization": "Bearer a-token-of-sixteen-characters"}
    async with make_client(bot, secrets, **bearer) as ada:
        status = (await ada.get("/api/status")).json()
        assert (status["held"], status["is_signed_in"]) == (None, False)

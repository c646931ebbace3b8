"""Acts of admins, as seen by people who draw."""

import asyncio

import pytest

from bot.administration import CANCELLED
from bot.commands import ImagineCommand
from bot.jobs import JobStatus
from bot.refusals import Conflict, NotAllowed
from bot.source import Source
from generation.errors import InvalidRequest
from generation.types import Preset
from tests.bot.conftest import CIRCLE
from tests.conftest import ADA, ADMIN, BOB, PRESETS, at_step, finished, until


async def test_what_is_no_text_comes_into_no_audit_log(service):
    with pytest.raises(InvalidRequest, match="text"):
        await service.admin.ban(ADMIN, ADA, "spam \ud800")

    assert not await service.admin.audit(ADMIN)


async def test_an_admin_is_not_banned_least_of_all_by_themselves(service):
    """The only admin would lock everybody out."""
    service.admin.recognise("discord:9", is_admin=True)

    with pytest.raises(Conflict, match=r"take .*local out of admins\.users in config\.toml first"):
        await service.admin.ban(ADMIN, ADMIN)
    with pytest.raises(Conflict, match="Discord says that discord:9 is one"):
        await service.admin.ban(ADMIN, "discord:9")
    with pytest.raises(NotAllowed):
        await service.admin.ban(BOB, ADMIN)

    await service.submit(Source(ADMIN), CIRCLE)


async def test_a_banned_person_is_refused_and_their_jobs_are_cancelled(service):
    running = await service.submit(Source(BOB), CIRCLE)
    await at_step(running, 0, picture=1)
    waiting = await service.submit(Source(ADA), CIRCLE)

    await service.admin.ban(ADMIN, ADA, "spam")

    assert (waiting.status, waiting.error) == (JobStatus.CANCELLED, CANCELLED)
    with pytest.raises(NotAllowed, match="banned you from drawing: spam"):
        await service.submit(Source(ADA), CIRCLE)
    await service.admin.unban(ADMIN, ADA)
    await service.submit(Source(ADA), CIRCLE)


async def test_a_pause_outlives_a_restart_and_what_waits_is_kept(make_bot, gate):
    gate.open()
    bot = await make_bot()
    await bot.service.admin.pause(ADMIN)
    job = await bot.service.submit(Source(ADA), CIRCLE)

    service = await bot.restart()

    async with asyncio.timeout(10):
        while service.state.status != "paused":
            await asyncio.sleep(0)
    job = await service.lookups.job(Source(ADA), job.id)
    assert job.status is JobStatus.QUEUED
    await service.admin.resume(ADMIN)
    assert await finished(job) is JobStatus.SUCCEEDED
    service = await bot.restart()
    await until(lambda: service.state.status != "loading")
    assert service.state.status == "ready", "resuming outlives a restart too"


async def test_presets_are_read_anew_without_a_restart(bot):
    bot.settings["presets"] = {**PRESETS, "night": Preset(name="night", guidance_scale=2.0)}

    await bot.service.admin.reload_presets(ADMIN)

    job = await bot.service.submit(Source(ADA), ImagineCommand("a fox", preset="night"))
    assert job.request.guidance_scale == 2.0


async def test_every_act_of_an_admin_is_written_down_and_others_may_not(bot):
    admin = bot.service.admin
    await admin.grant(ADMIN, ADA, 50)
    await admin.set_quota(ADMIN, ADA, 7)
    await admin.reset_quota(ADMIN, ADA)
    for act in (admin.pause, admin.resume, admin.stats):
        with pytest.raises(NotAllowed):
            await act(ADA)
    with pytest.raises(NotAllowed):
        admin.queue(ADA)

    audit = await bot.rows("SELECT admin, act, subject, detail FROM audit")

    assert [(row["act"], row["subject"], row["detail"]) for row in audit] == [
        ("grant", ADA, "50"),
        ("set quota", ADA, "7"),
        ("reset quota", ADA, None),
    ]
    status = await bot.service.quota(ADA)
    assert (status.credits, status.granted, status.left) == (7, 50, 57)

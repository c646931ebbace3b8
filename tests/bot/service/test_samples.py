"""Samples of presets: drawn when an admin wants it, and shown to everybody."""

import asyncio
from dataclasses import replace

import pytest
from PIL import Image

from bot.conversation import converse
from bot.jobs import JobStatus
from bot.refusals import NotFound
from bot.source import Source
from tests.conftest import ADA, ADMIN, finished, until
from tests.samples import noise

BOSS = Source(ADMIN)


async def sampled(bot, gate, name, prompt=""):
    gate.open()
    job = await bot.service.samples.draw(BOSS, name, prompt)
    await finished(job)
    await asyncio.gather(*bot.service.samples._watching)
    return job


async def test_an_admin_has_a_sample_drawn_with_the_example_of_the_help(bot, gate):
    with pytest.raises(NotFound, match="no sample of the preset 'plain'"):
        bot.service.samples.find("plain")
    gate.open()
    boss = replace(BOSS, reply_to={"channel": "C1"}, event_id="one")
    reply = await converse(bot.service, boss, "admin presets sample plain")
    (job,) = (await bot.service.lookups.history(ADMIN)).jobs

    assert reply.text == f"The sample of plain is being drawn, as {job.id}."
    assert (job.request.prompt, job.request.preset) == ("a red house under a yellow sun", "plain")
    await until(lambda: "plain" in bot.service.samples.all())
    with Image.open(bot.service.samples.find("plain")) as sample:
        assert sample.format == "WEBP"
        assert max(sample.size) <= 512
    acts = [(each.act, each.subject, each.detail) for each in await bot.service.admin.audit(ADMIN)]
    assert acts == [("sample", "plain", job.id)]
    assert await bot.service.answers.undelivered("web") == []


async def test_a_preset_that_takes_a_picture_starts_from_the_sample_of_the_default_one(bot, gate):
    with pytest.raises(NotFound, match="have the sample of plain drawn first"):
        await bot.service.samples.draw(BOSS, "canny")
    await sampled(bot, gate, "plain")

    job = await sampled(bot, gate, "canny", "a blue boat")

    assert job.request.control_image is not None
    assert job.request.prompt == "a blue boat"
    assert set(bot.service.samples.all()) == {"plain", "canny"}


async def test_a_new_sample_takes_the_place_of_the_old_and_outlasts_its_job(bot, gate):
    first = await sampled(bot, gate, "plain")
    (_, old) = bot.service.samples.all()["plain"]
    await bot.service.delete(BOSS, first.id)
    assert bot.service.samples.all()["plain"][1] == old

    await sampled(bot, gate, "plain", "a fox")

    assert bot.service.samples.all()["plain"][1] != old


async def test_what_is_not_drawn_is_no_sample(bot, gate):
    job = await bot.service.samples.draw(BOSS, "plain")
    await bot.service.cancel(BOSS, job.id)
    gate.open()
    assert await finished(job) is JobStatus.CANCELLED
    await asyncio.gather(*bot.service.samples._watching)

    assert bot.service.samples.all() == {}


async def test_what_a_screen_puts_behind_a_spoiler_is_no_sample(bot, gate, monkeypatch):
    job = await bot.service.samples.draw(BOSS, "plain")
    job.is_spoiler = True
    gate.open()
    await finished(job)
    await asyncio.gather(*bot.service.samples._watching)

    assert bot.service.samples.all() == {}


async def test_nobody_but_an_admin_has_samples_drawn_and_only_of_presets(bot):
    reply = await converse(bot.service, Source(ADA), "admin presets sample plain")
    assert "Only admins" in reply.text
    assert await bot.rows("SELECT id FROM jobs") == []
    reply = await converse(bot.service, BOSS, "admin presets sample ../../etc")
    assert "There is no preset '../../etc': there are plain" in reply.text
    with pytest.raises(NotFound):
        bot.service.samples.find("../config")


async def test_a_model_brings_its_own_samples_which_an_admins_replace(make_bot, gate, tmp_path):
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    noise(64, 64).save(shipped / "plain.webp")
    bot = await make_bot()
    bot.service.samples._shipped = shipped
    assert bot.service.samples.find("plain") == shipped / "plain.webp"

    await sampled(bot, gate, "plain")

    assert bot.service.samples.find("plain").parent.parent.name == "samples"

"""Old pictures go, and what is still needed stays."""

import errno
import os
from dataclasses import replace

import pytest

from bot.jobs import JobStatus
from bot.refusals import NotFound
from bot.source import Source
from tests.bot.conftest import CIRCLE
from tests.conftest import ADA, finished
from tests.samples import picture


async def test_old_pictures_are_deleted_and_can_be_drawn_again(make_bot, gate, clock):
    gate.open()
    bot = await make_bot(gallery={"keep_days": 10})
    old = await bot.service.submit(Source(ADA), CIRCLE)
    await finished(old)
    clock.advance(8 * 86400)
    new = await bot.service.submit(Source(ADA), CIRCLE)
    await finished(new)
    clock.advance(3 * 86400)

    assert await bot.service.prune() == 1

    with pytest.raises(NotFound, match=f"`again {old.id}` draws it again"):
        await bot.service.lookups.picture(Source(ADA), old.id)
    assert (await bot.service.lookups.picture(Source(ADA), new.id)).exists()
    assert await finished(await bot.service.again(Source(ADA), old.id)) is JobStatus.SUCCEEDED


async def test_a_crash_while_deleting_repeats_it_instead_of_forgetting_it(
    make_bot, gate, clock, monkeypatch
):
    gate.open()
    bot = await make_bot(gallery={"keep_days": 10})
    old = await bot.service.submit(Source(ADA), CIRCLE)
    await finished(old)
    clock.advance(11 * 86400)

    def crash(job_ids):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(bot.gallery, "prune_pictures", crash)
    with pytest.raises(OSError, match="Input/output"):
        await bot.service.prune()
    monkeypatch.undo()

    assert await bot.service.prune() == 1
    assert not bot.gallery.picture_path(old.id, 1).exists()


async def test_drawing_again_keeps_a_control_image_from_being_deleted(make_bot, gate):
    gate.open()
    bot = await make_bot(gallery={"keep_days": 10})
    first = await bot.service.submit(Source(ADA), replace(CIRCLE, preset="canny"), (picture(),))
    await finished(first)
    os.utime(first.request.control_image, (0, 0))

    await bot.service.again(Source(ADA), first.id)

    assert first.request.control_image.stat().st_mtime > 1_600_000_000


async def test_a_control_image_stays_as_long_as_a_picture_refers_to_it(make_bot, gate):
    """Its file is shared by content, so one job's age must not take another's away."""
    gate.open()
    bot = await make_bot(gallery={"keep_days": 10})
    old = await bot.service.submit(Source(ADA), replace(CIRCLE, preset="canny"), (picture(),))
    await finished(old)
    bot.clock.advance(9 * 86400)
    new = await bot.service.submit(Source(ADA), replace(CIRCLE, preset="canny"), (picture(),))
    await finished(new)
    bot.clock.advance(2 * 86400)

    os.utime(new.request.control_image, (0, 0))
    await bot.service.prune()
    assert new.request.control_image.exists()

    bot.clock.advance(10 * 86400)
    await bot.service.prune()
    assert not new.request.control_image.exists()
    with pytest.raises(NotFound, match="attach it again"):
        await bot.service.again(Source(ADA), new.id)

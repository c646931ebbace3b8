"""The watch over the database: a file that is gone, replaced, or no longer sound."""

import asyncio
import sqlite3
from contextlib import closing, suppress

import pytest

from bot import soundness
from bot.database import Database, DatabaseDamaged
from bot.jobs import JobStatus
from bot.refusals import NotAccepting
from bot.soundness import Watch, check_all, is_checked_first
from bot.source import Source
from tests.bot.conftest import CIRCLE
from tests.conftest import ADA, ADMIN, finished, until


@pytest.fixture
def watching(monkeypatch):
    """Start a watch over a database; its problems."""
    monkeypatch.setattr(soundness, "LOOK_EVERY", 0.01)
    tasks = []

    def watch(path, *, has_been_checked=True, on_problem=None):
        problems = []
        told = on_problem or problems.append
        watch = Watch(path, has_been_checked=has_been_checked, on_problem=told)
        tasks.append(asyncio.create_task(watch.run()))
        return problems

    yield watch
    for task in tasks:
        task.cancel()


@pytest.fixture
async def path(tmp_path):
    path = tmp_path / "bot.sqlite3"
    await (await Database.open(path)).close()
    return path


def damage(path):
    """Flip bits of the head of each page but the first."""
    data = bytearray(path.read_bytes())
    for place in range(4096, len(data), 4096):
        data[place] ^= 0xFF
    path.write_bytes(data)


async def test_a_database_that_is_gone_while_the_bot_runs_ends_drawing(bot, gate, watching):
    """I2"""
    path = bot.folder / "bot.sqlite3"
    watching(path, on_problem=bot.service.fail)
    gate.open()
    job = await bot.service.submit(Source(ADA), CIRCLE)
    assert await finished(job) is JobStatus.SUCCEEDED
    await bot.service.admin.pause(ADMIN)
    waiting = await bot.service.submit(Source(ADA), CIRCLE)

    path.unlink()

    await until(lambda: bot.service.state.status == "failed")
    assert "is gone: stop the bot, and put back a backup" in bot.service.state.message
    with pytest.raises(NotAccepting, match="python -m bot restore"):
        await bot.service.submit(Source(ADA), CIRCLE)
    await bot.service.admin.resume(ADMIN)
    assert bot.service.state.status == "failed"
    for _ in range(50):
        await asyncio.sleep(0)
    assert waiting.status is JobStatus.QUEUED


async def test_a_database_that_was_replaced_is_no_longer_written(path, watching):
    """I2: a backup that was put back under a running bot would be damaged by it."""
    problems = watching(path)
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes())

    copy.replace(path)

    await until(lambda: problems)
    assert "was replaced while the bot ran" in problems[0]


async def test_a_large_database_is_checked_beside_the_running_bot(path, watching, monkeypatch):
    monkeypatch.setattr(soundness, "CHECKED_FIRST", 1000)
    assert not is_checked_first(path)
    damage(path)

    problems = watching(path, has_been_checked=False)

    await until(lambda: problems)
    assert "damaged" in problems[0]
    assert "python -m bot restore" in problems[0]


async def test_a_sound_database_is_checked_again_every_week(path, watching, monkeypatch, caplog):
    """I12"""
    caplog.set_level("INFO")
    monkeypatch.setattr(soundness, "CHECK_EVERY", 0.01)

    problems = watching(path)

    await until(lambda: caplog.text.count("was checked, and is sound") > 2)
    assert problems == []
    damage(path)
    await until(lambda: problems)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE entries SET credits = credits - 1 WHERE kind = 'charge'",
        "DELETE FROM entries WHERE kind = 'charge'",
        "UPDATE entries SET credits = 1000 WHERE kind = 'refund'",
        "UPDATE entries SET job_id = 'nobody00' WHERE kind = 'refund'",
    ],
)
async def test_a_ledger_that_does_not_fit_the_jobs_is_found(bot, gate, change):
    """I12: a bit that flips in a number leaves the file sound."""
    gate.open()
    await finished(await bot.service.submit(Source(ADA), CIRCLE))
    gate.fault = ValueError("no picture")
    await finished(await bot.service.submit(Source(ADA), CIRCLE))
    with closing(sqlite3.connect(bot.folder / "bot.sqlite3")) as db:
        check_all(db)
        db.execute("PRAGMA foreign_keys = OFF")

        with suppress(sqlite3.IntegrityError):
            db.execute(change)

        with pytest.raises(DatabaseDamaged, match="the ledger does not fit the jobs"):
            check_all(db)

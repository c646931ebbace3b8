"""Copies of the database are verified before they count, and put back whole."""

import asyncio
import os
import sqlite3
from contextlib import closing
from itertools import pairwise

import pytest

from bot import backups as module
from bot.backups import DAY, back_up, back_up_if_due, backups, made_at, restore, verify
from bot.database import Database, DatabaseDamaged, migrations

NOW = 1_700_000_000.0


def credits(path):
    with closing(sqlite3.connect(path)) as db:
        return [row[0] for row in db.execute("SELECT credits FROM entries ORDER BY number")]


async def grant(database, credits):
    await database.write(
        lambda db: db.execute(
            "INSERT INTO entries (user, kind, pot, credits, counts_at, made_at)"
            " VALUES ('web:ada', 'grant', 'grant', ?, 0, 0)",
            (credits,),
        )
    )


@pytest.fixture
async def database(tmp_path):
    database = await Database.open(tmp_path / "bot.sqlite3")
    await grant(database, 1)
    yield database
    await database.close()


async def test_a_database_in_use_is_copied_with_all_that_was_committed(database, tmp_path):
    copy = back_up(tmp_path / "bot.sqlite3", tmp_path / "backups", NOW)
    await grant(database, 2)

    assert copy.name == "2023-11-14T22-13-20.sqlite3"
    assert made_at(copy) == NOW
    assert credits(copy) == [1]
    assert backups(tmp_path / "backups") == [copy]
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


async def test_one_copy_is_made_a_day_and_old_ones_go(database, tmp_path):
    path, folder = tmp_path / "bot.sqlite3", tmp_path / "backups"
    made = [back_up_if_due(path, folder, 2, NOW + day * DAY) for day in (0, 0.9, 1, 2, 2.5)]

    assert [copy is not None for copy in made] == [True, False, True, True, False]
    assert backups(folder) == [made[3], made[2]]


async def test_a_copy_that_is_not_sound_is_no_backup(database, tmp_path, monkeypatch):
    def damaged(copy):
        raise DatabaseDamaged("rows missing")

    monkeypatch.setattr("bot.backups.verify", damaged)
    with pytest.raises(DatabaseDamaged):
        back_up(tmp_path / "bot.sqlite3", tmp_path / "backups", NOW)

    assert list((tmp_path / "backups").iterdir()) == []


async def test_half_copies_go_with_the_next_backup_and_half_files_of_others_stay(
    database, tmp_path
):
    folder = tmp_path / "backups"
    folder.mkdir()
    (folder / "2023-11-13T00-00-00.part").touch()
    (folder / "deletions.part").touch()

    copy = back_up(tmp_path / "bot.sqlite3", folder, NOW)

    assert {path.name for path in folder.iterdir()} == {copy.name, "deletions.part"}


async def test_a_backup_takes_the_place_of_a_damaged_database_and_nothing_is_thrown_away(tmp_path):
    path = tmp_path / "bot.sqlite3"
    database = await Database.open(path)
    await grant(database, 1)
    copy = back_up(path, tmp_path / "backups", NOW)
    await grant(database, 2)
    await database.close()
    path.write_bytes(b"\xff" * 5000)
    (tmp_path / "bot.sqlite3-wal").write_bytes(b"its log")

    aside = restore(path, copy, NOW)

    assert credits(path) == [1]
    assert (aside / "bot.sqlite3").read_bytes() == b"\xff" * 5000
    assert (aside / "bot.sqlite3-wal").read_bytes() == b"its log"
    assert not (tmp_path / "bot.sqlite3-wal").exists()
    again = await Database.open(path, is_checked=True)
    await grant(again, 3)
    await again.close()


async def test_what_is_not_sound_is_never_put_back(database, tmp_path):
    copy = back_up(tmp_path / "bot.sqlite3", tmp_path / "backups", NOW)
    half = tmp_path / "half.sqlite3"
    half.write_bytes(copy.read_bytes()[:9000])

    for bad in (half, tmp_path / "nowhere.sqlite3"):
        with pytest.raises(DatabaseDamaged):
            restore(tmp_path / "bot.sqlite3", bad, NOW)

    assert credits(tmp_path / "bot.sqlite3") == [1]
    empty = tmp_path / "empty.sqlite3"
    empty.touch()
    with pytest.raises(DatabaseDamaged, match="not a database of the bot"):
        verify(empty)


async def test_damage_is_found_before_anything_is_done(tmp_path):
    path = tmp_path / "bot.sqlite3"
    database = await Database.open(path)
    for number in range(2000):
        await grant(database, number) if number < 5 else None
    await database.write(
        lambda db: db.executemany(
            "INSERT INTO audit (made_at, admin, act) VALUES (0, ?, 'x')", [("a" * 200,)] * 2000
        )
    )
    await database.close()
    data = bytearray(path.read_bytes())
    data[20 * 4096 : 40 * 4096] = b"\xee" * (20 * 4096)
    path.write_bytes(data)

    with pytest.raises(DatabaseDamaged, match="the database is damaged"):
        await Database.open(path, is_checked=True)


# Migrations


def old_database(path, version):
    with closing(sqlite3.connect(path)) as db:
        for script in migrations()[:version]:
            db.executescript(script)
        db.execute(f"PRAGMA user_version = {version}")
        db.execute("INSERT INTO people (user, credits) VALUES ('web:ada', 7)")
        db.commit()


@pytest.mark.parametrize("version", range(1, len(migrations())))
async def test_every_old_schema_is_brought_up_to_date_and_a_copy_of_it_stays(tmp_path, version):
    path = tmp_path / "bot.sqlite3"
    old_database(path, version)

    await (await Database.open(path)).close()

    copy = tmp_path / f"before-schema-{len(migrations())}.sqlite3"
    for each, schema in ((path, len(migrations())), (copy, version)):
        with closing(sqlite3.connect(each)) as db:
            assert db.execute("PRAGMA user_version").fetchone() == (schema,)
            assert db.execute("SELECT credits FROM people").fetchone() == (7,)
    assert list(tmp_path.glob("*.trial*")) == []


@pytest.mark.parametrize("left", ["sqlite3", "trial"])
async def test_what_a_killed_migration_left_is_not_in_the_way_of_the_next(tmp_path, left):
    path = tmp_path / "bot.sqlite3"
    old_database(path, 1)
    leftover = tmp_path / f"before-schema-{len(migrations())}.{left}"
    leftover.write_bytes(b"half of a copy" * 1000)

    await (await Database.open(path)).close()

    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(migrations()),)
    assert list(tmp_path.glob("*.trial*")) == []


async def test_a_journal_that_a_killed_migration_left_is_not_taken_for_the_next_ones(tmp_path):
    path = tmp_path / "bot.sqlite3"
    old_database(path, 1)
    trial = tmp_path / f"before-schema-{len(migrations())}.trial"
    with closing(sqlite3.connect(tmp_path / "other", isolation_level=None)) as db:
        db.execute("CREATE TABLE other (text)")
        db.executemany("INSERT INTO other VALUES (?)", [("x" * 3000,)] * 50)
        db.execute("PRAGMA cache_size = 1")  # so that pages go to the disk before the commit
        db.execute("BEGIN")
        db.execute("UPDATE other SET text = text || 'y'")
        journal = (tmp_path / "other-journal").read_bytes()
    trial.with_name(f"{trial.name}-journal").write_bytes(journal)

    await (await Database.open(path)).close()

    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT credits FROM people").fetchone() == (7,)
    assert list(tmp_path.glob("*.trial*")) == []


async def test_a_migration_that_fails_is_found_out_on_a_copy(tmp_path, monkeypatch):
    path = tmp_path / "bot.sqlite3"
    old_database(path, 1)
    before = path.read_bytes()
    scripts = [*migrations()[:-1], "CREATE TABLE half (a); SELECT nonsense;"]
    monkeypatch.setattr("bot.database.migrations", lambda: scripts)

    with pytest.raises(DatabaseDamaged, match=r"cannot be brought to \d+: .* nothing was changed"):
        await Database.open(path)

    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("SELECT 1 FROM sqlite_master WHERE name = 'half'").fetchone() is None
    assert len(before) == path.stat().st_size


async def test_backing_up_does_not_hold_up_those_who_write(database, tmp_path):
    copying = asyncio.to_thread(back_up, tmp_path / "bot.sqlite3", tmp_path / "backups", NOW)

    await asyncio.gather(copying, *(grant(database, 2) for _ in range(20)))

    assert len(credits(tmp_path / "bot.sqlite3")) == 21


async def test_a_copy_goes_to_the_disk_a_little_at_a_time(database, tmp_path, monkeypatch):
    """All of it at once would hold up the bot's own syncs."""
    synced, fsync = [], os.fsync
    await database.write(lambda db: db.execute("CREATE TABLE large (content)"))
    for _ in range(8):
        await database.write(lambda db: db.execute("INSERT INTO large VALUES (zeroblob(1 << 20))"))
    monkeypatch.setattr(module, "SYNCED_AT_ONCE", 2**20)
    monkeypatch.setattr(module, "STEPS_BETWEEN_LOOKS", 1)
    monkeypatch.setattr(module, "SECONDS_BETWEEN_SYNCS", 0)

    def sync(handle):
        synced.append(os.fstat(handle).st_size)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", sync)
    copy = await asyncio.to_thread(back_up, tmp_path / "bot.sqlite3", tmp_path / "backups", NOW)

    sizes = [size for size in synced if 2**20 <= size < copy.stat().st_size]
    assert len(sizes) > 2
    assert all(after - before >= 2**20 for before, after in pairwise(sizes))

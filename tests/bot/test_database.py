"""Writers share a sync and keep out of each other's way; a schema is never downgraded."""

import asyncio
import sqlite3

import pytest

from bot.database import Database, SchemaTooNew, migrations
from bot.refusals import StorageTrouble


@pytest.fixture
async def database(tmp_path):
    database = await Database.open(tmp_path / "bot.sqlite3")
    yield database
    await database.close()


def add(admin):
    def work(db):
        db.execute("INSERT INTO audit (made_at, admin, act) VALUES (0, ?, 'x')", (admin,))
        return admin

    return work


async def admins(database):
    rows = await database.read(lambda db: db.execute("SELECT admin FROM audit").fetchall())
    return [row["admin"] for row in rows]


async def test_what_is_deleted_is_overwritten_whatever_the_library_does_by_default(tmp_path):
    database = await Database.open(tmp_path / "bot.sqlite3")

    (is_on,) = await database.write(lambda db: db.execute("PRAGMA secure_delete").fetchone())

    assert is_on == 1
    await database.close()


async def test_what_was_written_is_on_disk_for_another_process(database, tmp_path):
    await database.write(add("ada"))

    other = sqlite3.connect(tmp_path / "bot.sqlite3")
    assert other.execute("SELECT admin FROM audit").fetchall() == [("ada",)]
    other.close()


async def test_both_connections_are_durable_and_in_wal_mode(database):
    def pragmas(db):
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        return [db.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert await database.write(pragmas) == ["wal", 2, 1, 2000]
    assert await database.read(pragmas) == ["wal", 2, 1, 2000]


async def test_the_reading_connection_cannot_write(database):
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await database.read(add("ada"))


async def test_one_writer_that_fails_undoes_its_own_work_alone(database):
    def half(db):
        add("half")(db)
        raise ValueError("no")

    outcomes = await asyncio.gather(
        database.write(add("ada")),
        database.write(half),
        database.write(add("bob")),
        return_exceptions=True,
    )

    assert [type(each) for each in outcomes] == [str, ValueError, str]
    assert await admins(database) == ["ada", "bob"]


async def test_writers_that_come_together_share_commits(database):
    """A sync each would cap how many people can be answered in a second."""
    commits = []
    await database.write(
        lambda db: db.set_trace_callback(lambda sql: sql == "COMMIT" and commits.append(sql))
    )

    await asyncio.gather(*(database.write(add(str(number))) for number in range(50)))

    assert len(await admins(database)) == 50
    assert len(commits) <= 4  # the one that set the trace, too


async def test_a_writer_whose_caller_has_gone_is_carried_out_all_the_same(database):
    leaving = asyncio.create_task(database.write(add("ada")))
    staying = asyncio.create_task(database.write(add("bob")))
    await asyncio.sleep(0)
    leaving.cancel()

    await staying

    assert await admins(database) == ["ada", "bob"]


async def test_closing_finishes_what_was_begun(tmp_path):
    database = await Database.open(tmp_path / "bot.sqlite3")
    writing = asyncio.create_task(database.write(add("ada")))
    await asyncio.sleep(0)
    await database.close()
    await writing

    again = await Database.open(tmp_path / "bot.sqlite3")
    assert await admins(again) == ["ada"]
    await again.close()


async def test_a_locked_database_is_said_and_nothing_is_written(database, tmp_path, monkeypatch):
    await database.write(lambda db: db.execute("PRAGMA busy_timeout = 1"))
    other = sqlite3.connect(tmp_path / "bot.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StorageTrouble, match="busy; nothing was charged"):
        await database.write(add("ada"))

    other.execute("ROLLBACK")
    other.close()
    await database.write(add("bob"))
    assert await admins(database) == ["bob"]


async def test_a_full_disk_is_said_and_nothing_is_written(database):
    def fill(db):
        db.execute(f"PRAGMA max_page_count = {db.execute('PRAGMA page_count').fetchone()[0]}")

    await database.write(fill)

    def big(db):
        for _ in range(100):
            add("x" * 10_000)(db)

    with pytest.raises(StorageTrouble, match="disk is full; nothing was charged"):
        await database.write(big)

    assert await admins(database) == []


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "bot.sqlite3"
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 999")
    newer.close()

    with pytest.raises(SchemaTooNew, match="schema 999"):
        await Database.open(path)

    again = sqlite3.connect(path)
    assert again.execute("PRAGMA user_version").fetchone() == (999,)
    assert again.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    again.close()


async def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "bot.sqlite3"
    path.write_bytes(b"this is not a database at all, not even nearly" * 100)

    with pytest.raises(sqlite3.DatabaseError):
        await Database.open(path)


async def test_opening_twice_migrates_once(tmp_path):
    for _ in range(2):
        database = await Database.open(tmp_path / "bot.sqlite3")
        await database.close()

    db = sqlite3.connect(tmp_path / "bot.sqlite3")
    assert db.execute("PRAGMA user_version").fetchone() == (len(migrations()),)
    db.close()

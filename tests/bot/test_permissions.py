"""Other users of the machine can read nothing of the bot's."""

import os
import resource
import sqlite3
import stat
from contextlib import closing

import pytest
from PIL import Image

from bot.assembly.descriptors import raise_limit
from bot.assembly.doctor import permissions_finding
from bot.assembly.folder import lock
from bot.backups import back_up, restore
from bot.config import Config
from bot.database import Database, migrations
from bot.gallery import Gallery
from bot.jobs import Job
from bot.permissions import readable_by_others, secrets_are_open, tighten
from bot.restarts import Restarts
from bot.storage import Reserve
from generation.results import encoded
from generation.types import GenerationRequest

NOW = 1_700_000_000.0
FOX = GenerationRequest(
    prompt="a fox", num_inference_steps=3, guidance_scale=3.5, width=64, height=64, seed=1
)


@pytest.fixture(autouse=True)
def usual_umask():
    """Under which files are readable by all, whatever the umask of the person who runs this."""
    old = os.umask(0o022)
    yield
    os.umask(old)


def open_to_others(folder):
    """Names in *folder*, and of itself, that others may do anything with."""
    paths = [folder, *folder.rglob("*")]
    return [path.name for path in paths if stat.S_IMODE(path.lstat().st_mode) & 0o077]


async def filled(data):
    """A data folder with one of everything that a run writes."""
    with lock(data):
        Restarts(data / "starts.json").begin(NOW)
        Reserve(data / "reserve", size=4096)
        database = await Database.open(data / "bot.sqlite3")
        await database.write(lambda db: db.execute("INSERT INTO people (user) VALUES ('web:ada')"))
        names = {path.name for path in data.iterdir()}
        back_up(data / "bot.sqlite3", data / "backups", NOW)
        gallery = Gallery(data)
        gallery.keep_control_image(b"a picture")
        job = Job(id="k7m2p9xd", user="web:ada", request=FOX)
        gallery.save(job, 1, FOX, encoded(Image.new("RGB", (8, 8))))
        await database.close()
    return names


async def test_all_that_a_run_writes_is_the_bot_users_alone(tmp_path):
    names = await filled(tmp_path / "data")

    assert {"bot.sqlite3-wal", "bot.sqlite3-shm", "starts.json", "reserve"} <= names
    assert open_to_others(tmp_path / "data") == []


async def test_the_log_of_an_open_database_is_not_readable_by_others(tmp_path):
    database = await Database.open(tmp_path / "data" / "bot.sqlite3")
    await database.write(lambda db: db.execute("INSERT INTO people (user) VALUES ('web:ada')"))

    assert len(list((tmp_path / "data").iterdir())) >= 2
    assert open_to_others(tmp_path / "data") == []
    await database.close()


async def test_a_restored_database_is_the_bot_users_alone(tmp_path):
    data = tmp_path / "data"
    await filled(data)
    (copy,) = (data / "backups").iterdir()
    copy.chmod(0o644)

    aside = restore(data / "bot.sqlite3", copy, NOW)
    copy.chmod(0o600)

    assert aside is not None
    assert open_to_others(data) == []


async def test_the_copy_that_a_migration_leaves_is_the_bot_users_alone(tmp_path):
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    with closing(sqlite3.connect(data / "bot.sqlite3")) as db:
        db.executescript(migrations()[0] + "PRAGMA user_version = 1;")
    (data / "bot.sqlite3").chmod(0o600)

    await (await Database.open(data / "bot.sqlite3")).close()

    assert list(data.glob("before-schema-*.sqlite3"))
    assert open_to_others(data) == []


async def test_the_start_closes_what_an_earlier_version_left_open(tmp_path):
    data = tmp_path / "data"
    await filled(data)
    for path in [data, *data.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)

    tighten(data)

    assert open_to_others(data) == []


async def test_the_start_leaves_alone_what_is_not_its_own(tmp_path):
    """The data folder may be the one of the program, and links may lead anywhere."""
    outside, data = tmp_path / "outside", tmp_path / "data"
    outside.write_text("x")
    data.mkdir()
    (data / "config.toml").write_text("")
    (data / "tool.sh").write_text("x")
    (data / "tool.sh").chmod(0o755)
    (data / "images").symlink_to(tmp_path)

    tighten(data)

    assert [stat.S_IMODE(path.stat().st_mode) for path in (outside, data, data / "tool.sh")] == [
        0o644,
        0o755,
        0o755,
    ]


@pytest.mark.parametrize(("mode", "is_right"), [(0o600, True), (0o640, False), (0o604, False)])
def test_check_says_when_others_can_read_the_secrets(tmp_path, mode, is_right):
    env = tmp_path / ".env"
    env.write_text("DISCORD_TOKEN=x")
    env.chmod(mode)

    finding = permissions_finding(Config(storage={"data_dir": tmp_path / "data"}), env)

    assert finding.is_right is is_right
    assert is_right or f"chmod 600 {env}" in finding.sentence
    assert (secrets_are_open(env) is None) is is_right


async def test_check_says_that_data_is_readable(tmp_path):
    data = tmp_path / "data"
    await filled(data)
    data.chmod(0o755)
    (data / "bot.sqlite3").chmod(0o644)

    finding = permissions_finding(Config(storage={"data_dir": data}), tmp_path / ".env")

    assert "bot.sqlite3 can be read by others" in finding.sentence


async def test_files_in_a_folder_that_nobody_else_can_enter_are_not_readable(tmp_path):
    data = tmp_path / "data"
    await filled(data)
    (data / "bot.sqlite3").chmod(0o644)

    assert readable_by_others(data) is None

    data.chmod(0o711)
    assert readable_by_others(data) == data / "bot.sqlite3"


def test_the_limit_of_open_files_is_raised_to_the_hard_one():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
    try:
        raised = raise_limit()
        now = resource.getrlimit(resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert now == (raised, hard)
    assert raised in (hard, 65_536)

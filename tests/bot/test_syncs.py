"""A6: what somebody relies upon is on the disk, names included, whatever was there before."""

import os
from random import Random

import pytest

from bot.backups import back_up, restore
from bot.database import Database
from bot.gallery import Gallery
from bot.permissions import make_folder
from bot.syncs import sync
from tests.reliability.disk import losses
from tests.reliability.recording import Record
from tests.reliability.sqlite_calls import can_record
from tests.samples import picture

pytestmark = pytest.mark.skipif(not can_record(), reason="SQLite cannot be listened to here")


def disks(record):
    """Disks as they may be after a power loss now."""
    now = len(record.operations)
    return [tree for _, tree, _ in losses(record.operations, [now] * 40, Random(1))]


def test_a_folder_that_was_made_is_there_after_a_power_loss(tmp_path):
    record = Record(tmp_path)
    with record.running():
        make_folder(tmp_path / "data" / "images")

    assert all("data/images" in disk for disk in disks(record))


def test_a_folder_can_be_made_where_one_may_not_look(tmp_path, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("bot.permissions.sync", refused)
    make_folder(tmp_path / "data")

    assert (tmp_path / "data").is_dir()


def test_a_picture_that_a_killed_process_has_put_there_is_synced_before_a_job_relies_on_it(
    tmp_path,
):
    gallery, photo = Gallery(tmp_path), picture()
    path = gallery.control_image_path(photo)
    record = Record(tmp_path)
    with record.running():
        path.with_suffix(".part").write_bytes(photo)
        sync(path.with_suffix(".part"))
        os.replace(path.with_suffix(".part"), path)
        assert any(f"control-images/{path.name}" not in disk for disk in disks(record))

        gallery.keep_control_image(photo)

    assert all(disk[f"control-images/{path.name}"] == photo for disk in disks(record))


def test_no_power_loss_brings_a_picture_back_that_was_deleted(tmp_path):
    gallery = Gallery(tmp_path)
    gallery.picture_path("k7m2p9qa", 1).write_bytes(picture())
    record = Record(tmp_path)
    with record.running():
        gallery.delete("k7m2p9qa")

    assert not any("images/k7m2p9qa-1.png" in disk for disk in disks(record))


async def test_a_log_lies_beside_its_own_database_alone_however_a_restore_ends(tmp_path):
    path, log = tmp_path / "bot.sqlite3", tmp_path / "bot.sqlite3-wal"
    await (await Database.open(path)).close()
    copy = back_up(path, tmp_path / "backups", 1_700_000_000)
    log.write_bytes(b"a log that a killed bot has left")
    old = path.read_bytes()
    record = Record(tmp_path)
    with record.running():
        restore(path, copy, 1_700_086_400)

    moments = 40 * list(range(record.begin, len(record.operations) + 1))
    for _, tree, _ in losses(record.operations, moments, Random(1)):
        database = tree.get(path.name)
        assert database in (None, old, copy.read_bytes())
        assert database is None or (database == old) == (log.name in tree)

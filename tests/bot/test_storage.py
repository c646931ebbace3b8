"""The ground under the database is checked before it is trusted."""

import os
from types import SimpleNamespace

import pytest

from bot.restarts import LONGEST_WAIT, Restarts
from bot.storage import Reserve, has_wal_bug, network_file_system

MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /srv/team rw shared:9 - nfs4 server:/team rw
31 30 8:2 / /srv/team/local rw - xfs /dev/sdb1 rw
32 22 0:41 / /mnt/my\\040share rw - cifs //server/share rw
33 22 0:42 / /srv/team/local/far rw - ext4 /dev/sdc1 rw
34 22 0:43 / /srv/team/local/far rw - fuse.sshfs host:/ rw
not a line of it
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/lib/bot", None),
        ("/srv/team/bot/data", "nfs4"),
        ("/srv/teams", None),
        ("/srv/team/local/bot", None),
        ("/mnt/my share/data", "cifs"),
        ("/srv/team/local/far", "fuse.sshfs"),
    ],
)
def test_a_network_file_system_is_known_by_the_deepest_mount(folder, kind, tmp_path):
    assert network_file_system(tmp_path / folder, MOUNTS) == kind


def test_the_disk_that_tests_run_on_is_a_local_one(tmp_path):
    assert network_file_system(tmp_path) is None


@pytest.mark.parametrize(
    ("version", "has_it"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
    ],
)
def test_versions_of_sqlite_that_may_lose_a_commit_are_known(version, has_it):
    assert has_wal_bug(version) is has_it


def test_a_reserve_takes_room_gives_it_up_and_takes_it_again(tmp_path, monkeypatch):
    path = tmp_path / "reserve"
    reserve = Reserve(path, 100_000)
    assert path.stat().st_blocks * 512 >= 100_000

    reserve.release()
    reserve.release()
    assert not path.exists()

    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=150_000))
        assert not reserve.restore()
    assert reserve.restore()
    assert path.stat().st_size == 100_000


def test_a_disk_that_is_full_at_the_start_has_no_reserve_to_give(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("bot.storage._allocate", refuse)

    reserve = Reserve(tmp_path / "reserve", 100_000)

    assert reserve.is_released
    assert not (tmp_path / "reserve").exists()


# Starting again and again


def test_a_bot_that_keeps_crashing_waits_longer_each_time(tmp_path):
    waits = [Restarts(tmp_path / "starts.json").begin(1000.0 + number) for number in range(12)]

    assert waits[:7] == [0, 0, 0, 10, 20, 40, 80]
    assert waits[-1] == LONGEST_WAIT
    assert waits == sorted(waits)


def test_an_orderly_end_or_ten_quiet_minutes_are_a_fresh_start(tmp_path):
    restarts = Restarts(tmp_path / "starts.json")
    for number in range(5):
        restarts.begin(number)
    assert Restarts(tmp_path / "starts.json").begin(700.0) == 0

    for number in range(5):
        restarts.begin(800.0 + number)
    restarts.end()
    restarts.end()
    assert Restarts(tmp_path / "starts.json").begin(806.0) == 0


@pytest.mark.parametrize("text", ["", "nonsense", "{}", '["a", null]', "3"])
def test_a_damaged_list_of_starts_keeps_nobody_from_starting(tmp_path, text):
    (tmp_path / "starts.json").write_text(text)

    assert Restarts(tmp_path / "starts.json").begin(5.0) == 0

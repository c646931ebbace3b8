"""The data folder: one bot at a time, on a local disk."""

import os

import pytest

from bot.assembly.folder import FolderInUse, lock, lock_owner, with_database
from bot.config import Config, ConfigError
from bot.database import DatabaseDamaged


async def test_a_folder_that_cannot_be_made_is_said_in_a_sentence(run, tmp_path):
    (tmp_path / "file").write_text("")
    broken = {"FLUXBOT_STORAGE__DATA_DIR": str(tmp_path / "file" / "data")}

    for command in (("run",), ("quota", "show", "web:ada"), ("check",)):
        status, output = await run(*command, **broken)
        assert status == 1
        assert "cannot be" in output
        assert "Traceback" not in output


def test_a_folder_belongs_to_one_bot_until_its_lock_is_closed(tmp_path):
    assert lock_owner(tmp_path) is None
    with lock(tmp_path / "data"):
        assert lock_owner(tmp_path / "data") == str(os.getpid())
        with pytest.raises(FolderInUse, match=rf"\(process {os.getpid()}\) is using"):
            lock(tmp_path / "data")

    assert lock_owner(tmp_path / "data") is None
    lock(tmp_path / "data").close()


def test_a_folder_on_a_network_file_system_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("bot.assembly.folder.network_file_system", lambda folder: "nfs4")

    with pytest.raises(ConfigError, match=r"network file system \(nfs4\)"):
        lock(tmp_path)


def test_no_command_begins_anew_while_a_restore_has_still_to_put_the_backup_there(tmp_path):
    """I2"""
    aside = tmp_path / "replaced-20260131T000000"
    aside.mkdir()

    async def nothing(database):
        """Opening it is enough."""

    with pytest.raises(DatabaseDamaged, match=f"is gone, while its files are in {aside}"):
        with_database(Config(storage={"data_dir": tmp_path}), nothing)

    assert not (tmp_path / "bot.sqlite3").exists()

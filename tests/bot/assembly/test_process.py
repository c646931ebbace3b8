"""One run of the bot, as an operator meets it: real processes, told by what they print."""

import asyncio
import json
import re
import signal
import sqlite3
import time
from contextlib import suppress

import httpx
import psutil
import pytest

from bot import deletion_record
from bot.assembly import process as module
from bot.backups import back_up
from bot.config import Config, Secrets
from bot.database import DatabaseDamaged
from bot.restarts import Restarts
from tests.processes import Process


async def test_the_page_answers_while_the_model_is_still_being_loaded(started):
    bot = await started()

    async with httpx.AsyncClient(base_url=bot.address, timeout=60) as web:
        page, health = await web.get("/"), await web.get("/health")

        assert page.status_code == 200
        assert "<title>" in page.text
        assert health.json()["status"] == "ok"
        # torch is imported on the engine's thread, after the page is there.
        assert "importing torch" not in bot.output


@pytest.mark.parametrize("process", ["thread", "child"])
async def test_a_prompt_becomes_a_picture_and_ctrl_c_ends_the_bot(started, process, tmp_path):
    bot = await started(FLUXBOT_ENGINE__PROCESS=process)
    await bot.until("ready to draw")
    children = psutil.Process(bot.process.pid).children()
    assert len(children) == (process == "child")

    async with httpx.AsyncClient(base_url=bot.address, timeout=60) as web:
        body = {"prompt": "a red circle", "num_inference_steps": 2, "width": 64, "height": 64}
        drawn = await web.post("/api/generate", json=body)

    assert drawn.json()["image"].startswith("data:image/png;base64,")
    bot.process.send_signal(signal.SIGINT)
    assert await bot.ended() == 0
    assert "stopping" in bot.output
    assert "Traceback" not in bot.output
    assert not re.search("WARNING.*SQLite", bot.output), "what calls for nothing is no warning"
    assert not any(child.is_running() for child in children)
    assert not (tmp_path / "data" / "starts.json").exists(), "this was no crash"


async def test_a_second_bot_on_the_same_database_names_the_first_and_gives_way(started, run):
    bot = await started()

    status, output = await run("run")

    assert status == 75
    assert f"another bot (process {bot.process.pid}) is using" in output


async def test_a_port_that_is_taken_is_said_with_the_way_out(started, tmp_path):
    bot = await started()
    port = bot.address.rsplit(":", 1)[1]

    other = await Process(tmp_path / "other", FLUXBOT_WEB__PORT=port).start("run")

    assert await other.ended() == 1
    assert f"port {port} on 127.0.0.1 is in use" in other.output
    assert "web.port" in other.output
    assert "Traceback" not in other.output


async def test_an_address_that_others_can_reach_needs_tokens(run):
    status, output = await run("run", FLUXBOT_WEB__HOST="0.0.0.0")

    assert status == 1
    assert "FLUXBOT_WEB_TOKENS" in output


async def test_a_mistake_in_the_configuration_stops_the_start(run):
    status, output = await run("run", FLUXBOT_QUOTA__CREDTIS="3")

    assert (status, "did you mean credits?" in output) == (1, True)
    assert "Traceback" not in output


async def test_a_damaged_database_is_said_in_a_sentence(run, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "bot.sqlite3").write_bytes(b"no database at all " * 1000)

    status, output = await run("run")
    checked, findings = await run("check")

    assert (status, checked) == (1, 1)
    assert "bot.sqlite3 cannot be used: file is not a database" in output
    assert re.search(r"✗ +database", findings)
    assert "Traceback" not in output + findings


async def test_a_backup_takes_the_place_of_a_damaged_database(run, tmp_path):
    data = tmp_path / "data"
    assert "50 were granted" in (await run("quota", "grant", "discord:5", "50"))[1]
    copy = back_up(data / "bot.sqlite3", data / "backups", 1_700_000_000)
    (data / "bot.sqlite3").write_bytes(b"no database at all " * 1000)

    status, refused = await run("run")
    restored, output = await run("restore", "--yes")

    assert (status, restored) == (1, 0)
    assert f"{copy.name} can take its place: python -m bot restore" in refused
    assert "The old files are in" in output
    assert "10050 credits left" in (await run("quota", "show", "discord:5"))[1]


async def test_a_database_that_is_gone_is_not_replaced_by_an_empty_one(run, tmp_path):
    """I2"""
    data = tmp_path / "data"
    await run("quota", "grant", "discord:5", "50")
    copy = back_up(data / "bot.sqlite3", data / "backups", 1_700_000_000)
    (data / "bot.sqlite3").unlink()

    status, output = await run("run")
    checked, findings = await run("check")

    assert (status, checked) == (1, 1)
    sentence = f"is gone, while there are backups of it ({copy.name}): bring it back, or python -m"
    assert sentence in output
    assert re.search(r"✗ +database", findings)
    assert not (data / "bot.sqlite3").exists()
    assert (await run("restore", "--yes"))[0] == 0
    assert "10050 credits left" in (await run("quota", "show", "discord:5"))[1]


def test_a_start_clears_away_the_half_copy_that_a_restore_has_left(tmp_path):
    half, database = tmp_path / "bot.part", tmp_path / "bot.sqlite3"
    half.touch()
    database.write_bytes(b"no database at all " * 1000)
    config = Config(storage={"data_dir": tmp_path})

    with pytest.raises(DatabaseDamaged):
        module.run(config, Secrets(), tmp_path / "config.toml", print)

    assert not half.exists()


async def test_pictures_without_a_database_are_not_taken_over_by_an_empty_one(run, tmp_path):
    """I2"""
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "data" / "images" / "k7m2p9qa-1.png").write_bytes(b"a picture")

    status, output = await run("run")

    assert (status, "is gone, while there are pictures in" in output) == (1, True)


async def test_a_restored_backup_does_not_bring_back_what_was_deleted_since(run, tmp_path):
    data = tmp_path / "data"
    await run("quota", "grant", "discord:5", "50")
    back_up(data / "bot.sqlite3", data / "backups", 1_700_000_000)
    record = data / "backups" / "deletions.json"
    deletion_record.note(record, "discord:5", None, 1_700_000_001, keep_for=60)

    _, output = await run("restore", "--yes")

    assert "Deletions asked for since, which the next start repeats: 1." in output
    db = sqlite3.connect(data / "bot.sqlite3")
    assert db.execute("SELECT user FROM due_deletions").fetchall() == [("discord:5",)]
    db.close()


async def test_a_bot_that_keeps_crashing_listens_at_once_and_says_when_it_draws(started, tmp_path):
    """I4: the page never goes dark, and what people ask for meanwhile is kept."""
    (tmp_path / "data").mkdir()
    now = time.time()
    (tmp_path / "data" / "starts.json").write_text(json.dumps([now - 1] * 9))

    bot = await started()

    assert "pictures drawn, in 300 s; jobs are accepted now" in bot.output
    async with httpx.AsyncClient(base_url=bot.address, timeout=60) as web:
        asked = await web.post("/api/jobs", json={"prompt": "a red circle"})
        assert asked.status_code == 202
        while (engine := (await web.get("/api/status")).json()["engine"])["status"] == "loading":
            await asyncio.sleep(0.05)
        assert engine["status"] == "paused"
        assert "crashed again and again: it draws again in 5 minutes" in engine["message"]
    bot.process.send_signal(signal.SIGTERM)
    assert await bot.ended() == 0
    assert not (tmp_path / "data" / "starts.json").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_model_that_is_still_loading_does_not_hold_up_the_end(started, number):
    bot = await started()
    await bot.until("importing torch")

    bot.process.send_signal(number)
    await bot.until("stopping")
    bot.process.send_signal(number)  # the second one means now

    assert await bot.ended() in (0, 1)
    assert "ready to draw" not in bot.output


async def test_an_engine_that_does_not_stop_does_not_keep_the_bot_from_ending(
    tmp_path, monkeypatch, caplog
):
    """The end is no failure, and the next start need not wait."""

    class Hung:
        is_drawing = True

        async def run(self):
            while not let_go.is_set():
                with suppress(asyncio.CancelledError):
                    await let_go.wait()

        async def finish(self, seconds):
            pass

        async def fail(self, problem):
            pass

    async def service(*parts):
        return Hung()

    let_go, stop, ended = asyncio.Event(), asyncio.Event(), []
    monkeypatch.setattr(module, "SECONDS_TO_STOP", 0.01)
    monkeypatch.setattr(module, "_service", service)
    monkeypatch.setattr(module, "_stop_on_signals", lambda: stop)
    monkeypatch.setattr(module.os, "_exit", ended.append)
    stop.set()
    starts = tmp_path / "starts.json"

    await module._run(
        Config(storage={"data_dir": tmp_path}),
        Secrets(),
        tmp_path / "config.toml",
        print,
        (),
        Restarts(starts),
    )
    let_go.set()

    assert ended == [0]
    assert not starts.exists()
    assert "the next start draws the picture again" in caplog.text


async def test_check_and_run_agree_on_a_newer_schema(run, tmp_path):
    (tmp_path / "data").mkdir()
    db = sqlite3.connect(tmp_path / "data" / "bot.sqlite3")
    db.execute("PRAGMA user_version = 999")
    db.close()

    for command in ("run", "check"):
        status, output = await run(command)
        assert (status, "schema 999" in output) == (1, True)

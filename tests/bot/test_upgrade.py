"""The folder of a month ago under today's bot, and today's folder under an older one."""

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from PIL import Image, PngImagePlugin

from bot.config import load_config
from bot.database import migrations
from tests.bot.test_old_rows import SECOND_SHAPE

#: As it was when the schema was the fourth.
SCHEMA = 4
CONFIG = Path(__file__).parent.parent / "upgrade" / "config.toml"
DRAWN, WAITING, FAILED = "k7m2p9xd", "k7m2p9xe", "k7m2p9xf"
USER = "web:local"

JOB = (
    "INSERT INTO jobs (id, user, status, prompt, request, images, cost, submitted_at, finished_at,"
    " seconds, error, turn, attempts) VALUES (?, ?, ?, ?, ?, 1, 12, ?, ?, ?, ?, ?, ?)"
)
#: Younger than the pictures that are deleted for their age.
NOW = time.time() - 20 * 86_400


@pytest.fixture
def folder(tmp_path):
    """The data folder of a month ago: a picture, a job that waits, one that failed, credits."""
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    (data / "control-images").mkdir()
    text = PngImagePlugin.PngInfo()
    text.add_itxt("fluxbot", json.dumps({"job": DRAWN, **SECOND_SHAPE}))
    fox = Image.new("RGB", (64, 64), "orange")
    fox.save(data / "images" / f"{DRAWN}-1.png", pnginfo=text)
    fox.save(data / "images" / f"{DRAWN}-thumbnail.webp")
    request = json.dumps(SECOND_SHAPE)
    with closing(sqlite3.connect(data / "bot.sqlite3")) as db:
        for script in migrations()[:SCHEMA]:
            db.executescript(script)
        db.execute(f"PRAGMA user_version = {SCHEMA}")
        for row in [
            (DRAWN, USER, "succeeded", "a fox in snow", request, NOW, NOW + 3, 2.5, None, 1, 1),
            (
                FAILED,
                USER,
                "failed",
                "a fox in snow",
                request,
                NOW,
                NOW + 3,
                None,
                "it broke",
                2,
                1,
            ),
            (WAITING, USER, "queued", "a fox in snow", request, NOW, None, None, None, None, 0),
        ]:
            db.execute(JOB, row)
        for job, kind, credits in [(DRAWN, "charge", -12), (FAILED, "charge", -12)]:
            db.execute(
                "INSERT INTO entries (user, kind, pot, credits, counts_at, made_at, job_id)"
                " VALUES (?, ?, 'grant', ?, ?, ?, ?)",
                (USER, kind, credits, NOW, NOW, job),
            )
        db.execute(
            "INSERT INTO entries (user, kind, pot, credits, counts_at, made_at, made_by)"
            " VALUES (?, 'grant', 'grant', 100, ?, ?, 'web:local')",
            (USER, NOW, NOW),
        )
        db.execute(
            "INSERT INTO people (user, credits, settings) VALUES (?, 50, ?)",
            (USER, json.dumps({"num_inference_steps": 5})),
        )
        db.execute("INSERT INTO switches VALUES ('paused', 'an old pause')")
        db.commit()
    return data


def schema_of(path):
    with closing(sqlite3.connect(path)) as db:
        return db.execute("PRAGMA user_version").fetchone()[0]


def test_the_configuration_of_a_month_ago_is_read_with_what_the_operator_has_changed(caplog):
    config = load_config(CONFIG)

    assert (config.model.offload_level, config.quota.credits) == ("model-offload", 777)
    assert "woodcut" in config.presets
    assert "model.placement is the old name of model.offload_level" in caplog.text


async def test_todays_bot_takes_the_whole_folder_of_a_month_ago(started, folder):
    """Its figures for Prometheus and its log as JSON are looked at too, since a start costs."""
    bot = await started(
        "--config",
        str(CONFIG),
        FLUXBOT_METRICS__ENABLED="true",
        FLUXBOT_METRICS__PORT="0",
        FLUXBOT_LOGS__FORMAT="json",
    )
    figures = (await bot.until(r"(http://127\.0\.0\.1:\d+/metrics)"))[1]

    async with httpx.AsyncClient(base_url=bot.address, timeout=60) as http:
        jobs = {job["id"]: job for job in (await http.get("/api/history")).json()["jobs"]}
        picture = await http.get(jobs[DRAWN]["pictures"][0]["url"])
        credits = (await http.get("/api/quota")).json()
        waiting = (await http.get(f"/api/jobs/{WAITING}")).json()
        scraped = (await http.get(figures)).text

    assert {id: job["status"] for id, job in jobs.items() if id != WAITING} == {
        DRAWN: "succeeded",
        FAILED: "failed",
    }
    assert picture.content == (folder / "images" / f"{DRAWN}-1.png").read_bytes()
    assert 'fluxbot_engine_state{engine="engine-1"' in scraped
    assert json.loads(bot.output.splitlines()[-1])["message"].startswith("figures for Prometheus")
    assert waiting["status"] in ("queued", "running")
    assert credits["left"] == 50 + 100 - 24
    assert "model.placement is the old name" in bot.output
    assert schema_of(folder / "bot.sqlite3") == len(migrations())
    assert schema_of(folder / f"before-schema-{len(migrations())}.sqlite3") == SCHEMA


async def test_an_older_bot_leaves_a_newer_database_alone_and_says_what_to_do(run, folder):
    newer = len(migrations()) + 1
    with closing(sqlite3.connect(folder / "bot.sqlite3")) as db:
        db.execute(f"PRAGMA user_version = {newer}")
    before = (folder / "bot.sqlite3").read_bytes()

    status, said = await run("run", "--config", str(CONFIG))

    assert status == 1
    assert f"the database has schema {newer}, this version of the bot knows {newer - 1}" in said
    assert "update the bot, or put back the copy that the update kept" in said
    assert "Traceback" not in said
    with closing(sqlite3.connect(folder / "bot.sqlite3")) as db:
        assert db.execute("SELECT count(*) FROM jobs").fetchone() == (3,)
    assert len((folder / "bot.sqlite3").read_bytes()) == len(before)

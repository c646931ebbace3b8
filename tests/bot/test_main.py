"""The command line, as an operator meets it: real processes, told by what they print."""

import json
import re
import sqlite3
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.__main__ import app
from bot.backups import back_up
from bot.commands import ImagineCommand
from bot.database import migrations
from bot.source import Source
from tests.bot.test_old_rows import FIRST_SHAPE, write_row
from tests.conftest import ADA, Bot
from tests.processes import Process

ROOT = Path(__file__).parent.parent.parent


async def test_without_a_token_there_is_no_invitation(run):
    status, said = await run("invite")

    assert status == 1
    assert "DISCORD_TOKEN is not set; docs/discord.md" in said


async def test_quotas_are_granted_shown_and_reset_from_the_command_line(run, tmp_path):
    assert "10000 credits left" in (await run("quota", "show", "discord:5"))[1]
    assert "50 were granted by an admin" in (await run("quota", "grant", "discord:5", "50"))[1]
    assert "10050 credits left" in (await run("quota", "reset", "discord:5"))[1]

    db = sqlite3.connect(tmp_path / "data" / "bot.sqlite3")
    kinds = db.execute("SELECT kind, made_by FROM entries ORDER BY number").fetchall()
    acts = db.execute("SELECT admin, act, subject, detail FROM audit ORDER BY number").fetchall()
    db.close()
    assert kinds == [("grant", "command line"), ("reset", "command line")]
    assert acts == [
        ("command line", "grant", "discord:5", "50"),
        ("command line", "reset quota", "discord:5", None),
    ]


async def test_the_audit_log_is_searched_on_the_command_line(run):
    await run("quota", "grant", "discord:5", "50")
    await run("quota", "reset", "discord:6")

    lines = (await run("audit", "--json"))[1].splitlines()
    assert [json.loads(line)["act"] for line in lines] == ["reset quota", "grant"]
    found = (await run("audit", "discord:5", "--limit", "1"))[1]
    assert "command line · grant discord:5 50" in found
    assert found.count("\n") == 1


@pytest.mark.parametrize("user", ["somebody", "web:", ":", "myspace:ada", "web:a b"])
@pytest.mark.parametrize("command", [("quota", "show"), ("history", "--user")])
def test_who_cannot_be_anybody_is_refused_on_the_command_line(command, user, monkeypatch, tmp_path):
    monkeypatch.setenv("FLUXBOT_STORAGE__DATA_DIR", str(tmp_path / "data"))
    ran = CliRunner().invoke(app, [*command, user, "--config", str(ROOT / "config.toml")])

    sentence = "there are web, discord, slack" if "my" in user else "written platform:id"
    assert (ran.exit_code, sentence in ran.output) == (1, True)


def test_a_number_of_credits_below_one_is_refused_as_a_number():
    ran = CliRunner().invoke(app, ["quota", "grant", "web:ada", "-5"])

    assert ran.exit_code == 2
    assert "Invalid value for" in ran.output, "and not: no such option"


async def test_prompts_and_descriptions_with_brackets_are_printed_as_they_are(
    run, tmp_path, gate, clock
):
    bot = Bot(tmp_path / "data", gate, clock)
    service = await bot.start()
    await service.submit(Source("web:local"), ImagineCommand("a [/b] fox"))
    gate.open()
    await bot.stop()

    listed = (await run("history"))[1]
    assert "a [/b] fox" in listed
    assert "2023-11-14 22:13" in listed, "when it was asked for"
    listed = await run("presets", FLUXBOT_PRESETS__PLAIN__DESCRIPTION="all [/] of [b]it")
    assert "all [/] of [b]it" in listed[1]


async def test_settings_and_secrets_are_read_from_dotenv(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "config.toml").write_text("")
    (folder / ".env").write_text("FLUXBOT_QUOTA__CREDITS=77\n")
    process = Process(tmp_path, PYTHON_DOTENV_DISABLED="")
    config = str(folder / "config.toml")

    await process.start("quota", "show", "web:ada", "--config", config)

    assert await process.ended() == 0
    assert "77 credits left" in process.output


async def test_presets_and_history_are_listed(run):
    status, output = await run("presets")
    assert (status, "demo/controlnet-canny" in output) == (0, True)
    assert (await run("history")) == (0, "Nothing was found.\n")


async def test_help_names_every_command(run):
    _, output = await run("--help")

    for command in (
        "init",
        "run",
        "check",
        "people",
        "presets",
        "history",
        "quota",
        "cache",
        "restore",
    ):
        assert re.search(rf"^\W*{command}\s{{2}}", output, re.MULTILINE), command


def test_the_version_is_said_and_is_that_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    said = CliRunner().invoke(app, ["--version"]).output

    assert said.startswith(f"fluxbot {project['version']}, database schema {len(migrations())}, Py")


def test_backups_are_listed_and_one_is_put_back_once_the_operator_says_yes(tmp_path, monkeypatch):
    data = tmp_path / "data"
    monkeypatch.setenv("FLUXBOT_STORAGE__DATA_DIR", str(data))
    (data / "backups").mkdir(parents=True)
    database = data / "bot.sqlite3"
    write_row(database, len(migrations()), FIRST_SHAPE)
    copy = back_up(database, data / "backups", 1_700_000_000)
    (data / "backups" / "2023-11-15T00-00-00.sqlite3").write_bytes(b"no database " * 999)
    database.write_bytes(b"newer")

    def invoke(*words, says=None):
        command = [*words, "--config", str(ROOT / "config.toml")]
        return CliRunner().invoke(app, command, input=says, env={"COLUMNS": "300"})

    listed = invoke("restore", "--list").output.splitlines()
    assert [line.split()[-2] for line in listed[1:]] == ["damaged", "sound"]
    assert listed[2].startswith("2023-11-14 22:13")
    nobody, no = invoke("restore"), invoke("restore", says="n\n")
    assert (nobody.exit_code, "nobody has answered" in nobody.output) == (1, True)
    assert (no.exit_code, "Nothing was changed." in no.output) == (0, True)
    assert database.read_bytes() == b"newer"

    yes = invoke("restore", says="y\n")
    assert f"Replace {database} by {copy.name} (2023-11-14 22:13 UTC)?" in yes.output
    assert (yes.exit_code, "a fox" in invoke("history", "--user", ADA).output) == (0, True)

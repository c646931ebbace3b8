"""The command line, as an operator meets it: real processes, told by what they print."""

import json
import re
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.__main__ import app
from bot.commands import ImagineCommand
from bot.source import Source
from tests.conftest import Bot
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

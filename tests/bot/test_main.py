"""The command line, as an operator meets it: real processes, told by what they print."""

import asyncio
import base64
import json
import os
import re
import signal
import socket
import sqlite3
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image
from typer.testing import CliRunner

from bot.__main__ import (
    _about,
    _check_model,
    _check_sqlite,
    _check_web,
    _keep_going,
    _lock,
    _needs_child,
    app,
)
from bot.backups import back_up
from bot.commands import ImagineCommand
from bot.config import Config, ConfigError, Secrets, load_config
from generation.demo.vocabulary import unknown_words
from generation.types import GenerationRequest
from tests.conftest import Bot

ROOT = Path(__file__).parent.parent.parent


class Process:
    """``python -m bot`` with a folder of its own."""

    def __init__(self, folder, **variables):
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("FLUXBOT_")},
            "FLUXBOT_STORAGE__DATA_DIR": str(folder / "data"),
            "FLUXBOT_STORAGE__DOWNLOAD_DIR": str(folder / "download"),
            "FLUXBOT_WEB__PORT": "0",
            "COLUMNS": "200",
            "NO_COLOR": "1",
            "HF_HUB_OFFLINE": "1",
            **variables,
        }
        self.output = ""
        self.address = None

    async def start(self, *arguments):
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bot",
            *arguments,
            cwd=ROOT,
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        return self

    async def until(self, pattern):
        """Read on until a line matches; returns the match."""
        while line := (await self.process.stdout.readline()).decode():
            self.output += line
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"never said {pattern!r}:\n{self.output}")

    async def ended(self):
        self.output += (await self.process.stdout.read()).decode()
        return await self.process.wait()


@pytest.fixture
async def run(tmp_path):
    """Runs ``python -m bot ARGUMENTS`` to its end: (exit status, output)."""

    async def run(*arguments, **variables):
        process = await Process(tmp_path, **variables).start(*arguments)
        return await process.ended(), process.output

    return run


@pytest.fixture
async def started(tmp_path):
    processes = []

    async def start(*arguments, **variables):
        process = await Process(tmp_path, **variables).start("run", *arguments)
        processes.append(process)
        process.address = (await process.until(r"(http://127\.0\.0\.1:\d+)"))[1]
        return process

    yield start
    for process in processes:
        if process.process.returncode is None:
            process.process.kill()
        await process.ended()


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
    assert "set FLUXBOT_WEB_TOKENS" in output


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
    restored, output = await run("restore")

    assert (status, restored) == (1, 0)
    assert f"{copy.name} can take its place: python -m bot restore" in refused
    assert "What was there lies in" in output
    assert "10050 credits left" in (await run("quota", "show", "discord:5"))[1]


async def test_a_bot_that_keeps_crashing_waits_and_can_be_stopped_meanwhile(tmp_path):
    (tmp_path / "data").mkdir()
    now = time.time()
    (tmp_path / "data" / "starts.json").write_text(json.dumps([now - 3, now - 2, now - 1]))
    bot = await Process(tmp_path).start("run")
    await bot.until("waiting 10 s this time")

    bot.process.send_signal(signal.SIGTERM)

    assert await bot.ended() == 0
    assert not (tmp_path / "data" / "starts.json").exists()
    assert "Open" not in bot.output


@pytest.mark.parametrize(
    ("process", "device", "has_gpu", "needs_child"),
    [
        ("auto", "auto", False, False),
        ("auto", "auto", True, True),
        ("auto", "cuda:1", False, True),
        ("auto", "cpu", True, False),
        ("thread", "cuda", True, False),
        ("child", "cpu", False, True),
    ],
)
def test_an_engine_on_a_gpu_has_a_process_of_its_own(
    monkeypatch, process, device, has_gpu, needs_child
):
    monkeypatch.setattr("bot.__main__.has_gpu", lambda: has_gpu)
    config = Config(engine={"process": process}, model={"device": device})

    assert _needs_child(config) is needs_child


async def test_check_says_what_is_right_in_plain_words(run):
    status, output = await run("check")

    assert status == 0
    for words in ("config.toml is sound", "will be made at the first start", "GB free", "torch 2."):
        assert words in output
    assert "✗" not in output


@pytest.fixture
def faulty_preset(tmp_path):
    """The options that name a configuration with a preset over what does not exist."""
    path = tmp_path / "config.toml"
    shipped = (ROOT / "config.toml").read_text(encoding="utf-8")
    own = '[presets.p]\ncontrolnet = "./nets/mine"\npreprocessor = "canny"\n'
    path.write_text(shipped + own, encoding="utf-8")
    return "--config", str(path)


async def test_check_and_download_name_a_preset_over_a_folder_that_does_not_exist(
    run, faulty_preset
):
    for command in ("check", "download"):
        status, output = await run(command, *faulty_preset)

        assert status == 1
        assert "preset p: the folder ./nets/mine does not exist" in output


async def test_a_preset_over_a_folder_that_does_not_exist_is_refused_alone(
    started, faulty_preset, tmp_path
):
    bot = await started(*faulty_preset)
    picture = tmp_path / "picture.png"
    Image.new("RGB", (64, 64), "red").save(picture)
    small = {"num_inference_steps": 1, "width": 64, "height": 64}

    async with httpx.AsyncClient(base_url=bot.address, timeout=60) as web:
        plain = await web.post("/api/generate", json={"prompt": "a red circle", **small})
        image = base64.b64encode(picture.read_bytes()).decode()
        guide = {"preset": "p", "image": image}
        body = {"prompt": "a red circle", "controlnet": guide, **small}
        over_nothing = await web.post("/api/generate", json=body)

    assert plain.json()["image"].startswith("data:image/png;base64,")
    assert "the folder ./nets/mine does not exist" in over_nothing.text
    bot.process.send_signal(signal.SIGINT)
    assert await bot.ended() == 0
    assert "WARNING  preset p: the folder ./nets/mine does not exist" in bot.output
    assert "no room is planned" not in bot.output, "that would say it twice"


DEV = {"FLUXBOT_MODEL__REPOSITORY": "black-forest-labs/FLUX.1-dev", "HF_TOKEN": ""}


async def test_check_prints_an_address_in_one_piece_however_narrow_the_terminal(run):
    status, output = await run("check", COLUMNS="60", **DEV)

    page = "https://huggingface.co/black-forest-labs/FLUX.1-dev/blob/main/LICENSE.md"
    assert (status, page in output) == (1, True)


async def test_check_knows_that_a_gated_model_does_not_come_without_a_token(run):
    accepted = {"FLUXBOT_MODEL__ACCEPT_LICENSE": "true"}
    status, output = await run("check", **{**DEV, **accepted})

    assert status == 1
    assert re.search(r"✗ +model +black-forest-labs/FLUX.1-dev is gated: accept its lic", output)
    assert "HF_TOKEN" in output


@pytest.mark.parametrize("is_in_cache", [True, False])
def test_check_asks_for_no_token_where_the_model_is_in_the_cache(monkeypatch, is_in_cache):
    config = load_config(ROOT / "config.toml")
    model = config.model.model_copy(
        update={"repository": "black-forest-labs/FLUX.1-dev", "accept_license": True}
    )
    folder = ROOT if is_in_cache else None
    monkeypatch.setattr("generation.hub.cached", lambda wanted: folder)
    monkeypatch.setattr("generation.hub.stored_token", lambda: None)

    _, is_right, _ = _check_model(config.model_copy(update={"model": model}), Secrets())

    assert is_right is is_in_cache


async def test_check_says_that_the_port_is_in_use_unless_it_is_the_bot_itself(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        config = Config(web={"port": port}, storage={"data_dir": tmp_path})

        _, is_right, sentence = _check_web(config, Secrets())
        with _lock(tmp_path):
            _, is_right_while_running, running = _check_web(config, Secrets())

    assert not is_right
    assert f"web.port = {port}: address already in use; set another one" in sentence
    assert is_right_while_running
    assert f"the bot is running (process {os.getpid()})" in running
    assert _check_web(config, Secrets())[1]


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ((3, 51, 3), ("SQLite 3.51.3",)),
        ((3, 40, 1), ("SQLite 3.40.1", "damage the database", "bot restore", "3.51.3 or newer")),
    ],
)
def test_check_tells_what_a_bug_of_sqlite_means_and_what_helps(version, words):
    _, is_right, sentence = _check_sqlite(version)

    assert is_right, "Debian 12 comes with it, and the bot runs there"
    assert all(word in sentence for word in words)
    assert ("bug" in sentence) is (len(words) > 1)


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


@pytest.mark.parametrize("user", ["somebody", "web:", ":", "myspace:ada", "web:a b"])
@pytest.mark.parametrize("command", [("quota", "show"), ("history", "--user")])
def test_who_cannot_be_anybody_is_refused_on_the_command_line(command, user, monkeypatch, tmp_path):
    monkeypatch.setenv("FLUXBOT_STORAGE__DATA_DIR", str(tmp_path / "data"))
    ran = CliRunner().invoke(app, [*command, user, "--config", str(ROOT / "config.toml")])

    sentence = "there are web, discord, slack" if "my" in user else "reads platform:id"
    assert (ran.exit_code, sentence in ran.output) == (1, True)


def test_a_number_of_credits_below_one_is_refused_as_a_number():
    ran = CliRunner().invoke(app, ["quota", "grant", "web:ada", "-5"])

    assert ran.exit_code == 2
    assert "Invalid value for" in ran.output, "and not: no such option"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_model_that_is_still_loading_does_not_hold_up_the_end(started, number):
    bot = await started()
    await bot.until("importing torch")

    bot.process.send_signal(number)
    await bot.until("stopping")
    bot.process.send_signal(number)  # the second one means now

    assert await bot.ended() in (0, 1)
    assert "ready to draw" not in bot.output


async def test_prompts_and_descriptions_with_brackets_are_printed_as_they_are(
    run, tmp_path, gate, clock
):
    bot = Bot(tmp_path / "data", gate, clock)
    service = await bot.start()
    await service.submit("web:local", ImagineCommand("a [/b] fox"))
    gate.open()
    await bot.stop()

    assert "a [/b] fox" in (await run("history"))[1]
    listed = await run("presets", FLUXBOT_PRESETS__PLAIN__DESCRIPTION="all [/] of [b]it")
    assert "all [/] of [b]it" in listed[1]


async def test_a_folder_that_cannot_be_made_is_said_in_a_sentence(run, tmp_path):
    (tmp_path / "file").write_text("")
    broken = {"FLUXBOT_STORAGE__DATA_DIR": str(tmp_path / "file" / "data")}

    for command in (("run",), ("quota", "show", "web:ada"), ("check",)):
        status, output = await run(*command, **broken)
        assert status == 1
        assert "cannot be" in output
        assert "Traceback" not in output


async def test_check_and_run_agree_on_a_newer_schema(run, tmp_path):
    (tmp_path / "data").mkdir()
    db = sqlite3.connect(tmp_path / "data" / "bot.sqlite3")
    db.execute("PRAGMA user_version = 999")
    db.close()

    for command in ("run", "check"):
        status, output = await run(command)
        assert (status, "schema 999" in output) == (1, True)


async def test_check_knows_a_model_that_can_never_be_found(run):
    status, output = await run(
        "check", FLUXBOT_MODEL__REPOSITORY="nonsense", FLUXBOT_MODEL__PROFILE="demo"
    )

    assert (status, "is neither a folder nor a repository id" in output) == (1, True)


async def test_settings_and_secrets_are_read_from_dotenv(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "config.toml").write_text("")
    (folder / ".env").write_text("FLUXBOT_QUOTA__CREDITS=77\n")
    process = Process(tmp_path)
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

    for command in ("run", "check", "presets", "history", "quota"):
        assert re.search(rf"\b{command}\b", output)


async def test_a_platform_that_cannot_be_reached_is_tried_again_and_one_that_refuses_is_not():
    pauses, ends = [], [ConnectionError("away"), ConnectionError("away"), ConfigError("no")]

    async def run():
        raise ends.pop(0)

    async def sleep(seconds):
        pauses.append(seconds)

    await _keep_going("Discord", run, sleep)

    assert (pauses, ends) == ([5.0, 10.0], [])


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"prompt": "A Red circle on blue"}, []),
        ({"prompt": "a red fox", "width": 192}, ["does not know “fox”"]),
        ({"prompt": "a red circle", "width": 512, "height": 512}, ["192 × 128, 128 × 192"]),
        ({"prompt": "a red circle " * 30}, ["the first 64"]),
    ],
)
def test_the_demo_model_says_what_it_does_not_know(asked, told):
    usual = {"width": 128, "height": 128, "num_inference_steps": 12, "guidance_scale": 3.5}

    remarks = _about(Config()).remarks(GenerationRequest(**{**usual, "seed": 0, **asked}))

    assert len(remarks) == len(told)
    assert all(part in remark for part, remark in zip(told, remarks, strict=True))


def test_the_demo_model_offers_five_prompts_and_the_way_to_flux():
    about = _about(Config())

    assert len(about.examples) == 5
    assert not [told for prompt in about.examples for told in unknown_words(prompt)]
    assert "small demo model" in about.text
    assert "FLUX.1-dev" in about.text

"""``python -m bot check``: what is right and what is missing, in plain words."""

import os
import re
import socket
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest

from bot import switches
from bot.assembly.doctor import (
    device_findings,
    findings,
    lost,
    pictures_finding,
    sqlite_finding,
)
from bot.assembly.folder import lock
from bot.assembly.model_findings import (
    main_memory_finding,
    main_memory_findings,
    model_finding,
)
from bot.assembly.platforms import PLATFORMS
from bot.config import Config, Secrets, load_config
from bot.database import Database
from generation.decoders import Decoders
from generation.ray_nodes import NodeReport
from generation.weights import DEMO_WEIGHTS

WEB = next(each for each in PLATFORMS if each.name == "web")
ROOT = Path(__file__).parent.parent.parent.parent


async def test_check_says_what_is_right_in_plain_words(run):
    status, output = await run("check")

    assert status == 0
    for words in ("config.toml is sound", "will be made at the first start", "GB free", "torch 2."):
        assert words in output
    assert "✗" not in output


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

    _, is_right, _ = model_finding(config.model_copy(update={"model": model}), model, Secrets())

    assert is_right is is_in_cache


async def test_check_says_that_the_port_is_in_use_unless_it_is_the_bot_itself(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        config = Config(web={"port": port}, storage={"data_dir": tmp_path})

        ((is_right, sentence),) = await WEB.check(config, Secrets())
        with lock(tmp_path):
            ((is_right_while_running, running),) = await WEB.check(config, Secrets())

    assert not is_right
    assert f"web.port = {port}: address already in use; set another one" in sentence
    assert is_right_while_running
    assert f"the bot is running (process {os.getpid()})" in running
    ((is_right_afterwards, _),) = await WEB.check(config, Secrets())
    assert is_right_afterwards


@pytest.mark.parametrize(
    ("command", "is_right", "words"),
    [
        (None, True, "attached ones are decoded apart, within 10 s and 1000 MB"),
        (("/nowhere/python",), False, "the bot may not start the process"),
    ],
)
def test_check_says_whether_attached_pictures_can_be_decoded(command, is_right, words):
    decoders = Decoders() if command is None else Decoders(command=command)

    finding = pictures_finding(Config(), decoders)

    assert finding.is_right is is_right
    assert words in finding.sentence


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ((3, 51, 3), ("SQLite 3.51.3",)),
        ((3, 40, 1), ("SQLite 3.40.1", "damage the database", "bot restore", "3.51.3 or newer")),
    ],
)
def test_check_tells_what_a_bug_of_sqlite_means_and_what_helps(version, words):
    _, is_right, sentence = sqlite_finding(version)

    assert is_right, "Debian 12 comes with it, and the bot runs there"
    assert all(word in sentence for word in words)
    assert ("bug" in sentence) is (len(words) > 1)


async def test_check_knows_a_model_that_can_never_be_found(run):
    status, output = await run(
        "check", FLUXBOT_MODEL__REPOSITORY="nonsense", FLUXBOT_MODEL__PROFILE="demo"
    )

    assert (status, "is neither a folder nor a repository id" in output) == (1, True)


async def test_check_names_engines_that_the_bot_has_lost(run, tmp_path):
    """I11"""
    config = Config(storage={"data_dir": tmp_path / "data"})
    assert lost(config) == [], "there is no database yet"
    database = await Database.open(tmp_path / "data" / "bot.sqlite3")
    sentence = "engine-2 (cuda:1): no such device"
    await database.write(partial(switches.write, name="lost engines", value=sentence))
    await database.close()

    status, output = await run("check", FLUXBOT_STORAGE__DATA_DIR=str(tmp_path / "data"))

    assert status == 1
    assert f"{sentence}; the bot keeps trying while it runs" in " ".join(output.split())


def findings_about(model=None, **engine):
    config = Config(engine=engine, model=model or {})
    return list(device_findings(config, lambda words: nullcontext()))


def test_check_looks_at_each_card_that_is_to_draw():
    (here,) = findings_about()
    assert here.is_right
    assert here.sentence.startswith("engine-1: ")
    assert ", torch 2." in here.sentence

    found = findings_about(devices=["cuda:7", "cuda:8"])
    assert [finding.is_right for finding in found] == [False, False]
    assert "engine-2: device cuda:8 is not there" in found[1].sentence


@pytest.mark.parametrize(
    ("kernel", "is_right", "words"),
    [("_native_math", True, "attention by _native_math"), ("flash", False, "install `flash-attn")],
)
def test_check_tries_the_kernel_of_attention_that_is_asked_for(kernel, is_right, words):
    config = Config(model={"device": "cpu", "attention": kernel})

    (found,) = device_findings(config, lambda words: nullcontext())

    assert found.is_right == is_right
    assert words in found.sentence


def test_check_names_the_package_that_fewer_bits_need(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    (package,) = findings_about({"device": "cpu", "quantization": "int8"})

    assert not package.is_right
    assert "pip install torchao" in package.sentence


def test_check_asks_a_cluster_once(monkeypatch, tmp_path):
    asked = []

    def nodes(address, *_, **options):
        asked.append(address)
        return [NodeReport("10.0.0.2", 2)]

    monkeypatch.setattr("bot.assembly.cluster.nodes", nodes)
    config = Config(engine={"ray": "head:6379"}, storage={"data_dir": tmp_path})

    found = findings(config, Secrets(), tmp_path / "config.toml", lambda _: nullcontext(), [])
    said = {each.name: each.sentence for each in found}

    assert asked == ["head:6379"]
    assert said["cluster"] == "10.0.0.2 has 2 GPUs, and all weights"
    assert "device" not in said


@pytest.mark.parametrize(
    ("waiting", "is_right", "words"),
    [
        ([34], True, "34.0 GB of weights for the engine, and room for 60.0 GB"),
        ([0, 34, 20], True, "54.0 GB of weights for 3 engines, and room for 60.0 GB"),
        ([34] * 3, False, "102.0 GB of weights for 3 engines, and room for 60.0 GB, so 2 of them"),
        ([70], False, "room for 60.0 GB: they are read from the disk again and again; let fewer"),
    ],
)
def test_check_says_whether_all_weights_fit_into_main_memory(waiting, is_right, words):
    finding = main_memory_finding([size * 10**9 for size in waiting], 60 * 10**9)

    assert (finding.name, finding.is_right) == ("memory", is_right)
    assert words in finding.sentence


def test_check_plans_the_memory_of_a_model_that_is_here(tmp_path, monkeypatch):
    storage = {"download_dir": tmp_path}
    monkeypatch.setattr("generation.diffusion.device.Device.has_own_memory", True)

    def found(**sections):
        return list(main_memory_findings(Config(storage=storage, **sections), Secrets()))

    (resident,) = found()
    (offloaded,) = found(model={"offload_level": "group-offload"})
    assert re.match(r"0 MB of weights for the engine, and room for ", resident.sentence)
    assert re.match(r"\d\d+ MB of weights for the engine", offloaded.sentence)
    assert resident.is_right
    assert found(model={"repository": "owner/absent"}) == found(engine={"ray": "head:6379"}) == []
    assert found(engine={"devices": ["cuda:7"]}) == [], "the finding about the device says it"

    monkeypatch.setattr("generation.diffusion.engine.faster", lambda *asked: "with fewer bits …")
    advice, _ = found()
    assert advice == ("device", True, "engine-1: with fewer bits …")


@pytest.mark.parametrize(
    ("free", "end"),
    [(10**10, "all stay in memory"), (6_400_000_000, "they take turns in memory")],
)
def test_check_says_whether_models_fit_onto_a_card_together(tmp_path, monkeypatch, free, end):
    """Three times the demo model, by different names."""
    monkeypatch.setattr("generation.diffusion.device.Device.has_own_memory", True)
    monkeypatch.setattr("generation.diffusion.device.Device.total_memory", free)
    folder = str(DEMO_WEIGHTS / "flux")
    (tmp_path / "other").symlink_to(folder)
    presets = {"a": {"model": folder}, "b": {"model": str(tmp_path / "other")}}
    storage = {"download_dir": tmp_path}
    config = Config(storage=storage, presets={"plain": {}, **presets})

    finding, _ = main_memory_findings(config, Secrets())

    assert (finding.name, finding.is_right) == ("models", True)
    assert finding.sentence.startswith("engine-1: demo (")
    assert finding.sentence.endswith(end)


def test_check_says_whether_models_fit_into_main_memory_where_no_card_draws(tmp_path, monkeypatch):
    presets = {"plain": {}, "other": {"model": str(DEMO_WEIGHTS / "flux")}}
    config = Config(storage={"download_dir": tmp_path}, presets=presets)

    (finding,) = main_memory_findings(config, Secrets())
    assert finding.sentence.endswith("both stay in memory")
    monkeypatch.setattr("generation.diffusion.main_memory.room", lambda: 1000)
    (finding,) = main_memory_findings(config, Secrets())
    assert re.match(r"engine-1: demo \(\d+ MB\); flux \(\d+ MB\): they take", finding.sentence)

"""``python -m bot init``, with answers that are piped to it."""

import asyncio
import os
import shutil
import stat
import sys
from pathlib import Path

import pytest
from aiohttp import web
from typer.testing import CliRunner

from adapters.discord_chat import identify
from bot.__main__ import app
from bot.assembly import setup
from bot.config import ConfigError, load_config
from tests.fakes.discord import FakeDiscord
from tests.fakes.slack import FakeSlack

ROOT = Path(__file__).parent.parent.parent.parent


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder with the configuration that ships with the bot."""
    shutil.copy(ROOT / "config.toml", tmp_path)
    monkeypatch.delenv("FLUXBOT_LOCAL_FILE")
    return tmp_path


class Fakes:
    """Whom tokens are shown to. Of the Hub's, ``good`` alone serves.

    Attributes:
        asked: Tokens that were shown.
    """

    def __init__(self):
        self.asked = []

    async def discord(self, token):
        self.asked.append(token)
        return (token == "good-discord", f"Discord has heard of {token}")

    async def slack(self, bot_token, app_token):
        self.asked += [bot_token, app_token]
        return [(True, "workspace T1")]

    def hub(self, token, repository):
        self.asked.append(token)
        return (token == "hf_good", f"the token for {repository}")


def answered(home, lines, monkeypatch):
    """What is asked and written where *lines* are the answers; and the fakes that were asked."""
    fakes = Fakes()
    monkeypatch.setattr(setup, "checks", lambda config: fakes)
    ran = CliRunner().invoke(
        app, ["init", "--config", str(home / "config.toml")], input="\n".join(lines) + "\n"
    )
    return ran, fakes


FLUX = "2"
ALL = [FLUX, "y", "cuda:0", "hf_bad", "n", "hf_good", "https://flux.example.org", "bad", "n"]
ALL += ["good-discord", "xoxb-1", "xapp-1", "somebody", "web:ada discord:5", "y"]


def test_answers_become_env_and_a_short_file_of_what_differs(home, monkeypatch):
    ran, fakes = answered(home, ALL, monkeypatch)

    assert ran.exit_code == 0, ran.output
    assert fakes.asked == ["hf_bad", "hf_good", "bad", "good-discord", "xoxb-1", "xapp-1"]
    env = home / ".env"
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    assert env.read_text() == (
        "HF_TOKEN='hf_good'\nDISCORD_TOKEN='good-discord'\n"
        "SLACK_BOT_TOKEN='xoxb-1'\nSLACK_APP_TOKEN='xapp-1'\n"
    )
    assert len((home / "config.local.toml").read_text().splitlines()) < 15
    config = load_config(home / "config.toml")
    assert config.model.repository == "black-forest-labs/FLUX.1-dev"
    assert (config.model.accept_license, config.model.device) == (True, "cuda:0")
    assert config.web.public_url == "https://flux.example.org"
    assert config.admins.users == ("web:ada", "discord:5")
    assert "depth" in config.presets


def test_empty_answers_change_nothing(home, monkeypatch):
    ran, fakes = answered(home, [""] * 6, monkeypatch)

    assert ran.exit_code == 0, ran.output
    assert "nothing was written" in ran.output
    assert fakes.asked == []
    assert sorted(each.name for each in home.iterdir()) == ["config.toml"]


def test_what_is_there_is_kept_unless_the_operator_says_so(home, monkeypatch):
    env, local = home / ".env", home / "config.local.toml"
    env.write_text("# mine\nHF_TOKEN=old\nexport DISCORD_TOKEN=older\n")
    local.write_text(
        '[queue]\nmax_waiting = 7\n[models."a/b".presets.own]\ndescription = "of \\"mine\\""\n'
    )
    short = ["", "", "https://a.example", "good-discord", "", ""]

    for refusal in (["n"], ["y", "n"]):
        ran, _ = answered(home, [*short, *refusal], monkeypatch)
        assert ran.exit_code == 1
        assert env.read_text() == "# mine\nHF_TOKEN=old\nexport DISCORD_TOKEN=older\n"
        assert "7" in local.read_text()
    ran, _ = answered(home, [*short, "y", "y"], monkeypatch)

    assert ran.exit_code == 0, ran.output
    assert env.read_text() == "# mine\nHF_TOKEN=old\nDISCORD_TOKEN='good-discord'\n"
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    config = load_config(home / "config.toml")
    assert (config.web.public_url, config.queue.max_waiting) == ("https://a.example", 7)
    assert config.models["a/b"].presets["own"].description == 'of "mine"'


def test_answers_that_end_too_early_write_nothing(home, monkeypatch):
    ran, _ = answered(home, ALL[:6], monkeypatch)

    assert ran.exit_code == 1
    assert sorted(each.name for each in home.iterdir()) == ["config.toml"]


def test_a_local_file_with_a_mistake_is_named(home):
    (home / "config.local.toml").write_text("[web\n")

    with pytest.raises(ConfigError, match=r"config\.local\.toml is not valid TOML"):
        load_config(home / "config.toml")


def test_a_local_file_can_be_left_unread(home, monkeypatch):
    (home / "config.local.toml").write_text("[queue]\nmax_waiting = 7\n")
    assert load_config(home / "config.toml").queue.max_waiting == 7

    monkeypatch.setenv("FLUXBOT_LOCAL_FILE", "no")
    assert load_config(home / "config.toml").queue.max_waiting != 7


async def test_discord_and_slack_are_asked_themselves(home, clock, monkeypatch):
    """At the addresses of fakes on loopback."""
    slack = await FakeSlack(clock).start()
    monkeypatch.setenv("FLUXBOT_SLACK__API_BASE", slack.api_base)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    asked = setup.checks(load_config(home / "config.toml"))
    team = next(iter(slack.teams.values()))
    verdicts = await asked.slack(team.token, slack.app_token)
    assert [is_right for is_right, _ in verdicts] == [True, True], verdicts
    (wrong, *_) = await asked.slack("xoxb-wrong", slack.app_token)
    assert not wrong[0]
    await slack.close()

    async with FakeDiscord() as fake:

        async def on_loopback(token, *, proxy):
            return await identify(token, connector=fake.connector())

        monkeypatch.setattr("adapters.discord_chat.identify", on_loopback)
        assert (await asked.discord(fake.token))[0]
        assert not (await asked.discord("nonsense"))[0]


async def test_the_hub_is_asked_itself(home, monkeypatch):
    """At the address of a fake on loopback."""

    async def check(request):
        is_known = request.headers.get("Authorization") == "Bearer hf_good"
        return web.json_response({}) if is_known else web.Response(status=401)

    hub = web.Application()
    hub.router.add_get("/api/models/{name:.*}/auth-check", check)
    runner = web.AppRunner(hub)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    script = (
        "import sys; from pathlib import Path; from bot.assembly import setup;"
        "from bot.config import load_config;"
        f"hub = setup.checks(load_config(Path({str(home / 'config.toml')!r}))).hub;"
        "print([hub(token, 'black-forest-labs/FLUX.1-dev')[0] for token in ('hf_good', 'hf_bad')])"
    )
    environment = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{runner.addresses[0][1]}"}
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "HF_HUB_OFFLINE"):
        environment.pop(name, None)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    await runner.cleanup()

    assert output.decode().strip() == "[True, False]"

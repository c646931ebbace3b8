"""Setting Slack up: the manifest, the tokens, HTTP mode, the process."""

import asyncio
import re
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import aiohttp
import httpx
import pytest
import yaml

from adapters.slack_chat import actions, forms
from adapters.slack_chat.chat import PATH, SlackChat, findings
from adapters.slack_chat.workspaces import SCOPES
from bot.assembly.doctor import platform_findings
from bot.assembly.platforms import PLATFORMS, Host, keep_going
from bot.config import Config, ConfigError, Secrets, load_secrets
from bot.languages import LANGUAGES, language_of
from bot.sections import Slack
from tests.adapters.slack_chat.conftest import SMALL
from tests.fakes.slack import ALL_SCOPES, api
from tests.processes import Process

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def manifest():
    return yaml.safe_load((ROOT / "deploy" / "slack-manifest.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def code():
    """All that the adapter's modules say."""
    folder = ROOT / "adapters" / "slack_chat"
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py")))


# The manifest


def test_the_manifest_names_every_event_that_is_listened_to_and_no_other(manifest, code):
    heard = set(re.findall(r'app\.event\("(\w+)"\)', code))

    # Messages in channels are read for the sake of threads in which the bot has drawn.
    expected = heard - {"message"} | {"message.channels", "message.groups", "message.im"}
    assert set(manifest["settings"]["event_subscriptions"]["bot_events"]) == expected


def test_the_manifest_asks_for_every_scope_that_is_used_and_no_other(manifest, code):
    methods = set(
        re.findall(r'"((?:assistant|auth|chat|conversations|files|users)[.\w]*\.\w+)"', code)
    )
    used = {api.SCOPES[method] for method in methods if method in api.SCOPES}
    assert methods <= {*api.SCOPES, "auth.test", "chat.getPermalink"}
    # Reading a conversation takes the scope of its kind, an event and a command their own.
    used |= {"groups:history", "im:history", "app_mentions:read", "commands", "reactions:read"}
    # Asked for by posting in a channel without being a member.
    used |= {"chat:write.public"}

    assert set(manifest["oauth_config"]["scopes"]["bot"]) == used == set(SCOPES)
    assert set(ALL_SCOPES) == used


def test_the_manifest_names_the_command_and_the_shortcuts(manifest):
    features = manifest["features"]

    assert [each["command"] for each in features["slash_commands"]] == [Slack().command]
    assert features["slash_commands"][0]["should_escape"] is True
    assert {(each["type"], each["callback_id"]) for each in features["shortcuts"]} == {
        ("message", actions.USE_AS_CONTROL_IMAGE),
        ("message", actions.SHOW_HOW),
        ("message", actions.INSPECT),
        ("message", actions.REPORT),
        ("message", actions.WHO_ASKED),
    }


def test_the_manifest_lets_people_write_and_press(manifest):
    home = manifest["features"]["app_home"]
    settings = manifest["settings"]

    assert home["home_tab_enabled"]
    assert home["messages_tab_enabled"]
    assert not home["messages_tab_read_only_enabled"]
    assert set(manifest["features"]) & {"agent_view", "assistant_view"} == {"agent_view"}
    assert settings["interactivity"]["is_enabled"]
    assert settings["socket_mode_enabled"]


def test_names_in_the_manifest_are_as_short_as_slack_wants(manifest):
    information = manifest["display_information"]
    assert len(information["name"]) <= 35
    assert len(information["description"]) <= 140
    assert 174 <= len(information["long_description"]) <= 4000
    agent = manifest["features"]["agent_view"]
    assert len(agent["agent_description"]) <= 300
    assert 1 <= len(agent["suggested_prompts"]) <= 4
    for shortcut in manifest["features"]["shortcuts"]:
        assert len(shortcut["name"]) <= 24
        assert len(shortcut["description"]) <= 150
        assert len(shortcut["callback_id"]) <= 255


def test_titles_of_forms_fit_in_every_language():
    for code in ("en", *LANGUAGES):
        for purpose in forms.PURPOSES:
            assert max(map(len, forms.titles(purpose, language_of(code)))) <= 24


def test_the_guide_leads_to_every_setting_and_token():
    guide = (ROOT / "docs" / "slack.md").read_text(encoding="utf-8")

    words = ["SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET", PATH]
    words += ["deploy/slack-manifest.yaml", "python -m bot check", *Slack.model_fields, *SCOPES]
    assert [word for word in words if word not in guide] == []


# Tokens


WRONG = [
    (Secrets(slack_app_token="xapp-1"), {}, "SLACK_BOT_TOKEN is not set"),
    (Secrets(slack_bot_tokens=("xoxp-1",)), {}, "must begin with xoxb-"),
    (Secrets(slack_bot_tokens=("xoxb-1",)), {}, "SLACK_APP_TOKEN must be set"),
    (Secrets(slack_bot_tokens=("xoxb-1",), slack_app_token="xoxb-2"), {}, "begin with xapp-"),
    (Secrets(slack_bot_tokens=("xoxb-1",)), {"mode": "http"}, "SLACK_SIGNING_SECRET is not set"),
]


@pytest.mark.parametrize(("secrets", "settings", "sentence"), WRONG)
async def test_what_is_missing_is_named(service, secrets, settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        SlackChat(service, Slack(**settings), secrets)

    ((is_right, said),) = await findings(Slack(**settings), secrets)
    assert not is_right
    assert sentence in said


def test_tokens_come_from_the_environment_one_for_each_workspace():
    secrets = load_secrets({"SLACK_BOT_TOKEN": "xoxb-1, xoxb-2,", "SLACK_APP_TOKEN": "xapp-1"})

    assert secrets.slack_bot_tokens == ("xoxb-1", "xoxb-2")
    assert "xoxb-1" not in repr(secrets)
    assert load_secrets({"SLACK_SIGNING_SECRET": "abc"}).slack_signing_secret == "abc"


def secrets_of(slack, **more):
    given = {"slack_bot_tokens": (slack.team.token,), "slack_app_token": slack.app_token}
    return Secrets(**{**given, **more})


async def test_check_says_that_the_tokens_are_right(slack):
    found = await findings(Slack(api_base=slack.api_base), secrets_of(slack))

    assert found == [
        (True, "workspace team T0123, as UBOT1"),
        (True, "SLACK_APP_TOKEN opens sockets"),
    ]


async def test_check_names_scopes_that_are_missing_and_tokens_that_are_wrong(slack):
    slack.scopes -= {"files:read", "users:read"}
    slack.app_error = "token_revoked"

    found = await findings(
        Slack(api_base=slack.api_base),
        secrets_of(slack, slack_bot_tokens=(slack.team.token, "xoxb-wrong")),
    )

    assert [is_right for is_right, _ in found] == [False, False, False]
    sentences = [sentence for _, sentence in found]
    assert "files:read (to read the pictures that people attach)" in sentences[0]
    assert "users:read" in sentences[0]
    assert sentences[1] == "SLACK_BOT_TOKEN xoxb-wro…: Slack does not know the token"
    assert sentences[2] == "SLACK_APP_TOKEN opens no socket: the token was revoked"


async def test_a_workspace_whose_token_lacks_a_scope_is_served_and_warned_of(
    make_chat, slack, ada, general, caplog
):
    slack.scopes.discard("files:write")

    await make_chat()

    await ada.mention(general, "quota")
    await general.whispered(ada.id, "credits left")
    assert "the app lacks files:write" in caplog.text


async def test_a_token_that_lets_the_bot_say_nothing_is_refused(make_chat, slack):
    slack.scopes.discard("chat:write")

    with pytest.raises(ConfigError, match="no Slack token can be used"):
        await make_chat()


# HTTP mode


@pytest.fixture
async def over_http(make_chat, slack):
    chat = await make_chat(slack_settings={"mode": "http", "port": 0})
    slack.request_url = f"http://127.0.0.1:{chat.port}{PATH}"
    return chat


async def test_over_http_everything_works_as_over_sockets(over_http, slack, ada, general, gate):
    gate.open()

    await ada.mention(general, f"a fox {SMALL}", event_id="Ev1")
    fox = await general.said("seed", button="Again")
    await ada.mention(general, f"a fox {SMALL}", event_id="Ev1")
    assert "credits left" in (await ada.slash(general, "quota"))["text"]
    await ada.press(fox, "Edit prompt", general)
    assert "size" in await ada.submit(await ada.form(), size="65x65")

    assert slack.api.called("apps.connections.open") == []
    assert (await over_http.bot.rows("SELECT count(*) AS n FROM jobs"))[0]["n"] == 1


async def test_a_request_that_is_not_signed_by_slack_is_refused(over_http, slack, ada, general):
    slack.signing_secret = "another"

    await ada.send_mention(general, f"<@UBOT1> a fox {SMALL}")
    async with aiohttp.ClientSession() as http:
        answer = await http.post(slack.request_url, json={"type": "event_callback"})

    assert answer.status == 401
    assert await over_http.bot.rows("SELECT id FROM jobs") == []


async def test_a_port_in_use_is_named(make_chat, over_http):
    settings = {"mode": "http", "port": over_http.port}

    with pytest.raises(ConfigError, match=r"slack\.port = "):
        await make_chat(over_http.bot, slack_settings=settings)


# The process

SLACK = next(each for each in PLATFORMS if each.name == "slack")


def _check_slack(config, secrets):
    return list(platform_findings(SLACK, config, secrets, nullcontext))


async def test_the_process_listens_in_slack_and_a_revoked_token_leaves_the_page_up(
    slack, ada, general, tmp_path
):
    process = await Process(
        tmp_path,
        SLACK_BOT_TOKEN=slack.team.token,
        SLACK_APP_TOKEN=slack.app_token,
        FLUXBOT_SLACK__API_BASE=slack.api_base,
    ).start("run")
    try:
        address = (await process.until(r"Open (http://\S+)"))[1]
        await process.until("Slack: listening in team T0123")
        await ada.mention(general, "quota")
        await general.whispered(ada.id, "credits left")

        slack.app_error = "token_revoked"
        await slack.sockets.disconnect()
        await process.until("Slack is off: .*the token was revoked")
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"{address}/health")).status_code == 200
    finally:
        process.process.kill()  # which spares waiting for the model to load
        await process.ended()


async def test_what_slack_lacks_is_said_and_ends_slack_alone(service, caplog):
    host = Host(service, Config(), Secrets(slack_app_token="xapp-1"))
    assert SLACK.is_on(host.config, host.secrets)

    await keep_going("Slack", partial(SLACK.run, host))

    assert "SLACK_BOT_TOKEN is not set" in caplog.text


def test_without_tokens_slack_is_not_there():
    assert [each.name for each in PLATFORMS if each.is_on(Config(), Secrets())] == ["web"]
    assert _check_slack(Config(), Secrets()) == [
        ("slack", True, "off: no tokens are set; see docs/slack.md")
    ]


async def test_check_asks_slack(slack):
    config = Config(slack={"api_base": slack.api_base})

    found = await asyncio.to_thread(_check_slack, config, secrets_of(slack))

    assert [(name, is_right) for name, is_right, _ in found] == [("slack", True)] * 2

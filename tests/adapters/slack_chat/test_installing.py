"""Workspaces that install the app by themselves, and tokens that expire."""

import asyncio
import json
import stat

import aiohttp
import pytest

from adapters.slack_chat import installing, rotation
from adapters.slack_chat.chat import findings
from adapters.slack_chat.grants import FILE_NAME, Grants
from bot.config import ConfigError, Secrets
from tests.adapters.slack_chat.conftest import SMALL

PUBLIC = "https://flux.example.org"
COOKIE = "slack-app-oauth-state"


@pytest.fixture
def open_chat(make_chat, slack):
    """Starts a bot that has no token, and that workspaces may install."""
    slack.redirect_urls.add(f"{PUBLIC}/slack/oauth_redirect")

    async def make(bot=None, tokens=(), **settings):
        return await make_chat(
            bot, tokens=tokens, slack_settings={"public_url": PUBLIC, "port": 0, **settings}
        )

    return make


@pytest.fixture
async def browser(slack):
    """Somebody's browser: it gets pages of the bot, whose public address it knows the way to."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Browser(session, slack)


class Browser:
    def __init__(self, session, slack):
        self.session, self.slack, self.state = session, slack, ""

    async def get(self, chat, path, language="en"):
        """Status, headers and page of *path*; cookies come along, as over TLS."""
        headers = {"Accept-Language": language}
        if self.state:
            headers["Cookie"] = f"{COOKIE}={self.state}"
        url = f"http://127.0.0.1:{chat.port}{path}"
        async with self.session.get(url, headers=headers, allow_redirects=False) as answer:
            if COOKIE in answer.cookies:
                self.state = answer.cookies[COOKIE].value
            return answer.status, answer.headers, await answer.text()

    async def begin(self, chat):
        """The address of Slack to which the link leads."""
        status, headers, _ = await self.get(chat, "/slack/install")
        assert status == 302
        return headers["Location"]

    async def install(self, chat, team, language="en"):
        """Install the app in *team*: status and page at the end."""
        back = self.slack.allow(await self.begin(chat), team)
        status, _, page = await self.get(chat, back.path_qs, language)
        return status, page


async def served(chat, team):
    async with asyncio.timeout(10):
        while team not in chat.workspaces or chat.workspaces[team].lost:
            await asyncio.sleep(0)


def kept(chat):
    file = chat.bot.config.storage.data_dir / FILE_NAME
    return json.loads(file.read_text(encoding="utf-8"))


async def test_a_workspace_installs_the_app_and_is_drawn_for(
    open_chat, slack, browser, ada, general, gate
):
    chat = await open_chat()
    assert chat.workspaces == {}

    status, page = await browser.install(chat, slack.team)
    assert status == 200
    assert "team T0123 has the bot now" in page
    await served(chat, "T0123")
    gate.open()
    await ada.mention(general, f"a fox {SMALL}")

    await general.said("seed", button="Again")


@pytest.mark.parametrize("mode", ["socket", "http"])
async def test_what_was_installed_is_there_after_a_restart(
    open_chat, slack, browser, ada, general, gate, mode
):
    chat = await open_chat(mode=mode)
    await browser.install(chat, slack.team)
    await served(chat, "T0123")
    file = chat.bot.config.storage.data_dir / FILE_NAME
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    await chat.close()

    chat = await open_chat(chat.bot, mode=mode)

    assert list(chat.workspaces) == ["T0123"]


async def test_an_organisation_installs_it_for_all_its_workspaces(open_chat, slack, browser):
    org = slack.add_team("E0456", is_org=True)
    chat = await open_chat()

    status, page = await browser.install(chat, org)
    await served(chat, "E0456")

    assert (status, "org E0456" in page) == (200, True)
    assert chat.workspaces["E0456"].is_org
    assert list(kept(chat)) == ["E0456"]


async def test_nobody_but_the_browser_that_began_can_end_it_and_only_once(
    open_chat, slack, browser
):
    """RFC 6749, 10.12"""
    chat = await open_chat()
    back = slack.allow(await browser.begin(chat), slack.team)
    mine, browser.state = browser.state, "another"

    status, headers, page = await browser.get(chat, back.path_qs, "de")
    assert status == 400
    assert "in einem anderen Browser begonnen" in page
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert slack.api.called("oauth.v2.access") == []
    browser.state = mine
    assert (await browser.get(chat, back.path_qs))[0] == 200
    status, _, page = await browser.get(chat, back.path_qs)

    assert status == 401
    assert "Please try again" in page
    assert len(slack.api.called("oauth.v2.access")) == 1


async def test_a_way_back_closes_after_ten_minutes_and_where_many_are_opened():
    now = [100.0]
    states = installing._States(lambda: now[0])
    late, first = await states.async_issue(), await states.async_issue()
    now[0] += installing.SECONDS
    assert not await states.async_consume(late)
    for _ in range(installing.MOST_WAYS):
        last = await states.async_issue()

    assert not await states.async_consume(first)
    assert await states.async_consume(last)
    assert len(states._ends) <= installing.MOST_WAYS


async def test_who_says_no_to_slack_has_nothing_installed(open_chat, browser):
    chat = await open_chat()
    await browser.begin(chat)
    path = f"/slack/oauth_redirect?error=access_denied&state={browser.state}"

    status, _, page = await browser.get(chat, path)

    assert (status, "was not allowed in" in page) == (200, True)
    assert chat.workspaces == {}


@pytest.mark.parametrize("fault", ["lost", "internal_error", 503, "bad_client_secret"])
async def test_a_fault_of_slacks_installs_nothing_and_says_so(open_chat, slack, browser, fault):
    chat = await open_chat()
    slack.api.fault("oauth.v2.access", fault)

    status, page = await browser.install(chat, slack.team)

    assert status in (401, 503)
    assert "That did not work" in page
    assert 'href="/slack/install"' in page
    assert not (chat.bot.config.storage.data_dir / FILE_NAME).exists()


async def test_a_workspace_that_the_operator_does_not_want_loses_the_app_at_once(
    open_chat, slack, browser
):
    other = slack.add_team("T0456")
    chat = await open_chat(workspaces=("T0123",))

    status, page = await browser.install(chat, other)
    assert (status, "is none of them" in page) == (403, True)
    assert other.error == "account_inactive"
    assert not (chat.bot.config.storage.data_dir / FILE_NAME).exists()
    assert (await browser.install(chat, slack.team))[0] == 200
    await served(chat, "T0123")

    assert list(chat.workspaces) == ["T0123"]


async def test_admins_of_a_stranger_rule_nothing_though_theirs_is_the_only_workspace(
    open_chat, slack, browser, general
):
    chief = slack.person("chief", is_admin=True)
    chat = await open_chat()
    await browser.install(chat, slack.team)
    await served(chat, "T0123")

    await chief.mention(general, "admin pause")

    await general.whispered(chief.id, "Only admins may do that")
    assert (
        not chat.bot.service.state.is_paused
        if hasattr(chat.bot.service.state, "is_paused")
        else True
    )


async def test_who_removes_the_app_can_install_it_again(
    open_chat, slack, browser, ada, general, gate
):
    slack.rotates = True
    chat = await open_chat()
    await browser.install(chat, slack.team)
    await served(chat, "T0123")
    slack.team.error = "account_inactive"
    await ada.acked(await ada.event({"type": "app_uninstalled", "event_ts": slack.ts()}))
    assert kept(chat) == {}

    slack.team.error = None
    await browser.install(chat, slack.team)
    await served(chat, "T0123")
    gate.open()
    await ada.mention(general, f"a fox {SMALL}")

    await general.said("seed", button="Again")
    assert kept(chat)["T0123"]["bot_token"] == slack.team.token


# Tokens that expire


async def rotating(open_chat, slack, browser):
    slack.rotates = True
    chat = await open_chat()
    await browser.install(chat, slack.team)
    await served(chat, "T0123")
    return chat


async def test_a_token_that_has_expired_is_renewed_and_the_call_made_again(
    open_chat, slack, browser, ada, general, gate
):
    chat = await rotating(open_chat, slack, browser)
    old = slack.team.token
    slack.team.expired.add(old)
    gate.open()

    await ada.mention(general, f"a fox {SMALL}")

    await general.said("seed", button="Again")
    assert slack.team.token != old
    assert kept(chat)["T0123"]["bot_refresh_token"] == slack.team.refresh_token


async def test_a_token_that_expired_while_the_bot_was_off_is_renewed_at_its_start(
    open_chat, slack, browser
):
    chat = await rotating(open_chat, slack, browser)
    await chat.close()
    slack.team.expired.add(slack.team.token)

    chat = await open_chat(chat.bot)

    assert chat.workspaces["T0123"].token == slack.team.token


async def test_calls_that_are_refused_at_once_renew_a_token_once(open_chat, slack, browser):
    chat = await rotating(open_chat, slack, browser)
    workspace = chat.workspaces["T0123"]
    slack.team.expired.add(slack.team.token)

    await asyncio.gather(*(workspace.call("auth.test") for _ in range(3)))

    refreshed = [each for each in slack.api.called("oauth.v2.access") if "refresh_token" in each]
    assert len(refreshed) == 1


async def test_tokens_are_renewed_two_hours_before_they_expire(open_chat, slack, browser):
    chat = await rotating(open_chat, slack, browser)
    old, expires = slack.team.token, kept(chat)["T0123"]["bot_token_expires_at"]
    now = [expires - rotation.IN_TIME - 1]
    looks = asyncio.Queue()
    going = asyncio.Queue()

    async def sleep(seconds):
        looks.put_nowait(seconds)
        await going.get()

    keeper = rotation.Rotation(chat._grants, chat._rotation._rotator, lambda: now[0], sleep)
    task = asyncio.create_task(keeper.run(chat.workspaces))
    assert await looks.get() == rotation.BETWEEN_LOOKS
    assert slack.team.token == old
    now[0] += 2
    going.put_nowait(None)
    await looks.get()
    task.cancel()

    assert slack.team.token != old
    assert chat.workspaces["T0123"].token == slack.team.token


async def test_a_refresh_token_that_slack_does_not_take_ends_it_in_words(
    open_chat, slack, browser, ada, general, caplog
):
    chat = await rotating(open_chat, slack, browser)
    slack.team.expired.add(slack.team.token)
    slack.team.refresh_token = "another"

    await ada.mention(general, "quota")
    async with asyncio.timeout(10):
        while not chat.workspaces["T0123"].lost:
            await asyncio.sleep(0)
    await ada.mention(general, "quota")

    assert "cannot be renewed: invalid_refresh_token" in caplog.text
    assert f"install it again at {PUBLIC}/slack/install" in caplog.text


async def test_a_slack_that_cannot_be_reached_ends_no_token(open_chat, slack, browser):
    chat = await rotating(open_chat, slack, browser)
    workspace = chat.workspaces["T0123"]
    slack.team.expired.add(slack.team.token)
    slack.api.fault("oauth.v2.access", "lost", 503, "internal_error", "ratelimited")

    assert not await workspace.is_open()
    assert workspace.lost is None

    assert await workspace.is_open()


async def test_a_full_disk_keeps_no_token_and_serves_all_the_same(
    open_chat, slack, browser, monkeypatch, caplog
):
    chat = await rotating(open_chat, slack, browser)

    def full(path):
        raise OSError(28, "no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("adapters.slack_chat.grants.sync", full)
        slack.team.expired.add(slack.team.token)
        assert await chat.workspaces["T0123"].is_open()
        assert "cannot be kept" in caplog.text
        assert kept(chat)["T0123"]["bot_token"] != slack.team.token

    async def stop(seconds):
        raise EOFError

    keeper = rotation.Rotation(chat._grants, chat._rotation._rotator, sleep=stop)
    with pytest.raises(EOFError):
        await keeper.run(chat.workspaces)

    assert kept(chat)["T0123"]["bot_token"] == slack.team.token


# Set up


def test_a_file_that_cannot_be_read_is_named_with_the_way_out(tmp_path):
    file = tmp_path / FILE_NAME
    file.write_text('{"T1": {}}', encoding="utf-8")

    with pytest.raises(ConfigError, match=r"slack-installations\.json cannot be read .* again"):
        Grants(file)


async def test_without_the_apps_id_and_secret_nobody_can_install(slack, tmp_path):
    from bot.sections import Slack

    settings = Slack(public_url=PUBLIC, api_base=slack.api_base, mode="http")
    secrets = Secrets(slack_signing_secret="s")

    assert await findings(settings, secrets, tmp_path) == [
        (False, "SLACK_CLIENT_ID and SLACK_CLIENT_SECRET are not set, which slack.public_url needs")
    ]
    secrets = Secrets(slack_signing_secret="s", slack_client_id="1", slack_client_secret="2")
    assert await findings(settings, secrets, tmp_path) == [
        (
            True,
            f"any workspace may install it at {PUBLIC}/slack/install; 0 have;"
            " slack.home_workspaces is empty, so nobody rules the bot from Slack",
        )
    ]

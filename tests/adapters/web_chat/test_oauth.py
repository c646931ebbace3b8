"""Signing in with Discord and Slack, which are fakes on loopback."""

import base64
import hashlib
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from aiohttp import web

from adapters.web_chat import create_app
from adapters.web_chat import ways as ways_module
from adapters.web_chat.providers import providers
from bot.config import Secrets

PAGE = "http://localhost:8080"
SECRETS = Secrets(
    discord_client_id="d-id",
    discord_client_secret="d-secret",
    slack_client_id="s-id",
    slack_client_secret="s-secret",
)


class Platforms:
    """Discord and Slack, as far as OAuth goes. They hold people to PKCE, to the address that they
    are sent back to, and to a code that serves once.

    Attributes:
        person: What Discord says of the person.
        member: What it says of them in server 7; None where they are not there.
        slack: What Slack says of the person.
    """

    def __init__(self):
        self.person = {"id": "12345", "username": "ada"}
        self.member = None
        self.slack = {"ok": True, "https://slack.com/user_id": "U1"}
        self.slack |= {"https://slack.com/team_id": "T1"}
        self.codes = {}
        self.tokens = set()

    async def start(self):
        app = web.Application()
        app.router.add_post("/oauth2/token", self._discord_token)
        app.router.add_get("/users/@me", self._about(lambda: self.person))
        app.router.add_get("/users/@me/guilds/7/member", self._about(lambda: self.member))
        app.router.add_post("/openid.connect.token", self._slack_token)
        app.router.add_post("/openid.connect.userInfo", self._about(lambda: self.slack))
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.api = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"

    async def close(self):
        await self._runner.cleanup()

    def asks(self, address):
        """The person says yes at *address*; returns the way back, with code and state."""
        asked = {key: value for key, (value,) in parse_qs(urlsplit(address).query).items()}
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        return asked["redirect_uri"], {"code": code, "state": asked["state"]}

    def _taken(self, form, id, secret):
        asked = self.codes.pop(form["code"], None)
        is_right = asked is not None and asked["redirect_uri"] == form["redirect_uri"]
        return (
            asked
            if is_right and (form["client_id"], form["client_secret"]) == (id, secret)
            else None
        )

    def _token(self):
        token = f"token-{len(self.tokens)}"
        self.tokens.add(token)
        return web.json_response({"ok": True, "access_token": token, "token_type": "Bearer"})

    async def _discord_token(self, request):
        form = await request.post()
        asked = self._taken(form, "d-id", "d-secret")
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if asked is None or asked["code_challenge"] != challenge:
            return web.json_response({"error": "invalid_grant"}, status=400)
        return self._token()

    async def _slack_token(self, request):
        if self._taken(await request.post(), "s-id", "s-secret") is None:
            return web.json_response({"ok": False, "error": "invalid_code"})
        return self._token()

    def _about(self, said):
        async def about(request):
            token = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if token not in self.tokens or said() is None:
                return web.json_response({"code": 0}, status=404)
            return web.json_response(said())

        return about


@pytest.fixture
async def platforms(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    platforms = Platforms()
    await platforms.start()
    yield platforms
    await platforms.close()


@pytest.fixture
async def make_web(make_bot, platforms):
    """A browser at the page of a bot with settings of one's own, and the bot."""

    async def make(**settings):
        bot = await make_bot(
            web={"public_url": PAGE}, slack={"api_base": platforms.api}, **settings
        )
        app = create_app(bot.service, bot.config, SECRETS)
        app.state.web.providers = providers(
            bot.config, SECRETS, bot.service, discord_api=platforms.api
        )
        return lambda: httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=PAGE), bot

    return make


FROM_ELSEWHERE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}


async def goes(browser, platforms, provider="discord"):
    """The browser goes to *provider*, whose person says yes; returns the way back."""
    answer = await browser.get(f"/api/sign-in/{provider}")
    assert answer.status_code == 302
    return platforms.asks(answer.headers["location"])


async def comes_back(browser, way, query):
    """Where the browser is led in the end."""
    answer = await browser.get(way, params=query, headers=FROM_ELSEWHERE)
    assert answer.status_code == 302
    return answer.headers["location"]


async def user(browser):
    answer = await browser.get("/api/status")
    return answer.json()["user"] if answer.status_code == 200 else None


async def test_people_sign_in_with_discord_as_themselves(make_web, platforms):
    browse, _ = await make_web()
    async with browse() as browser:
        said = await browser.get("/api/sign-in/providers")
        assert said.json() == {"providers": ["discord", "slack"]}
        way, query = await goes(browser, platforms)

        assert await comes_back(browser, way, query) == "/"
        assert await user(browser) == "discord:12345"
        cookies = {each.name: each for each in browser.cookies.jar}
        assert "fluxbot_state" not in cookies
        assert cookies["fluxbot_session"].has_nonstandard_attr("HttpOnly")


async def test_people_sign_in_with_slack_where_the_app_is_installed(make_web, platforms):
    browse, bot = await make_web()
    async with browse() as browser:
        assert (await comes_back(browser, *await goes(browser, platforms, "slack"))).endswith(
            "unknown"
        )
        assert await user(browser) is None
        bot.service.servers_here.add("slack-server:T1")

        assert await comes_back(browser, *await goes(browser, platforms, "slack")) == "/"
        assert await user(browser) == "slack:T1-U1"


async def test_a_way_back_serves_the_browser_that_went_once_and_in_time(
    make_web, platforms, monkeypatch
):
    browse, _ = await make_web()
    async with browse() as browser, browse() as other:
        way, query = await goes(browser, platforms)
        assert (await comes_back(other, way, query)).endswith("late"), "another browser"
        await goes(other, platforms)
        assert (await comes_back(other, way, query)).endswith("late"), "with a state of its own"
        stranger = {**query, "state": ""}
        assert (await comes_back(browser, way, stranger)).endswith("late")
        way, query = await goes(browser, platforms)
        slacks = way.replace("discord", "slack")
        assert (await comes_back(browser, slacks, query)).endswith("late"), "another platform"
        way, query = await goes(browser, platforms)
        assert await comes_back(browser, way, query) == "/"
        assert (await comes_back(browser, way, query)).endswith("late"), "a second time"
        monkeypatch.setattr(ways_module, "SECONDS", -1.0)
        assert (await comes_back(other, *await goes(other, platforms))).endswith("late")
        assert await user(other) is None


def test_a_state_serves_no_second_time_whoever_keeps_its_cookie():
    ways = ways_module.Ways()
    state, verifier = ways.begin("discord")

    assert ways.end("discord", state, state) == verifier
    assert ways.end("discord", state, state) is None


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        ({"code": ""}, "refused"),
        ({"code": "a-guess"}, "failed"),
        ({"next": "https://evil.example", "redirect_uri": "https://evil.example"}, ""),
    ],
)
async def test_whatever_comes_back_leads_to_the_page_alone(make_web, platforms, change, trouble):
    browse, _ = await make_web()
    async with browse() as browser:
        way, query = await goes(browser, platforms)

        led = await comes_back(browser, way, query | change)

        assert led == (f"/#sign-in-trouble={trouble}" if trouble else "/")


async def test_where_servers_are_named_their_members_alone_sign_in(make_web, platforms):
    browse, _ = await make_web(discord={"servers": ["7"], "roles": ["70"]})
    async with browse() as browser:
        for member, led in (
            (None, "unknown"),
            ({"roles": ["71"]}, "unknown"),
            ({"roles": ["70"]}, "/"),
        ):
            platforms.member = member
            assert (await comes_back(browser, *await goes(browser, platforms))).endswith(led)
        assert await user(browser) == "discord:12345"


@pytest.mark.parametrize("id", ["", "1 OR 1", "12345:x", None])
async def test_an_answer_that_names_nobody_signs_nobody_in(make_web, platforms, id):
    platforms.person = {"id": id}
    browse, _ = await make_web()
    async with browse() as browser:
        assert (await comes_back(browser, *await goes(browser, platforms))).endswith("failed")
        assert await user(browser) is None


async def test_nobody_is_sent_anywhere_by_another_page_or_without_a_secret(make_web, platforms):
    browse, bot = await make_web()
    async with browse() as browser:
        answer = await browser.get("/api/sign-in/discord", headers=FROM_ELSEWHERE)
        assert answer.status_code == 403
        unknown = await browser.get("/api/sign-in/github")
        assert unknown.headers["location"] == "/#sign-in-trouble=failed"
    some = SECRETS.model_copy(update={"slack_client_secret": None})
    assert list(providers(bot.config, some, bot.service)) == ["discord"]
    nowhere = bot.config.model_copy(
        update={"web": bot.config.web.model_copy(update={"public_url": ""})}
    )
    assert providers(nowhere, SECRETS, bot.service) == {}
    roles = bot.config.discord.model_copy(update={"roles": ("70",)})
    roles_alone = bot.config.model_copy(update={"discord": roles})
    assert list(providers(roles_alone, SECRETS, bot.service)) == ["slack"], "nobody can tell"

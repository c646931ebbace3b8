"""Without tokens everybody is an admin, so that nobody may come through a proxy."""

import asyncio

import httpx
import pytest

from adapters.web_chat import WebChat
from adapters.web_chat.exposure import trace_of_a_proxy
from bot.assembly.platforms import PLATFORMS
from bot.config import Config, ConfigError, Secrets

SECRETS = Secrets(web_tokens={"ada-token-0123456789": "ada"})
WEB = next(each for each in PLATFORMS if each.name == "web")

FORWARDING = [
    "Forwarded",
    "Via",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Prefix",
    "X-Real-IP",
    "X-Client-IP",
    "X-Original-Forwarded-For",
    "X-Envoy-External-Address",
    "X-Amzn-Trace-Id",
    "X-Azure-ClientIP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "CF-Ray",
    "CDN-Loop",
    "Fly-Client-IP",
    "Fastly-Client-IP",
    "Tailscale-User-Login",
    "ngrok-skip-browser-warning",
    "Remote-User",
]
#: Everything that Chromium, Firefox, curl and our own page send.
OF_BROWSERS = [
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Authorization",
    "Cache-Control",
    "Connection",
    "Content-Length",
    "Content-Type",
    "Cookie",
    "DNT",
    "Host",
    "If-Modified-Since",
    "If-None-Match",
    "Last-Event-ID",
    "Origin",
    "Pragma",
    "Priority",
    "Range",
    "Referer",
    "Sec-CH-UA",
    "Sec-CH-UA-Platform",
    "Sec-Fetch-Dest",
    "Sec-Fetch-Site",
    "Sec-GPC",
    "TE",
    "Upgrade-Insecure-Requests",
    "User-Agent",
    "X-Request-ID",
    "X-Requested-With",
]


@pytest.mark.parametrize("path", ["/", "/api/quota", "/api/events?job=x", "/health", "/static/x"])
@pytest.mark.parametrize("header", FORWARDING)
async def test_without_tokens_nothing_is_answered_through_a_proxy(web, header, path):
    response = await web.get(path, headers={header: "203.0.113.7"})

    assert response.status_code == 403
    error = response.json()["error"]
    assert error["code"] == "proxy_without_tokens"
    assert header.lower() in error["message"]
    assert "FLUXBOT_WEB_TOKENS" in error["message"]


@pytest.mark.parametrize("header", OF_BROWSERS)
def test_a_browser_on_this_machine_is_not_taken_for_a_proxy(header):
    assert trace_of_a_proxy("1.1", [header.lower()]) is None


async def test_a_proxy_that_adds_nothing_is_known_by_its_old_http(server):
    """nginx as it comes: HTTP/1.0 to the bot, and 127.0.0.1 as the Host."""
    port = int(server.address.rpartition(":")[2])
    answer = await said(port, b"GET /api/history HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 403")
    assert b"proxy_without_tokens" in answer


async def said(port, request):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


async def test_with_tokens_a_proxy_is_welcome(bot, make_client):
    async with make_client(bot, SECRETS) as web:
        headers = {"X-Forwarded-For": "203.0.113.7"}
        page, asked = await web.get("/", headers=headers), await web.get("/api/quota")

    assert (page.status_code, asked.status_code) == (200, 401)


async def test_names_for_others_without_tokens_do_not_start(service):
    config = Config(web={"allowed_hosts": ["flux.example.org"]})

    with pytest.raises(ConfigError, match="FLUXBOT_WEB_TOKENS"):
        WebChat(service, config, Secrets())
    WebChat(service, config, SECRETS)


async def test_a_name_for_others_is_not_answered_without_tokens(make_bot, make_client):
    bot = await make_bot(web={"allowed_hosts": ["flux.example.org"]})

    async with make_client(bot) as web:
        response = await web.get("/api/quota", headers={"Host": "flux.example.org"})

    assert response.status_code == 400


@pytest.mark.parametrize(
    "settings", [{"allowed_hosts": ["flux.example.org"]}, {"host": "0.0.0.0"}, {"host": "::"}]
)
async def test_check_says_that_tokens_are_missing(settings, tmp_path):
    config = Config(web={"port": 0, **settings}, storage={"data_dir": tmp_path})

    [(is_right, sentence)] = await WEB.check(config, Secrets())
    [(is_right_with_tokens, _)] = await WEB.check(config, SECRETS)

    assert not is_right
    assert "FLUXBOT_WEB_TOKENS" in sentence
    assert is_right_with_tokens


async def test_a_health_check_on_this_machine_needs_no_token(server):
    async with httpx.AsyncClient(base_url=server.address) as http:
        assert (await http.get("/health")).status_code == 200

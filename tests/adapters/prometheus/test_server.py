"""Who may read the figures for Prometheus."""

import asyncio
import re

import httpx
import pytest

from adapters.prometheus.server import MetricsPage, check_guarded, serve
from bot.config import ConfigError, Secrets, load_secrets
from bot.sections import MetricsSettings
from tests.bot.test_metrics import gauges_of

TOKEN = "a-long-random-token"


def client(bot, token, base="http://127.0.0.1:9464"):
    page = MetricsPage(gauges_of(bot), token)
    return httpx.AsyncClient(transport=httpx.ASGITransport(page), base_url=base)


async def test_figures_are_for_this_machine_alone_where_there_is_no_token(bot):
    for base, status in [
        ("http://127.0.0.1:9464", 200),
        ("http://localhost", 200),
        ("http://[::1]:9464", 200),
        ("http://rebound.example.org:9464", 403),
        ("http://192.168.1.7:9464", 403),
    ]:
        async with client(bot, None, base) as reader:
            assert (await reader.get("/metrics")).status_code == status, base


async def test_where_there_is_a_token_it_is_asked_for_everywhere(bot):
    async with client(bot, TOKEN, "http://flux.example.org") as reader:
        for given, status in [
            (None, 401),
            ("Bearer another-long-token-", 401),
            (f"Basic {TOKEN}", 401),
            (f"Bearer {TOKEN}", 200),
        ]:
            headers = {} if given is None else {"authorization": given}
            assert (await reader.get("/metrics", headers=headers)).status_code == status, given


async def test_nothing_but_the_figures_is_there_in_the_format_that_is_asked_for(bot):
    async with client(bot, None) as reader:
        assert (await reader.get("/")).status_code == 404
        assert (await reader.post("/metrics")).status_code == 405
        plain = await reader.get("/metrics")
        open_metrics = await reader.get(
            "/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"}
        )

    assert plain.headers["content-type"].startswith("text/plain")
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")
    assert open_metrics.text.endswith("# EOF\n")


def test_beyond_this_machine_there_are_no_figures_without_a_token():
    settings = MetricsSettings(enabled=True, host="0.0.0.0")

    with pytest.raises(ConfigError, match="FLUXBOT_METRICS_TOKEN"):
        check_guarded(settings, None)
    check_guarded(settings, TOKEN)
    with pytest.raises(ConfigError, match="at least 16"):
        load_secrets({"FLUXBOT_METRICS_TOKEN": "short"})
    assert load_secrets({"FLUXBOT_METRICS_TOKEN": TOKEN}).metrics_token == TOKEN
    assert TOKEN not in repr(load_secrets({"FLUXBOT_METRICS_TOKEN": TOKEN}))


async def test_a_port_that_is_taken_is_said_and_ends_nothing_else(bot, caplog):
    caplog.set_level("INFO")
    free = MetricsSettings(enabled=True, port=0)
    serving = asyncio.create_task(serve(gauges_of(bot), free, Secrets()))
    while not (said := re.search(r"http://127\.0\.0\.1:(\d+)/metrics", caplog.text)):
        await asyncio.sleep(0)

    with pytest.raises(ConfigError, match=f"metrics.port = {said[1]}: .*in use"):
        await serve(gauges_of(bot), MetricsSettings(port=int(said[1])), Secrets())

    async with httpx.AsyncClient() as reader:
        assert "fluxbot_info" in (await reader.get(said[0])).text
    serving.cancel()
    await asyncio.wait([serving])

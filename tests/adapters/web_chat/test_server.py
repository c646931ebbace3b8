"""The server itself: what it listens on, how it starts and stops."""

import asyncio
import signal
import socket

import httpx
import pytest

from adapters.web_chat import WebChat, serve
from bot.config import Config, ConfigError, Secrets

SECRETS = Secrets(web_tokens={"ada-token-0123456789": "ada"})


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "flux.example.org", ""])
async def test_other_machines_are_not_served_without_tokens(service, host):
    config = Config(web={"host": host})

    with pytest.raises(ConfigError, match="FLUXBOT_WEB_TOKENS"):
        WebChat(service, config, Secrets())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
async def test_this_machine_is_served_without_tokens(service, host):
    WebChat(service, Config(web={"host": host}), Secrets())


async def test_with_tokens_it_may_be_reached_by_its_address_but_by_no_unknown_name(make_server):
    server = await make_server(SECRETS, web={"host": "0.0.0.0"})
    port = server.address.rpartition(":")[2]

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        by_address = await http.get("/", headers={"Host": f"192.168.1.5:{port}"})
        by_name = await http.get("/", headers={"Host": "evil.example"})
        without_token = await http.get("/api/quota")

    assert [by_address.status_code, by_name.status_code] == [200, 400]
    assert without_token.status_code == 401


async def test_a_port_in_use_is_named_with_the_setting_that_helps(service):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        chat = WebChat(service, Config(web={"port": port}), Secrets())

        with pytest.raises(ConfigError, match=rf"port {port} .* web\.port"):
            await chat.start()


async def test_an_address_of_another_machine_is_named(service):
    chat = WebChat(service, Config(web={"host": "203.0.113.7", "port": 0}), SECRETS)

    with pytest.raises(ConfigError, match=r"203\.0\.113\.7"):
        await chat.start()


async def test_the_page_answers_as_soon_as_start_returns(server):
    async with httpx.AsyncClient(base_url=server.address) as http:
        page = await http.get("/")

    assert page.headers["content-type"].startswith("text/html")
    assert "fluxbot" in page.text


async def test_signals_stay_with_the_bot(make_server):
    """uvicorn would take them, stop alone, and leave the bot running without a page."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]

    await make_server()

    assert [signal.getsignal(number) for number in numbers] == before


async def test_close_frees_the_port_and_may_be_called_twice(server):
    await server.close()
    await server.close()

    async with httpx.AsyncClient() as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(server.address)


async def test_serve_tells_its_address_and_ends_when_cancelled(service):
    told = asyncio.Queue()
    serving = asyncio.create_task(
        serve(service, Config(web={"port": 0}), Secrets(), told.put_nowait)
    )
    address = await told.get()
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"{address}/health")).status_code == 200

    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving

    async with httpx.AsyncClient() as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(address)

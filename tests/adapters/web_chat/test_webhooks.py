"""Webhooks: told at least once, signed, and never sent into a private network."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json

import httpx
import pytest

from adapters.web_chat import outbound
from adapters.web_chat.addresses import Forbidden, fault_of, is_public
from adapters.web_chat.outbound import Outbound
from adapters.web_chat.webhooks import Sender
from bot.webhooks import PAUSES
from tests.adapters.web_chat.api.conftest import CIRCLE, said, spent
from tests.conftest import ADMIN, until

PUBLIC = "https://example.com/hook"
HOOKED = {**CIRCLE, "webhook_url": PUBLIC}


@contextlib.asynccontextmanager
async def receiver(answer=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"):
    """A server on loopback; yields its port and the requests that it was sent."""
    requests = []

    async def serve(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            lower = {name.lower(): value for name, value in headers.items()}
            body = await reader.readexactly(int(lower.get("content-length", 0)))
            requests.append((head.split("\r\n")[0], lower, body))
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], requests


class Posts:
    """An address that answers as it is told, and remembers."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.sent = []

    async def __call__(self, url, body, headers):
        self.sent.append((url, json.loads(body), headers))
        answer = self.answers.pop(0) if self.answers else 204
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("0.0.0.0", "100.64.0.1", "224.0.0.1", "255.255.255.255", "198.18.0.1"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1"),
        *("64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::", "no address", ""),
    ],
)
def test_private_addresses_are_known_in_every_notation(address):
    assert not is_public(address)


def test_public_addresses_are_public():
    for address in ("93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"):
        assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "ftp://example.com/a",
            "https:///a",
            "https://example.com:0/",
            "https://a:b@example.com/",
        ),
        *("https://[::1]/", "http://127.0.0.1:8080/", "http://2130706433/", "http://127.1/a"),
        *("http://localhost/", "http://LOCALHOST./a", "http://printer.local/", "http://a.internal"),
        *(
            "http://0x7f000001/",
            "https://[fe80::1%25eth0]/",
            "https://exa mple.com/",
            "http://[abc/",
        ),
        *("https://ex\u00e4mple.com/", "https://example.com:99999/", "https://example.com/\n"),
    ],
)
async def test_an_address_that_may_not_be_called_is_refused_before_anything_is_charged(
    web, bot, url
):
    for path in ("/api/jobs", "/api/generate"):
        response = await web.post(path, json={**CIRCLE, "webhook_url": url})
        assert "webhook_url" in said(response, 400, field="webhook_url")
    assert await spent(bot) == 0


async def test_webhooks_can_be_off(make_bot, make_client):
    bot = await make_bot(web={"webhooks": "off"})
    async with make_client(bot) as web:
        assert "off" in said(await web.post("/api/jobs", json=HOOKED), 400, field="webhook_url")
    assert fault_of("http://127.0.0.1/", reaches_all=True) == ""


async def test_nothing_is_sent_once_webhooks_are_off(web, bot, gate, clock):
    gate.open()
    await web.post("/api/generate", json=HOOKED)
    posts = Posts()

    assert await Sender(bot.service, "off", clock, posts).send_due() == 1

    assert posts.sent == await bot.rows("SELECT * FROM webhooks") == []


async def test_the_end_of_a_job_is_sent_and_can_be_checked(make_server, gate):
    server = await make_server(web={"webhooks": "any"})
    async with receiver() as (port, requests):
        async with httpx.AsyncClient(base_url=server.address) as http:
            secret = (await http.get("/api/me/webhook-secret")).json()["secret"]
            hooked = {**CIRCLE, "webhook_url": f"http://127.0.0.1:{port}/hook?a=b"}
            id = (await http.post("/api/jobs", json=hooked)).json()["id"]
            assert not requests
            gate.open()
            await until(lambda: requests)

        (line, headers, body) = requests[0]
        assert line == "POST /hook?a=b HTTP/1.1"
        assert headers["host"] == f"127.0.0.1:{port}"
        told = json.loads(body)
        assert told["type"] == "job.succeeded"
        assert (told["data"]["id"], told["data"]["prompt"]) == (id, CIRCLE["prompt"])
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        assert headers["webhook-signature"] == f"v1,{digest}"
        async with asyncio.timeout(20):
            while await server.bot.rows("SELECT * FROM webhooks"):
                await asyncio.sleep(0)


async def test_what_was_not_taken_is_sent_again_also_by_the_next_process(
    make_bot, make_client, gate, clock, caplog
):
    bot = await make_bot()
    async with make_client(bot) as web:
        id = (await web.post("/api/jobs", json=HOOKED)).json()["id"]
        posts = Posts(500, OSError("no route"), 200)
        assert await Sender(bot.service, "public", clock, posts).send_due() == 0  # not ended
        (job,) = bot.service.queue(ADMIN).mine
        gate.open()
        await job.finished()
    assert await Sender(bot.service, "public", clock, posts).send_due() == 1
    for pause in PAUSES[:2]:
        await bot.restart()
        sender = Sender(bot.service, "public", clock, posts)
        clock.advance(pause - 1)
        assert await sender.send_due() == 0
        clock.advance(1)
        assert await sender.send_due() == 1

    assert [url for url, *_ in posts.sent] == [PUBLIC] * 3
    assert {told["data"]["id"] for _, told, _ in posts.sent} == {id}
    assert await bot.rows("SELECT * FROM webhooks") == []
    assert PUBLIC not in caplog.text


@pytest.mark.parametrize("answer", [410, Forbidden("example.com"), [500] * 20])
async def test_what_is_never_taken_is_given_up_and_the_picture_stays(web, bot, gate, clock, answer):
    answers = answer if isinstance(answer, list) else [answer]
    posts = Posts(*answers)
    gate.open()
    id = (await web.post("/api/generate", json=HOOKED)).json()["metadata"]["id"]
    sender = Sender(bot.service, "public", clock, posts)

    while await bot.rows("SELECT * FROM webhooks"):
        await sender.send_due()
        clock.advance(max(PAUSES))

    assert len(posts.sent) == (len(PAUSES) + 1 if isinstance(answer, list) else 1)
    assert (await web.get(f"/api/jobs/{id}/image")).status_code == 200


async def test_webhooks_go_with_ones_data(web, bot, gate):
    gate.open()
    await web.post("/api/generate", json=HOOKED)
    await bot.service.own_data.delete(ADMIN)

    assert await bot.rows("SELECT * FROM webhooks") == []


async def test_a_name_that_leads_into_our_network_gets_nothing(monkeypatch):
    """Whatever its name server says: the address that was looked at is the one that is called."""
    async with receiver() as (port, requests):
        asked = []

        def lookup(host, *args, **kwargs):
            asked.append(host)
            return [(2, 1, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr(outbound.socket, "getaddrinfo", lookup)
        with pytest.raises(Forbidden):
            await Outbound().post(f"http://rebinding.example:{port}/", b"{}", {})
        assert requests == []

        status = await Outbound(reaches_all=True).post(f"http://a.example:{port}/", b"{}", {})
        assert status == 200
        assert requests[0][1]["host"] == f"a.example:{port}"
        assert asked == ["rebinding.example", "a.example"]


async def test_a_redirect_is_not_followed():
    async with receiver() as (inside, reached):
        away = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{inside}/\r\n\r\n".encode()
        async with receiver(away) as (port, requests):
            status = await Outbound(reaches_all=True).post(f"http://127.0.0.1:{port}/", b"", {})

    assert (status, len(requests), reached) == (302, 1, [])

"""Connections that send or read nothing, or are too many, cost nobody but their sender."""

import asyncio
import os
import resource
import socket

import httpx
import pytest

from adapters.web_chat.connections import GRACE, Connections, Listener, network_of
from bot.config import Secrets
from bot.sections import Web
from tests.conftest import until

ADA = "ada-token-0123456789"
SECRETS = Secrets(web_tokens={ADA: "ada"})
HEAD = b"POST /api/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
#: An address of this machine that is no proxy's.
ELSEWHERE = "127.0.0.5"


class Client:
    """A client that says exactly what it is told to say, and reads when it is told to."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def say(self, data):
        self.writer.write(data)
        await self.writer.drain()
        await asyncio.sleep(0)

    async def all(self):
        """Everything until the server hangs up."""
        async with asyncio.timeout(20):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def answer(self):
        async with asyncio.timeout(20):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            return head + await self.reader.readexactly(length)


@pytest.fixture
async def connect():
    writers = []

    async def connect(server, address="127.0.0.1", **options):
        port = int(server.address.rpartition(":")[2])
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, local_addr=(address, 0), **options
        )
        writers.append(writer)
        return Client(reader, writer)

    yield connect
    for writer in writers:
        writer.close()


def received(server):
    """Bytes that all open connections have sent."""
    return sum(each._received for each in server.connections._open)


async def passing(server, seconds):
    """Let *seconds* pass, as the look around once a second sees them."""
    server.connections.look()
    server.bot.clock.advance(seconds)
    server.connections.look()
    await asyncio.sleep(0)


async def test_a_head_that_drips_is_cut_off(server, connect):
    client = await connect(server)
    await client.say(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-a: ")
    await until(lambda: received(server) > 0)
    await passing(server, 9)
    await client.say(b"y")
    await until(lambda: received(server) > 38)

    await passing(server, 1.5)

    assert (await client.all()).startswith(b"HTTP/1.1 408")


async def test_a_connection_that_says_nothing_at_all_is_cut_off(server, connect):
    client = await connect(server)
    await until(lambda: len(server.connections) == 1)

    await passing(server, 11)

    assert (await client.all()).startswith(b"HTTP/1.1 408")
    await until(lambda: len(server.connections) == 0)


async def test_the_second_head_on_a_connection_has_its_deadline_too(server, connect):
    """uvicorn's own deadline of an idle connection ends with the first byte."""
    client = await connect(server)
    await client.say(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b" 200 " in await client.answer()
    await client.say(b"GET / HT")
    await until(lambda: received(server) > 48)

    await passing(server, 11)

    assert (await client.all()).startswith(b"HTTP/1.1 408")


async def test_a_body_that_drips_is_cut_off(server, connect):
    client = await connect(server)
    await client.say(HEAD + b"Content-Length: 5000\r\n\r\n{")
    await until(lambda: received(server) > 100)
    await passing(server, 20)
    sent = received(server)
    await client.say(b'"')
    await until(lambda: received(server) > sent)
    await passing(server, 11)

    assert (await client.all()).startswith(b"HTTP/1.1 408")


async def test_a_body_over_a_slow_line_has_the_time_that_it_needs(server, connect):
    body = b'{"text":"help"' + b" " * 300_000 + b"}"
    client = await connect(server)
    await client.say(HEAD + b"Content-Length: %d\r\n\r\n" % len(body))
    await until(lambda: received(server) > 100)
    server.connections.look()
    await client.say(body[:262_144])
    await until(lambda: received(server) > 262_144)

    server.bot.clock.advance(32)
    server.connections.look()
    await client.say(body[262_144:])

    assert b" 200 " in await client.answer()


async def test_a_body_that_nobody_wants_does_not_go_on_for_ever(make_server, connect):
    server = await make_server(SECRETS)
    client = await connect(server)
    await client.say(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
    assert b" 401 " in await client.answer()

    await passing(server, GRACE + 1)

    assert await client.all() == b""
    await until(lambda: len(server.connections) == 0)


async def test_a_request_that_is_worked_on_may_take_as_long_as_it_takes(server, connect):
    small = b'{"prompt":"a fox","width":64,"height":64,"num_inference_steps":1}'
    head = HEAD.replace(b"messages", b"generate")
    client = await connect(server)
    await client.say(head + b"Content-Length: %d\r\n\r\n" % len(small) + small)
    await until(lambda: server.bot.engine.is_busy)

    await passing(server, 3600)
    server.bot.engine.open()

    assert b" 200 " in await client.answer()


async def test_who_does_not_read_the_answer_is_cut_off(server, connect):
    client = await connect(server, limit=1024)
    sock = client.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    page = b"GET /static/app.js HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def is_stuck():
        return any(each.transport.get_write_buffer_size() for each in server.connections._open)

    # In one go: once its own buffer is full, a kernel may hear no further question either.
    await client.say(page * 1000)
    await until(is_stuck)
    await passing(server, 31)

    await until(lambda: len(server.connections) == 0)


async def test_one_address_has_only_so_many_connections(make_server, connect):
    server = await make_server(SECRETS, web={"max_connections_per_address": 2})
    for _ in range(2):
        await connect(server, ELSEWHERE)
    await until(lambda: len(server.connections) == 2)

    refused = await (await connect(server, ELSEWHERE)).all()
    other = await connect(server, "127.0.0.6")
    await other.say(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")

    assert refused.startswith(b"HTTP/1.1 503")
    assert b"retry-after" in refused
    assert b" 200 " in await other.answer()


async def test_a_proxy_comes_for_many_people(make_server, connect):
    server = await make_server(SECRETS, web={"max_connections_per_address": 2})

    for _ in range(5):
        await connect(server)

    await until(lambda: len(server.connections) == 5)


async def test_people_get_in_while_somebody_holds_all_connections(make_server, connect):
    """Whoever has said nothing for longest makes room."""
    server = await make_server(SECRETS, web={"max_connections": 10})
    held = []
    for _ in range(10):
        held.append(await connect(server))
        server.bot.clock.advance(0.1)
    await until(lambda: len(server.connections) == 10)

    async with httpx.AsyncClient(base_url=server.address) as http:
        response = await http.get("/health")

    assert response.status_code == 200
    assert await held[0].all() == b""
    assert len(server.connections) <= 11


async def test_connections_that_are_worked_on_are_not_closed_for_new_ones(make_server, connect):
    server = await make_server(web={"max_connections": 10})
    async with httpx.AsyncClient(base_url=server.address) as http:
        small = {"prompt": "a fox", "width": 64, "height": 64, "num_inference_steps": 1}
        job = (await http.post("/api/jobs", json=small)).json()
    await until(lambda: len(server.connections) == 0)
    streams = []
    for _ in range(10):
        stream = await connect(server)
        path = b"/api/jobs/%s/events" % job["id"].encode()
        await stream.say(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path)
        await stream.reader.readuntil(b"retry")
        streams.append(stream)

    refused = await (await connect(server)).all()

    assert refused.startswith(b"HTTP/1.1 503")
    assert not any(stream.reader.at_eof() for stream in streams)


def test_a_want_of_descriptors_is_reported_once_and_passes():
    """asyncio would go on accepting, as often as the backlog is long, a traceback each time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Listener() as listener, socket.socket() as client:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        client.connect(listener.getsockname())
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                listener.accept()
            with pytest.raises(BlockingIOError):
                listener.accept()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

        accepted, _ = listener.accept()
        accepted.close()


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:2", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_an_address_of_ipv6_counts_with_those_beside_it(address, network):
    """Whoever has one has 2**64 of them."""
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("trusted", "address", "is_trusted"),
    [
        ("127.0.0.1,::1", "127.0.0.1", True),
        ("127.0.0.1,::1", "127.0.0.5", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("*", "203.0.113.7", True),
    ],
)
def test_proxies_are_named_as_uvicorn_has_them(trusted, address, is_trusted):
    assert Connections(Web(), trusted)._trusts(address) is is_trusted

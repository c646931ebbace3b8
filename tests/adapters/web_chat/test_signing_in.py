"""Signing in and out: sessions live on the server, and guessing at tokens is slow."""

import asyncio
import logging

import httpx
import pytest

from adapters.web_chat import create_app
from adapters.web_chat.guesses import CROWD, FREE, LONGEST_WAIT, MOST, Guesses
from bot.config import Secrets
from bot.sessions import DAY
from bot.sessions import MOST as MOST_SESSIONS
from tests.conftest import until

ADA, BOB = "ada-token-0123456789", "bob-token-0123456789"
SECRETS = Secrets(web_tokens={ADA: "ada", BOB: "bob"})
SMALL = {"prompt": "a fox", "width": 64, "height": 64, "num_inference_steps": 1}


def as_user(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def from_address(bot):
    """Clients of one application, each from an address of its own."""
    app = create_app(bot.service, bot.config, SECRETS)
    app.state.web.guesses._now = bot.clock

    def make(address):
        transport = httpx.ASGITransport(app, client=(address, 1))
        return httpx.AsyncClient(transport=transport, base_url="http://localhost:8080")

    return make


async def signed_in(client, token=ADA):
    assert (await client.post("/api/session", json={"token": token})).status_code == 200
    return dict(client.cookies)


async def asks(make_client, bot, cookies, secrets=SECRETS):
    """The status of a request with *cookies*."""
    async with make_client(bot, secrets) as web:
        web.cookies.update(cookies)
        return (await web.get("/api/quota")).status_code


async def test_signing_out_ends_the_session_on_the_server(bot, make_client):
    """A copy of the cookie is worth nothing then."""
    async with make_client(bot, SECRETS) as web:
        copy = await signed_in(web)
        assert await asks(make_client, bot, copy) == 200

        assert (await web.delete("/api/session")).status_code == 204

    assert await asks(make_client, bot, copy) == 401


async def test_a_session_ends_alone_unless_all_are_to_end(bot, make_client):
    async with make_client(bot, SECRETS) as laptop, make_client(bot, SECRETS) as phone:
        on_laptop, on_phone = await signed_in(laptop), await signed_in(phone)
        async with make_client(bot, SECRETS) as third:
            of_third, of_bob = await signed_in(third), None
            async with make_client(bot, SECRETS) as bobs:
                of_bob = await signed_in(bobs, BOB)

            await third.delete("/api/session")
            alone = [await asks(make_client, bot, each) for each in (of_third, on_phone, of_bob)]
            await phone.delete("/api/session?everywhere=true")
            everywhere = [
                await asks(make_client, bot, each) for each in (on_laptop, on_phone, of_bob)
            ]

    assert alone == [401, 200, 200]
    assert everywhere == [401, 401, 200]


async def test_a_session_outlives_a_restart_and_its_end_does_too(bot, make_client):
    async with make_client(bot, SECRETS) as one, make_client(bot, SECRETS) as two:
        kept, ended = await signed_in(one), await signed_in(two)
        await two.delete("/api/session")

    await bot.restart()

    assert await asks(make_client, bot, kept) == 200
    assert await asks(make_client, bot, ended) == 401


async def test_a_session_ends_after_its_days(make_bot, make_client, clock):
    bot = await make_bot(web={"session_days": 2})
    async with make_client(bot, SECRETS) as web:
        response = await web.post("/api/session", json={"token": ADA})
        cookies = dict(web.cookies)
    clock.advance(2 * DAY - 1)
    before = await asks(make_client, bot, cookies)
    clock.advance(2)
    after = await asks(make_client, bot, cookies)
    await bot.restart()

    assert "Max-Age=172800" in response.headers["set-cookie"]
    assert (before, after) == (200, 401)
    assert await bot.rows("SELECT * FROM web_sessions") == []


async def test_another_token_ends_the_sessions_of_the_old_one(bot, make_client):
    async with make_client(bot, SECRETS) as web:
        cookies = await signed_in(web)

    changed = Secrets(web_tokens={"another-token-0123456789": "ada"})
    renamed = Secrets(web_tokens={ADA: "eve"})

    assert await asks(make_client, bot, cookies, changed) == 401
    assert await asks(make_client, bot, cookies, renamed) == 401
    assert await asks(make_client, bot, cookies) == 200


async def test_the_database_holds_nothing_that_would_sign_anybody_in(bot, make_client):
    async with make_client(bot, SECRETS) as web:
        cookies = await signed_in(web)
    (row,) = await bot.rows("SELECT * FROM web_sessions")

    held = " ".join(map(str, row.values()))
    assert cookies["fluxbot_session"] not in held
    assert ADA not in held
    assert await asks(make_client, bot, {"fluxbot_session": row["hash"]}) == 401


async def test_deleting_ones_data_signs_one_out_everywhere(bot, make_client):
    async with make_client(bot, SECRETS) as web:
        cookies = await signed_in(web)

    await bot.service.own_data.delete("web:ada")

    assert await asks(make_client, bot, cookies) == 401
    assert await bot.rows("SELECT * FROM web_sessions") == []


async def test_a_person_has_only_so_many_sessions(bot, make_client, clock):
    async with make_client(bot, SECRETS) as web:
        first = await signed_in(web)
        for _ in range(MOST_SESSIONS):
            clock.advance(1)
            last = await signed_in(web)

    assert await asks(make_client, bot, first) == 401
    assert await asks(make_client, bot, last) == 200
    assert len(await bot.rows("SELECT * FROM web_sessions")) == MOST_SESSIONS


async def test_a_stream_ends_with_the_session(make_server, gate):
    server = await make_server(SECRETS)
    async with httpx.AsyncClient(base_url=server.address, timeout=30) as http:
        await http.post("/api/session", json={"token": ADA})
        job = (await http.post("/api/jobs", json={**SMALL, "num_inference_steps": 9})).json()
        async with http.stream("GET", f"/api/jobs/{job['id']}/events") as response:
            lines = response.aiter_lines()
            await anext(lines)
            await until(lambda: gate.is_busy)
            await http.delete("/api/session")
            gate.allow(2)
            async with asyncio.timeout(10):
                rest = [line async for line in lines]

    assert not any("done" in line for line in rest)
    assert gate.is_busy


async def test_a_person_has_only_so_many_streams(make_server):
    server = await make_server(SECRETS, web={"max_streams_per_person": 2})
    async with httpx.AsyncClient(base_url=server.address, timeout=30) as http:
        job = (await http.post("/api/jobs", json=SMALL, headers=as_user(ADA))).json()
        path = f"/api/jobs/{job['id']}/events"
        async with (
            http.stream("GET", path, headers=as_user(ADA)),
            http.stream("GET", path, headers=as_user(ADA)),
        ):
            refused = await http.get(path, headers=as_user(ADA))
        async with asyncio.timeout(10):
            while server._app.state.web.streams._open:
                await asyncio.sleep(0.01)
        async with http.stream("GET", path, headers=as_user(ADA)) as again:
            assert again.status_code == 200

    assert refused.status_code == 429
    assert "2 streams" in refused.json()["error"]["message"]
    assert refused.headers["retry-after"]


async def test_a_sign_in_has_no_room_for_more_than_a_token(make_server):
    server = await make_server(SECRETS)

    async with httpx.AsyncClient(base_url=server.address) as http:
        with_length = await http.post("/api/session", content=b"x" * 5000)

        async def chunks():
            for _ in range(5):
                yield b"x" * 1000

        without = await http.post("/api/session", content=chunks())

    for response in (with_length, without):
        assert response.status_code == 413
        assert "4 kB" in response.json()["error"]["message"]


@pytest.mark.parametrize("way", ["session", "bearer"])
async def test_guessing_waits_longer_each_time(from_address, clock, way):
    async with from_address("203.0.113.7") as web:

        async def guess(token="a-wrong-token-01234"):
            if way == "session":
                return await web.post("/api/session", json={"token": token})
            return await web.get("/api/quota", headers=as_user(token))

        free = [(await guess()).status_code for _ in range(FREE)]
        refused = await guess(ADA)
        clock.advance(1)
        tried_again = await guess()
        waits = (await guess()).headers["retry-after"]

    assert free == [401] * FREE
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"
    assert "try again in 1 s" in refused.json()["error"]["message"]
    assert (tried_again.status_code, waits) == (401, "2")


async def test_the_right_token_gets_in_from_elsewhere_and_after_the_wait(from_address, clock):
    async with from_address("203.0.113.7") as guesser, from_address("203.0.113.8") as other:
        for _ in range(FREE):
            await guesser.post("/api/session", json={"token": "a-wrong-token-01234"})

        elsewhere = await other.post("/api/session", json={"token": ADA})
        clock.advance(1)
        afterwards = await guesser.post("/api/session", json={"token": ADA})

    assert (elsewhere.status_code, afterwards.status_code) == (200, 200)


async def test_who_is_signed_in_goes_on_beside_a_guesser_at_the_same_address(from_address):
    async with from_address("203.0.113.7") as web, from_address("203.0.113.7") as guesser:
        await signed_in(web)
        for _ in range(FREE):
            await guesser.get("/api/quota", headers=as_user("a-wrong-token-01234"))

        assert (await web.get("/api/quota")).status_code == 200


async def test_failed_sign_ins_are_logged_with_their_address_and_without_the_token(
    from_address, caplog
):
    caplog.set_level(logging.INFO)
    async with from_address("203.0.113.7") as web:
        await web.post("/api/session", json={"token": "nearly-adas-token-01"})
        await web.get("/api/quota", headers=as_user("nearly-adas-token-01"))

    said = [each.message for each in caplog.records if each.name.endswith("guesses")]
    assert len(said) == 2
    assert all("203.0.113.7" in each for each in said)
    assert "nearly" not in caplog.text


def test_many_guessers_wait_after_their_first_token_and_others_for_nobody(clock):
    guesses = Guesses(clock)
    for number in range(CROWD):
        guesses.wrong(f"198.51.100.{number}")

    guesses.wrong("203.0.113.7")

    assert guesses.wait("203.0.113.7") == 60
    assert guesses.wait("203.0.113.8") == 0


def test_waits_have_an_end_and_are_forgotten(clock):
    guesses = Guesses(clock)
    for _ in range(60):
        guesses.wrong("2001:db8::1")
    longest = guesses.wait("2001:db8::2")
    clock.advance(901)
    guesses.wrong("2001:db8::1")

    assert longest == LONGEST_WAIT
    assert guesses.wait("2001:db8::1") == 0


def test_guessers_take_only_so_much_memory(clock):
    guesses = Guesses(clock)
    for number in range(MOST + 10):
        guesses.wrong(f"address {number}")

    assert len(guesses._guessers) == MOST

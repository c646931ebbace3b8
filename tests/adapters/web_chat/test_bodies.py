"""Large bodies: read quickly, and a few at once for each person."""

import asyncio
import json

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from hypothesis import given
from hypothesis import strategies as st

from adapters.web_chat.bodies import LARGE, READ_AT_ONCE, Body, BodyRoute, Reading

PIECE = b"x" * (LARGE + 1)


class Sender:
    """Somebody who sends a body in two pieces, the second when a test says so."""

    def __init__(self, reading, user="web:ada"):
        self.asked = 0
        self.rest = asyncio.Event()
        self.body = Body(self._receive, 10**9, reading, user)

    async def _receive(self):
        self.asked += 1
        if self.asked > 1:
            await self.rest.wait()
        return {"type": "http.request", "body": PIECE, "more_body": self.asked < 2}

    def read(self):
        async def all_of_it():
            while (await self.body.receive())["more_body"]:
                pass

        return asyncio.create_task(all_of_it())


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


async def test_of_one_person_a_few_large_bodies_are_read_at_once_and_others_wait_unread():
    reading = Reading()
    senders = [Sender(reading) for _ in range(READ_AT_ONCE + 2)]
    other = Sender(reading, "web:bob")
    tasks = [each.read() for each in (*senders, other)]
    await settle()
    assert [each.asked for each in senders] == [2] * READ_AT_ONCE + [1, 1]
    assert other.asked == 2

    senders[0].rest.set()
    await settle()
    assert [each.asked for each in senders] == [2] * (READ_AT_ONCE + 1) + [1]

    for each in (*senders, other):
        each.rest.set()
    await asyncio.gather(*tasks)
    assert (reading._reading, reading._waiting) == ({}, {})


async def test_a_body_that_is_given_up_passes_its_turn_on():
    reading = Reading()
    senders = [Sender(reading) for _ in range(READ_AT_ONCE + 2)]
    tasks = [each.read() for each in senders]
    await settle()
    *_, first, second = tasks

    first.cancel()  # while it waits for its turn
    senders[0].body.give_turn_back()
    senders[0].body.give_turn_back()
    await settle()

    assert senders[-1].asked == 2
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert second.cancelled()


@pytest.fixture(scope="module")
def echo():
    router = APIRouter(route_class=BodyRoute)

    @router.post("/")
    async def post(body: dict) -> dict:
        return body

    app = FastAPI()
    app.include_router(router)
    return app


async def sent(echo, content):
    transport = httpx.ASGITransport(app=echo)
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as web:
        headers = {"Content-Type": "application/json"}
        return await web.post("/", content=content, headers=headers)


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.text() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans(),
    )
)
def test_a_large_body_means_what_it_meant_to_the_usual_parser(echo, values):
    text = json.dumps({**values, "padding": "x" * LARGE})

    assert asyncio.run(sent(echo, text)).json() == json.loads(text)


@pytest.mark.parametrize("end", ["", "}}", ',"a":}', '"\x00"}', "nope"])
async def test_a_large_body_that_is_no_json_is_refused_as_a_small_one_is(echo, end):
    text = '{"padding": "' + "x" * LARGE + '"' + end

    answer = await sent(echo, text)

    assert (answer.status_code, answer.json()["detail"][0]["type"]) == (422, "json_invalid")

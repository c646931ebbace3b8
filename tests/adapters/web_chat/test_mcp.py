"""MCP, tried with the SDK's own client over a real server."""

import asyncio
import base64
import contextlib
import logging

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from adapters.web_chat import mcp_route
from adapters.web_chat.mcp_server import MAX_PICTURES
from bot.config import Secrets
from generation.kinds import Edit
from generation.types import Preset
from tests.conftest import ADMIN, INPAINTING, PRESETS, until
from tests.samples import opened, picture

SMALL = {"width": 64, "height": 64, "num_inference_steps": 2}
ADA, BOB = "ada-token-0123456789", "bob-token-0123456789"
TOKENS = Secrets(web_tokens={ADA: "ada", BOB: "bob"})
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "a test", "version": "1"},
    },
}
ACCEPT = {"Accept": "application/json, text/event-stream"}


@contextlib.asynccontextmanager
async def client_of(server, token=None, mode="auto"):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
        transport = streamable_http_client(f"{server.address}/mcp", http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


@pytest.fixture(params=["legacy", "auto"])
def mode(request):
    """Of the protocol: with a session, and without."""
    return request.param


def text_of(result):
    return result.content[-1].text


async def test_an_agent_draws_edits_repeats_and_looks_up(server, gate, mode):
    gate.open()
    async with client_of(server, mode=mode) as client:
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == ["draw", "edit", "again", "history", "presets"]
        steps = tools[0].input_schema["properties"]["num_inference_steps"]["anyOf"][0]
        assert (steps["minimum"], steps["maximum"]) == (1, 50)

        drawn = await client.call_tool("draw", {"prompt": "a fox", "seed": 7, **SMALL})
        id = drawn.structured_content["id"]
        edited = await client.call_tool("edit", {"prompt": "at night", "id": id, **SMALL})
        sent = base64.b64encode(picture()).decode()
        mapped = await client.call_tool(
            "edit", {"prompt": "a hat", "image": sent, "preset": "canny", **SMALL}
        )
        again = await client.call_tool("again", {"id": id, "vary": False})
        page = await client.call_tool("history", {"limit": 3})
        found = await client.call_tool("history", {"id": id})
        presets = await client.call_tool("presets", {})

    for result in (drawn, edited, mapped, again, found):
        assert not result.is_error, text_of(result)
        (image,) = [each for each in result.content if each.type == "image"]
        assert opened(base64.b64decode(image.data)).size == (64, 64)
    assert edited.structured_content["preset"] == "redraw"
    assert found.content[0].data == drawn.content[0].data
    pixels = [opened(base64.b64decode(each.content[0].data)).tobytes() for each in (drawn, again)]
    assert pixels[0] == pixels[1]
    assert [job["id"] for job in page.structured_content["jobs"]] == [
        mapped.structured_content["id"],
        edited.structured_content["id"],
        again.structured_content["id"],
    ], "what is there already is not drawn again"
    assert presets.structured_content["default"] == "plain"
    assert presets.structured_content["models"][0]["presets"] == [*PRESETS]
    assert text_of(presets).endswith("Presets: plain, canny, redraw")
    (link,) = drawn.structured_content["links"]
    assert link in text_of(drawn)
    async with httpx.AsyncClient() as http:
        assert (await http.get(link)).content == base64.b64decode(drawn.content[0].data)


async def test_an_agent_changes_a_picture_as_its_words_say(make_server, gate):
    gate.open()
    edit = Preset(name="edit", kind=Edit(kontext="a/b"))
    server = await make_server(presets={**PRESETS, "edit": edit})
    sent = base64.b64encode(picture()).decode()
    asked = {"prompt": "make it night", "image": sent, **SMALL}
    async with client_of(server) as client:
        night = await client.call_tool("edit", asked)
        over = await client.call_tool("edit", {**asked, "strength": 0.5})

    assert night.structured_content["preset"] == "edit"
    assert over.structured_content["preset"] == "redraw"


async def test_an_agent_sends_several_pictures_to_a_preset_that_edits(make_server, gate):
    gate.open()
    edit = Preset(name="edit", kind=Edit(references=1))
    server = await make_server(presets={**INPAINTING, "edit": edit})
    sent = base64.b64encode(picture()).decode()
    asked = {"prompt": "the hat of the second", "image": sent, "image_2": sent, **SMALL}
    async with client_of(server) as client:
        both = await client.call_tool("edit", asked)

    assert both.structured_content["preset"] == "edit"
    assert len(both.structured_content["control"]["next_images"]) == 1


async def test_progress_is_told_and_a_call_that_is_cancelled_cancels_the_job(server, gate, mode):
    steps = []

    async def told(progress, total, message):
        steps.append((progress, total, message))

    async with client_of(server, mode=mode) as client:
        call = client.call_tool(
            "draw",
            {"prompt": "a fox", **SMALL, "num_inference_steps": 50, "images": 4},
            progress_callback=told,
        )
        calling = asyncio.create_task(call)
        gate.allow(2)
        await until(lambda: (2, 200) in [each[:2] for each in steps])
        (job,) = server.bot.service.queue(ADMIN).mine
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        ending = asyncio.create_task(job.finished())
        while not ending.done():  # a step now and then, as a real engine takes them
            gate.allow(1)
            await asyncio.wait({ending}, timeout=0.05)

    assert ending.result().status == "cancelled"
    assert job.steps_drawn < 200
    grows = [progress for progress, _, _ in steps]
    assert grows == sorted(set(grows))
    assert steps[0][2] == "Next in the queue"


async def test_what_cannot_be_done_is_an_answer_that_says_why_and_costs_nothing(make_server, gate):
    server = await make_server(limits={"num_inference_steps": 4}, quota={"credits": 1})
    gate.open()
    wrong = {
        "num_inference_steps must be at most 50": {"prompt": "a", "num_inference_steps": 99},
        "4": {"prompt": "a", "num_inference_steps": 20},
        "prompt": {},
        "colour is not understood": {"prompt": "a", "colour": "red"},
        "none": {"prompt": "a", "preset": "none"},
    }

    async with client_of(server) as client:
        for reason, arguments in wrong.items():
            result = await client.call_tool("draw", arguments)
            assert result.is_error
            assert reason in text_of(result)
        assert (await client.call_tool("edit", {"prompt": "a"})).is_error
        assert (await client.call_tool("again", {"id": "nosuchid"})).is_error
        assert (await client.call_tool("history", {"id": "nosuchid"})).is_error
        dear = await client.call_tool(
            "draw", {"prompt": "a", "num_inference_steps": 4, "width": 512}
        )

    assert dear.is_error
    assert "credits" in text_of(dear)
    assert (await server.bot.service.quota(ADMIN)).used == 0


async def test_a_large_picture_comes_smaller_with_its_marks(server, gate):
    gate.is_noisy = True
    gate.open()
    big = {"prompt": "noise", "width": 1024, "height": 1024, "num_inference_steps": 1}

    async with client_of(server) as client:
        result = await client.call_tool("draw", big)

    image = base64.b64decode(result.content[0].data)
    assert result.content[0].mime_type == "image/webp"
    assert len(image) <= MAX_PICTURES
    assert b"trainedAlgorithmicMedia" in image


async def test_the_gate_stands_before_it_and_a_session_is_of_one_person(make_server, gate):
    server = await make_server(TOKENS)
    address = f"{server.address}/mcp"
    ada = {**ACCEPT, "Authorization": f"Bearer {ADA}"}
    async with httpx.AsyncClient() as http:

        async def asked(body=HELLO, **headers):
            return await http.post(address, json=body, headers=headers)

        assert (await asked(**ACCEPT)).status_code == 401
        assert (await asked(**ada, Origin="https://evil.example")).status_code == 403
        assert (await asked(**ada, Host="evil.example")).status_code == 400
        hello = await asked(**ada)
        session = {"Mcp-Session-Id": hello.headers["mcp-session-id"]}
        listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        bob = {**ada, "Authorization": f"Bearer {BOB}"}
        assert (await asked(listing, **bob, **session)).status_code == 404
        assert (await asked(listing, **ada, **session)).status_code == 200
        assert (await http.get(address, headers=ada)).status_code == 405
        large = await http.post(address, content=b"x" * 20_000_000, headers=ada)
        assert large.status_code == 413

    gate.open()
    async with client_of(server, ADA) as client:
        drawn = await client.call_tool("draw", {"prompt": "a fox", **SMALL})
    async with client_of(server, BOB) as client:
        stolen = await client.call_tool("history", {"id": drawn.structured_content["id"]})
    assert stolen.is_error
    assert (await server.bot.service.quota("web:ada")).used > 0


async def test_without_the_sdk_the_log_says_so_and_the_rest_works(
    bot, make_client, monkeypatch, caplog
):
    monkeypatch.setattr(mcp_route.importlib.util, "find_spec", lambda name: None)
    with caplog.at_level(logging.INFO):
        client = make_client(bot)

    async with client:
        assert (await client.post("/mcp", json=HELLO)).status_code == 404
        assert (await client.get("/health")).status_code == 200
    assert "pip install -e .[mcp]" in caplog.text

"""Other programs on the engine's card."""

import asyncio
import json
import logging
import sys

import pytest

from bot.assembly.neighbours import tell
from bot.config import Config

WAITS = "import threading; threading.Event().wait(60)"
WRITES = "import json, os, sys; json.dump(dict(os.environ), open(sys.argv[1], 'w'))"


async def test_a_command_learns_the_event_and_no_secret(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    file = tmp_path / "seen.json"

    await tell((sys.executable, "-c", WRITES, str(file)), "before_loading", "engine-2", 20)

    seen = json.loads(file.read_text())
    assert (seen["FLUXBOT_EVENT"], seen["FLUXBOT_ENGINE"]) == ("before_loading", "engine-2")
    assert "HF_TOKEN" not in seen
    assert not caplog.records


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ((sys.executable, "-c", "raise SystemExit(3)"), "exit status 3"),
        (("/nowhere/at-all",), "No such file"),
        (
            (sys.executable, "-c", "import threading; threading.Event().wait(60)"),
            "longer than 0.2 s",
        ),
        ("http://127.0.0.1:9/", ""),
    ],
)
async def test_what_goes_wrong_stands_in_the_log_and_is_over_in_time(call, problem, caplog):
    caplog.set_level(logging.WARNING)

    await tell(call, "after_unloading", "engine-1", 0.2 if "wait" in str(call) else 20)

    assert "engine.after_unloading has failed for engine-1" in caplog.text
    assert problem in caplog.text


@pytest.mark.parametrize(("status", "is_well"), [("204 No Content", True), ("500 Oh", False)])
async def test_a_url_is_posted_what_happens(status, is_well, caplog):
    heard = []

    async def answer(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        heard.append((head.split()[0], json.loads(await reader.readexactly(length))))
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        await tell(f"http://127.0.0.1:{port}/room", "before_loading", "engine-1", 20)
    finally:
        server.close()

    assert heard == [(b"POST", {"event": "before_loading", "engine": "engine-1"})]
    assert ("HTTP 500" in caplog.text) is not is_well


@pytest.mark.parametrize(
    ("engine", "says"),
    [
        ({"before_loading": "systemctl stop llm"}, "a command as a list"),
        ({"after_unloading": ["ls", ""]}, "no empty word"),
        ({"unload_after": -1}, "greater than or equal to 0"),
        ({"unload_after": 5, "ray": "10.0.0.1:6379"}, "which Ray gives away"),
    ],
)
def test_what_cannot_be_called_is_refused_by_the_configuration(engine, says):
    with pytest.raises(ValueError, match=says):
        Config(engine=engine)

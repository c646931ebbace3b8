"""Other programs on the engine's card, which the operator has told before the model is loaded and
after its memory was given back."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from typing import Literal

import httpcore2

#: A command, without a shell, or a URL that starts with http.
Call = str | tuple[str, ...]
Event = Literal["before_loading", "after_unloading"]

#: Of the bot's environment, in which there are secrets, what a command is given.
KEPT = ("PATH", "HOME", "LANG", "USER", "TMPDIR", "XDG_RUNTIME_DIR", "SYSTEMROOT", "PATHEXT")

logger = logging.getLogger(__name__)

_FAULTS = (
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.TimeoutException,
    httpcore2.UnsupportedProtocol,
)


async def tell(call: Call, event: Event, engine: str, seconds: float) -> None:
    """Call *call* and wait for its end, *seconds* at most. What goes wrong stands in the log, and
    keeps nobody from drawing.

    A command has *event* and *engine* in ``FLUXBOT_EVENT`` and ``FLUXBOT_ENGINE``; to a URL they
    are posted as JSON.
    """
    if not call:
        return
    try:
        async with asyncio.timeout(seconds):
            if isinstance(call, str):
                problem = await _posted(call, event, engine)
            else:
                problem = await _run(call, event, engine)
    except TimeoutError:
        problem = f"it takes longer than {seconds:g} s"
    except (OSError, *_FAULTS) as error:
        problem = str(error) or type(error).__name__
    if problem:
        logger.warning("engine.%s has failed for %s: %s", event, engine, problem)


async def _posted(url: str, event: Event, engine: str) -> str:
    """What is wrong with the answer of *url*; empty if nothing is."""
    content = json.dumps({"event": event, "engine": engine}).encode()
    headers = [("Content-Type", "application/json")]
    async with (
        httpcore2.AsyncConnectionPool() as pool,
        pool.stream("POST", url, headers=headers, content=content) as response,
    ):
        return "" if 200 <= response.status < 300 else f"HTTP {response.status}"


async def _run(command: tuple[str, ...], event: Event, engine: str) -> str:
    """What is wrong with the end of *command*; empty if nothing is. It is killed where nobody
    waits for it any more."""
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={**environment, "FLUXBOT_EVENT": event, "FLUXBOT_ENGINE": engine},
    )
    try:
        status = await process.wait()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    return "" if status == 0 else f"exit status {status}"

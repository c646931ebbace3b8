"""``python -m bot`` as a process of its own, told by what it prints."""

import asyncio
import atexit
import functools
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

#: What libraries read when they are imported.
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "COLUMNS": "200", "NO_COLOR": "1"}

#: Commands that import torch.
SLOW = ("run", "check")


class Process:
    """``python -m bot`` with a folder of its own."""

    def __init__(self, folder, **variables):
        self.environment = {
            **os.environ,
            "FLUXBOT_STORAGE__DATA_DIR": str(folder / "data"),
            "FLUXBOT_STORAGE__DOWNLOAD_DIR": str(folder / "download"),
            "FLUXBOT_WEB__PORT": "0",
            **ENVIRONMENT,
            **variables,
        }
        self.output = ""
        self.address = None

    async def start(self, *arguments):
        start = _forked if arguments[0] in SLOW else _executed
        self.process = await start(arguments, self.environment)
        return self

    async def until(self, pattern):
        """Read on until a line matches; returns the match."""
        while line := (await self.process.stdout.readline()).decode():
            self.output += line
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"never said {pattern!r}:\n{self.output}")

    async def ended(self):
        self.output += (await self.process.stdout.read()).decode()
        return await self.process.wait()


class Forked:
    """A process by `tests.forks`, with the attributes of asyncio's."""

    def __init__(self, pid, stdout, fate):
        self.pid = pid
        self.stdout = stdout
        self.returncode = None
        self._fate = fate

    async def wait(self):
        if self.returncode is None:
            self.returncode = int(await self._fate.read())
        return self.returncode

    def send_signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


async def _executed(arguments, environment):
    """A process of ``python -m bot ARGUMENTS``."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bot",
        *arguments,
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def _forked(arguments, environment):
    """The same, whose libraries have been imported before."""
    order = {"arguments": arguments, "environment": environment, "folder": str(ROOT)}
    output, writes_output = os.pipe()
    fate, writes_fate = os.pipe()
    sent = [json.dumps(order).encode()]
    socket.send_fds(_orders(), sent, [writes_output, writes_fate])
    os.close(writes_output)
    os.close(writes_fate)
    stdout, fate = await _reader(output), await _reader(fate)
    return Forked(int(await fate.readline()), stdout, fate)


async def _reader(descriptor):
    reader = asyncio.StreamReader()
    pipe = os.fdopen(descriptor, "rb", buffering=0)  # which the transport closes
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
    return reader


@functools.cache
def _orders():
    """The socket to the process that forks."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        number = theirs.fileno()
        command = [sys.executable, "-m", "tests.forks", str(number)]
        variables = {**os.environ, **ENVIRONMENT}
        forks = subprocess.Popen(command, cwd=ROOT, env=variables, pass_fds=[number])

    def end():
        ours.close()
        forks.wait()

    atexit.register(end)
    return ours

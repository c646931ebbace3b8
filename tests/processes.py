"""``python -m bot`` as a process of its own, told by what it prints."""

import asyncio
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


class Process:
    """``python -m bot`` with a folder of its own."""

    def __init__(self, folder, **variables):
        self.environment = {
            **os.environ,
            "FLUXBOT_STORAGE__DATA_DIR": str(folder / "data"),
            "FLUXBOT_STORAGE__DOWNLOAD_DIR": str(folder / "download"),
            "FLUXBOT_WEB__PORT": "0",
            "COLUMNS": "200",
            "NO_COLOR": "1",
            "HF_HUB_OFFLINE": "1",
            **variables,
        }
        self.output = ""
        self.address = None

    async def start(self, *arguments):
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bot",
            *arguments,
            cwd=ROOT,
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
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
